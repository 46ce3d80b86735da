"""How long each route of the REST API and each page takes with 100,000 contributions in the ledger.

The real system: the contributions are inserted and judged by ``contribution_analysis``, the sample
papers go through the document workflow, then every route is asked one request after another by one
client, over one connection, as a person or a partner does. Every answer is checked by its status.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import quantiles
from typing import Any

import requests

from bench import meter, real_system
from bench.real_system import ANALYSIS, NotInTimeError, RealSystem, insert, made_texts, wait_for

INTAKE = "document_intake"
DAYS = 10
FIRST_DAY = date(2024, 1, 1)
JUDGED_LIMIT_S = 1800
ASKED = 200
"""Requests per route after five that warm it up."""

ASKED_TO_START = 30
"""Of a route that starts a run each time: the scheduler shall not drown in them."""

TARGET_MS = {"POST /validate": 50.0, "GET /search": 100.0}
"""p95 that the project promises, in milliseconds."""

TEXT = "Le banc du quai d'Audierne est cassé, il faudrait le réparer avant l'été."

SEARCHES = ("marché", "horaires de la mairie", "pêche à pied", "subvention aux associations")


def measure(sizes: list[int]) -> dict[str, Any]:
    """Time every route at each number of contributions; one entry per number."""
    here = meter.machine()
    rows = []
    for size in sorted(sizes):
        print(f"routes: {size:,} contributions ...", flush=True)
        try:
            rows.append(_one(size))
        except (NotInTimeError, OSError, RuntimeError) as error:
            rows.append({"count": size, "error": str(error)})
    return {"machine": here, "asked": ASKED, "sizes": rows}


def table(figures: Mapping[str, Any]) -> list[str]:
    """Lay the figures out as Markdown."""
    lines = []
    for row in figures["sizes"]:
        if "error" in row:
            lines += [f"**{row['count']:,} contributions failed: {row['error']}**", ""]
            continue
        lines += [
            (
                f"{row['count']:,} contributions and {row['documents']} papers in the ledger; one client,"
                f" up to {figures['asked']} requests a route, one after another."
            ),
            "",
            "| route | requests | p50 ms | p95 ms | longest ms | target |",
            "|---|---:|---:|---:|---:|---|",
        ]
        for each in row["routes"]:
            limit = TARGET_MS.get(each["route"])
            verdict = ""
            if limit is not None:
                verdict = f"p95 {limit:.0f}, {'met' if each['p95'] <= limit else '**missed**'}"
            lines.append(
                f"| {each['route']} | {each['requests']} | {each['p50']:.1f} | {each['p95']:.1f} |"
                f" {each['longest']:.0f} | {verdict} |"
            )
        lines.append("")
    return lines[:-1]


@dataclass(frozen=True)
class Client:
    """One connection to the API server as one user."""

    address: str
    session: requests.Session

    @classmethod
    def of(cls, system: RealSystem, login: str) -> "Client":
        """Log in once; the token outlives the measure."""
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {system.token(login)}"
        return cls(system.address, session)

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """Ask under ``/participation``; an answer that is no success is an error.

        Raises:
            RuntimeError: The server refused.
        """
        url = f"{self.address}/participation{path}"
        answer = self.session.request(method, url, timeout=60, **more)
        if answer.status_code >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer


def _one(count: int) -> dict[str, Any]:
    with real_system.running() as system:
        _fill(system, count)
        client = Client.of(system, "admin")
        routes = [
            _timed(name, call, asked) for name, (call, asked) in _routes(system, client).items()
        ]
        with system.ledger() as ledger:
            held, papers = ledger.execute(
                "SELECT (SELECT count(*) FROM contribution), (SELECT count(*) FROM document)"
            ).fetchone() or (0, 0)
    if held < count:
        raise RuntimeError(f"the ledger held {held:,} contributions")
    return {"count": count, "held": held, "documents": papers, "routes": routes}


def _fill(system: RealSystem, count: int) -> None:
    papers = system.start_run(INTAKE, "routes")
    each_day = count // DAYS
    texts = made_texts(count, seed=5, mark="route")
    for n in range(DAYS):
        day = FIRST_DAY + timedelta(days=n)
        with system.ledger() as ledger:
            insert(ledger, texts[n * each_day : (n + 1) * each_day], day)
        run_id = system.start_run(ANALYSIS, f"routes-{day}", day=day)
        if system.finished(ANALYSIS, run_id, JUDGED_LIMIT_S) != "success":
            raise RuntimeError(f"{day} was not judged")
    if system.finished(INTAKE, papers, JUDGED_LIMIT_S) != "success":
        raise RuntimeError("the papers were not read")
    with system.ledger() as ledger:
        ledger.autocommit = True
        wait_for(
            lambda: (
                ledger.execute("SELECT count(*) FROM index_version WHERE state = 'live'").fetchone()
                != (0,)
            ),
            JUDGED_LIMIT_S,
            "an index of the papers",
            pause_s=1,
        )


def _routes(
    system: RealSystem, client: Client
) -> dict[str, tuple[Callable[[int], requests.Response], int]]:
    """Name of each route, a call that asks it for the n-th time, and how often it is asked."""
    with system.ledger() as ledger:
        known = [
            name
            for (name,) in ledger.execute(
                "SELECT contribution_id FROM contribution ORDER BY random() LIMIT 400"
            ).fetchall()
        ]
        (paper,) = ledger.execute("SELECT min(document_id) FROM document").fetchone() or ("",)
    mark = uuid.uuid4().hex[:8]
    api = "/api/v1"
    sent = client.ask("POST", f"{api}/contributions", json={"text": f"{TEXT} ({mark})"}).json()
    receipt = sent["receipts"][0]["receipt"]
    started = client.ask(
        "POST",
        f"{api}/workflows",
        json={"workflow": "contribution_analysis", "input": {"text": TEXT}, "key": mark},
    ).json()["workflow_id"]
    batch = {"texts": [{"id": str(n), "text": f"{TEXT} ({n})"} for n in range(50)]}

    def get(path: str) -> Callable[[int], requests.Response]:
        return lambda _: client.ask("GET", path)

    def post(path: str, body: Callable[[int], Any]) -> Callable[[int], requests.Response]:
        return lambda n: client.ask("POST", path, json=body(n))

    pages = {
        f"page /{path}": (get(f"/{path}"), ASKED)
        for path in (
            "",
            "overview/live",
            "contributions",
            "contributions?state=review",
            "review",
            "quarantine",
            "reports",
            "documents",
            "search?q=march%C3%A9",
            "workflows",
            "evaluations",
        )
    }
    return {
        "POST /validate": (post(f"{api}/validate", lambda n: {"text": f"{TEXT} ({n})"}), ASKED),
        "POST /validate/batch, 50 texts": (post(f"{api}/validate/batch", lambda _: batch), ASKED),
        "POST /contributions": (
            post(f"{api}/contributions", lambda n: {"text": f"{TEXT} ({mark}.{n})"}),
            ASKED,
        ),
        "POST /contributions, known": (
            post(f"{api}/contributions", lambda _: {"text": f"{TEXT} ({mark})"}),
            ASKED,
        ),
        "GET /contributions/{receipt}": (get(f"{api}/contributions/{receipt}"), ASKED),
        "POST /workflows": (
            post(
                f"{api}/workflows",
                lambda n: {
                    "workflow": "contribution_analysis",
                    "input": {"text": TEXT},
                    "key": f"{mark}.{n}",
                },
            ),
            ASKED_TO_START,
        ),
        "GET /workflows": (get(f"{api}/workflows"), ASKED),
        "GET /workflows/{id}/status": (get(f"{api}/workflows/{started}/status"), ASKED),
        "GET /workflows/{id}/output": (get(f"{api}/workflows/{started}/output"), ASKED),
        "GET /search": (
            lambda n: client.ask("GET", f"{api}/search", params={"q": SEARCHES[n % len(SEARCHES)]}),
            ASKED,
        ),
        "GET /documents/{id}": (get(f"{api}/documents/{paper}"), ASKED),
        **pages,
        "page /contributions/{id}": (
            lambda n: client.ask("GET", f"/contributions/{known[n % len(known)]}"),
            ASKED,
        ),
    }


def _timed(name: str, call: Callable[[int], requests.Response], asked: int) -> dict[str, Any]:
    for n in range(5):
        call(-1 - n)
    took = []
    for n in range(asked):
        began = time.perf_counter()
        call(n)
        took.append((time.perf_counter() - began) * 1000)
    cuts = quantiles(took, n=100)
    print(f"  {name}: p50 {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms", flush=True)
    return {
        "route": name,
        "requests": asked,
        "p50": round(cuts[49], 2),
        "p95": round(cuts[94], 2),
        "longest": round(max(took), 1),
    }
