"""Which image is tried, by which rule and threshold: the controls of *Try an image* and what they choose.

A test image's id lives in the link as `image`; a file stays with the visitor who brought it.
"""

import json
import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import cache, state
from app.journey import Picture, embedded_picture, uploaded_picture
from app.state import View
from core.checkpoints import Card
from core.data.decode import FORMATS, printable
from core.data.embedded import load_labels
from core.errors import UserError
from core.trace import Trace

_PARAMETER = "image"
_FILE = "try_file"
_MARKDOWN = {ord(c): "\\" + c for c in "\\`*_{}[]()#+-!|<>~$:"}


@dataclass(frozen=True)
class Current:
    """What is looked at.

    Args:
        row: id of the test image, or of the last one before a file came; None where there are no test images.
        upload: name and bytes of the file that is tried instead, or None.
    """

    row: int | None
    upload: tuple[str, bytes] | None


def escaped(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return text.translate(_MARKDOWN)


def test_labels(dataset: str) -> NDArray[np.int64] | None:
    """Classes of the embedded test images, by id; None where there are none."""
    try:
        return load_labels(dataset, cache.ROOT).labels
    except UserError:
        return None


def read_row(text: str, examples: int) -> int | None:
    """The id in a link, or None where it is no id of a test image."""
    fits = text.isascii() and text.isdigit() and len(text) < 10 and int(text) < examples
    return int(text) if fits else None


def first_picture(exits: NDArray[np.int64], trace: Trace) -> int:
    """The id of the image a newcomer sees: one that goes through some exits and leaves at a middle one, right."""
    right = trace.correct[np.arange(len(exits)), exits]
    for exit_ in (trace.num_exits // 2, *range(trace.num_exits)):
        rows = np.flatnonzero((exits == exit_) & right)
        if len(rows):
            return int(trace.ids[rows[len(rows) // 2]])
    return int(trace.ids[0])


def current_picture(labels: NDArray[np.int64] | None, first: int) -> Current:
    """The test image or file to try: from the link where it changed, else from the session.

    Args:
        labels: classes of the test images, by id; None where there are none.
        first: id of the image to start with.
    """
    memory = st.session_state
    linked = st.query_params.get(_PARAMETER)
    if labels is None or not len(labels):
        return Current(None, memory.get("try_upload"))
    if linked is not None and linked != memory.get("try_linked"):
        row = read_row(linked, len(labels))
        if row is None:
            shown = linked if len(linked) <= 40 else linked[:39] + "…"
            memory["try_problems"] = [
                f"The link says image = {shown!r}, expected a whole number from 0 to {len(labels) - 1}: "
                "showing another image."
            ]
        else:
            memory["try_row"] = row
            memory["try_uses_file"] = False
    row = min(memory.setdefault("try_row", first), len(labels) - 1)
    uses_file = memory.get("try_uses_file", False) and "try_upload" in memory
    written = None if uses_file else str(row)
    memory["try_linked"] = written
    if written is None:
        st.query_params.pop(_PARAMETER, None)
    elif linked != written:
        st.query_params[_PARAMETER] = written
    return Current(row, memory["try_upload"] if uses_file else None)


def problems() -> list[str]:
    """What the link got wrong about the image, once."""
    return st.session_state.pop("try_problems", [])


def choose_row(row: int) -> None:
    """Try a test image next."""
    st.session_state["try_row"] = row
    st.session_state["try_uses_file"] = False


def _take_file() -> None:
    """A file came or went."""
    file = st.session_state[_FILE]
    if file is None:
        st.session_state.pop("try_upload", None)
    else:
        st.session_state["try_upload"] = (file.name, file.getvalue())
    st.session_state["try_uses_file"] = file is not None


def _use_file() -> None:
    st.session_state["try_uses_file"] = True


def load_picture(current: Current, card: Card, labels: NDArray[np.int64] | None) -> Picture | None:
    """The picture that is tried, ready for the network; None where there is none yet.

    Raises:
        UserError: one line on what is wrong with it.
    """
    if current.upload:
        name, data = current.upload
        return uploaded_picture(name, data, _as_key(card))
    if current.row is None or labels is None:
        return None
    return embedded_picture(card, current.row, int(labels[current.row]))


def _as_key(card: Card) -> str:
    return json.dumps(card.preprocessing.to_json(), sort_keys=True)


def invite(card: Card) -> None:
    """What stands where the story will be, before there is a picture."""
    st.subheader("Bring an image")
    st.text(
        f"No test images of {card.dataset} lie in checkpoints/. Drop a file on the left: "
        f"{', '.join(FORMATS)}, any size, grey or colour."
    )


def pick_threshold(view: View, early: int) -> None:
    """The threshold, shared with the other pages: one for all, or one for each exit where it was set so."""
    if len(view.thresholds) == 1:
        _threshold("Threshold T", "try_t", view.thresholds[0], lambda t: (t,))
        return
    with st.popover(f"T = {', '.join(f'{t:g}' for t in view.thresholds)}", width="content"):
        for n, threshold in enumerate(view.thresholds):
            _threshold(
                f"Threshold of exit {n + 1}", f"try_t{n}", threshold, lambda t, n=n: _with(view.thresholds, n, t)
            )
        st.button(
            "One for all exits",
            on_click=lambda: state.change_view(thresholds=(float(np.median(view.thresholds)),)),
            width="stretch",
        )


def _with(thresholds: tuple[float, ...], n: int, value: float) -> tuple[float, ...]:
    return (*thresholds[:n], value, *thresholds[n + 1 :])


def _threshold(label: str, key: str, value: float, thresholds: Any) -> None:
    st.session_state[key] = value
    st.slider(
        label,
        0.0,
        1.0,
        step=0.001,
        key=key,
        format="%.3f",
        on_change=lambda: state.change_view(thresholds=thresholds(st.session_state[key])),
        help="An image leaves at the first exit whose score reaches T; at T = 1 none leaves early. "
        "Explore uses the same.",
        width=190,
    )


def pick_file(current: Current) -> None:
    """Where files are dropped; the one that was brought can be looked at again after a test image."""
    st.file_uploader(
        "Your own image",
        key=_FILE,
        on_change=_take_file,
        help=f"{', '.join(FORMATS)}; any size up to 64 megapixels, grey or colour. It stays on this machine.",
    )
    upload = st.session_state.get("try_upload")
    if upload and not current.upload:
        st.button(f"Back to {escaped(printable(upload[0], 24))}", key="try_back", on_click=_use_file, width="stretch")


def shuffle_controls(examples: int) -> int:
    """Buttons for other test images.

    Returns:
        The seed of the thumbnails to show.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(f"Or one of {examples:,} test images", width="stretch")
        st.button(
            "",
            key="try_random",
            icon=":material/casino:",
            type="tertiary",
            on_click=_random,
            args=(examples,),
            help="Any one of them",
        )
        st.button(
            "",
            key="try_shuffle",
            icon=":material/shuffle:",
            type="tertiary",
            on_click=_shuffle,
            help="Other thumbnails",
        )
    return int(st.session_state.get("try_seed", 20))


def _shuffle() -> None:
    st.session_state["try_seed"] = secrets.randbelow(2**31)


def _random(examples: int) -> None:
    choose_row(secrets.randbelow(examples))
