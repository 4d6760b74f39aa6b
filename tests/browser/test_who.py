"""*Who exits where* in a real browser: from every kind of mark to the images behind it, by pointer and by keyboard."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from core.analysis.overthinking import groups, prediction_depth
from core.analysis.sweep import route
from core.checkpoints import load_trace
from tests.browser.conftest import Tab

pytestmark = pytest.mark.browser
MODEL = "mnist/eenet8"
LINK = f"/who?model={MODEL}&rule=confidence&t=0.9"


@pytest.fixture(scope="module")
def trace():
    return load_trace(MODEL, "test", small=True)


@pytest.fixture(scope="module")
def exits(trace):
    return route(trace.rule_scores("confidence"), 0.9)


def open_page(tab: Tab, extra: str = "") -> Tab:
    tab.page.goto(tab.server + LINK + extra)
    for part in (".bands", ".doors"):
        tab.page.wait_for_selector(f'{part}[data-ready="true"]', timeout=60000)
    tab.rest()
    return tab


def behind(tab: Tab, expected: int) -> None:
    """Wait until so many images pass the filter, by the line above and by the gallery."""
    tab.page.wait_for_selector(f'.bands[data-passing="{expected}"]', timeout=15000)
    expect(tab.page.locator(".st-key-who_count")).to_have_text(re.compile(rf"^\s*{expected:,}\s"))
    tab.rest()


def shown_rows(tab: Tab) -> list[int]:
    rows: list[int] = tab.page.locator(".bands .tile").evaluate_all("nodes => nodes.map(n => Number(n.dataset.row))")
    return rows


def mark(tab: Tab, name: str):
    return tab.page.locator(f'[data-mark="{name}"]').first


def clean(tab: Tab) -> bool:
    return not [error for error in tab.errors if "404" not in error]


def test_squares_open_and_add(tab: Tab, trace, exits) -> None:
    open_page(tab)
    hard = (trace.labels == 7) & (exits == 2)
    mark(tab, "leave:7_3").click()
    behind(tab, int(hard.sum()))
    assert set(shown_rows(tab)) == set(np.flatnonzero(hard).tolist())
    expect(tab.page).to_have_url(re.compile("only="))
    more = hard | ((trace.labels == 9) & (exits == 1))
    mark(tab, "leave:9_2").click(modifiers=["Shift"])
    behind(tab, int(more.sum()))
    expect(mark(tab, "leave:7_3")).to_have_attribute("aria-pressed", "true")
    tab.page.get_by_role("button", name="7, exit 3").click()  # its chip
    behind(tab, int((more & ~hard).sum()))
    mark(tab, "leave:9_2").click()  # the only mark, once more
    behind(tab, trace.n)
    assert clean(tab)


def test_ribbons_open(tab: Tab, trace, exits) -> None:
    open_page(tab)
    wrong = (exits == 0) & ~trace.correct[:, 0]
    mark(tab, "leave:x_1_w").focus()
    tab.page.keyboard.press("Enter")
    behind(tab, int(wrong.sum()))
    svg = tab.still(".flow svg")
    path = tab.page.locator('.flow [data-mark="leave:4_1"] path').first.get_attribute("d")
    found = re.match(r"M([\d.]+) ([\d.]+)C.*?v([\d.]+)", path or "")
    assert found
    x, y, thickness = map(float, found.groups())
    tab.page.mouse.click(svg["x"] + x + 3, svg["y"] + y + thickness / 2)
    behind(tab, int(((trace.labels == 4) & (exits == 0)).sum()))
    assert clean(tab)


@pytest.mark.parametrize("leaving", [False, True])
def test_cells_open(tab: Tab, trace, exits, leaving) -> None:
    open_page(tab, "&chart=answers:2")
    among = exits == 1 if leaving else np.ones(trace.n, bool)
    if leaving:
        tab.page.get_by_label("Which images").select_option("here")
        tab.page.wait_for_selector('[data-mark="cell:2_8_8_h"]', timeout=15000)
    said = trace.predicted[:, 1]
    mark(tab, "cell:2_8_8" + ("_h" if leaving else "")).click()
    behind(tab, int((among & (trace.labels == 8) & (said == 8)).sum()))
    assert clean(tab)


def test_bars_and_groups_open(tab: Tab, trace) -> None:
    open_page(tab)
    tab.page.get_by_role("radio", name="Depth").or_(tab.page.get_by_role("button", name="Depth")).first.click()
    mark(tab, "depth:2").click()
    behind(tab, int((prediction_depth(trace.predicted) == 1).sum()))
    tab.page.get_by_role("radio", name="Overthinking").or_(
        tab.page.get_by_role("button", name="Overthinking")
    ).first.click()
    mark(tab, "group:early").click()
    behind(tab, int((groups(trace.correct) == 0).sum()))
    assert clean(tab)


def test_a_box_opens(tab: Tab, trace) -> None:
    open_page(tab, "&chart=scores:1_2")
    plane = tab.still(".plane")
    x, y = plane["x"] + 3, plane["y"] + plane["height"] - 3
    tab.page.mouse.move(x, y)
    tab.page.mouse.down()
    tab.page.mouse.move(x + plane["width"] * 0.4, y - plane["height"] * 0.5, steps=6)
    tab.page.mouse.up()
    tab.page.wait_for_function("() => new URL(location).searchParams.get('only')?.startsWith('box:')", timeout=15000)
    ends = re.search(r"box:1_2_([\d._]+)", tab.page.evaluate("new URL(location).searchParams.get('only')"))
    assert ends
    a, b, c, d = map(float, ends.group(1).split("_"))
    assert a == c == 0 and b > 0 and d > 0
    first, second = trace.rule_scores("confidence")[:, 0], trace.rule_scores("confidence")[:, 1]
    inside = (first.astype(float) < b) & (second.astype(float) < d)
    behind(tab, int(inside.sum()))
    assert clean(tab)


def test_movers_open(tab: Tab, trace, exits) -> None:
    open_page(tab, "&pin=confidence:0.5&chart=moves")
    before = route(trace.rule_scores("confidence"), 0.5)
    mark(tab, "move:1_2").click()
    behind(tab, int(((before == 0) & (exits == 1)).sum()))
    mark(tab, "move:x_x_c").click()
    behind(tab, int((before != exits).sum()))
    assert clean(tab)


def test_the_keyboard_is_enough(tab: Tab, trace, exits) -> None:
    """Arrows walk the squares and the images, Enter opens, a page is turned."""
    open_page(tab)
    mark(tab, "leave:x_1").focus()
    tab.page.keyboard.press("ArrowDown")
    focused = (
        "() => { let e = document.activeElement; while (e?.shadowRoot) e = e.shadowRoot.activeElement; return e; }"
    )
    name = tab.page.evaluate(f"({focused})().dataset.mark")
    assert re.fullmatch(r"leave:\d_1", name)
    tab.page.keyboard.press("Enter")
    behind(tab, int(((trace.labels == int(name[6])) & (exits == 0)).sum()))
    tab.page.wait_for_function(f"({focused})()?.dataset.mark === '{name}'", timeout=15000)  # it stays where it was
    first = tab.page.locator(".tile").first
    first.focus()
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("ArrowDown")
    assert tab.page.evaluate(f"({focused})().dataset.place") == "0.33"
    before = shown_rows(tab)
    tab.page.keyboard.press("PageDown")
    tab.page.wait_for_function(
        f"() => Number(({focused})()?.dataset?.row ?? -1) >= 0 && Number(({focused})().dataset.row) != {before[33]}",
        timeout=15000,
    )
    assert not set(before) & set(shown_rows(tab))
    tab.rest()
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector('[role="dialog"]', timeout=15000)
    assert clean(tab)


def test_one_exit_fills_the_page(tab: Tab, exits) -> None:
    open_page(tab)
    tab.page.locator(".bands .name").first.click()
    tab.page.wait_for_selector(".bands.solo", timeout=15000)
    tab.rest()
    assert len(shown_rows(tab)) == min(384, int((exits == 0).sum()))
    tab.page.get_by_role("button", name="All exits").click()
    tab.page.wait_for_selector(".bands:not(.solo)", timeout=15000)
    assert clean(tab)


def test_a_lasso_opens(tab: Tab) -> None:
    open_page(tab, "&chart=map")
    tab.page.wait_for_selector('.feature_map[data-ready="true"] canvas', timeout=30000)
    canvas = tab.still(".feature_map canvas")
    middle = canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2
    tab.page.mouse.move(middle[0] - 80, middle[1] - 60)
    tab.page.mouse.down()
    for x, y in ((80, -60), (80, 60), (-80, 60), (-80, -58)):
        tab.page.mouse.move(middle[0] + x, middle[1] + y, steps=5)
    tab.page.mouse.up()
    tab.page.wait_for_function("() => new URL(location).searchParams.get('only')?.startsWith('lasso:')", timeout=15000)
    chip = tab.page.get_by_role("button", name="lasso of").inner_text()
    behind(tab, int(re.sub(r"\D", "", chip)))
    assert clean(tab)
