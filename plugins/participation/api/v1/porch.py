"""What every request passes first and last: its id, the headers of its answer, and the net under it."""

import logging
import re
import uuid

import structlog
from opentelemetry.trace import Span, Status, StatusCode
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from participation.api.v1.problems import answer, of_exception
from participation.tracing import request_span

_HEADER = b"x-request-id"
_SOUND = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_SAFE = {
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}

SERVER_FAULT = 500

log = logging.getLogger(__name__)


class Porch:
    """Gives a request its id, in the log, the trace and the answer; turns a crash into a plain 500.

    A caller's own id is kept when it is short and plain: it must not write lines into the log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        scope["participation.request_id"] = request_id
        with request_span(scope["method"], Headers(scope=scope), request_id) as span:
            await self._serve(scope, receive, send, request_id, span)

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, span: Span
    ) -> None:
        begun = False

        async def respond(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                _name(span, scope, message["status"])
                kept = [pair for pair in message["headers"] if pair[0].lower() not in _SAFE]
                own = [*_SAFE.items(), (_HEADER, request_id.encode())]
                message["headers"] = [*kept, *own]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, respond)
            except Exception as error:
                log.exception("%s %s: unforeseen", scope["method"], scope["path"])
                if begun:
                    raise
                await answer(request_id, of_exception(error))(scope, receive, respond)


def _name(span: Span, scope: Scope, status: int) -> None:
    """Name a request by its route: its path may hold a receipt, which is a secret."""
    route = getattr(scope.get("route"), "path", None)
    if route:
        where = f"{scope.get('root_path', '')}{route}"
        span.update_name(f"{scope['method']} {where}")
        span.set_attribute("http.route", where)
    span.set_attribute("http.response.status_code", status)
    if status >= SERVER_FAULT:
        span.set_status(Status(StatusCode.ERROR))


def request_id_of(scope: Scope) -> str:
    """Take the caller's id when it may stand in a log, else a new one."""
    given = next((value for name, value in scope["headers"] if name == _HEADER), b"")
    return given.decode("ascii") if _SOUND.fullmatch(given) else uuid.uuid4().hex
