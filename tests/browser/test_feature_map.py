"""The map in a real browser: stepping from exit to exit, drawing a lasso, letting it go."""

import ast
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from playwright.sync_api import expect

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


@contextmanager
def one_message(tab: Tab) -> Iterator[None]:
    """What is done inside sends one message: leave when the page has written what it says."""
    before = int(tab.page.get_by_text("messages ").inner_text().removeprefix("messages "))
    yield
    expect(tab.page.get_by_text("messages ")).to_have_text(f"messages {before + 1}")
    tab.rest()


def lasso(tab: Tab, corners: np.ndarray) -> None:
    """Draw around with the mouse; corners relative to the map."""
    box = tab.still(".stage")
    mouse = tab.page.mouse
    with one_message(tab):
        mouse.move(box["x"] + corners[0, 0], box["y"] + corners[0, 1])
        mouse.down()
        for x, y in corners[1:]:
            mouse.move(box["x"] + x, box["y"] + y)
        mouse.up()


def circle(centre: np.ndarray, radius: float) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 30)[:-1]
    return np.round(centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1))


def test_a_lasso_gives_the_rows_inside_and_escape_lets_them_go(opened: Tab, found) -> None:
    box = opened.still(".stage")
    where = places(found, 2, box["width"], box["height"])
    corners = circle(np.median(where, axis=0), 60)
    lasso(opened, corners)
    sure = inside(circle(np.median(where, axis=0), 58), where), inside(circle(np.median(where, axis=0), 62), where)
    got = set(rows(opened))
    assert len(got) > 50 and set(np.flatnonzero(sure[0])) <= got <= set(np.flatnonzero(sure[1]))
    expect(opened.page.locator(".feature_map")).to_have_attribute("data-picked", str(len(got)))
    expect(opened.page.locator(".feature_map p")).to_contain_text(f"{len(got):,} picked")
    with one_message(opened):
        opened.page.keyboard.press("Escape")
    assert rows(opened) == []
    assert not opened.errors


def test_a_click_picks_a_point_and_a_click_beside_lets_go(opened: Tab, found) -> None:
    box = opened.still(".stage")
    where = places(found, 2, box["width"], box["height"])
    row = int(where[:, 0].argmax())  # at the edge, alone
    with one_message(opened):
        opened.page.mouse.click(box["x"] + where[row, 0], box["y"] + where[row, 1])
    (picked,) = rows(opened)
    assert np.linalg.norm(where[picked] - where[row]) <= 2
    expect(opened.page.locator(".tip")).to_contain_text(f"Image {picked}")
    lasso(opened, circle(np.median(where, axis=0), 40))
    assert len(rows(opened)) > 20
    with one_message(opened):
        opened.page.mouse.click(box["x"] + 4, box["y"] + 4)
    assert rows(opened) == []


def test_the_stepper_takes_keys_and_the_points_glide(opened: Tab, found) -> None:
    steps = opened.page.locator(".steps button")
    expect(steps).to_have_count(3)
    expect(steps.nth(2)).to_have_attribute("aria-checked", "true")
    steps.nth(2).focus()
    before = opened.sent
    opened.page.keyboard.press("Home")
    expect(steps.nth(0)).to_have_attribute("aria-checked", "true")
    expect(opened.page.locator(".feature_map p")).to_contain_text("Exit 1 of 3")
    share = f"{100 * found.explained[0].sum():.1f}\u202f%"
    label = opened.page.locator(".feature_map canvas")
    for part in (re.escape(share), r"n = 10,000\b"):
        expect(label).to_have_attribute("aria-label", re.compile(part))
    opened.page.wait_for_selector('.feature_map[data-moving="false"]')
    opened.page.wait_for_timeout(500)
    box = opened.still(".stage")
    corners = circle(np.median(places(found, 0, box["width"], box["height"]), axis=0), 50)
    assert opened.sent == before  # nothing is asked of the server
    lasso(opened, corners)
    wanted = np.flatnonzero(inside(corners, places(found, 0, box["width"], box["height"])))
    assert len(set(rows(opened)) ^ set(wanted)) < 0.05 * len(wanted)
    with one_message(opened):
        opened.page.keyboard.press("Escape")
    opened.page.locator('.steps button[aria-checked="true"]').focus()
    opened.page.keyboard.press("ArrowRight")
    expect(steps.nth(1)).to_have_attribute("aria-checked", "true")
    expect(steps.nth(1)).to_be_focused()


def test_the_legend_names_every_class_and_singles_one_out(opened: Tab) -> None:
    names = opened.page.locator(".legend button")
    expect(names).to_have_text([str(digit) for digit in range(10)])
    names.nth(3).click()
    expect(names.nth(3)).to_have_attribute("aria-pressed", "true")
    opened.page.get_by_role("radio", name="right", exact=True).click()
    opened.page.locator(".legend").get_by_text("exit 3 is right").wait_for()
    share = f"{100 * load_trace(MODEL, small=True).correct[:, 2].mean():.1f}\u202f%"
    expect(opened.page.locator(".legend")).to_contain_text(share)
    assert not opened.errors


def test_a_finger_draws_a_lasso_too(chromium, server, found) -> None:
    context = chromium.new_context(viewport={"width": 820, "height": 1100}, has_touch=True)
    tab = Tab(context.new_page(), server)
    tab.page.goto(server)
    tab.page.wait_for_selector('.feature_map[data-ready="true"]', timeout=30000)
    tab.rest()
    box = tab.still(".stage")
    corner = np.array([box["x"], box["y"]])
    corners = corner + circle(np.array([box["width"], box["height"]]) / 2, 90)
    session = context.new_cdp_session(tab.page)
    with one_message(tab):
        for n, (x, y) in enumerate(corners):
            kind = "touchStart" if n == 0 else "touchMove"
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": float(x), "y": float(y)}]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    where = places(found, 2, box["width"], box["height"])
    wanted = np.flatnonzero(inside(corners - corner, where))
    assert len(set(rows(tab)) ^ set(wanted)) <= max(3, 0.05 * len(wanted))
    context.close()
