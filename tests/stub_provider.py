"""A provider of embeddings and of chat on this machine, which also answers wrongly where told to."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DIMENSIONS = 4

KEY = "sk-a-very-secret-key"
"""What a connection to it carries, and nothing else may."""


def vector(text: str) -> list[float]:
    """A vector that tells its text, so that a mixed-up order is seen."""
    return [float(len(text)), float(ord(text[0])), 0.5, -1.0]


def entries(texts: list[str], vector_of: Callable[[str], list[float]] = vector) -> list[dict]:
    return [{"index": at, "embedding": vector_of(text)} for at, text in enumerate(texts)]


Fault = Callable[[BaseHTTPRequestHandler, list[str]], None]


def opinion(asked: dict, **changes: object) -> dict:
    """Accept a text for its own first words, whatever it says."""
    words = " ".join(asked["texte"].split()[:6])
    return {
        "id": asked["id"],
        "decision": "accept",
        "confidence": 0.95,
        "violations": [],
        "positives": [{"aspect": "proposition", "quote": words}],
        "reasoning": "Le texte propose quelque chose à la commune.",
        "category": "logement",
        "second_category": None,
        "category_confidence": 0.9,
        "category_quote": words,
        **changes,
    }


def completion(
    content: str | None,
    *,
    body: dict | None = None,
    finish: str = "stop",
    usage: tuple[int, int] | None = (100, 20),
    model: str = "small-2026",
    **message: object,
) -> dict:
    """Wrap words as OpenAI's protocol does; as a call of the tool where one was offered."""
    given: dict = {"role": "assistant", "content": content, **message}
    if body and body.get("tools"):
        name = body["tools"][0]["function"]["name"]
        call = {"name": name, "arguments": content}
        given |= {
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": call}],
        }
        finish = "tool_calls"
    whole: dict = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "finish_reason": finish, "message": given}],
    }
    if usage:
        whole["usage"] = {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        }
    return whole


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # many callers at once are not turned away
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Say nothing of a caller who left."""


class Provider:
    """Speaks the protocol on loopback; each answer in ``faults`` replaces a sound one, once.

    ``lasting`` replaces every sound one; ``vector_of`` and ``opinion_of`` say what a sound one holds.
    ``delay_s`` is how long a sound answer takes; ``most_at_once`` counts what was on its way together.
    """

    def __init__(
        self,
        vector_of: Callable[[str], list[float]] = vector,
        opinion_of: Callable[[dict], dict] | None = None,
    ) -> None:
        self.requests: list[dict] = []
        self.authorizations: list[str | None] = []
        self.paths: list[str] = []
        self.arrived_at: list[float] = []
        self.faults: list[Fault] = []
        self.lasting: Fault | None = None
        self.vector_of = vector_of
        self.opinion_of = opinion_of or opinion
        self.delay_s = 0.0
        self.at_once = self.most_at_once = 0
        self.counting = threading.Lock()
        self.leave = threading.Event()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                provider.requests.append(body)
                provider.authorizations.append(self.headers.get("Authorization"))
                provider.paths.append(self.path)
                provider.arrived_at.append(time.monotonic())
                with provider.counting:
                    provider.at_once += 1
                    provider.most_at_once = max(provider.most_at_once, provider.at_once)
                    fault = provider.faults.pop(0) if provider.faults else provider.lasting
                try:
                    if self.path.endswith("/chat/completions"):
                        self.chat(body, fault)
                    elif fault:
                        fault(self, body["input"])
                    else:
                        send(self, {"data": entries(body["input"], provider.vector_of)})
                finally:
                    with provider.counting:
                        provider.at_once -= 1

            def chat(self, body: dict, fault: Fault | None) -> None:
                asked = json.loads(body["messages"][-1]["content"])
                if fault:
                    fault(self, asked)
                    return
                provider.leave.wait(provider.delay_s)
                send(self, completion(json.dumps(provider.opinion_of(asked)), body=body))

            def log_message(self, *_: object) -> None:
                """Say nothing in a test's output."""

        self.server = _Server(("127.0.0.1", 0), Handler)
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
    headers.setdefault("Content_Type", "application/json")
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


def says(content: object, **more: object) -> Fault:
    """Answer a question of chat with these words, or with what a function makes of the question."""

    def answer(handler, asked):
        words = content(asked) if callable(content) else content
        told = words if isinstance(words, str) or words is None else json.dumps(words)
        send(handler, completion(told, **more))

    return answer


def reset(handler, _asked):
    """Break the connection off without a word."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def breaking_off(handler, asked):
    """Promise more than comes."""
    raw = json.dumps(completion(json.dumps(opinion(asked)))).encode()
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(raw) * 2))
    handler.end_headers()
    handler.wfile.write(raw)
    handler.close_connection = True


def dripping(provider: Provider, every_s: float = 0.05) -> Fault:
    """Send a byte now and then, for as long as anybody listens."""

    def drip(handler, _asked):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        try:
            while not provider.leave.wait(every_s):
                handler.wfile.write(b" ")
                handler.wfile.flush()
        except OSError:
            pass
        handler.close_connection = True

    return drip


@dataclass
class Huge:
    """Send so many bytes; ``sent`` says how many were taken."""

    length: int = 200_000_000
    sent: int = 0

    def __call__(self, handler, _asked):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(self.length))
        handler.end_headers()
        piece = b" " * 65_536
        try:
            while self.sent < self.length:
                handler.wfile.write(piece)
                self.sent += len(piece)
        except OSError:
            pass
        handler.close_connection = True
