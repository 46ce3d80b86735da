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


def test_a_pool_is_made_once_and_keeps_what_an_operator_made_of_it(ledger_dsn):
    """Otherwise each start would undo the slots that somebody lowered."""
    with psycopg.connect(ledger_dsn) as connection:
        connection.execute(
            "CREATE TABLE public.slot_pool (id serial PRIMARY KEY, pool text UNIQUE, slots integer,"
            " description text, include_deferred boolean NOT NULL)"
        )
    airflow_database.ensure_pool(ledger_dsn, "participation_llm", 128, "asks")
    with psycopg.connect(ledger_dsn) as connection:
        connection.execute("UPDATE slot_pool SET slots = 2")
    airflow_database.ensure_pool(ledger_dsn, "participation_llm", 128, "asks")

    with psycopg.connect(ledger_dsn) as connection:
        rows = connection.execute("SELECT pool, slots FROM slot_pool").fetchall()
        connection.execute("DROP TABLE slot_pool")
    assert rows == [("participation_llm", 2)]
