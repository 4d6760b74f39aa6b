"""The big gallery: a band of test images for each exit, easiest to hardest, thousands of them in pages."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import cache, theme, who
from app.component import component
from app.who import Scene
from core.checkpoints import Card
from core.trace import Trace

KEY = "bands"
COLUMNS = 32  # of the sheet, and of a wide page
SOLO_ROWS = 12

_mount = component("bands")


@dataclass(frozen=True)
class Band:
    """Images that leave at one exit.

    Args:
        exit: its column.
        rows: of the trace, those of the page that is shown.
        start: how many come before them.
        page: how many are on a page.
        passing: how many pass the filter.
        count, wrong: all that leave there, and the wrong ones among those that pass.
    """

    exit: int
    rows: tuple[int, ...]
    start: int
    page: int
    passing: int
    count: int
    wrong: int


def ranked(rows: NDArray[np.int64], taken: NDArray[np.float32], ties: NDArray[np.float32], order: str) -> NDArray:
    """Rows by their score at the exit taken, equal scores by the largest probability there.

    Args:
        rows: of the trace.
        taken, ties: score and largest probability at the exit taken, (examples,).
        order: `sure`, the highest first, or `unsure`.
    """
    rising = np.lexsort((rows, ties[rows], taken[rows]))
    return rows[rising] if order == "unsure" else rows[rising[::-1]]


def choose_bands(
    trace: Trace,
    exits: NDArray[np.int64],
    scores: NDArray[np.float32],
    shown: NDArray[np.bool_],
    scene: Scene,
) -> list[Band]:
    """What is on the page: one band for each exit, or the one that is asked for.

    Args:
        exits: column of the exit each example takes.
        scores: (examples, exits), from `comparable_scores`.
        shown: examples that pass the filter.
    """
    everyone = np.arange(trace.n)
    taken, ties = scores[everyone, exits], trace.scores["probability"][everyone, exits]
    right = trace.correct[everyone, exits]
    columns = range(trace.num_exits) if scene.solo is None else [scene.solo]
    passing = [np.flatnonzero((exits == exit_) & shown) for exit_ in columns]
    pages = page_sizes([len(rows) for rows in passing], rows_in_all(trace.num_exits, scene.solo))
    bands = []
    for exit_, rows, per_page in zip(columns, passing, pages, strict=True):
        wanted = scene.starts[exit_] if exit_ < len(scene.starts) else 0
        start = min(wanted, max(len(rows) - 1, 0)) // per_page * per_page
        page = ranked(rows, taken, ties, scene.order)[start : start + per_page]
        wrong = int((~right[rows]).sum())
        bands.append(Band(exit_, tuple(page.tolist()), start, per_page, len(rows), int((exits == exit_).sum()), wrong))
    return bands


def rows_in_all(num_exits: int, solo: int | None) -> int:
    """Rows of `COLUMNS` images in all bands together."""
    if solo is not None:
        return SOLO_ROWS
    return num_exits * (4 if num_exits <= 2 else 3 if num_exits <= 3 else 2)


def page_sizes(passing: Sequence[int], rows: int) -> list[int]:
    """Images on a page of each band, whole rows: what a band does not need goes to those that have more to show.

    Args:
        passing: images of each band that pass the filter.
        rows: for all bands together, at least one for each.
    """
    needed = [max(1, -(-images // COLUMNS)) for images in passing]
    given = [1] * len(needed)
    while sum(given) < rows and given != needed:
        hungry = [n for n in range(len(needed)) if given[n] < needed[n]]
        given[min(hungry, key=given.__getitem__)] += 1
    return [COLUMNS * n for n in given]


def payload(
    bands: Sequence[Band],
    trace: Trace,
    card: Card,
    scores: NDArray[np.float32],
    scene: Scene,
    filtered: bool,
    present: bool,
) -> dict[str, Any]:
    """The component's data.

    Raises:
        UserError: the embedded images are damaged.
    """
    rows = [row for band in bands for row in band.rows]
    images = bool(rows) and cache.has_images(card.dataset)
    url = ""
    if images:
        tile = min(max(card.spec.input_shape[1:]), 32)
        url = cache.sheet(card.dataset, trace.ids[rows], tile, COLUMNS)

    def described(band: Band) -> dict[str, Any]:
        chosen = list(band.rows)
        return {
            "exit": band.exit,
            "start": band.start,
            "page": band.page,
            "passing": band.passing,
            "count": band.count,
            "wrong": band.wrong,
            "rows": chosen,
            "ids": trace.ids[chosen].tolist() if chosen else [],
            "said": trace.predicted[chosen, band.exit].tolist() if chosen else [],
            "truth": trace.labels[chosen].tolist() if chosen else [],
            "scores": [round(float(s), 4) for s in scores[chosen, band.exit]] if chosen else [],
        }

    columns = min(COLUMNS, max(len(rows), 1))
    data = {
        "sheet": {"url": url, "columns": columns, "rows": -(-max(len(rows), 1) // columns)},
        "bands": [described(band) for band in bands],
        "names": list(card.class_names),
        "rows": rows_in_all(trace.num_exits, scene.solo),
        "columns": COLUMNS,
        "solo": scene.solo,
        "order": scene.order,
        "orders": who.ORDERS,
        "filtered": filtered,
        "palette": theme.palette(trace.num_exits),
        "split": trace.split,
        "present": present,
    }
    json.dumps(data, allow_nan=False)
    return data


def turned(scene: Scene, message: Any, num_exits: int) -> Scene:
    """The scene after a pager or a band's name was used; unchanged where the message makes no sense."""

    def whole(value: Any, end: int) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < end

    if not isinstance(message, dict):
        return scene
    exit_, start = message.get("exit"), message.get("start")
    if whole(exit_, num_exits) and whole(start, 2**31):
        starts = [*scene.starts, *[0] * (num_exits - len(scene.starts))]
        starts[int(exit_)] = int(start)  # type: ignore[call-overload]
        return replace(scene, starts=tuple(starts))
    if message.get("order") in who.ORDERS:
        return replace(scene, order=message["order"], starts=())
    if "solo" in message and (message["solo"] is None or whole(message["solo"], num_exits)):
        return replace(scene, solo=message["solo"], starts=())
    return scene


def show(data: dict[str, Any], trace: Trace) -> int | None:
    """Draw the gallery.

    Args:
        data: its `payload`.

    Returns:
        The row of the trace that was clicked just now, or None.
    """

    def turn() -> None:
        scene = turned(who.scene(), st.session_state[KEY].get("turn"), trace.num_exits)
        if scene != who.scene():
            who.set_scene(scene)

    result = _mount(key=KEY, data=data, on_pick_change=lambda: None, on_turn_change=turn)
    pick = result.pick
    return pick if isinstance(pick, int) and not isinstance(pick, bool) and 0 <= pick < trace.n else None
