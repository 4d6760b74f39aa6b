"""The drawer in a real browser: opened by an image, followed to a neighbour and into the laboratory."""

import re

import pytest
from playwright.sync_api import expect

from core.checkpoints import load_trace
from core.feature_map import load_feature_map
from tests.browser.conftest import Tab

pytestmark = pytest.mark.browser
MODEL = "mnist/eenet8"
LINK = f"/?model={MODEL}&rule=confidence&t=0.5&scale=even"


def told(tab: Tab) -> tuple[int, str]:
    """The row and the sentence in the drawer."""
    return int(tab.page.locator(".story").get_attribute("data-row")), tab.page.locator(".story h2").inner_text()


@pytest.fixture
def drawer(tab: Tab) -> Tab:
    tab.open(LINK)
    tab.page.locator(".gallery button").first.click()
    tab.page.locator(".story h2").wait_for()
    tab.rest()
    return tab


def test_a_click_on_an_image_tells_its_story(drawer: Tab) -> None:
    row, sentence = told(drawer)
    assert "Leaves at exit 1" in sentence
    box = drawer.still(drawer.page.get_by_role("dialog"))
    assert box["x"] > 500 and box["x"] + box["width"] == pytest.approx(1440, abs=2)
    trace = load_trace(MODEL, small=True)
    first = drawer.page.locator('.story section[data-exit="1"]')
    expect(first.locator(".answer")).to_contain_text(str(trace.predicted[row, 0]))
    expect(first).to_contain_text("leaves here")
    expect(drawer.page.locator('.story section[data-exit="2"]')).to_contain_text("would say")
    assert not drawer.errors


def test_a_neighbour_s_story_follows_and_one_can_go_back(drawer: Tab) -> None:
    row, _ = told(drawer)
    nearby = load_feature_map(MODEL).neighbours[row, 1].tolist()
    tiles = drawer.page.locator('.story section[data-exit="2"] .tiles button')
    assert [int(tile.get_attribute("data-row")) for tile in tiles.all()] == nearby
    tiles.nth(2).click()
    drawer.page.wait_for_selector(f'.story[data-row="{nearby[2]}"]')
    drawer.rest()
    expect(drawer.page.get_by_role("dialog")).to_have_count(1)
    drawer.page.get_by_role("button", name="Back to image").click()
    drawer.page.wait_for_selector(f'.story[data-row="{row}"]')
    drawer.rest()
    expect(drawer.page.locator(".back")).to_have_count(0)
    assert not drawer.errors


def test_the_laboratory_opens_with_the_same_image_network_and_thresholds(drawer: Tab) -> None:
    row, sentence = told(drawer)
    drawer.page.get_by_role("link", name="Try this image").click()
    drawer.page.wait_for_selector('.journey[data-ready="true"]', timeout=60000)
    drawer.rest()
    for part in (f"image={row}", "rule=confidence", "t=0.5"):
        expect(drawer.page).to_have_url(re.compile(f"[?&]{re.escape(part)}(&|$)"))
    expect(drawer.page.locator(".journey")).to_have_attribute("data-exit", "1")
    assert drawer.page.locator(".exit.taken .answer .name").inner_text() in sentence
