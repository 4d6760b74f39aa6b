"""*Where it looks* and *Make it harder* in a real browser: the slider tells what the executor says, on the spot."""

import numpy as np
import pytest
from playwright.sync_api import expect

from core.checkpoints import load_network
from core.data.corruptions import CORRUPTIONS, corrupt
from core.data.embedded import load_embedded
from core.network.executor import Policy, execute
from tests.browser.conftest import Tab

pytestmark = pytest.mark.browser
MODEL = "mnist/eenet8"
LINK = f"/try?model={MODEL}&rule=probability&t=0.8&image=6"


def opened(tab: Tab, section: str) -> None:
    """The page with a section unfolded."""
    tab.page.goto(tab.server + LINK)
    tab.page.wait_for_selector('.journey[data-ready="true"]', timeout=60000)
    tab.rest()
    assert tab.page.locator(f".{section}").count() == 0
    tab.page.locator(f".st-key-{section}_open summary").click()
    tab.page.wait_for_selector(f'.{section}[data-ready="true"]', timeout=120000)
    tab.rest()


def test_the_severity_moves_exit_and_score_without_the_server(tab: Tab) -> None:
    network, card = load_network(MODEL)
    image = load_embedded("mnist")[6:7]
    opened(tab, "harder")
    shown = tab.page.locator(".harder")
    slider = tab.page.locator('.harder input[type="range"]')
    for name in ("noise", "contrast"):
        tab.page.locator(".st-key-harder_corruption button", has_text=CORRUPTIONS[name].label).click()
        tab.page.wait_for_selector(f'.harder[data-corruption="{name}"]', timeout=60000)
        tab.rest()
        harder = np.concatenate([corrupt(image, name, severity) for severity in range(6)])
        found = execute(network, card.preprocessing.normalise(harder), Policy("probability", (0.8,)))
        slider.focus()
        slider.press("Home")
        sent = tab.sent
        for severity in range(6):
            expect(shown).to_have_attribute("data-severity", str(severity))
            data = shown.evaluate("node => ({...node.dataset})")
            exit_ = int(found.exits[severity])
            assert int(data["exit"]) == exit_ + 1
            assert data["answer"] == card.class_names[found.predicted[severity]]
            assert float(data["score"]) == pytest.approx(float(found.scores[severity, exit_]), abs=1e-6)
            expect(tab.page.locator(".harder .steps h3")).to_contain_text(f"exit {exit_ + 1}")
            expect(tab.page.locator(".harder .verdict")).not_to_be_empty()
            slider.press("ArrowRight")
        tab.page.wait_for_timeout(300)
        assert tab.sent == sent
    assert not [error for error in tab.errors if "404" not in error]


def test_a_chart_is_a_door_to_its_corruption(tab: Tab) -> None:
    opened(tab, "harder")
    tab.page.locator('.harder .tile[data-severity="5"]').click()
    tab.page.locator('.harder .chart[data-name="blur"]').click()
    tab.page.wait_for_selector('.harder[data-corruption="blur"]', timeout=60000)
    tab.rest()
    expect(tab.page.locator(".harder")).to_have_attribute("data-severity", "5")
    expect(tab.page.locator('.harder .chart[aria-pressed="true"]')).to_have_attribute("data-name", "blur")


def test_where_it_looks(tab: Tab) -> None:
    opened(tab, "attention")
    expect(tab.page.locator(".attention figure")).to_have_count(3)
    heat = tab.page.locator(".attention .heat").first
    frame = tab.page.locator(".attention .frame").first
    tab.page.mouse.move(0, 0)
    expect(heat).to_have_css("opacity", "0.8")
    frame.hover()
    expect(heat).to_have_css("opacity", "0")
    overflow = tab.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0
