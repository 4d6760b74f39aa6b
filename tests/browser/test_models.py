"""The page Models in a real browser: a click opens a card, the drawing is true to cost, the zip comes down."""

import io
import re
import zipfile

import pytest
from playwright.sync_api import expect

from core.checkpoints import CHECKPOINTS, list_checkpoints, load_card
from tests.browser.conftest import Tab

pytestmark = pytest.mark.browser
HEAD, ROW, TICKS = 38, 35, 17  # pixels: the table's head, a row, half the column of ticks


@pytest.fixture
def page(tab: Tab) -> Tab:
    tab.page.goto(tab.server + "/models?model=mnist/eenet8&zoo_data=MNIST")
    tab.page.wait_for_selector('.anatomy[data-ready="true"]', timeout=120000)
    tab.rest()
    return tab


def click(tab: Tab, row: int, x: float, link: str) -> None:
    """Click into a row of the table, x pixels from its left, and wait until the link says so."""
    tab.page.locator('[data-testid="stDataFrame"] canvas').first.wait_for()
    box = tab.still('[data-testid="stDataFrame"]')
    tab.page.mouse.click(box["x"] + x, box["y"] + HEAD + ROW * row + ROW / 2)
    expect(tab.page).to_have_url(re.compile(re.escape(link.replace("/", "%2F").replace(",", "%2C"))))
    tab.rest()


def test_rows_open_cards_and_ticks_put_networks_side_by_side(page: Tab) -> None:
    names = [entry.name for entry in list_checkpoints() if entry.card and entry.card.dataset == "mnist"]
    second = next(row for row, name in enumerate(names) if name != "mnist/eenet8")
    click(page, second, 140, f"model={names[second]}")
    page.page.wait_for_selector(f'.anatomy[data-model="{names[second]}"]')
    expect(page.page.locator(".model-head span")).to_contain_text(names[second])
    click(page, 0, TICKS, f"compare={names[0]}")
    click(page, 1, TICKS, f"compare={names[0]},{names[1]}")
    page.page.wait_for_selector(".js-plotly-plot", timeout=60000)
    expect(page.page).to_have_url(re.compile("show=compare"))
    expect(page.page.locator(".anatomy")).to_have_count(0)
    assert not [error for error in page.errors if "404" not in error]


def test_the_drawing_is_true_to_cost_and_the_zip_is_the_folder(page: Tab) -> None:
    cost = load_card("mnist/eenet8").cost
    boxes = page.page.locator(".anatomy rect").evaluate_all(
        "rects => rects.map(r => ({x: +r.getAttribute('x'), w: +r.getAttribute('width')}))"
    )
    assert len(boxes) == len(cost.block_macs) + 1 + len(cost.exit_macs)
    # drawn in the order in which they run; gaps between blocks are up to 2 pixels of their width
    run = [*cost.block_macs[:2], cost.exit_macs[0], cost.block_macs[2], cost.exit_macs[1], *cost.block_macs[3:]]
    run.append(cost.final_macs)
    scale = (boxes[-1]["x"] - boxes[0]["x"]) / sum(run[:-1])
    for box, macs in zip(boxes, run, strict=True):
        assert box["w"] == pytest.approx(macs * scale, abs=2.1)
    page.page.locator(".anatomy rect").nth(2).hover()
    detail = re.compile(r"^Exit block 1: 35\sk MACs \(69\sk FLOPs\), 5\.3\s%")
    expect(page.page.locator(".anatomy .detail")).to_have_text(detail)
    with page.page.expect_download() as waiting:
        page.page.locator(".st-key-models_download button").first.click()
    assert waiting.value.suggested_filename == "mnist-eenet8.zip"
    with zipfile.ZipFile(io.BytesIO(waiting.value.path().read_bytes())) as archive:
        weights = archive.read("mnist/eenet8/model.safetensors")
    assert weights == (CHECKPOINTS / "mnist/eenet8/model.safetensors").read_bytes()
    assert not [error for error in page.errors if "404" not in error]
