"""The client in one file, against the API server as it listens on a port."""

import json
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

import uvicorn
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

from clients.participation_client import ApiError, ParticipationClient
from participation.api.v1 import locks

pytestmark = pytest.mark.postgres

ROOT = Path(__file__).parents[2]


@pytest.fixture
def address(served):
    """Serve on a free port of the loopback."""
    server = uvicorn.Server(uvicorn.Config(served, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def api(address):
    """Speak as a user that logs in with a password."""
    passwords = json.loads(Path(SimpleAuthManager.get_generated_password_file()).read_text())
    return ParticipationClient(address, "uma", passwords["uma"])


def test_a_partner_s_day(api):
    """Submit, ask, judge, start, end, take up again, search, tell."""
    texts = [{"text": f"Le banc {n} du quai est cassé."} for n in range(1_200)]
    receipts = api.submit(texts)

    assert len({each["receipt"] for each in receipts}) == 1_200
    assert api.submit(texts[:1])[0]["receipt"] == receipts[0]["receipt"]
    assert api.contribution(receipts[7]["receipt"])["state"] == "received"
    judged = api.validate([{"id": "a", "text": "Le port."}, {"id": "b", "text": "Le quai."}])
    assert [each["id"] for each in judged] == ["a", "b"]
    started = api.start("document_intake", {"folder": "client"})
    assert api.start("document_intake", {"folder": "client"}) == started
    assert api.status(started)["state"] == "queued"
    with pytest.raises(TimeoutError):
        api.wait(started, limit_s=0.1, every_s=0.05)
    api.cancel(started)
    assert api.wait(started)["state"] == "failed"
    assert list(api.output(started)) == []
    assert api.search("Où est le banc ?", k=3) == []
    assert api.tell("index_live") > 0


def test_a_refusal_is_an_error_with_its_fields(api):
    """What the problem said, for whoever mends the call."""
    with pytest.raises(ApiError) as refused:
        api.start("document_intake", {"chunk_size": 3})

    assert refused.value.status == 422
    assert refused.value.errors[0]["field"] == "input.chunk_size"
    assert refused.value.request_id
    with pytest.raises(ApiError) as missing:
        api.contribution("7K2M-9QX4-TVB0")
    assert missing.value.status == 404


def test_it_waits_when_it_is_told_to_and_logs_in_again(api, monkeypatch):
    """429 and an old token are not the caller's business."""
    monkeypatch.setenv("PARTICIPATION_API_BURST", "1")
    monkeypatch.setenv("PARTICIPATION_API_PER_SECOND", "2")
    locks.buckets.cache_clear()
    api._token = "old"

    for _ in range(3):
        assert api.search("banc") == []


def test_it_is_one_file_of_its_own():
    """It can be copied: nothing of the project and nothing to install."""
    source = (ROOT / "clients" / "participation_client.py").read_text()

    modules = {
        line.split()[1].partition(".")[0]
        for line in source.splitlines()
        if line.startswith(("import ", "from "))
    }
    assert modules == {"json", "time", "urllib", "collections", "typing"}
