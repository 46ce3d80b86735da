"""A thin client of the participation API: one file, the standard library and nothing of this project.

    api = ParticipationClient("http://127.0.0.1:8080", "operator", "...")
    receipt = api.submit([{"text": "Le banc du quai est cassé."}])[0]["receipt"]
    api.contribution(receipt)["state"]

Copy it to where it is needed. It logs in again when its token ran out, waits when it is told to (429, 503),
and repeats only what is safe to repeat: reading, and what the API itself makes one of however often it
is sent (``submit``, ``start``, ``validate``).
"""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

BATCH = 1_000
TRIES = 4
LONGEST_WAIT_S = 60.0
TIMEOUT_S = 60.0

PROBLEM_KEYS = ("detail", "errors", "request_id")


class ApiError(Exception):
    """The API said no; ``status``, ``detail``, ``errors`` and ``request_id`` are what it said."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.detail, self.errors, self.request_id = (problem.get(key) for key in PROBLEM_KEYS)
        super().__init__(f"{status}: {self.detail} (request {self.request_id})")


class ParticipationClient:
    """Speaks to one API server as one user.

    Args:
        address: Of the Airflow UI, such as ``https://airflow.example``.
        username: Of Airflow.
        password: Of that user.
        timeout_s: For one request.
    """

    def __init__(
        self, address: str, username: str, password: str, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._address = address.rstrip("/")
        if urllib.parse.urlsplit(self._address).scheme not in {"http", "https"}:
            raise ValueError(f"{address!r} is no http(s) address")
        self._login = {"username": username, "password": password}
        self._timeout_s = timeout_s
        self._token: str | None = None

    def submit(self, contributions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Submit contributions, 1,000 at a time, and return their receipts in the order given."""
        receipts: list[dict[str, Any]] = []
        for at in range(0, len(contributions), BATCH):
            body = {"contributions": [dict(each) for each in contributions[at : at + BATCH]]}
            receipts += self._call("POST", "/contributions", body, repeat=True)["receipts"]
        return receipts

    def contribution(self, receipt: str) -> dict[str, Any]:
        """Ask what became of a contribution."""
        return dict(self._call("GET", f"/contributions/{_quoted(receipt)}"))

    def appeal(self, receipt: str, text: str) -> dict[str, Any]:
        """Contest a refusal."""
        path = f"/contributions/{_quoted(receipt)}/appeal"
        return dict(self._call("POST", path, {"text": text}, repeat=True))

    def validate(self, texts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Judge up to 50 texts at once; each has an ``id`` and comes back under it."""
        body = {"texts": [dict(each) for each in texts]}
        found: list[dict[str, Any]] = self._call("POST", "/validate/batch", body, repeat=True)[
            "results"
        ]
        return found

    def start(
        self, workflow: str, given: Mapping[str, Any] | None = None, key: str | None = None
    ) -> str:
        """Start a workflow and return its id; the same again is the same run."""
        body = {"workflow": workflow, "input": dict(given or {})}
        if key is not None:
            body["key"] = key
        return str(self._call("POST", "/workflows", body, repeat=True)["workflow_id"])

    def status(self, workflow_id: str) -> dict[str, Any]:
        """Ask how a workflow stands."""
        return dict(self._call("GET", f"/workflows/{_quoted(workflow_id)}/status"))

    def wait(self, workflow_id: str, limit_s: float = 600, every_s: float = 2) -> dict[str, Any]:
        """Wait until a workflow has ended and return its status.

        Raises:
            TimeoutError: It goes on.
        """
        until = time.monotonic() + limit_s
        while (found := self.status(workflow_id))["state"] not in {"success", "failed"}:
            if time.monotonic() > until:
                raise TimeoutError(f"{workflow_id} goes on: {found['state']}")
            time.sleep(every_s)
        return found

    def cancel(self, workflow_id: str) -> None:
        """End a workflow."""
        self._call("POST", f"/workflows/{_quoted(workflow_id)}/cancel")

    def retry(self, workflow_id: str) -> None:
        """Run again what failed of a workflow."""
        self._call("POST", f"/workflows/{_quoted(workflow_id)}/retry")

    def output(self, workflow_id: str) -> Iterator[dict[str, Any]]:
        """Yield the documents or contributions of a workflow, page after page."""
        cursor = None
        while True:
            page = self._call(
                "GET", f"/workflows/{_quoted(workflow_id)}/output", query={"cursor": cursor}
            )
            yield from page.get("documents") or page.get("contributions") or []
            cursor = page.get("next")
            if cursor is None:
                return

    def search(self, question: str, **filters: Any) -> list[dict[str, Any]]:
        """Search the town's papers; filters are ``kind``, ``since``, ``until``, ``source`` and ``k``."""
        found: list[dict[str, Any]] = self._call(
            "GET", "/search", query={"q": question, **filters}
        )["answers"]
        return found

    def tell(self, topic: str, payload: Mapping[str, Any] | None = None) -> int:
        """Note an event, which wakes who waits for it."""
        body = {"topic": topic, "payload": dict(payload or {})}
        return int(self._call("POST", "/events", body)["event_id"])

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        repeat: bool = False,
    ) -> Any:
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        url = f"{self._address}/participation/api/v1{path}"
        if asked:
            url += f"?{urllib.parse.urlencode(asked)}"
        for attempt in range(1, TRIES + 1):
            token, is_fresh = self._token or self._log_in(), self._token is None
            try:
                return self._ask(method, url, body, token)
            except urllib.error.HTTPError as error:
                refused = ApiError(error.code, _problem(error))
                if error.code == 401 and not is_fresh:  # noqa: PLR2004 - HTTP's own number
                    self._token = None
                    continue
                if error.code not in {429, 503} or attempt == TRIES:
                    raise refused from None
                _sleep(error.headers.get("Retry-After"), attempt)
            except OSError:
                if not (repeat or method == "GET") or attempt == TRIES:
                    raise
                _sleep(None, attempt)
        raise ApiError(401, {"detail": "the server takes no token of its own"})

    def _log_in(self) -> str:
        answer = self._ask("POST", f"{self._address}/auth/token", self._login, None)
        self._token = str(answer["access_token"])
        return self._token

    def _ask(self, method: str, url: str, body: Mapping[str, Any] | None, token: str | None) -> Any:
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None
        if body is not None:
            data = json.dumps(body, allow_nan=False).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - checked above
        with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310 - the same
            received = answer.read()
        return json.loads(received) if received else None


def _problem(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        found = json.loads(error.read())
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"detail": error.reason}


def _quoted(part: str) -> str:
    return urllib.parse.quote(part, safe="")


def _sleep(asked: str | None, attempt: int) -> None:
    wait_s = float(asked) if asked and asked.isdecimal() else 2.0 ** (attempt - 1)
    time.sleep(min(wait_s, LONGEST_WAIT_S))
