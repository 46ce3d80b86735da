"""What every test may rely on: an Airflow home of its own, and a ledger in a real PostgreSQL.

Nothing outside the standard library and pytest is imported until a test asks for it: the unit tests
also run in an environment that holds neither Airflow nor a database driver.
"""

import atexit
import http.server
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How fast a machine is says nothing about a property.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parent.parent

AIRFLOW_HOME = tempfile.mkdtemp(prefix="airflow-test-")
atexit.register(shutil.rmtree, AIRFLOW_HOME, ignore_errors=True)
# Airflow reads its configuration when it is first imported, which collecting a test may do.
os.environ.update(
    {
        "AIRFLOW_HOME": AIRFLOW_HOME,
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
    }
)

TEMPLATE = "participation_template_" + os.environ.get("PYTEST_XDIST_WORKER", "alone")
"""A migrated ledger without rows, one a process; each module's database is a copy of it."""


class Stranger(http.server.BaseHTTPRequestHandler):
    """Answers 200 to everything, as the api-server of another clone would."""

    def do_GET(self) -> None:
        """Say that all is well."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing of it."""


@pytest.fixture
def stranger() -> Iterator[Callable[[int], None]]:
    """Start a server that is not ours on a port; it ends with the test."""
    started = []

    def listen(port: int) -> None:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Stranger)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)

    yield listen
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture
def nearby(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask stubs on this machine without a proxy, and a second time without much of a wait."""
    from include import exchange  # noqa: PLC0415 - as the docstring of the module says

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(exchange, "FIRST_WAIT_S", 0.01)


@pytest.fixture
def provider(nearby: None) -> Iterator[Any]:
    """Be a provider of a language model and of embeddings that answers well until told otherwise."""
    from tests.stub_provider import Provider  # noqa: PLC0415 - the same

    stub = Provider()
    yield stub
    stub.close()


@pytest.fixture
def seconds() -> Callable[..., float]:
    """Measure the processor time of a call; the best of three, for a machine at work."""

    def measured(call: Callable[..., object], *arguments: object) -> float:
        times = []
        for _ in range(3):
            start = process_time()
            call(*arguments)
            times.append(process_time() - start)
        return min(times)

    return measured


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """Address of a server where tests may create databases, as a superuser of it.

    ``PARTICIPATION_TEST_DSN`` names one that runs already; otherwise the embedded PostgreSQL is
    started in a temporary folder.
    """
    if given := os.environ.get("PARTICIPATION_TEST_DSN"):
        yield given
        return
    import postgres  # noqa: PLC0415 - absent where the unit tests run alone

    # Not pytest's own folder: when root runs the tests, another account runs the server.
    folder = tempfile.mkdtemp(prefix="ledger-test-")
    Path(folder).chmod(0o711)
    try:
        # What is thrown away afterwards need not survive a power cut.
        with postgres.running(Path(folder), shared_buffers="64MB", fsync="off") as server:
            yield server.admin_dsn
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def ledger_template(postgres_dsn: str) -> Iterator[str]:
    """Name of a migrated ledger that nobody is connected to."""
    import psycopg  # noqa: PLC0415 - absent where the unit tests run alone

    import databases  # noqa: PLC0415 - the same
    from participation.ledger import migrate  # noqa: PLC0415 - the same

    databases.drop_database(postgres_dsn, TEMPLATE)
    databases.create_database(postgres_dsn, TEMPLATE)
    template_dsn = psycopg.conninfo.make_conninfo(postgres_dsn, dbname=TEMPLATE)
    with psycopg.connect(template_dsn) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    migrate(template_dsn)
    yield TEMPLATE
    databases.drop_database(postgres_dsn, TEMPLATE)


@pytest.fixture(scope="module")
def ledger_dsn(
    postgres_dsn: str, ledger_template: str, request: pytest.FixtureRequest
) -> Iterator[str]:
    """Address of a ledger of the test module's own: migrated, without rows."""
    import psycopg  # noqa: PLC0415 - absent where the unit tests run alone

    import databases  # noqa: PLC0415 - the same

    name = re.sub(r"\W+", "_", f"test_{request.module.__name__}").lower()[-60:]
    databases.drop_database(postgres_dsn, name)
    databases.create_database(postgres_dsn, name, template=ledger_template)
    yield psycopg.conninfo.make_conninfo(postgres_dsn, dbname=name)
    databases.drop_database(postgres_dsn, name)


@pytest.fixture
def ledger(ledger_dsn: str) -> Iterator[object]:
    """Open the module's ledger, emptied: every table but the list of migrations."""
    from participation.ledger import connect  # noqa: PLC0415 - absent where the unit tests run alone

    with connect(ledger_dsn) as connection:
        # The append-only tables refuse even this, but for a replica.
        connection.execute("SET session_replication_role = replica")
        row = connection.execute(
            "SELECT string_agg(tablename, ', ') FROM pg_tables"
            " WHERE schemaname = 'participation' AND tablename <> 'migration'"
        ).fetchone()
        assert row is not None
        connection.execute(f"TRUNCATE {row[0]} RESTART IDENTITY CASCADE")
        connection.execute("SET session_replication_role = DEFAULT")
        yield connection
