"""Tell the town's workflows that something happened elsewhere; their watchers wake."""

from datetime import date
from typing import Annotated, Any, Literal

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from participation.api.v1 import ledgers, locks
from participation.api.v1.bodies import KB, body_of
from participation.api.v1.documenting import takes
from participation.ledger import outbox
from participation.ledger.connection import Connection

LIMIT = 16 * KB

router = APIRouter(tags=["events"])

DocumentId = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Payload(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Day(_Payload):
    """A day that has contributions which another service inserted."""

    received_on: date
    count: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class OfDocument(_Payload):
    """A document that is one step further."""

    document_id: DocumentId


class OfIndex(_Payload):
    """An index that answers now; nothing needs to be said of it."""


class _Event(_Payload):
    pass


class ContributionsReceived(_Event):
    """Rows were inserted into `contribution`; wakes `contribution_router`."""

    topic: Literal["contributions_received"]
    payload: Day


class DocumentParsed(_Event):
    """A document was read; wakes `document_chunking`."""

    topic: Literal["document_parsed"]
    payload: OfDocument


class DocumentChunked(_Event):
    """A document was cut; wakes `document_embedding`."""

    topic: Literal["document_chunked"]
    payload: OfDocument


class ChunksEmbedded(_Event):
    """A document's chunks have vectors; wakes `document_indexing`."""

    topic: Literal["chunks_embedded"]
    payload: OfDocument


class IndexLive(_Event):
    """A new index answers; wakes `dataset_creation`."""

    topic: Literal["index_live"]
    payload: OfIndex = OfIndex()


Event = Annotated[
    ContributionsReceived | DocumentParsed | DocumentChunked | ChunksEmbedded | IndexLive,
    Field(discriminator="topic"),
]

WAKES = {
    outbox.RECEIVED: "contribution_router",
    outbox.DOCUMENT_PARSED: "document_chunking",
    outbox.DOCUMENT_CHUNKED: "document_embedding",
    outbox.CHUNKS_EMBEDDED: "document_indexing",
    outbox.INDEX_LIVE: "dataset_creation",
}


class Noted(BaseModel):
    """The event as it stands in the outbox."""

    event_id: int
    topic: str


@router.post(
    "/events",
    status_code=202,
    dependencies=[
        Depends(locks.may_one_of("POST", WAKES.values)),
        Depends(locks.not_by_cookie_alone),
    ],
    openapi_extra=takes(Event, LIMIT),
)
def tell(
    request: Request, user: GetUserDep, event: Annotated[Any, Depends(body_of(Event, LIMIT, WAKES))]
) -> Noted:
    """Note an event of a closed list of topics. An event only wakes: what there is to do is in the ledger.

    Needs the right to start the DAG that the topic wakes. Told twice, it wakes twice, and nothing is
    done twice.
    """
    requires_access_dag("POST", DagAccessEntity.RUN, WAKES[event.topic])(request, user)
    return Noted(event_id=ledgers.ask(_told, event), topic=event.topic)


def _told(connection: Connection, municipality: str, event: Any) -> int:
    payload = {"municipality": municipality, **event.payload.model_dump(mode="json")}
    return outbox.announce(connection, event.topic, payload)
