"""The map in a real browser: stepping from exit to exit, drawing a lasso, letting it go."""

import ast
import itertools

import numpy as np
import pytest

from core.checkpoints import load_trace
from core.feature_map import load_feature_map
from tests.browser.conftest import ROOT, Tab, run_server

pytestmark = pytest.mark.browser
MODEL = "mnist/eenet8"
PAGE = str(ROOT / "tests" / "browser" / "map_page.py")


@pytest.fixture(scope="module")
def found():
    return load_feature_map(MODEL)


@pytest.fixture(scope="module")
def server():
    with run_server(script=PAGE, PYTHONPATH=str(ROOT)) as address:
        yield address


@pytest.fixture
def opened(tab: Tab) -> Tab:
    tab.page.goto(tab.server)
    tab.page.wait_for_selector('.feature_map[data-ready="true"]', timeout=30000)
    tab.rest()
    return tab


def places(found, exit_: int, width: float, height: float) -> np.ndarray:
    """Where the points of an exit lie in a canvas, worked out from the stored coordinates."""
    plane = found.coordinates[:, exit_].astype(float)
    low, high = plane.min(axis=0), plane.max(axis=0)
    scale = min((width - 28) / (high - low)[0], (height - 28) / (high - low)[1])
    return np.array([width, height]) / 2 + (plane - (low + high) / 2) * scale * [1, -1]


def inside(polygon: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether points lie in a polygon, by the turns of its corners around them (even and odd agree on a simple one)."""
    turns = np.zeros(len(points))
    for a, b in itertools.pairwise([*polygon, polygon[0]]):
        first, second = a - points, b - points
        turns += np.arctan2(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0], (first * second).sum(axis=1))
    return np.abs(turns) > np.pi


def rows(tab: Tab) -> list[int] | None:
    return ast.literal_eval(tab.page.get_by_text("rows ").inner_text().removeprefix("rows "))


def lasso(tab: Tab, corners: np.ndarray) -> None:
    """Draw around with the mouse; corners relative to the map."""
    box = tab.page.locator(".stage").bounding_box()
    mouse = tab.page.mouse
    mouse.move(box["x"] + corners[0, 0], box["y"] + corners[0, 1])
    mouse.down()
    for x, y in corners[1:]:
        mouse.move(box["x"] + x, box["y"] + y)
    mouse.up()
    tab.page.wait_for_timeout(600)
    tab.rest()


def circle(centre: np.ndarray, radius: float) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 30)[:-1]
    return np.round(centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1))


def test_a_lasso_gives_the_rows_inside_and_escape_lets_them_go(opened: Tab, found) -> None:
    box = opened.page.locator(".stage").bounding_box()
    where = places(found, 2, box["width"], box["height"])
    corners = circle(np.median(where, axis=0), 60)
    lasso(opened, corners)
    sure = inside(circle(np.median(where, axis=0), 58), where), inside(circle(np.median(where, axis=0), 62), where)
    got = set(rows(opened))
    assert len(got) > 50 and set(np.flatnonzero(sure[0])) <= got <= set(np.flatnonzero(sure[1]))
    picked = opened.page.locator(".feature_map").get_attribute("data-picked")
    assert int(picked) == len(got) and f"{len(got):,} picked" in opened.page.locator(".feature_map p").inner_text()
    opened.page.keyboard.press("Escape")
    opened.page.wait_for_timeout(500)
    opened.rest()
    assert rows(opened) == []
    assert not opened.errors


def test_a_click_picks_a_point_and_a_click_beside_lets_go(opened: Tab, found) -> None:
    box = opened.page.locator(".stage").bounding_box()
    where = places(found, 2, box["width"], box["height"])
    row = int(where[:, 0].argmax())  # at the edge, alone
    opened.page.mouse.move(box["x"] + where[row, 0], box["y"] + where[row, 1])
    opened.page.mouse.down()
    opened.page.mouse.up()
    opened.page.wait_for_timeout(500)
    opened.rest()
    (picked,) = rows(opened)
    assert np.linalg.norm(where[picked] - where[row]) <= 2
    assert f"Image {picked}" in opened.page.locator(".tip").inner_text()
    lasso(opened, circle(np.median(where, axis=0), 40))
    assert len(rows(opened)) > 20
    opened.page.mouse.click(box["x"] + 4, box["y"] + 4)
    opened.page.wait_for_timeout(500)
    opened.rest()
    assert rows(opened) == []


def test_the_stepper_takes_keys_and_the_points_glide(opened: Tab, found) -> None:
    steps = opened.page.locator(".steps button")
    assert steps.count() == 3 and steps.nth(2).get_attribute("aria-checked") == "true"
    steps.nth(2).focus()
    before = opened.sent
    opened.page.keyboard.press("Home")
    assert steps.nth(0).get_attribute("aria-checked") == "true"
    assert "Exit 1 of 3" in opened.page.locator(".feature_map p").inner_text()
    share = f"{100 * found.explained[0].sum():.1f}\u202f%"
    label = opened.page.locator(".feature_map canvas").get_attribute("aria-label")
    assert share in label and "n = 10,000" in label
    opened.page.wait_for_timeout(1500)
    box = opened.page.locator(".stage").bounding_box()
    corners = circle(np.median(places(found, 0, box["width"], box["height"]), axis=0), 50)
    assert opened.sent == before  # nothing is asked of the server
    lasso(opened, corners)
    wanted = np.flatnonzero(inside(corners, places(found, 0, box["width"], box["height"])))
    assert len(set(rows(opened)) ^ set(wanted)) < 0.05 * len(wanted)
    opened.page.keyboard.press("Escape")
    opened.page.locator('.steps button[aria-checked="true"]').focus()
    opened.page.keyboard.press("ArrowRight")
    assert steps.nth(1).get_attribute("aria-checked") == "true"
    assert opened.page.evaluate("document.activeElement.shadowRoot.activeElement.dataset.step") == "1"


def test_the_legend_names_every_class_and_singles_one_out(opened: Tab) -> None:
    names = opened.page.locator(".legend button")
    assert names.all_inner_texts() == [str(digit) for digit in range(10)]
    names.nth(3).click()
    assert names.nth(3).get_attribute("aria-pressed") == "true"
    opened.page.get_by_role("radio", name="right", exact=True).click()
    opened.page.locator(".legend").get_by_text("exit 3 is right").wait_for()
    share = f"{100 * load_trace(MODEL, small=True).correct[:, 2].mean():.1f}\u202f%"
    assert share in opened.page.locator(".legend").inner_text()
    assert not opened.errors


def test_a_finger_draws_a_lasso_too(chromium, server, found) -> None:
    context = chromium.new_context(viewport={"width": 820, "height": 1100}, has_touch=True)
    tab = Tab(context.new_page(), server)
    tab.page.goto(server)
    tab.page.wait_for_selector('.feature_map[data-ready="true"]', timeout=30000)
    tab.rest()
    box = tab.page.locator(".stage").bounding_box()
    corner = np.array([box["x"], box["y"]])
    corners = corner + circle(np.array([box["width"], box["height"]]) / 2, 90)
    session = context.new_cdp_session(tab.page)
    for n, (x, y) in enumerate(corners):
        kind = "touchStart" if n == 0 else "touchMove"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": float(x), "y": float(y)}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    tab.page.wait_for_timeout(600)
    tab.rest()
    where = places(found, 2, box["width"], box["height"])
    wanted = np.flatnonzero(inside(corners - corner, where))
    assert len(set(rows(tab)) ^ set(wanted)) <= max(3, 0.05 * len(wanted))
    context.close()
