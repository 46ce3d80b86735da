"""A site on this machine that answers as a test tells it to, also wrongly; every request is noted."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Site:
    """The running site: ``pages`` says what it answers, ``seen`` what it was asked."""

    port: int
    pages: dict[str, Answer] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def paths(self) -> list[str]:
        return [seen.path for seen in self.seen]


def page(content: bytes, status: int = 200, **headers: str) -> Answer:
    """Answer with these bytes and their length."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    return answer


def redirect(location: str, status: int = 302) -> Answer:
    return page(b"", status, Location=location)


def in_turn(*answers: Answer) -> Answer:
    """Give each answer once, the last one from then on."""
    left = list(answers)

    def answer(request: BaseHTTPRequestHandler) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


@contextmanager
def running(context: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Start the site on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            site.seen.append(Seen(self.command, self.path, headers, body))
            answer = site.pages.get(self.path.partition("?")[0], page(b"?", 404))
            self.close_connection = True
            with suppress(OSError):
                answer(self)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815 - as the standard library calls them

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Stay silent: connections that are cut are what the tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    site = Site(server.server_address[1])
    if context is not None:
        context.sni_callback = lambda _, name, __: site.names.append(name)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def no_resolver(host: str, port: int) -> list[str]:
    """Look no name up: a test must not leave the machine."""
    with suppress(OSError):
        return [
            str(found[4][0])
            for found in socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)
        ]
    raise OSError(f"{host}: a test asked for a name it did not expect")
