"""Who is told what by webhook: subscribe, list, end. For those who may add Airflow connections."""

from datetime import datetime
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from include.documents.addresses import AddressGuard, AddressRefusedError, without_secrets
from include.errors import ConfigurationError
from include.signing import new_secret
from participation.api.v1 import ledgers, locks
from participation.api.v1.bodies import KB, body_of
from participation.api.v1.documenting import takes
from participation.api.v1.problems import not_found, unprocessable
from participation.hooks import webhooks as targets
from participation.ledger import webhooks

LIMIT = 16 * KB

router = APIRouter(tags=["webhooks"], dependencies=[Depends(locks.may_send_out)])

EventName = Literal[
    "contribution.accepted", "contribution.decided", "report.published", "run.failed", "run.late"
]


class WebhookRequest(BaseModel):
    """Where events go, and which."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = Field(
        default=None,
        description="A public https address.",
        examples=["https://partner.example/hook"],
    )
    conn_id: (
        Annotated[str, StringConstraints(pattern=r"^participation_webhook[a-z0-9_]{0,200}$")] | None
    ) = Field(
        default=None,
        description="Or an Airflow connection: host the address, password the signing secret, and in its"
        " extra `allowed` for an address inside the house.",
    )
    events: Annotated[list[EventName], Field(min_length=1, max_length=len(webhooks.EVENTS))]

    @model_validator(mode="after")
    def _one_place(self) -> "WebhookRequest":
        if (self.url is None) == (self.conn_id is None):
            raise ValueError("give either url or conn_id")
        return self


class WebhookCreated(BaseModel):
    """The subscription; its secret is shown this once."""

    webhook_id: int
    secret: str | None = Field(
        default=None, description="Signs each event (Standard Webhooks); not shown again."
    )


class Webhook(BaseModel):
    """A subscription and how it goes."""

    webhook_id: int
    url: str | None = None
    conn_id: str | None = None
    events: list[EventName]
    created_by: str
    created_at: datetime
    waiting: int
    dropped: int
    last_delivered_at: datetime | None = None
    last_error: str | None = None


class Webhooks(BaseModel):
    """The live subscriptions."""

    webhooks: list[Webhook]


@router.post(
    "/webhooks",
    status_code=201,
    response_model_exclude_none=True,
    dependencies=[Depends(locks.not_by_cookie_alone)],
    openapi_extra=takes(WebhookRequest, LIMIT),
)
def subscribe(
    user: GetUserDep, asked: Annotated[WebhookRequest, Depends(body_of(WebhookRequest, LIMIT))]
) -> WebhookCreated:
    """Have events sent to an address from now on.

    An address inside the house, or one that leads there, is refused; a connection may allow it.
    """
    secret = sealed = None
    if asked.url is not None:
        _checked(asked.url)
        secret = new_secret()
    try:
        if secret is not None:
            sealed = targets.seal(secret)
        else:
            targets.connected(asked.conn_id or "")
    except ConfigurationError as error:
        raise unprocessable("url" if secret else "conn_id", str(error)) from None
    number = ledgers.ask(
        webhooks.subscribe,
        list(asked.events),
        user.get_name(),
        url=asked.url,
        sealed_secret=sealed,
        conn_id=asked.conn_id,
    )
    return WebhookCreated(webhook_id=number, secret=secret)


@router.get("/webhooks", response_model_exclude_none=True)
def listed(
    after: Annotated[int, Query(ge=0, le=2**53, description="Those with a higher number.")] = 0,
) -> Webhooks:
    """List the subscriptions, with what each is still owed and what its receiver said last."""
    found = ledgers.ask(webhooks.listed, after)
    return Webhooks(webhooks=[_shown(each) for each in found])


@router.delete(
    "/webhooks/{webhook_id}", status_code=204, dependencies=[Depends(locks.not_by_cookie_alone)]
)
def end(webhook_id: Annotated[int, Path(ge=1, le=2**53)], user: GetUserDep) -> Response:
    """End a subscription; what it is still owed is not sent any more."""
    if not ledgers.ask(webhooks.end, webhook_id, user.get_name()):
        raise not_found("There is no such webhook.")
    return Response(status_code=204)


def _checked(url: str) -> None:
    """Refuse an address that may not be asked, by what it says and by where its name leads now."""
    guard = AddressGuard()
    try:
        checked = guard.checked(url)
        host, port = _host(checked)
        guard.addresses(host, port)
    except AddressRefusedError as error:
        raise unprocessable(
            "url", f"is refused ({error.reason}): give a public web address"
        ) from None
    except OSError:
        raise unprocessable("url", "has a name that nobody knows") from None
    if not checked.startswith("https://"):
        raise unprocessable("url", "must begin with https://")


def _host(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _shown(each: webhooks.ListedSubscription) -> Webhook:
    return Webhook(
        webhook_id=each.webhook_id,
        url=without_secrets(each.url) if each.url else None,
        conn_id=each.conn_id,
        events=[name for name in get_args(EventName) if name in each.events],
        created_by=each.created_by,
        created_at=each.created_at,
        waiting=each.waiting,
        dropped=each.dropped,
        last_delivered_at=each.last_delivered_at,
        last_error=each.last_error,
    )
