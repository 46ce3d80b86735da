"""The ``http`` steps of named workflows: a request through an Airflow connection, to a host on a list.

A definition names the connection and a path below its address, never an address. The host must stand in
``PARTICIPATION_WORKFLOW_HOSTS``; addresses of the house and of private networks are refused unless the
connection's extra names the endpoint under ``allowed``; a redirect is an error. What a run puts into a
request is anonymised on its way out of the house, and a doubt stops the call; what the definition itself
says is sent as it is. Loads the HTTP library: import it inside a task.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode, urlsplit

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from include.anonymisation import anonymise_for_outside
from include.anonymisation.location import location_of
from include.anonymisation.recognisers import recogniser_of
from include.errors import (
    ConfigurationError,
    PermanentError,
    ProviderRefusedError,
    ProviderUnavailableError,
    RequestRefusedError,
)
from include.ports import WebAnswer
from include.processing.definition import StepDefinition
from include.processing.references import references
from include.retry_after import retry_after_s
from participation.hooks.web import site_of, web_client
from participation.ledger.workflows import input_hash
from participation.steps import Visit

MAX_TEXT_CHARACTERS = 100_000
"""Of an answer that is no JSON."""

_DOCUMENT_ID = re.compile(r"[0-9a-f]{64}")
_PASSING = frozenset({408, 425, 429})
_OF_THE_KEY = frozenset({401, 402, 403, 407})
_UNSAFE_PATH = re.compile(r"//|[\x00-\x20\x7f\\?#%]|(?:^|/)\.{1,2}(?:/|$)")


class RedirectedError(PermanentError):
    """A site sends the request elsewhere, where nobody allowed it to go."""


def call(step: StepDefinition, inputs: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """Make the request of a step and return ``status`` and ``body``, decoded where it is JSON.

    Raises:
        ConfigurationError: The connection, its host or the path may not be used.
        AnonymisationError: A text cannot be sent without telling who somebody is.
        AddressRefusedError: The host's address is none that may be asked.
        ProviderUnavailableError: The site did not answer, or says to come back.
        ProviderRefusedError, RequestRefusedError: It refuses the key, or this request.
        RedirectedError: It sends the request elsewhere.
    """
    if step.call is None:
        raise PermanentError(f"{step.id} is no call")
    connection = _connection(step.call.connection)
    site = site_of(connection)
    _check_host(site, step.call.connection, visit.settings.hosts_of_workflows)
    url = _url(site, inputs["path"])
    query, body = inputs.get("query") or {}, inputs.get("json")
    if location_of(site, connection.extra_dejson) == "outside":
        clean = partial(_anonymised, visit)
        query = _without_persons(step.call.query, query, clean)
        body = _without_persons(step.call.body, body, clean)
    if query:
        url = f"{url}?{urlencode(_plain(query), doseq=True)}"
    headers = {"Accept": "application/json"}
    if step.call.method != "GET":
        # At least once: whoever takes it can tell the second time from another request.
        headers["Idempotency-Key"] = _key(step, inputs, visit)
    client = web_client(connection, max_redirects=0)
    answer = client.ask(url, headers, body, step.call.method)
    _check(answer, f"{step.call.method} {inputs['path']} of connection {step.call.connection}")
    return {"status": answer.status, "body": _decoded(answer)}


def _connection(conn_id: str) -> Connection:
    try:
        found = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise ConfigurationError(
            f"there is no connection {conn_id}: make it, of type http"
        ) from error
    if found.conn_type not in {"http", "https"}:
        raise ConfigurationError(
            f"connection {conn_id} is of type {found.conn_type}: a workflow calls through http only"
        )
    return found


def _check_host(site: str, conn_id: str, hosts: frozenset[str]) -> None:
    parts = urlsplit(site)
    host = (parts.hostname or "").rstrip(".").lower()
    port = parts.port
    wanted = host if port is None else f"{host}:{port}"
    if wanted not in hosts:
        raise ConfigurationError(
            f"connection {conn_id}: {wanted} is not among the hosts that a workflow may call: "
            "add it to PARTICIPATION_WORKFLOW_HOSTS"
        )


def _url(site: str, path: Any) -> str:
    text = str(path)
    if not text.startswith("/") or _UNSAFE_PATH.search(text):
        raise ConfigurationError(
            f"path {text[:100]!r}: it begins with one /, and holds no query, no .. and no space"
        )
    url = f"{site.rstrip('/')}{text}"
    if urlsplit(url).netloc != urlsplit(site).netloc:
        raise ConfigurationError(f"path {text[:100]!r} leads away from the connection's site")
    return url


def _plain(query: Mapping[str, Any]) -> dict[str, Any]:
    plain = {}
    for name, value in query.items():
        if value is None:
            continue
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str | int | float) for each in values):
            raise PermanentError(
                f"query {name}: a text, a number or a list of them may stand there"
            )
        plain[name] = [
            ("true" if each else "false") if isinstance(each, bool) else each for each in values
        ]
    return plain


def _without_persons(written: Any, value: Any, clean: Callable[[str], str]) -> Any:
    """Anonymise what a run put in the place of references; ``written`` is what the definition says."""
    if isinstance(written, Mapping):
        return {key: _without_persons(written[key], each, clean) for key, each in value.items()}
    if isinstance(written, list):
        pairs = zip(written, value, strict=True)
        return [_without_persons(each, found, clean) for each, found in pairs]
    if not isinstance(written, str) or not any(references(written)):
        return value
    return _cleaned(value, clean)


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        # A document is named by its hash; nothing of a person is in it.
        return value if _DOCUMENT_ID.fullmatch(value) else clean(value)
    if isinstance(value, Mapping):
        return {_cleaned(key, clean): _cleaned(each, clean) for key, each in value.items()}
    if isinstance(value, list):
        return [_cleaned(each, clean) for each in value]
    return value


def _anonymised(visit: Visit, text: str) -> str:
    recogniser = recogniser_of(visit.settings.name_recogniser)
    town = visit.settings.municipality
    return anonymise_for_outside(text, recogniser=recogniser, municipality=town).text


def _key(step: StepDefinition, inputs: Mapping[str, Any], visit: Visit) -> str:
    named = (visit.attempt.dag_id, visit.attempt.run_id, step.id, input_hash(inputs))
    return hashlib.sha256("\x1f".join(named).encode()).hexdigest()[:40]


def _check(answer: WebAnswer, who: str) -> None:
    status = answer.status
    said = f"{who}: HTTP {status}"
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise RedirectedError(f"{said}, a redirect: put the final address into the connection")
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ProviderUnavailableError(said, retry_after_s(answer.headers.get("retry-after")))
    if status in _OF_THE_KEY:
        raise ProviderRefusedError(f"{said}: look at the connection's key")
    raise RequestRefusedError(f"{said}: the site does not take this request")


def _decoded(answer: WebAnswer) -> Any:
    if not answer.content:
        return None
    try:
        return json.loads(answer.content, parse_constant=_not_finite)
    except (ValueError, RecursionError):
        text = answer.content.decode("utf-8", "replace")
        if len(text) > MAX_TEXT_CHARACTERS:
            raise PermanentError(
                f"the answer is no JSON and has {len(text)} characters, at most {MAX_TEXT_CHARACTERS}"
            ) from None
        return text


def _not_finite(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
