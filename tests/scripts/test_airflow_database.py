import psycopg

import airflow_database


def test_the_version_is_noted_in_the_very_database_that_is_asked(ledger_dsn):
    """None before; afterwards this database knows it, and no other of the server does."""
    other = psycopg.conninfo.make_conninfo(ledger_dsn, dbname="postgres")
    before = airflow_database.migrated_to(other)
    assert airflow_database.migrated_to(ledger_dsn) is None

    airflow_database.note_version(ledger_dsn, "3.3.2")

    assert airflow_database.migrated_to(ledger_dsn) == "3.3.2"
    assert airflow_database.migrated_to(other) == before
