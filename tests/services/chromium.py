"""A headless Chromium, driven by the W3C WebDriver protocol through Debian's chromedriver.

The protocol is a handful of JSON calls; no library is needed for it.
"""

import base64
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""Key under which the protocol hands out an element."""

START_S = 60
CALL_S = 120
WAIT_S = 90
"""The first page of the UI loads much; on a busy machine that takes its time."""


class NotThereError(AssertionError):
    """What a person should see did not come up; the message says what the page showed instead."""


class Browser:
    """One window."""

    def __init__(self, session: str) -> None:
        self.session = session

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the value of one command; what the driver complains of is an error."""
        answer = requests.request(method, f"{self.session}{path}", json=body, timeout=CALL_S)
        value = answer.json()["value"]
        if answer.status_code != 200:
            raise NotThereError(f"{value['error']}: {value['message'][:500]}")
        return value

    def open(self, address: str) -> None:
        """Go to an address."""
        self.call("POST", "/url", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page and return what it returns."""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self) -> str:
        """Everything that can be read on the page."""
        return str(self.run("return document.body.innerText"))

    def find(self, xpath: str) -> list[str]:
        """Name every element of an XPath that is there now."""
        found = self.call("POST", "/elements", {"using": "xpath", "value": xpath})
        return [element[ELEMENT] for element in found]

    def wait(self, xpath: str, limit_s: float = WAIT_S) -> str:
        """Wait for an element and name it."""
        return str(self.until(lambda: next(iter(self.find(xpath)), None), xpath, limit_s))

    def until(self, found: Callable[[], Any], what: str, limit_s: float = WAIT_S) -> Any:
        """Ask until the answer is true and return it."""
        by = time.monotonic() + limit_s
        while not (answer := found()):
            if time.monotonic() > by:
                raise NotThereError(f"{what} did not come up; the page says:\n{self.text()[:3000]}")
            time.sleep(0.3)
        return answer

    def click(self, xpath: str, limit_s: float = WAIT_S) -> None:
        """Click an element once it is there and lies under nothing else."""

        def clicked() -> bool:
            for element in self.find(xpath):
                try:
                    self.call("POST", f"/element/{element}/click", {})
                except NotThereError:
                    continue
                return True
            return False

        self.until(clicked, f"a click on {xpath}", limit_s)

    def write(self, xpath: str, text: str) -> None:
        """Type into a field."""
        element = self.wait(xpath)
        self.call("POST", f"/element/{element}/value", {"text": text})

    def screenshot(self, path: Path) -> None:
        """Keep what the window shows as PNG."""
        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))


@contextmanager
def opened() -> Iterator[Browser]:
    """Start a driver and a window with a profile of its own; both end with the block."""
    profile = tempfile.mkdtemp(prefix="chromium-")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    session = None
    try:
        session = _session(f"http://127.0.0.1:{port}", profile)
        yield Browser(session)
    finally:
        if session:
            requests.delete(session, timeout=CALL_S)
        family = psutil.Process(driver.pid).children(recursive=True)
        driver.terminate()
        driver.wait(20)
        for left in family:
            if left.is_running():
                left.kill()
        shutil.rmtree(profile, ignore_errors=True)


def _session(address: str, profile: str) -> str:
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    options += ["--window-size=1400,1800", f"--user-data-dir={profile}", "--lang=fr"]
    wanted = {"browserName": "chrome", "goog:chromeOptions": {"args": options}}
    by = time.monotonic() + START_S
    while True:
        try:
            answer = requests.post(
                f"{address}/session",
                json={"capabilities": {"alwaysMatch": wanted}},
                timeout=CALL_S,
            )
        except requests.ConnectionError:
            if time.monotonic() > by:
                raise
            time.sleep(0.2)
            continue
        value = answer.json()["value"]
        if "sessionId" not in value:
            raise NotThereError(f"Chromium did not start: {value}")
        return f"{address}/session/{value['sessionId']}"
