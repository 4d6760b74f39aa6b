"""A fresh server and a real Chromium. Without Chromium these tests are skipped, or fail where CI=true."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FloatRect, Locator, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
# The script may start a moment after the action: it rests when it did not run in eleven looks, 25 ms or more apart.
RESTS = """call => {
  const state = document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState;
  const before = window.rests?.call === call ? window.rests.looks : 0;
  window.rests = { call, looks: state === "notRunning" ? before + 1 : 0 };
  return window.rests.looks > 10;
}"""
expect.set_options(timeout=15_000)


@contextmanager
def run_server(script: str = "streamlit_app.py", **environment: str) -> Iterator[str]:
    """Start the dashboard, or another page, on a free port and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", script, f"--server.port={port}"]
    command += ["--server.fileWatcherType=none"]
    server = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_healthy(f"http://127.0.0.1:{port}/_stcore/health", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)


def _wait_until_healthy(address: str, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(address, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, "the server ended"
            time.sleep(0.2)
    pytest.fail("the server did not come up")


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with run_server() as address:
        yield address


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        message = "expected Chromium on the PATH or in CHROMIUM, found none"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Tab:
    """A page of the dashboard that counts what it sends and collects what goes wrong."""

    def __init__(self, page: Page, server: str):
        self.page, self.server = page, server
        self.sent = 0
        self.errors: list[str] = []
        page.on("websocket", lambda socket_: socket_.on("framesent", self._count))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)

    def _count(self, _: object) -> None:
        self.sent += 1

    def open(self, path: str = "/") -> "Tab":
        """Go there and wait until the explorer stands and the script rests."""
        self.page.goto(self.server + path)
        self.page.wait_for_selector('.explorer[data-ready="true"][data-counts]', timeout=60000)
        self.rest()
        return self

    def rest(self) -> None:
        """Wait until the script has rested for a quarter of a second without a break."""
        self.page.wait_for_function(RESTS, arg=time.perf_counter(), polling=25, timeout=60000)

    def becomes(self, read: Callable[[], object], wanted: object) -> None:
        """Read until it is as wanted; for what Playwright's `expect` has no words for."""
        end = time.monotonic() + 15
        while read() != wanted and time.monotonic() < end:
            self.page.wait_for_timeout(50)
        assert read() == wanted

    def still(self, where: str | Locator) -> FloatRect:
        """Where an element lies, once it has kept its place for three looks."""
        locator = self.page.locator(where).first if isinstance(where, str) else where
        boxes: list[FloatRect | None] = []
        for _ in range(150):
            boxes = [*boxes[-2:], locator.bounding_box()]
            if len(boxes) == 3 and boxes[0] and boxes[0] == boxes[1] == boxes[2]:
                return boxes[0]
            self.page.wait_for_timeout(50)
        pytest.fail(f"{where} does not keep its place: {boxes}")

    def mounted(self, selector: str, handler: str) -> None:
        """Wait until a component listens: its HTML stands a moment before that."""
        self.becomes(lambda: self.page.locator(selector).evaluate(f"node => Boolean(node.{handler})"), True)

    def numbers(self) -> tuple[float, float, list[int]]:
        """Accuracy, cost and exit counts that the page shows now, unrounded."""
        data = self.page.locator(".explorer").evaluate("node => ({...node.dataset})")
        return float(data["accuracy"]), float(data["cost"]), [int(count) for count in data["counts"].split(",")]


@pytest.fixture
def tab(chromium: Browser, server: str) -> Iterator[Tab]:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    yield Tab(context.new_page(), server)
    context.close()


@pytest.fixture
def script(chromium: Browser) -> Iterator[Callable[[str, object], object]]:
    """Run a JavaScript function of (arithmetic, argument) with the explorer's arithmetic as its first argument."""
    module = (ROOT / "app/components/arithmetic.js").read_text(encoding="utf-8")
    page = chromium.new_page()
    page.goto("about:blank")

    def run(function: str, argument: object) -> object:
        return page.evaluate(
            """async ([module, source, argument]) => {
              const address = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
              const arithmetic = await import(address);
              return eval(source)(arithmetic, argument);
            }""",
            [module, function, argument],
        )

    yield run
    page.close()
