"""Thumbnails of the examples that leave at each exit."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import cache, theme
from app.component import component
from core.checkpoints import Card
from core.trace import Trace

_TILES = 96  # on the whole sheet
_COLUMNS = 16
_SEED = 20

_mount = component("gallery")


@dataclass(frozen=True)
class Band:
    """Examples that leave at one exit.

    Args:
        rows: of the trace, some of those that leave there, in an order that thresholds do not change.
        count: how many leave there in all.
        wrong: how many of them are wrong.
    """

    rows: tuple[int, ...]
    count: int
    wrong: int


def choose_examples(exits: NDArray[np.int64], correct: NDArray[np.bool_], most: int) -> list[Band]:
    """A fair sample for each exit: the first of a fixed shuffle, so that an image stays until it changes its exit and
    right and wrong ones show in the proportion they have.

    Args:
        exits: column of the exit taken, (examples,).
        correct: (examples, exits).
        most: examples per exit.
    """
    shuffled = np.random.default_rng(_SEED).permutation(len(exits))
    bands = []
    for n in range(correct.shape[1]):
        here = exits == n
        rows = shuffled[here[shuffled]][:most]
        wrong = int(here.sum() - correct[here, n].sum())
        bands.append(Band(tuple(int(row) for row in rows), int(here.sum()), wrong))
    return bands


def payload(
    bands: list[Band],
    trace: Trace,
    card: Card,
    url: str,
    columns: int,
    most: int,
    present: bool,
    off: tuple[int, ...] = (),
) -> dict[str, Any]:
    """The component's data, plain JSON; `off` are columns of exits that are switched off."""
    names = card.class_names

    def item(row: int, exit_: int) -> dict[str, Any]:
        said, truth = names[trace.predicted[row, exit_]], names[trace.labels[row]]
        right = said == truth
        text = f"{said}, right" if right else f"{said}, wrong: it is {truth}"
        return {"id": int(row), "right": right, "text": f"Image {int(trace.ids[row])}: {text}"}

    shown = sum(len(band.rows) for band in bands)
    return {
        "sheet": {"url": url, "columns": min(columns, max(shown, 1)), "rows": -(-max(shown, 1) // columns)},
        "exits": [
            {
                "count": band.count,
                "wrong": band.wrong,
                "off": n in off,
                "items": [item(row, n) for row in band.rows] if url else [],
            }
            for n, band in enumerate(bands)
        ],
        "palette": theme.palette(trace.num_exits),
        "rows": 2,
        "most": most,
        "present": present,
    }


def show(
    exits: NDArray[np.int64], trace: Trace, card: Card, present: bool = False, off: tuple[int, ...] = ()
) -> int | None:
    """Draw the gallery.

    Args:
        exits: column of the exit each example takes.
        off: columns of exits that are switched off.

    Returns:
        The row of the trace that was clicked just now, or None.

    Raises:
        UserError: the embedded images are damaged.
    """
    most = max(4, min(24, _TILES // trace.num_exits))
    bands = choose_examples(exits, trace.correct, most)
    rows = [row for band in bands for row in band.rows]
    url = ""
    if rows and cache.has_images(card.dataset):
        tile = max(card.spec.input_shape[1:])
        url = cache.sprite(card.dataset, tuple(int(i) for i in trace.ids[rows]), min(tile, 32), _COLUMNS)
    else:
        st.caption(f"No test images of {card.dataset} lie in checkpoints/: counts only.")
    result = _mount(
        key="gallery", data=payload(bands, trace, card, url, _COLUMNS, most, present, off), on_pick_change=lambda: None
    )
    return result.pick if isinstance(result.pick, int) and 0 <= result.pick < trace.n else None
