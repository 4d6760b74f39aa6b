"""The live explorer as a Streamlit component: what it is given, and what it gives back when a handle is let go."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import cache, theme
from app.cache import TestedFront
from app.component import component
from app.state import View, set_view
from app.timing import Measured
from core.analysis.rules import RULES
from core.checkpoints import Card
from core.network.cost import CostTable
from core.trace import Trace

KEY = "explorer"


_mount = component("explorer")


@dataclass(frozen=True)
class Axis:
    """A cost axis: what leaving at each exit counts on it.

    Args:
        values: for each exit.
        full: for the plain network without exits.
        title: in a sentence.
        label: under the axis.
        digits: decimals, or None for what the ticks need.
    """

    values: tuple[float, ...]
    full: float
    title: str
    label: str
    digits: int | None = None


def cost_axis(kind: str, cost: CostTable, timing: Measured | None = None) -> Axis:
    """The axis of that name in `app.state.AXES`; relative cost where milliseconds are asked for but not measured."""
    if kind == "ms" and timing is not None:
        label = f"milliseconds an image, one at a time, measured on {timing.device}, {timing.when}"
        return Axis(timing.exits, timing.full, "measured time", label)
    if kind == "macs":
        unit, name = (1e6, "million") if cost.plain_macs >= 1e6 else (1e3, "thousand")
        values = tuple(macs / unit for macs in cost.macs())
        return Axis(values, cost.plain_macs / unit, "MACs an image", f"{name} MACs an image (1 MAC = 2 FLOPs)")
    if kind == "paper":
        title = "relative cost, the paper's way"
        return Axis(cost.relative("paper"), 1.0, title, f"{title} (only the exit taken is charged)")
    return Axis(cost.relative(), 1.0, "relative cost", "relative cost (MACs / plain network)")


@dataclass(frozen=True)
class PlainNetwork:
    """The network without exits that was trained alike.

    Args:
        name: `ResNet-20`.
        accuracy: on the test split, 0..1.
        n: examples it was measured on.
    """

    name: str
    accuracy: float
    n: int


def plain_counterpart(card: Card, cards: Mapping[str, Card]) -> PlainNetwork | None:
    """The plain network a card names, where it is there and was tested."""
    plain = cards.get(card.plain_counterpart or "")
    numbers = plain.metrics.get("test") if plain else None
    if plain is None or not numbers or "exit_accuracy" not in numbers:
        return None
    return PlainNetwork(plain.title, float(numbers["exit_accuracy"][-1]), int(numbers["n"]))


def _initial_point(view: View) -> dict[str, Any]:
    """Where the handles start. Frozen until something else than a handle moves them, so that the data stay the same."""
    if "frozen_point" not in st.session_state:
        st.session_state["frozen_point"] = {
            "thresholds": list(view.thresholds),
            "off": list(view.off),
            "stretched": view.stretched,
        }
    return st.session_state["frozen_point"]


def payload(
    view: View,
    card: Card,
    trace: Trace,
    table: pd.DataFrame,
    point: Mapping[str, Any],
    revision: int,
    plain: PlainNetwork | None = None,
    front: TestedFront | None = None,
    timing: Measured | None = None,
    note: Mapping[str, Any] | None = None,
    present: bool = False,
) -> dict[str, Any]:
    """The component's data: the compact trace as a table, all else as plain JSON.

    Raises:
        ValueError: a number is not finite (the component could not read it).
    """
    rule = RULES[view.rule]
    axis = cost_axis(view.axis, card.cost, timing)
    label = rule.label + (" with temperature" if view.calibrated else "")
    described = {
        "trace": f"{cache.fingerprint(trace)} {view.rule} {view.calibrated}",
        "revision": revision,
        "title": card.title,
        "file": f"{view.model.replace('/', '-')}-{view.rule}",
        "split": trace.split,
        "rule": {"label": label, "formula": rule.formula},
        "cost": [float(c) for c in trace.relative_cost],
        "plainMacs": card.cost.plain_macs,
        "axis": {
            "values": list(axis.values),
            "full": axis.full,
            "title": axis.title,
            "label": axis.label,
            "digits": axis.digits,
        },
        "plain": None if plain is None else {"name": plain.name, "accuracy": plain.accuracy, "n": plain.n},
        "front": None if front is None else _drawn(front, axis, trace.n),
        "timing": None if timing is None else asdict(timing),
        "note": note,
        "palette": theme.palette(trace.num_exits),
        "point": dict(point),
        "present": present,
    }
    json.dumps(described, allow_nan=False)
    return {"scores": table, "view": described}


def _drawn(front: TestedFront, axis: Axis, n: int) -> dict[str, Any]:
    """A front as plain lists on a cost axis."""
    return {
        "cost": (front.exit_counts @ np.array(axis.values) / n).tolist(),
        "accuracy": front.accuracy.tolist(),
        "thresholds": [[float(t) for t in row] for row in front.front.thresholds],
    }


def returned_view(view: View, point: Any, early_exits: int) -> View:
    """The view after a handle was let go; what a browser sends is checked like any other input.

    Returns:
        The view unchanged where the message makes no sense.
    """
    if not isinstance(point, Mapping):
        return view
    thresholds, off, stretched = point.get("thresholds"), point.get("off"), point.get("stretched")
    if not isinstance(thresholds, (list, tuple)) or len(thresholds) not in (1, early_exits):
        return view
    if not all(isinstance(t, (int, float)) and math.isfinite(t) and 0 <= t <= 1 for t in thresholds):
        return view
    if not isinstance(off, (list, tuple)) or not all(isinstance(n, int) and 0 <= n < early_exits for n in off):
        return view
    return replace(
        view,
        thresholds=tuple(float(t) for t in thresholds),
        off=tuple(sorted(set(off))),
        stretched=bool(stretched) if stretched is not None else None,
    )


def just_released() -> bool:
    """Whether this run was started by a handle that was let go."""
    return bool(st.session_state.pop("released", False))


def show(view: View, card: Card, trace: Trace, table: pd.DataFrame, **extra: Any) -> None:
    """Draw the explorer. Thresholds that are let go become the visitor's view.

    Args:
        view: where the handles start.
        table: `app.cache.component_table` of the view's rule.
        extra: as in `payload`.
    """
    early = trace.num_exits - 1

    def take() -> None:
        old = st.session_state["view"]
        new = returned_view(old, st.session_state[KEY].get("point"), early)
        st.session_state["released"] = True
        if new != old:
            set_view(new, from_outside=False)

    revision = st.session_state.get("revision", 0)
    data = payload(view, card, trace, table, _initial_point(view), revision, **extra)
    _mount(key=KEY, data=data, on_point_change=take)
