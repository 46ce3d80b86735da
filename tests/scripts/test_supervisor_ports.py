"""What happens when somebody else listens on a port that was chosen; without Airflow or PostgreSQL."""

import time
import urllib.request

import pytest

import supervisor as supervising
from airflow_settings import Ports, ui_address
from components import Component
from state_folder import StateFolder
from supervisor import HopelessError, Supervisor

LIMIT_S = 30


class StandingPostgres:
    """A database that is always there; nothing in these tests asks it anything."""

    port = 1
    airflow_dsn = ledger_dsn = "postgresql://somebody:secret@127.0.0.1:1/nothing"

    def is_running(self):
        return True


def web_servers(ports):
    """Stand-ins for the api-server and the log server."""
    return [
        Component(
            name,
            ("http.server", "--bind", "127.0.0.1", str(port)),
            port=port,
            url=f"http://127.0.0.1:{port}/",
        )
        for name, port in (("api-server", ports.ui), ("log-server", ports.logs))
    ]


@pytest.fixture
def supervisor(tmp_path, monkeypatch):
    """A supervisor of two web servers, and the ports it has chosen; nothing runs yet."""
    monkeypatch.setenv("STATE", str(tmp_path / "the state"))
    monkeypatch.setattr(supervising, "airflow_components", web_servers)
    monkeypatch.setattr(supervising, "HEALTH_INTERVAL_S", 0.1)
    monkeypatch.setattr("airflow_database.heartbeat_ages", lambda dsn: {})
    made = Supervisor(StateFolder.from_environment(), tmp_path, idle=True)
    made.postgres = StandingPostgres()
    made.ports = Ports.chosen({"ui": 0})
    made._configure()
    yield made
    for component in made.components:
        component.end()


def look_after(supervisor, until):
    ends = time.monotonic() + LIMIT_S
    while not until():
        assert time.monotonic() < ends, supervisor.components
        supervisor._look_after_postgres()
        supervisor._look_after_ports()
        for component in supervisor.components:
            supervisor._look_after(component)
        supervisor._look_after_opening()
        time.sleep(0.05)


def status(address):
    with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - our own
        return answer.status


def test_a_port_taken_before_the_start_is_given_up(supervisor, stranger):
    """Whoever was quicker keeps it; ours gets another, and every note says where it is."""
    lost = supervisor.ports
    stranger(lost.ui)

    look_after(supervisor, lambda: supervisor._is_open)

    assert supervisor.ports.ui != lost.ui
    assert supervisor.ports.logs == lost.logs
    address = ui_address(supervisor.ports)
    assert supervisor.state.noted("addresses")["ui"] == address
    assert supervisor.state.noted("ports") == supervisor.ports.as_dict()
    assert supervisor.env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"{address}/execution/"
    assert status(address) == status(ui_address(lost)) == 200


def test_a_port_taken_while_a_component_is_down_restarts_all_that_know_it(supervisor, stranger):
    """The others were told the old address when they started: they are started again."""
    look_after(supervisor, lambda: all(c.health.was_well for c in supervisor.components))
    lost, old = supervisor.ports, [c.process for c in supervisor.components]

    old[0].kill()
    old[0].wait()
    stranger(lost.ui)
    look_after(supervisor, lambda: supervisor._is_open and supervisor.ports != lost)

    assert all(process.poll() is not None for process in old)
    assert supervisor.ports.ui != lost.ui


def test_a_stranger_that_answers_is_not_taken_for_ours(supervisor, stranger):
    """A component that lives and does not listen is not well because somebody else answers."""
    component = supervisor.components[0]
    component.command = ("timeit", "-n", "1", "import time; time.sleep(60)")
    component.start(supervisor.env, supervisor.state.logs, supervisor.state.airflow_home)
    stranger(component.port)

    component.note_life({})

    assert status(component.url) == 200
    assert not component.health.was_well
    assert component.is_displaced()
    component.end()


def test_who_always_loses_its_ports_gives_up(supervisor, stranger, monkeypatch):
    """After a bounded number of changes it says so instead of trying for ever."""
    monkeypatch.setattr("airflow_settings.tcp_ports.reserve", lambda wanted=0: taken)
    taken = supervisor.ports.ui
    stranger(taken)

    with pytest.raises(HopelessError, match=f"port {taken} of the api-server was taken"):
        look_after(supervisor, lambda: False)


def test_airflow_that_never_opens_is_reported(supervisor, monkeypatch):
    """Nobody waits for ever for an api-server that lives and never answers."""
    monkeypatch.setattr(supervising, "OPEN_LIMIT_S", 0.0)
    supervisor._configure()

    with pytest.raises(HopelessError, match="no UI after"):
        look_after(supervisor, lambda: False)
