"""The REST API on a real Airflow: from a submission to the state, and to the partner who is told."""

import json

import pytest

from bench.real_system import wait_for
from include.signing import is_signed, new_secret
from tests.stub_site import in_turn, page, running

pytestmark = [pytest.mark.airflow, pytest.mark.postgres]

API = "/participation/api/v1"
TEXT = "Le banc du quai d'Audierne est cassé depuis l'hiver, il faudrait le réparer en bois local."


@pytest.fixture
def partner(system):
    """A partner's server on this machine, allowed by a connection; its first answer is lost."""
    secret = new_secret()
    with running() as site:
        site.pages["/hook"] = in_turn(page(b"busy", 503), page(b"ok"))
        made = system.post(
            "/api/v2/connections",
            {
                "connection_id": "participation_webhook_e2e",
                "conn_type": "http",
                "host": site.url("/hook"),
                "password": secret,
                "extra": json.dumps({"allowed": [site.endpoint]}),
            },
        )
        assert made.status_code == 201, made.text
        body = {"conn_id": "participation_webhook_e2e", "events": ["contribution.accepted"]}
        subscribed = system.post(f"{API}/webhooks", body)
        assert subscribed.status_code == 201, subscribed.text
        yield site, secret


def test_from_the_submission_to_the_partner(system, partner):
    """Nobody starts anything by hand: the outbox wakes the analysis, and the acceptance the delivery."""
    site, secret = partner
    sent = {"text": TEXT, "external_id": "12", "source": "github-e2e"}
    answer = system.post(f"{API}/contributions", sent, "operator")
    assert answer.status_code == 201, answer.text
    receipt = answer.json()["receipts"][0]["receipt"]
    judged = system.post(f"{API}/validate", {"text": TEXT}, "operator").json()

    def settled():
        found = system.get(f"{API}/contributions/{receipt}", "operator").json()
        return found if found["state"] != "received" else None

    found = wait_for(settled, 300, "the judgement of the submission")

    assert found["state"] == "accepted"
    assert found["machine"]["validation"] == judged["validation"]
    assert found["statement"]["text"] == judged["validation"]["reasoning"]
    assert "machine" not in system.get(f"{API}/contributions/{receipt}", "viewer").json()
    events = wait_for(lambda: site.seen[1:], 300, "the event at the partner's")
    assert events[0].body == site.seen[0].body
    assert is_signed(secret, events[0].headers, events[0].body)
    assert json.loads(events[0].body)["data"] | {"contribution_id": ""} == {
        "contribution_id": "",
        "receipt": receipt,
        "source": "github-e2e",
        "issueNumber": 12,
        "is_valid": True,
        "category": found["category"],
        "confidence": pytest.approx(judged["validation"]["confidence"], abs=1e-4),
    }


def test_a_workflow_runs_to_its_end(system):
    """Started by REST, seen step by step, its output taken; by a viewer refused."""
    body = {"workflow": "contribution_analysis", "input": {"text": f"{TEXT} Une fois encore."}}
    assert system.post(f"{API}/workflows", body, "viewer").status_code == 403
    started = system.post(f"{API}/workflows", body, "operator").json()["workflow_id"]

    def ended():
        found = system.get(f"{API}/workflows/{started}/status", "viewer").json()
        return found if found["state"] in {"success", "failed"} else None

    status = wait_for(ended, 300, "the end of the workflow")

    assert status["state"] == "success", status
    assert status["records"] == {"accepted": 1}
    steps = {each["step"]: each for each in status["steps"]}
    assert {"split", "settle", "reconcile"} <= set(steps)
    assert all(each["state"] == "success" and each["tries"] == 1 for each in steps.values())
    assert all(each["duration_s"] > 0 for each in steps.values())
    (result,) = system.get(f"{API}/workflows/{started}/output", "operator").json()["contributions"]
    assert result["machine_state"] == "accepted"
    again = system.post(f"{API}/workflows", body, "operator")
    assert (again.status_code, again.json()["workflow_id"]) == (200, started)
