"""A provider of embeddings on this machine, which also answers wrongly where a test tells it to."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DIMENSIONS = 4


def vector(text: str) -> list[float]:
    """A vector that tells its text, so that a mixed-up order is seen."""
    return [float(len(text)), float(ord(text[0])), 0.5, -1.0]


def entries(texts: list[str], vector_of: Callable[[str], list[float]] = vector) -> list[dict]:
    return [{"index": at, "embedding": vector_of(text)} for at, text in enumerate(texts)]


Fault = Callable[[BaseHTTPRequestHandler, list[str]], None]


class Provider:
    """Speaks the protocol on loopback; each answer in ``faults`` replaces a sound one, once.

    ``lasting`` replaces every sound one; ``vector_of`` says what a sound one holds.
    """

    def __init__(self, vector_of: Callable[[str], list[float]] = vector) -> None:
        self.requests: list[dict] = []
        self.authorizations: list[str | None] = []
        self.paths: list[str] = []
        self.arrived_at: list[float] = []
        self.faults: list[Fault] = []
        self.lasting: Fault | None = None
        self.vector_of = vector_of
        self.leave = threading.Event()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                provider.requests.append(body)
                provider.authorizations.append(self.headers.get("Authorization"))
                provider.paths.append(self.path)
                provider.arrived_at.append(time.monotonic())
                fault = provider.faults.pop(0) if provider.faults else provider.lasting
                if fault:
                    fault(self, body["input"])
                else:
                    send(self, {"data": entries(body["input"], provider.vector_of)})

            def log_message(self, *_: object) -> None:
                """Say nothing in a test's output."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1"

    def close(self) -> None:
        self.leave.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def send(handler, body, status=200, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(raw)))
    handler.end_headers()
    handler.wfile.write(raw)


def status(code, body=b"{}", **headers):
    return lambda handler, _texts: send(handler, body, code, **headers)


def data(change):
    """Answer with sound entries after a change."""
    return lambda handler, texts: send(handler, {"data": change(entries(texts))})
