"""*Cost weight* in a browser: the slider moves, a dashed curve comes, the chart keeps its place."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import READY, run_server
from tests.cost_zoo import write_zoo

pytestmark = pytest.mark.browser
DASHED = '.js-plotly-plot .scatterlayer path.js-line[style*="stroke-dasharray"]'


def test_the_slider_brings_a_dashed_curve(chromium: Browser, tmp_path: Path) -> None:
    write_zoo(tmp_path, cost_weights=(0.0, 4.0))
    with run_server(EENET_CHECKPOINTS=str(tmp_path)) as address:
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{address}/cost")
        page.wait_for_selector(".js-plotly-plot .scatterlayer path.js-line", timeout=60_000)
        page.wait_for_selector(READY, timeout=30_000)
        dashes = page.locator(DASHED)
        assert dashes.count() == 0
        top = page.locator(".js-plotly-plot").first.bounding_box()["y"]
        page.get_by_role("slider", name=re.compile("Any cost weight")).press("ArrowRight")
        dashes.first.wait_for(timeout=60_000)
        page.wait_for_selector(READY, timeout=30_000)
        page.get_by_role("button", name="Keep as checkpoint").wait_for(timeout=30_000)
        assert dashes.count() == 1
        assert "lambda=1.2" in page.url and "loss=cumulative" in page.url
        assert abs(page.locator(".js-plotly-plot").first.bounding_box()["y"] - top) < 2
        assert not problems
        context.close()
