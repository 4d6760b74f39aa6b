"""What a visitor waits for: first paint, and from letting go of a threshold to new numbers and images, in Chromium."""

import io
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from core.data.embedded import load_embedded
from core.data.preprocess import to_image
from core.errors import UserError

NAME = "cifar10/eenet20"
ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"
PAINTS, RELEASES, DRAG_STEPS, CLICKS, VISITORS, UPLOADS = 5, 20, 120, 20, 6, 10
PHOTO = (1600, 1200)  # pixels of an uploaded photograph
START_SECONDS = 60

# the sentence, and which sheet of thumbnails the gallery of Explore shows; shadow roots included
_SEEN = """() => {
  const found = { sentence: "", sheet: "" };
  for (const host of document.querySelectorAll("*")) {
    const root = host.shadowRoot;
    if (!root) continue;
    found.sentence ||= root.querySelector("h1.sentence")?.textContent ?? "";
    found.sheet ||= root.querySelector(".gallery")?.dataset.sheet ?? "";
  }
  return found;
}"""
# which images the gallery by exit shows
_GALLERY = """() => {
  for (const host of document.querySelectorAll("*")) {
    const bands = host.shadowRoot?.querySelector('.bands[data-ready="true"]');
    const rows = [...(bands?.querySelectorAll(".tile") ?? [])].map((tile) => tile.dataset.row);
    if (bands) return `${bands.dataset.passing} ${rows.join()}`;
  }
  return "";
}"""
# times of the frames from now on, and the work in each as the explorer measures it
_FRAMES = """() => {
  window.__frames = { times: [], work: [] };
  const hosts = [...document.querySelectorAll("*")];
  const explorer = hosts.map((host) => host.shadowRoot?.querySelector(".explorer")).find(Boolean);
  const tick = (t) => {
    window.__frames.times.push(t);
    window.__frames.work.push(Number(explorer.dataset.work));
    window.__raf = requestAnimationFrame(tick);
  };
  window.__raf = requestAnimationFrame(tick);
}"""


@contextmanager
def server(**environment: str) -> Iterator[tuple[str, int]]:
    """The dashboard on a free port; its address and the number of its process.

    Args:
        environment: variables it is started with, besides those of this process.

    Raises:
        UserError: it did not answer in time.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.port", str(port)]
    process = subprocess.Popen(
        [*command, "--server.headless", "true"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(f"{address}/_stcore/health"):
            if time.monotonic() > deadline or process.poll() is not None:
                raise UserError("expected the dashboard to start, got no answer: try `make run` to see why")
            time.sleep(0.2)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def run() -> dict[str, Any]:
    """First useful paint on a warm server, release to numbers and images, frames and messages of a drag.

    Raises:
        UserError: no Chromium, or the dashboard does not start.
    """
    if not Path(CHROMIUM).exists():
        raise UserError(f"expected Chromium at {CHROMIUM}, got none: install it (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with server() as (address, process), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        paints = _first_paints(browser, address)
        page = browser.new_page(viewport={"width": 1440, "height": 900}, bypass_csp=True)
        messages: list[int] = []
        page.on("websocket", lambda socket: socket.on("framesent", lambda _: messages.append(1)))
        page.goto(address)
        page.wait_for_function(f"({_SEEN})().sheet !== ''", polling="raf", timeout=60_000)
        page.wait_for_timeout(2_000)
        released, dragged = _releases(page), drag(page, messages)
        page.close()
        who = _who_exits_where(browser, address, process)
        laboratory = _laboratory(browser, address)
        browser.close()
    return {
        "benchmark": "page",
        "viewport": "1440x900",
        "first_paint_ms_median": _milliseconds(paints),
        **released,
        **dragged,
        **who,
        **laboratory,
    }


def _first_paints(browser: Any, address: str) -> list[float]:
    """Seconds from asking for the page to the sentence with its numbers, on a warm server."""
    paints = []
    for visit in range(PAINTS + 1):
        page = browser.new_page(viewport={"width": 1440, "height": 900}, bypass_csp=True)
        started = time.perf_counter()
        page.goto(address)
        page.wait_for_function(f"({_SEEN})().sentence.includes('computation')", polling="raf", timeout=60_000)
        if visit:  # the first visit warms the server
            paints.append(time.perf_counter() - started)
        page.close()
    return paints


def _releases(page: Any) -> dict[str, int]:
    """From the last move of a handle and letting it go to new numbers and new images."""
    handle = page.get_by_role("slider").first
    bars = page.locator(".row .bars").first.bounding_box()
    numbers, images = [], []
    for drag in range(RELEASES):
        box = handle.bounding_box()
        y = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] / 2, y)
        page.mouse.down()
        target = bars["x"] + bars["width"] * (0.2 + 0.03 * drag)
        page.mouse.move(target - 20, y, steps=3)
        page.wait_for_timeout(100)
        seen = page.evaluate(_SEEN)
        started = time.perf_counter()
        page.mouse.move(target, y)
        page.mouse.up()
        page.wait_for_function(f"s => ({_SEEN})().sentence !== s", arg=seen["sentence"], polling="raf")
        numbers.append(time.perf_counter() - started)
        page.wait_for_function(f"s => ({_SEEN})().sheet !== s", arg=seen["sheet"], polling="raf")
        images.append(time.perf_counter() - started)
        page.wait_for_timeout(300)
    return {
        "release_to_numbers_ms_median": _milliseconds(numbers),
        "release_to_images_ms_median": _milliseconds(images),
    }


def drag(page: Any, messages: list[int]) -> dict[str, float]:
    """Frames and messages of a long drag; work of a frame as the explorer measures it.

    Args:
        messages: one entry for each message the page sends, counted as they go.
    """
    box = page.get_by_role("slider").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    messages.clear()
    page.evaluate(_FRAMES)
    for step in range(DRAG_STEPS):
        page.mouse.move(x - 2 * (step % 60), y)
    frames = page.evaluate("() => { cancelAnimationFrame(window.__raf); return window.__frames; }")
    while_dragging = len(messages)
    page.mouse.up()
    page.wait_for_timeout(1_000)
    gaps = sorted(b - a for a, b in pairwise(frames["times"]))
    return {
        "drag_frame_ms_median": round(statistics.median(gaps), 1),
        "drag_frame_ms_p95": round(gaps[int(0.95 * len(gaps))], 1),
        "drag_work_ms_median": round(statistics.median(frames["work"]), 2),
        "messages_while_dragging": while_dragging,
        "messages_on_release": len(messages) - while_dragging,
    }


def _who_exits_where(browser: Any, address: str, process: int) -> dict[str, Any]:
    """*Who exits where*: first gallery on a warm server, click on a mark to new images, memory that a visitor takes."""
    galleries, again, images = [], [], []
    pages, before = [], 0

    def visit_who(page: Any) -> float:
        started = time.perf_counter()
        page.goto(f"{address}/who")
        page.wait_for_function(f"({_GALLERY})() != ''", polling="raf", timeout=60_000)
        return time.perf_counter() - started

    for visit in range(VISITORS + 1):
        page = browser.new_page(viewport={"width": 1440, "height": 900}, bypass_csp=True)
        seconds = visit_who(page)
        if visit:
            galleries.append(seconds)
        page.wait_for_timeout(1_500)
        pages.append(page)
        if not visit:
            before = _memory(process)  # the first visit warms the server
    marks = pages[-1].locator(".squares .cell")
    for click in range(CLICKS):
        shown = pages[-1].evaluate(_GALLERY)
        started = time.perf_counter()
        marks.nth(7 * click % marks.count()).click()
        pages[-1].wait_for_function(f"shown => ![shown, ''].includes(({_GALLERY})())", arg=shown, polling="raf")
        images.append(time.perf_counter() - started)
        pages[-1].wait_for_timeout(500)
    grown = _memory(process) - before
    for page in pages:
        page.close()
    regular = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True)
    for visit in range(VISITORS + 1):
        page = regular.new_page()
        seconds = visit_who(page)
        if visit:  # who was here before has Streamlit's scripts in the browser
            again.append(seconds)
        page.wait_for_timeout(1_000)
        page.close()
    regular.close()
    return {
        "who_first_gallery_ms_median": _milliseconds(galleries),
        "who_first_gallery_again_ms_median": _milliseconds(again),
        "who_click_to_images_ms_median": _milliseconds(images),
        "who_server_mb_per_visitor": round(grown / VISITORS / 2**20, 1),
    }


def _laboratory(browser: Any, address: str) -> dict[str, int]:
    """*Try an image*: from choosing a photograph to its whole story, and to where every exit looks (Grad-CAM)."""
    page = browser.new_page(viewport={"width": 1440, "height": 900}, bypass_csp=True)
    page.goto(f"{address}/try?model={NAME}")
    page.wait_for_selector(".journey[data-image]", timeout=60_000)
    page.get_by_text("File", exact=True).first.click()
    chooser = page.locator('input[type="file"]')
    chooser.wait_for(state="attached")
    stories, looks = [], []
    for upload in range(2 * UPLOADS + 1):
        if upload == UPLOADS + 1:
            page.get_by_text("Where it looks").click()
            page.wait_for_selector('.attention[data-ready="true"]', timeout=60_000)  # captum is imported
        name = f"photo-{upload}.jpg"
        photograph = {"name": name, "mimeType": "image/jpeg", "buffer": _photograph(upload)}
        started = time.perf_counter()
        chooser.set_input_files(photograph)
        page.wait_for_selector(f'.journey[data-image="{name}"]', timeout=60_000)
        if 0 < upload <= UPLOADS:  # the first one warms the server
            stories.append(time.perf_counter() - started)
        if upload > UPLOADS:
            page.wait_for_selector(f'.attention[data-image="{name}"]', timeout=60_000)
            looks.append(time.perf_counter() - started)
        page.wait_for_timeout(500)
    page.close()
    return {
        "upload_to_story_ms_median": _milliseconds(stories),
        "upload_to_story_and_grad_cam_ms_median": _milliseconds(looks),
    }


@cache
def _photograph(row: int) -> bytes:
    """A test image as large as a photograph, as JPEG."""
    buffer = io.BytesIO()
    image = to_image(load_embedded(NAME.split("/", maxsplit=1)[0])[row])
    image.resize(PHOTO).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _memory(process: int) -> int:
    """Bytes a process holds in memory; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _milliseconds(seconds: list[float]) -> int:
    return round(1000 * statistics.median(seconds))
