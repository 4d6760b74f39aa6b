"""*Cost weight* in a browser: the slider moves, a dashed curve comes, the chart keeps its place."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Tab, run_server
from tests.cost_zoo import write_zoo

pytestmark = pytest.mark.browser
DASHED = '.js-plotly-plot .scatterlayer path.js-line[style*="stroke-dasharray"]'


def test_the_slider_brings_a_dashed_curve(chromium: Browser, tmp_path: Path) -> None:
    write_zoo(tmp_path, cost_weights=(0.0, 4.0))
    with run_server(EENET_CHECKPOINTS=str(tmp_path)) as address:
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        tab = Tab(context.new_page(), address)
        page = tab.page
        page.goto(f"{address}/cost")
        page.wait_for_selector(".js-plotly-plot .scatterlayer path.js-line", timeout=60_000)
        tab.rest()
        dashes = page.locator(DASHED)
        expect(dashes).to_have_count(0)
        top = tab.still(".js-plotly-plot")["y"]
        page.get_by_role("slider", name=re.compile("Any cost weight")).press("ArrowRight")
        dashes.first.wait_for(timeout=60_000)
        tab.rest()
        page.get_by_role("button", name="Keep as checkpoint").wait_for(timeout=30_000)
        expect(dashes).to_have_count(1)
        for part in ("lambda=1.2", "loss=cumulative"):
            expect(page).to_have_url(re.compile(part))
        assert abs(tab.still(".js-plotly-plot")["y"] - top) < 2
        assert not [error for error in tab.errors if "404" not in error]
        context.close()
