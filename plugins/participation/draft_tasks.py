"""Let a connected model draft contributions from documents, when somebody asks for it."""

import logging
from collections import Counter
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from include.anonymisation.recognisers import recogniser_of
from include.contributions.reviewer import embedded_reviewer
from include.contributions.sources.boundary import cleaned
from include.documents import drafting, themes
from include.documents.chat import ChatModel, ModelDeclinedError
from include.errors import PermanentError, RequestRefusedError, UnreadableAnswerError
from participation.hooks.models import MODEL_CONN_ID, connected_model
from participation.ledger.chunks import LedgerChunks
from participation.ledger.datasets import LedgerDatasets
from participation.ledger.drafts import LedgerDrafts
from participation.ledger.locks import item_lock
from participation.steps import Visit

MAX_DRAFTS = 5
"""Of one document, however many are asked for."""

MAX_DOCUMENTS = 50
"""Of one run: what a model costs is decided by a person, run by run."""

log = logging.getLogger(__name__)


def draft(visit: Visit, count: int) -> dict[str, Any]:
    """Ask the model about documents that it was not asked about; what it answers stays a draft.

    An answer that does not hold, or a document that the model does not take, costs itself alone; a
    later run asks about it again.

    Raises:
        AirflowSkipException: Nobody asked for drafts, no model is connected, or nothing is left.
        ProviderRefusedError: Key, quota or model are refused; what was drafted stays.
        ProviderUnavailableError: The model does not answer; what was drafted stays.
        PermanentError: Not one answer held.
    """
    if count <= 0:
        raise AirflowSkipException("nothing to do: nobody asked for drafts (parameter drafts is 0)")
    model = connected_model()
    if model is None:
        raise AirflowSkipException(
            f"nothing to do: no model is connected (connection {MODEL_CONN_ID})"
        )
    drafts = LedgerDrafts(
        visit.connection, visit.settings.municipality, model.name, visit.attempt.run_id
    )
    ids = drafts.to_draft(themes.ENGINE, MAX_DOCUMENTS)
    if not ids:
        raise AirflowSkipException(f"nothing to do: {model.name} was asked about every document")
    done = Counter[str]()
    failed: list[str] = []
    for document_id in ids:
        visit.item = f"document {document_id}"
        with item_lock(visit.connection, "draft", document_id) as taken:
            if not taken or not drafts.to_draft(themes.ENGINE, 1, document_id):
                continue
            try:
                done.update(_drafted(visit, drafts, model, document_id, min(count, MAX_DRAFTS)))
            except (UnreadableAnswerError, RequestRefusedError) as error:
                log.warning("%s: %s", document_id, error)
                failed.append(f"{document_id[:12]}: {error}"[:200])
    visit.input_size, visit.output_size = len(ids), done["drafts"]
    if failed and not done:
        # Not tried again by itself: each try costs as much as the first.
        raise PermanentError(f"no answer of {model.name} held: {'; '.join(failed[:3])}")
    return {"model": model.name, **done, "failed_count": len(failed), "failed": failed[:10]}


def _drafted(
    visit: Visit, drafts: LedgerDrafts, model: ChatModel, document_id: str, count: int
) -> dict[str, int]:
    text = LedgerChunks(visit.connection, visit.settings.municipality).text(document_id)
    datasets = LedgerDatasets(visit.connection, visit.settings.municipality)
    labels = [theme.label for theme in datasets.themes(document_id, themes.ENGINE)]
    try:
        reviewer = embedded_reviewer(visit.settings.municipality)
        found = drafting.draft(
            model,
            text.pages,
            labels,
            count,
            reviewer,
            visit.settings.municipality,
            recogniser_of(visit.settings.name_recogniser),
        )
    except ModelDeclinedError as error:
        drafts.save(document_id, text.text_hash, (), cleaned(str(error))[0])
        return {"documents": 1, "declined": 1}
    for why in found.dropped:
        log.warning("%s: a draft is dropped: %s", document_id, why)
    note = f"dropped: {'; '.join(found.dropped)}" if found.dropped else None
    drafts.save(document_id, text.text_hash, found.taken, note)
    return {"documents": 1, "drafts": len(found.taken), "dropped": len(found.dropped)}
