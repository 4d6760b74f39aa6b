"""Test images to choose from, those that leave at the same exit together."""

from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import cache, theme
from app.component import component
from core.checkpoints import Card
from core.trace import Trace

KEY = "picker"
COLUMNS = 6
_SHEET_COLUMNS = 12

_mount = component("picker")


def sample_by_exit(exits: NDArray[np.int64], num_exits: int, most: int, seed: int) -> list[tuple[int, ...]]:
    """Some of the examples that leave at each exit.

    Args:
        exits: column of the exit taken, (examples,).
        most: examples per exit.
        seed: another one gives others.

    Returns:
        For each exit rows in an order that thresholds do not change.
    """
    shuffled = np.random.default_rng(seed).permutation(len(exits))
    return [tuple(int(row) for row in shuffled[exits[shuffled] == n][:most]) for n in range(num_exits)]


def rows_per_exit(num_exits: int) -> int:
    """Rows of thumbnails in a band, so that the picker keeps about the same height."""
    return 2 if num_exits <= 4 else 1


def payload(exits: NDArray[np.int64], trace: Trace, card: Card, seed: int, selected: int | None) -> dict[str, Any]:
    """The component's data.

    Args:
        exits: column of the exit each example of the trace takes.
        selected: id of the image that is shown, or None.

    Raises:
        UserError: the embedded images are missing or damaged.
    """
    bands = sample_by_exit(exits, trace.num_exits, COLUMNS * rows_per_exit(trace.num_exits), seed)
    rows = [row for band in bands for row in band]
    counts = np.bincount(exits, minlength=trace.num_exits)
    names = card.class_names

    def item(row: int, n: int) -> dict[str, Any]:
        said, truth = names[trace.predicted[row, n]], names[trace.labels[row]]
        image = int(trace.ids[row])
        return {
            "id": image,
            "right": said == truth,
            "text": f"Test image {image}: {said}, right"
            if said == truth
            else f"Test image {image}: {said}, wrong: {truth}",
        }

    ids = tuple(int(trace.ids[row]) for row in rows)
    columns = min(_SHEET_COLUMNS, len(ids))
    return {
        "sheet": {
            "url": cache.sprite(card.dataset, ids, min(max(card.spec.input_shape[1:]), 48), columns),
            "columns": columns,
            "rows": -(-len(ids) // columns),
        },
        "bands": [
            {"exit": n, "count": int(counts[n]), "items": [item(row, n) for row in band]}
            for n, band in enumerate(bands)
        ],
        "columns": COLUMNS,
        "selected": selected,
        "palette": theme.palette(trace.num_exits),
    }


def show(data: dict[str, Any], examples: int, on_pick: Callable[[int], None]) -> None:
    """Draw the picker.

    Args:
        data: its `payload`.
        examples: how many test images there are.
        on_pick: called with the id of an image that was clicked, before the page runs again.
    """

    def take() -> None:
        picked = picked_image(st.session_state[KEY].get("pick"), examples)
        if picked is not None:
            on_pick(picked)

    _mount(key=KEY, data=data, on_pick_change=take)


def picked_image(message: Any, examples: int) -> int | None:
    """The id in a message of the component, checked like any other input; None where it makes no sense."""
    fits = isinstance(message, int) and not isinstance(message, bool) and 0 <= message < examples
    return message if fits else None
