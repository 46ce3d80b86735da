"""Search and documents by REST, and the documents that a run of the intake read."""

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from include.documents import themes
from include.documents.model import Theme
from participation.api.v1 import airflow_runs
from participation.ledger.attempt import Attempt
from participation.ledger.metrics import close_metric, open_metric
from tests.integration.document_steps import TOWN, Steps, sha

pytestmark = pytest.mark.postgres

QUAY = "Le stationnement est interdit sur le quai d'Audierne pendant la fête de la mer. " * 6
CANTEEN = "Le conseil municipal fixe le tarif de la cantine à trois euros le repas. " * 6


@pytest.fixture
def papers(ledger):
    """Two papers that can be searched."""
    here = Steps(ledger)
    for name, text, kind in (("quai", QUAY, "arrete"), ("cantine", CANTEEN, "deliberation")):
        here.keep(f"{name}.pdf", name)
        here.parse(name, text, title=name.capitalize(), act_kind=kind)
    here.rest()
    return here


def test_a_question_is_answered_with_page_and_quote(caller, papers):
    """Whoever may read the intake; filters choose among the papers."""
    reader = caller("viewer")

    (best,) = reader.get("/search", params={"q": "stationnement sur le quai", "k": 1}).json()[
        "answers"
    ]
    other = reader.get("/search", params={"q": "quai", "kind": "délibération"}).json()["answers"]

    assert (best["document_id"], best["title"], best["first_page"]) == (sha("quai"), "Quai", 1)
    assert "stationnement" in best["quote"]
    assert best["score"] > 0
    assert other == []
    assert reader.get("/search", params={"q": "quai", "kind": "poem"}).status_code == 422


def test_a_document_has_its_output(caller, papers, ledger):
    """Themes, drafts and warnings; one that the town has not met is none."""
    ledger.execute(
        "INSERT INTO theme (document_id, engine, label, weight) VALUES (%s, %s, 'stationnement', 2)",
        (sha("quai"), themes.ENGINE),
    )
    reader = caller("viewer")

    assert reader.get(f"/documents/{sha('quai')}").json() == {
        "document_id": sha("quai"),
        "extracted_themes": [Theme("stationnement", 2.0).label],
        "contributions": [],
        "warnings": [],
    }
    assert reader.get(f"/documents/{sha('another')}").status_code == 404


def test_the_papers_that_a_run_read_are_its_output(caller, ledger):
    """Those read while it was at work, page by page."""
    started = caller("user").post("/workflows", json={"workflow": "document_intake"}).json()
    attempt = Attempt(
        *airflow_runs.read_workflow_id(started["workflow_id"]), "read_documents", 0, 1
    )
    here = Steps(ledger)
    here.keep("before.pdf", "before")
    here.parse("before", CANTEEN)
    open_metric(ledger, TOWN, attempt, "parse")
    for name in ("a", "b", "c"):
        here.keep(f"{name}.pdf", name)
        here.parse(name, f"{QUAY} {name}")
    close_metric(ledger, attempt, "success", docket={"done": 3, "set_aside": 1, "failed": ["x"]})
    reader, path = caller("viewer"), f"/workflows/{started['workflow_id']}"

    first = reader.get(f"{path}/output", params={"limit": 2}).json()
    second = reader.get(f"{path}/output", params={"limit": 2, "cursor": first["next"]}).json()

    read = [each["document_id"] for each in first["documents"] + second["documents"]]
    assert read == sorted(sha(name) for name in ("a", "b", "c"))
    assert "next" not in second
    records = reader.get(f"{path}/status").json()["records"]
    assert records == {"read": 3, "set_aside": 1, "failed": 1}
