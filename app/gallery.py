"""Thumbnails of the examples that leave at each exit, and one example's story."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from app import cache, theme
from app.state import View
from core.checkpoints import Card
from core.data.preprocess import to_image
from core.trace import Trace

_FILES = Path(__file__).resolve().parent / "components"
_TILES = 96  # on the whole sheet
_COLUMNS = 16
_SEED = 20

_mount = st.components.v2.component(
    "eenet_gallery",
    html='<div class="gallery">\n</div>',
    css=(_FILES / "gallery.css").read_text(encoding="utf-8"),
    js=(_FILES / "gallery.js").read_text(encoding="utf-8"),
)


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
    bands: list[Band], trace: Trace, card: Card, url: str, columns: int, most: int, present: bool
) -> dict[str, Any]:
    """The component's data, plain JSON."""
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
            {"count": band.count, "wrong": band.wrong, "items": [item(row, n) for row in band.rows] if url else []}
            for n, band in enumerate(bands)
        ],
        "palette": theme.palette(trace.num_exits),
        "rows": 2,
        "most": most,
        "present": present,
    }


def show(exits: NDArray[np.int64], trace: Trace, card: Card, present: bool = False) -> int | None:
    """Draw the gallery.

    Args:
        exits: column of the exit each example takes.

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
        key="gallery", data=payload(bands, trace, card, url, _COLUMNS, most, present), on_pick_change=lambda: None
    )
    return result.pick if isinstance(result.pick, int) and 0 <= result.pick < trace.n else None


def story_table(row: int, trace: Trace, card: Card, view: View, scores: NDArray[np.float32]) -> pd.DataFrame:
    """What every exit says about one example and what comes of it, one line per exit."""
    thresholds = [*view.effective(trace.num_exits - 1), None]
    left = False
    lines = []
    for n, threshold in enumerate(thresholds):
        leaves = not left and (threshold is None or scores[row, n] >= np.float32(threshold))
        lines.append(
            {
                "exit": n + 1,
                "answer": card.class_names[trace.predicted[row, n]],
                "right": "right" if trace.correct[row, n] else "wrong",
                "score": float(scores[row, n]),
                "leaves when": "always" if threshold is None else "off" if n in view.off else f"≥ {threshold:g}",
                "what happens": "not run" if left else "leaves here" if leaves else "goes on",
                "cost so far": float(trace.relative_cost[n]),
            }
        )
        left = left or leaves
    return pd.DataFrame(lines)


@st.dialog("One image", width="medium")
def show_story(row: int, trace: Trace, card: Card, view: View, scores: NDArray[np.float32]) -> None:
    """One example in a drawer: the image, every exit's answer, where it leaves."""
    table = story_table(row, trace, card, view, scores)
    end = table[table["what happens"] == "leaves here"].iloc[0]
    picture, words = st.columns([1, 2], vertical_alignment="center")
    image = cache.test_images(card.dataset)[int(trace.ids[row])]
    picture.image(to_image(image, 160), width=160)
    words.text(
        f"It is: {card.class_names[trace.labels[row]]} ({trace.split} image {int(trace.ids[row])}).\n"
        f"Leaves at exit {end['exit']} as {end['answer']}, {end['right']}, "
        f"for {end['cost so far']:.2f} of the computation."
    )
    st.dataframe(
        table,
        hide_index=True,
        column_config={
            "score": st.column_config.ProgressColumn(min_value=0.0, max_value=1.0, format="%.3f"),
            "cost so far": st.column_config.NumberColumn(format="%.2f"),
        },
    )
