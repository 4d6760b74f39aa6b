"""The page Models in a real browser: a click opens a card, the drawing is true to cost, the zip comes down."""

import io
import zipfile

import pytest

from core.checkpoints import CHECKPOINTS, list_checkpoints, load_card
from tests.browser.conftest import READY, Tab

pytestmark = pytest.mark.browser
HEAD, ROW, TICKS = 38, 35, 17  # pixels: the table's head, a row, half the column of ticks


@pytest.fixture
def page(tab: Tab) -> Tab:
    tab.page.goto(tab.server + "/models?model=mnist/eenet8&zoo_data=MNIST")
    tab.page.wait_for_selector('.anatomy[data-ready="true"]', timeout=60000)
    tab.page.wait_for_selector(READY, timeout=60000)
    tab.page.wait_for_timeout(600)
    return tab


def click(tab: Tab, row: int, x: float) -> None:
    """Click into a row of the table, x pixels from its left."""
    box = tab.page.locator('[data-testid="stDataFrame"]').first.bounding_box()
    tab.page.mouse.click(box["x"] + x, box["y"] + HEAD + ROW * row + ROW / 2)
    tab.page.wait_for_timeout(300)
    tab.rest()


def test_rows_open_cards_and_ticks_put_networks_side_by_side(page: Tab) -> None:
    names = [entry.name for entry in list_checkpoints() if entry.card and entry.card.dataset == "mnist"]
    second = next(row for row, name in enumerate(names) if name != "mnist/eenet8")
    click(page, second, 140)
    page.page.wait_for_selector(f'.anatomy[data-model="{names[second]}"]')
    assert names[second] in page.page.locator(".model-head span").inner_text()
    assert f"model={names[second].replace('/', '%2F')}" in page.page.url
    for row in (0, 1):
        click(page, row, TICKS)
    page.page.wait_for_selector(".js-plotly-plot", timeout=60000)
    assert f"compare={names[0]},{names[1]}".replace("/", "%2F").replace(",", "%2C") in page.page.url
    assert "show=compare" in page.page.url
    assert page.page.locator(".anatomy").count() == 0
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
    detail = page.page.locator(".anatomy .detail").inner_text().replace("\u202f", " ")
    assert detail.startswith("Exit block 1: 35 k MACs (69 k FLOPs), 5.3 %")
    with page.page.expect_download() as waiting:
        page.page.locator(".st-key-models_download button").first.click()
    assert waiting.value.suggested_filename == "mnist-eenet8.zip"
    with zipfile.ZipFile(io.BytesIO(waiting.value.path().read_bytes())) as archive:
        weights = archive.read("mnist/eenet8/model.safetensors")
    assert weights == (CHECKPOINTS / "mnist/eenet8/model.safetensors").read_bytes()
    assert not [error for error in page.errors if "404" not in error]
