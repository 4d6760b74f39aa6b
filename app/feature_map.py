"""The map: examples in the feature space of an exit, from exit to exit, and a lasso that picks some of them."""

import json
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from app import cache, state, theme
from app.component import component
from core.checkpoints import Card, checkpoint_folder
from core.errors import UserError
from core.feature_map import FeatureMap, load_feature_map, map_path
from core.trace import Trace

COLOURS = ("exit", "class", "right")
# ten colours that stay apart for most kinds of colour blindness (Petroff 2021), on dark ground the deep ones lighter
CLASSES = {
    "light": (
        "#3F90DA", "#FFA90E", "#BD1F01", "#94A4A2", "#832DB6", "#A96B59", "#E76300", "#B9AC70", "#4E5159", "#5FC4C9",
    ),
    "dark": (
        "#4FA3F0", "#FFB732", "#F0442A", "#A9B8B6", "#B566E8", "#C48A78", "#FF8A3D", "#D3C585", "#7F838F", "#92DADD",
    ),
}  # fmt: skip
_LARGEST = 32_000  # of a coordinate sent

_mount = component("feature_map")


def load(name: str, trace: Trace) -> FeatureMap:
    """A checkpoint's feature map with the rows of its test trace, shared by all visitors.

    Raises:
        UserError: there is none, it is damaged, or of other weights or examples.
    """
    path = map_path(checkpoint_folder(name, cache.ROOT))
    stamp = path.stat().st_mtime_ns if path.exists() else 0
    found = _load(name, cache.weights_hash(name), stamp)
    if not np.array_equal(found.ids, trace.ids):
        raise UserError(
            f"expected {path.name} of the {trace.n} examples of the {trace.split} trace of {name}, got others: "
            f"run `python -m core trace {name}` and `python -m core map {name}`"
        )
    return found


@st.cache_resource(max_entries=8, show_spinner=False)
def _load(name: str, weights: str, stamp: int) -> FeatureMap:
    return load_feature_map(name, cache.ROOT)


@st.cache_resource(max_entries=8, show_spinner=False)
def _neighbours_alike(weights: str, trace_key: str, _found: FeatureMap, _labels: NDArray[np.int64]) -> list[float]:
    """At each exit the share of neighbours that are of the example's class."""
    if _found.neighbours.size == 0:
        return [float("nan")] * _found.num_exits
    alike = _labels[_found.neighbours] == _labels[:, None, None]  # (examples, exits, k)
    return alike.mean(axis=(0, 2)).tolist()


@st.cache_resource(max_entries=8, show_spinner=False)
def _fixed(weights: str, trace_key: str, _found: FeatureMap, _trace: Trace) -> tuple[pd.DataFrame, list[list[float]]]:
    """What of `points_table` neither thresholds nor filters change."""
    small = np.uint8 if _trace.classes <= 256 else np.uint16
    columns: dict[str, NDArray] = {}
    reach = []
    for n in range(_found.num_exits):
        plane = _found.coordinates[:, n]
        scaled = np.rint(plane * (_LARGEST / max(float(np.abs(plane).max(initial=0)), 1e-30))).astype(np.int16)
        columns[f"x{n}"], columns[f"y{n}"] = scaled[:, 0], scaled[:, 1]
        columns[f"said{n}"] = _trace.predicted[:, n].astype(small)
        low, high = (scaled.min(axis=0), scaled.max(axis=0)) if len(scaled) else (np.zeros(2), np.zeros(2))
        reach.append([float(low[0]), float(high[0]), float(low[1]), float(high[1])])
    columns["label"] = _trace.labels.astype(small)
    columns["id"] = _trace.ids.astype(np.int32)
    return pd.DataFrame(columns), reach


def points_table(
    found: FeatureMap, trace: Trace, exits: NDArray[np.int64], shown: NDArray[np.bool_]
) -> tuple[pd.DataFrame, list[list[float]]]:
    """What the component draws, a line per example, and how far each exit's plane reaches.

    Args:
        exits: column of the exit each example takes.
        shown: which match the page's filter.

    Returns:
        Columns x0, y0, x1, ... int16; said0, ... (top class at each exit), label, id, exit, shown. For each exit
        [left, right, bottom, top] in the same numbers.
    """
    fixed, reach = _fixed(found.checkpoint_hash, cache.fingerprint(trace), found, trace)
    small = np.uint8 if found.num_exits <= 256 else np.uint16
    return fixed.assign(exit=exits.astype(small), shown=shown.astype(np.uint8)), reach


def payload(
    found: FeatureMap,
    trace: Trace,
    card: Card,
    exits: NDArray[np.int64],
    shown: NDArray[np.bool_],
    colour: str,
    present: bool = False,
) -> dict[str, Any]:
    """The component's data: a table of the points, all else as plain JSON. Arguments as in `show`."""
    if colour not in COLOURS:
        raise ValueError(f"expected a colour among {', '.join(COLOURS)}, got {colour!r}")
    table, reach = points_table(found, trace, exits, shown)
    alike = _neighbours_alike(found.checkpoint_hash, cache.fingerprint(trace), found, trace.labels)
    described = {
        "map": f"{found.checkpoint_hash} {cache.fingerprint(trace)}",
        "split": trace.split,
        "colour": colour,
        "names": list(card.class_names),
        "reach": reach,
        "explained": found.explained.sum(axis=1).tolist(),
        "k": found.neighbours.shape[2],
        "alike": alike if found.neighbours.size else None,
        "accuracy": trace.correct.mean(axis=0).tolist() if trace.n else [0.0] * trace.num_exits,
        "taken": np.bincount(exits, minlength=trace.num_exits).tolist(),
        "palette": theme.palette(trace.num_exits),
        "classes": {scheme: list(colours) for scheme, colours in CLASSES.items()},
        "present": present,
    }
    json.dumps(described, allow_nan=False)
    return {"points": table, "view": described}


def show(
    found: FeatureMap,
    trace: Trace,
    card: Card,
    exits: NDArray[np.int64],
    shown: NDArray[np.bool_],
    colour: str,
    key: str,
) -> list[int] | None:
    """Draw the map.

    Args:
        found: with the trace's rows, see `load`.
        exits: column of the exit each example takes, (examples,).
        shown: which examples match the page's filter, bool (examples,); the others are faint.
        colour: points by the `exit` they take, their `class`, or whether the exit that is looked at is `right`.
        key: of the component, one for each place on a page.

    Returns:
        Rows inside a lasso that was drawn just now, whether they match the filter or not; the one row of a point that
        was clicked; an empty list where the lasso was taken away; None where nothing happened. The component lets go
        of its lasso when the page's filter has followed it and then shows others again.
    """
    data = payload(found, trace, card, exits, shown, colour, state.presenting())
    result = _mount(key=key, data=data, on_lasso_change=lambda: None)
    return picked_rows(result.lasso, trace.n)


def picked_rows(message: Any, examples: int) -> list[int] | None:
    """The rows in a message of the component, checked like any other input; None where it makes no sense."""
    if not isinstance(message, (list, tuple)) or len(message) > examples:
        return None
    if not all(isinstance(row, int) and not isinstance(row, bool) and 0 <= row < examples for row in message):
        return None
    return sorted({int(row) for row in message})
