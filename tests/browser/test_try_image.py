"""*Try an image* in a real browser: files, thumbnails and the threshold, against what the executor says."""

import io
import statistics
import time

import numpy as np
import pytest
from PIL import Image

from core.checkpoints import load_network
from core.data.decode import decode_image
from core.data.embedded import load_embedded
from core.network.executor import Policy, execute
from tests.browser.conftest import Tab

pytestmark = pytest.mark.browser
MODEL = "mnist/eenet8"
LINK = f"/try?model={MODEL}&rule=probability&t=0.8"


def open_page(tab: Tab, path: str = LINK) -> Tab:
    tab.page.goto(tab.server + path)
    tab.page.wait_for_selector('.journey[data-ready="true"]', timeout=60000)
    tab.rest()
    return tab


def shown(tab: Tab) -> tuple[int, str]:
    """Exit and answer on the page, 1..N."""
    exit_ = int(tab.page.locator(".journey").get_attribute("data-exit"))
    return exit_, tab.page.locator(".exit.taken .answer .name").inner_text()


def upload(tab: Tab, name: str, data: bytes) -> float:
    """Seconds from choosing a file to its story."""
    started = time.perf_counter()
    kind = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    tab.page.locator('input[type="file"]').set_input_files(kind)
    tab.page.wait_for_selector(f'.journey[data-image="{name}"]', timeout=15000)
    return time.perf_counter() - started


def photo(seed: int, size: tuple[int, int] = (640, 480)) -> bytes:
    """Blots on paper."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def network():
    return load_network(MODEL)


def executed(network, images: np.ndarray, threshold: float) -> tuple[list[int], list[str]]:
    found = execute(network[0], images, Policy("probability", (threshold,)))
    return [int(n) + 1 for n in found.exits], [network[1].class_names[c] for c in found.predicted]


def test_uploads_reach_their_exits(tab: Tab, network) -> None:
    """Each file leaves where the executor says, with the same answer; no error in the browser."""
    open_page(tab)
    prepare = network[1].preprocessing.prepare
    seconds = []
    for seed in range(5):
        data = photo(seed)
        seconds.append(upload(tab, f"photo{seed}.jpg", data))
        exits, answers = executed(network, prepare(decode_image(data)).input, 0.8)
        assert shown(tab) == (exits[0], answers[0])
        assert f"exit {exits[0]}" in tab.page.locator("h1").inner_text()
        tab.rest()
    assert statistics.median(seconds) < 3
    assert not [error for error in tab.errors if "404" not in error]


def test_a_clicked_thumbnail_takes_its_way(tab: Tab, network) -> None:
    open_page(tab)
    images = network[1].preprocessing.normalise(load_embedded("mnist"))
    for exit_ in (3, 1):
        tile = tab.page.locator(".picker section").nth(exit_ - 1).locator("button").first
        row = int(tile.get_attribute("data-id"))
        tile.click()
        tab.page.wait_for_selector(f'.journey[data-image="Test image {row}"]', timeout=15000)
        exits, answers = executed(network, images[row : row + 1], 0.8)
        assert shown(tab) == (exits[0], answers[0]) and exits[0] == exit_
        tab.rest()
        assert f"image={row}" in tab.page.url
        assert tab.page.locator(f'.picker [data-id="{row}"]').get_attribute("aria-pressed") == "true"


def test_a_link_shows_the_same_on_another_machine_and_the_threshold_moves_the_exit(tab: Tab, network) -> None:
    images = network[1].preprocessing.normalise(load_embedded("mnist")[6:7])
    open_page(tab, f"{LINK}&image=6")
    assert shown(tab)[0] == executed(network, images, 0.8)[0][0]
    slider = tab.page.locator('.st-key-try_t input[type="range"], .st-key-try_t [role="slider"]').first
    slider.focus()
    slider.press("Home")
    tab.page.wait_for_selector('.journey[data-exit="1"]', timeout=15000)
    slider.press("End")
    tab.page.wait_for_selector('.journey[data-exit="3"]', timeout=15000)
    tab.rest()
    assert "t=1" in tab.page.url and "image=6" in tab.page.url


def test_a_bad_file_leaves_one_line_and_the_page_goes_on(tab: Tab) -> None:
    open_page(tab)
    kind = {"name": "notes.png", "mimeType": "image/png", "buffer": b"no picture"}
    tab.page.locator('input[type="file"]').set_input_files(kind)
    line = tab.page.locator('[data-testid="stAlert"]')
    line.wait_for(timeout=15000)
    assert "expected an image" in line.inner_text() and line.count() == 1
    assert tab.page.locator('[data-testid="stException"]').count() == 0
    tab.rest()
    upload(tab, "photo.jpg", photo(1))
    assert line.count() == 0


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_sticks_out(tab: Tab, width: int) -> None:
    tab.page.set_viewport_size({"width": width, "height": 844})
    open_page(tab)
    overflow = tab.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0
    journey = tab.page.locator(".journey").bounding_box()
    assert journey["x"] >= 0 and journey["x"] + journey["width"] <= width
