"""Other services announce papers by a row of the outbox and by REST: both end in the index."""

import json

import pytest

from bench.real_system import wait_for
from include.documents.embedding import bm25
from include.documents.model import Media, Page, ParsedDocument
from include.documents.parsing import PARSER_VERSION
from participation.ledger.documents import LedgerDocuments
from participation.ledger.outbox import DOCUMENT_PARSED
from tests.integration.document_steps import TOWN, kept, received, sha

pytestmark = [pytest.mark.airflow, pytest.mark.postgres]


def put_silently(ledger, name):
    """Store a paper's rows as another service does, without a word of it."""
    documents = LedgerDocuments(ledger, TOWN)
    with ledger.transaction():
        documents.keep_origin(received(f"{name}.txt", name))
        page = Page(1, f"Le sémaphore {name} est ouvert au public.", "text")
        documents.add_document(kept(name), Media.TEXT, ParsedDocument((page,)), PARSER_VERSION)
        ledger.execute(
            "DELETE FROM outbox WHERE topic = %s AND payload ->> 'document_id' = %s",
            (DOCUMENT_PARSED, sha(name)),
        )


def answers(ledger, name):
    """Say whether the live index holds a paper."""
    return ledger.execute(
        "SELECT EXISTS (SELECT FROM index_version v JOIN index_document USING (index_id)"
        " WHERE v.state = 'live' AND v.engine = %s AND document_id = %s)",
        (bm25.ENGINE, sha(name)),
    ).fetchone()[0]


def by_a_row(_system, ledger, name):
    ledger.execute(
        "INSERT INTO outbox (topic, payload) VALUES (%s, %s)",
        (DOCUMENT_PARSED, json.dumps({"document_id": sha(name)})),
    )


def by_rest(system, _ledger, _name):
    found = system.get("/api/v2/assets?name_pattern=documents", "admin").json()["assets"]
    (asset_id,) = [asset["id"] for asset in found if asset["name"] == "documents"]
    event = {"asset_id": asset_id, "extra": {"from": "another service"}}
    answer = system.post("/api/v2/assets/events", event)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("announce", [by_a_row, by_rest])
def test_another_service_wakes_the_steps(system, ledger, announce):
    """From the announcement to the live index, through four DAGs, with nothing else said."""
    name = announce.__name__
    put_silently(ledger, name)

    announce(system, ledger, name)

    wait_for(lambda: answers(ledger, name), 240, f"the paper announced {name}")
