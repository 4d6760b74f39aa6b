"""The marks that open onto images: squares, ribbons, cells and bars, each a button that says its numbers.

Python counts, the component draws. A mark is named by the words it has in a link (`leave:3_2`), so that what a browser
sends back is read by the same reader as a link.
"""

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import theme, who
from app.component import component
from app.state import View
from app.who import Scene
from core.analysis.overthinking import GROUPS, group_costs, groups, movers, prediction_depth, tally
from core.analysis.reference_points import oracle
from core.analysis.selection import Selection, read_selection, write_selection
from core.checkpoints import Card
from core.trace import Trace

BINS = 20
_NINES = 4.0  # a crowded axis shows scores up to 1 - 10^-4 apart
_MARKS = ("leavers", "answers", "depths", "groups", "boxes", "moves")

_mount = component("doors")
Panel = dict[str, Any]


def read_mark(text: Any, classes: int, num_exits: int) -> tuple[str, Any] | None:
    """The mark a component names, checked like any other input.

    Returns:
        Its kind (a field of `Selection`) and the mark, or None where it makes no sense.
    """
    if not isinstance(text, str):
        return None
    selection, bad = read_selection(text, classes, num_exits, 0)
    found = [(field.name, getattr(selection, field.name)) for field in fields(selection) if field.name in _MARKS]
    marks = [(kind, values[0]) for kind, values in found if len(values) == 1]
    alone = not bad and len(marks) == 1 and selection == Selection(**{marks[0][0]: (marks[0][1],)})
    return marks[0] if alone else None


def marks_on(selection: Selection) -> list[str]:
    """The marks of a filter by the names the component gives them."""
    words: list[str] = []
    for part in filter(None, write_selection(selection).split(";")):
        name, _, values = part.partition(":")
        words += [f"{name}:{value}" for value in values.split(",")]
    return words


def leaving_panels(trace: Trace, exits: NDArray[np.int64], shown: NDArray[np.bool_] | None) -> list[Panel]:
    """Squares class x exit, and the flow class -> exit -> right or wrong; the cheapest class first.

    Args:
        exits: column of the exit each example takes.
        shown: examples that pass the filter, or None where there is none.
    """
    right = trace.correct[np.arange(trace.n), exits]
    shape = (trace.classes, trace.num_exits, 2)
    everyone = tally(shape, trace.labels, exits, right)
    counts = everyone.sum(axis=2)
    there = np.flatnonzero(counts.sum(axis=1))
    cost = counts[there] @ trace.relative_cost / counts[there].sum(axis=1)
    order = there[np.argsort(cost, kind="stable")].tolist()
    passing = None if shown is None else tally(shape, trace.labels, exits, right, rows=shown)
    common = {"order": order, "all": everyone.tolist(), "shown": None if passing is None else passing.tolist()}
    return [{"kind": "classes", **common}, {"kind": "flow"}]


def answers_panel(
    trace: Trace, exits: NDArray[np.int64], shown: NDArray[np.bool_] | None, asked: int, leaving: bool
) -> Panel:
    """The confusion matrix of one exit.

    Args:
        asked: column of the exit; -1 is the last.
        leaving: only the examples that leave there.
    """
    asked %= trace.num_exits
    among = exits == asked if leaving else np.ones(trace.n, np.bool_)
    shape = (trace.classes, trace.classes)
    said = trace.predicted[:, asked]
    return {
        "kind": "answers",
        "exit": asked,
        "leaving": leaving,
        "all": tally(shape, trace.labels, said, rows=among).tolist(),
        "shown": None if shown is None else tally(shape, trace.labels, said, rows=among & shown).tolist(),
    }


def depth_panel(trace: Trace, shown: NDArray[np.bool_] | None) -> Panel:
    """Histogram of prediction depth, right and wrong by the last exit."""
    depth, right = prediction_depth(trace.predicted), trace.correct[:, -1]
    return {"kind": "depth", **_both((trace.num_exits, 2), shown, depth, right)}


def groups_panel(trace: Trace, exits: NDArray[np.int64], shown: NDArray[np.bool_] | None) -> Panel:
    """Overthinking and its opposite, and what an oracle would save."""
    right = trace.correct[np.arange(trace.n), exits]
    costs, best = group_costs(trace, exits), oracle(trace.correct, trace.relative_cost)
    return {
        "kind": "groups",
        "groups": list(GROUPS.items()),
        **_both((len(GROUPS), 2), shown, groups(trace.correct), right),
        "cost": costs.cost.tolist(),
        "oracleCost": costs.oracle_cost.tolist(),
        "now": [float(right.mean()), float(trace.relative_cost[exits].mean())],
        "oracle": [best.accuracy, best.relative_cost],
    }


def bin_edges(crowded: bool) -> NDArray[np.float64]:
    """Edges of the bins of a score axis, (BINS + 1,); on a crowded axis each nine takes as much room as the next."""
    places = np.linspace(0, 1, BINS + 1)
    edges = 1 - 10 ** (-places * _NINES) if crowded else places
    edges = np.round(edges, 5)
    edges[-1] = 1
    return edges


def scores_panel(
    trace: Trace,
    exits: NDArray[np.int64],
    scores: NDArray[np.float32],
    shown: NDArray[np.bool_] | None,
    pair: tuple[int, int],
    limits: Sequence[float],
) -> Panel:
    """Scores of two exits against each other, in bins; right and wrong by the exit taken.

    Args:
        scores: (examples, exits).
        pair: columns of the exits along and up.
        limits: the threshold of each early exit.
    """
    columns = [scores[:, exit_].astype(np.float64) for exit_ in pair]
    crowded = [bool(np.median(column) > 0.9) for column in columns]
    edges = [bin_edges(flag) for flag in crowded]
    bins = [
        np.searchsorted(ends, column, side="right").clip(1, BINS) - 1
        for ends, column in zip(edges, columns, strict=True)
    ]
    right = trace.correct[np.arange(trace.n), exits]
    everyone = tally((BINS, BINS, 2), *bins, right)
    passing = everyone if shown is None else tally((BINS, BINS, 2), *bins, right, rows=shown)
    filled = np.argwhere(everyone.sum(axis=2))
    return {
        "kind": "scores",
        "pair": list(pair),
        "edges": [ends.tolist() for ends in edges],
        "crowded": crowded,
        "limits": [float(limits[exit_]) if exit_ < len(limits) else None for exit_ in pair],
        "filtered": shown is not None,
        # column, row, wrong, right, and of those that pass wrong, right
        "bins": [[int(i), int(j), *everyone[i, j].tolist(), *passing[i, j].tolist()] for i, j in filled],
    }


def moves_panel(
    trace: Trace,
    before: NDArray[np.int64],
    exits: NDArray[np.int64],
    shown: NDArray[np.bool_] | None,
    words: tuple[str, str],
) -> Panel:
    """Who leaves elsewhere than at the pinned point, and whose answer turns.

    Args:
        before: column of the exit each example takes at the pinned point.
        words: what the pinned and the current point are.
    """
    found, rows, size = movers(trace, before, exits), np.arange(trace.n), trace.num_exits
    right = trace.correct[rows, before], trace.correct[rows, exits]
    return {
        "kind": "moves",
        **_both((size, size, 2, 2), shown, before, exits, *right),
        "points": [
            [words[0], found.before.accuracy, found.before.relative_cost],
            [words[1], found.now.accuracy, found.now.relative_cost],
        ],
        "changed": found.changed,
        "turned": [found.turned_right, found.turned_wrong],
    }


def _both(shape: Sequence[int], shown: NDArray[np.bool_] | None, *columns: NDArray) -> Panel:
    return {
        "all": tally(shape, *columns).tolist(),
        "shown": None if shown is None else tally(shape, *columns, rows=shown).tolist(),
    }


def payload(panels: list[Panel], trace: Trace, names: Sequence[str], scene: Scene, present: bool) -> dict[str, Any]:
    """The component's data, plain JSON.

    Raises:
        ValueError: a number is not finite (the component could not read it).
    """
    data = {
        "panels": panels,
        "names": list(names),
        "exits": trace.num_exits,
        "n": trace.n,
        "split": trace.split,
        "on": marks_on(scene.selection),
        "palette": theme.palette(trace.num_exits),
        "present": present,
    }
    json.dumps(data, allow_nan=False)
    return data


def chart_panel(
    scene: Scene,
    trace: Trace,
    exits: NDArray[np.int64],
    scores: NDArray[np.float32],
    shown: NDArray[np.bool_] | None,
    before: NDArray[np.int64] | None,
    view: View,
) -> Panel:
    """The panel of the chart a scene asks for, the map apart. Arguments as above."""
    if scene.chart == "depth":
        return depth_panel(trace, shown)
    if scene.chart == "groups":
        return groups_panel(trace, exits, shown)
    if scene.chart == "scores":
        return scores_panel(trace, exits, scores, shown, scene.pair, view.effective(trace.num_exits - 1))
    if scene.chart == "moves" and scene.pin is not None and before is not None:
        now = who.pin_of(view, trace.num_exits)
        words = tuple(who.point_words(pin.rule, pin.calibrated, pin.thresholds) for pin in (scene.pin, now))
        return moves_panel(trace, before, exits, shown, (words[0], words[1]))
    return answers_panel(trace, exits, shown, scene.asked, scene.leaving)


def show(key: str, panels: list[Panel], trace: Trace, card: Card, scene: Scene, present: bool) -> None:
    """Draw panels; a mark that is clicked becomes part of the filter.

    Args:
        key: tells this row of panels from others.
    """

    def take() -> None:
        message = st.session_state[key].get("click")
        mark = read_mark(message.get("mark"), trace.classes, trace.num_exits) if isinstance(message, dict) else None
        if mark:
            now = who.scene()
            if mark[0] != "moves" or now.pin is not None:
                who.change(selection=now.selection.marked(*mark, add=bool(message.get("add"))))

    def set_up() -> None:
        changed = changed_scene(who.scene(), st.session_state[key].get("wish"), trace.num_exits)
        if changed != who.scene():
            who.set_scene(changed)

    data = payload(panels, trace, card.class_names, scene, present)
    _mount(key=key, data=data, on_click_change=take, on_wish_change=set_up)


def changed_scene(scene: Scene, wish: Any, num_exits: int) -> Scene:
    """The scene after a small control of a panel was used; unchanged where the message makes no sense."""

    def column(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < num_exits

    if not isinstance(wish, dict):
        return scene
    if column(wish.get("exit")) and isinstance(wish.get("leaving"), bool):
        return replace(scene, asked=wish["exit"], leaving=wish["leaving"])
    pair = wish.get("pair")
    if isinstance(pair, list) and len(pair) == 2 and all(map(column, pair)):
        return replace(scene, pair=(pair[0], pair[1]))
    return scene
