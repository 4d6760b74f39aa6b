"""Which image is tried, by which way it comes, by which threshold: the controls of *Try an image* and what they choose.

A test image's id lives in the link as `image`; whatever else is brought stays with the visitor who brought it.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import cache, pad, paste, state
from app.journey import Picture, drawn_picture, embedded_picture, uploaded_picture
from app.state import View
from core.checkpoints import Card
from core.data.batch import is_zip
from core.data.decode import FORMATS, MAX_PIXELS, printable
from core.data.embedded import load_labels
from core.errors import UserError
from core.trace import Trace

_PARAMETER = "image"
_FILE = "try_file"
_CAMERA = "try_camera"
# way in -> its label, its icon, what stands on top while there is no picture yet
WAYS = {
    "test": ("Test image", ":material/grid_view:", "Choose a test image, and see where it leaves"),
    "file": ("File", ":material/upload_file:", "Bring an image, and see where it leaves"),
    "many": ("Many", ":material/folder_zip:", "Bring many images, and see where each one leaves"),
    "camera": ("Camera", ":material/photo_camera:", "Take a picture, and see where it leaves"),
    "draw": ("Draw", ":material/draw:", "Draw a digit, and see where it leaves"),
    "paste": ("Paste", ":material/content_paste:", "Paste an image, and see where it leaves"),
}
_MARKDOWN = {ord(c): "\\" + c for c in "\\`*_{}[]()#+-!|<>~$:"}


@dataclass(frozen=True)
class Current:
    """What is looked at.

    Args:
        way: how it comes, one of `WAYS`.
        row: id of the test image, or of the last one before another way; None where there are no test images.
        brought: name and contents of what was brought that way, or None.
    """

    way: str
    row: int | None
    brought: tuple[str, bytes] | None


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
    """What to try: the test image of the link where it changed, else what the session holds.

    Args:
        labels: classes of the test images, by id; None where there are none.
        first: id of the image to start with.
    """
    memory = st.session_state
    linked = st.query_params.get(_PARAMETER)
    brought: dict[str, tuple[str, bytes]] = memory.setdefault("try_brought", {})
    if labels is None or not len(labels):
        way = memory.get("try_way", "file")
        way = "file" if way == "test" else way
        return Current(way, None, brought.get(way))
    if linked is not None and linked != memory.get("try_linked"):
        row = read_row(linked, len(labels))
        if row is None:
            shown = linked if len(linked) <= 40 else linked[:39] + "…"
            memory["try_problems"] = [
                f"The link says image = {shown!r}, expected a whole number from 0 to {len(labels) - 1}: "
                "showing another image."
            ]
        else:
            choose_row(row)
    row = min(memory.setdefault("try_row", first), len(labels) - 1)
    way = memory.setdefault("try_way", "test")
    written = str(row) if way == "test" else None
    memory["try_linked"] = written
    if written is None:
        st.query_params.pop(_PARAMETER, None)
    elif linked != written:
        st.query_params[_PARAMETER] = written
    return Current(way, row, brought.get(way))


def problems() -> list[str]:
    """What the link got wrong about the image, once."""
    return st.session_state.pop("try_problems", [])


def choose_row(row: int) -> None:
    """Try a test image next."""
    st.session_state["try_row"] = row
    st.session_state["try_way"] = "test"


def bring(way: str, name: str, data: bytes | None) -> None:
    """Something came by a way, or went."""
    st.session_state.get("try_lines", {}).pop(way, None)
    brought = st.session_state.setdefault("try_brought", {})
    if data is None:
        brought.pop(way, None)
    else:
        brought[way] = (name, data)


def load_picture(current: Current, card: Card, labels: NDArray[np.int64] | None) -> Picture | None:
    """The picture that is tried, ready for the network; None where there is none yet.

    Raises:
        UserError: one line on what is wrong with it.
    """
    if current.way == "test":
        if current.row is None or labels is None:
            return None
        return embedded_picture(card, current.row, int(labels[current.row]))
    line = st.session_state.get("try_lines", {}).get(current.way)
    if line:
        raise UserError(line)
    if current.brought is None:
        return None
    name, data = current.brought
    if current.way == "draw":
        return drawn_picture(data, _as_key(card))
    if is_zip(data):
        raise UserError(f"{printable(name)}: expected one image, got a zip: choose Many above and bring it there")
    return uploaded_picture(name, data, _as_key(card))


def _as_key(card: Card) -> str:
    return json.dumps(card.preprocessing.to_json(), sort_keys=True)


def invite(current: Current, card: Card, has_table: bool) -> None:
    """What stands where the story will be, before there is a picture.

    Args:
        has_table: many images have come, and their table stands above.
    """
    if current.way == "many" and has_table:
        st.caption("Click a row to see that picture's way through the network here.")
        return
    if current.row is None:
        st.subheader("Bring an image")
        st.text(
            f"No test images of {card.dataset} lie in checkpoints/. Drop a file on the left: "
            f"{', '.join(FORMATS)}, any size, grey or colour."
        )
        return
    words = {
        "file": f"Drop a file on the left: {', '.join(FORMATS)}, any size, grey or colour.",
        "many": "Drop files or a zip on the left: each one's answer, exit and cost will stand here in a table.",
        "camera": "Take a photo on the left. The network sees the centred square of it.",
        "draw": "Draw on the left: the way begins as soon as the pen is lifted."
        if card.preprocessing.channels == 1
        else "For a drawing, choose a network that knows digits.",
        "paste": "Copy a picture or take a screenshot, then press Ctrl+V on this page.",
    }
    st.html(_EMPTY.format(words[current.way]))


# the outlines of a journey, so that nothing jumps when one comes
_EMPTY = """
<style>
.empty {{ display: grid; gap: 22px; }}
.empty div {{ display: flex; gap: 22px; align-items: center; }}
.empty i {{ border: 1.5px dashed color-mix(in srgb, currentColor 18%, transparent); border-radius: 8px; }}
.empty .pictures i {{ height: 165px; flex: 0 0 165px; }}
.empty .rail i {{ height: 14px; flex: 1; border-radius: 3px; }}
.empty .columns i {{ height: 170px; flex: 1; }}
.empty p {{ margin: 0; font-size: 15px; max-width: 34em; }}
</style>
<div class="empty"><div class="pictures"><i></i><i></i><p>{}</p></div>
<div class="rail"><i></i><i></i><i></i><i></i><i></i></div><div class="columns"><i></i><i></i><i></i></div></div>
"""


def network_for_digits(cards: Mapping[str, Card]) -> str | None:
    """Name of a network that one can draw for, or None."""
    return next((name for name, card in cards.items() if card.preprocessing.channels == 1), None)


def pick_way(current: Current, with_test_images: bool) -> None:
    """How a picture comes: all ways stand side by side."""
    st.session_state["try_way_choice"] = current.way

    def take() -> None:
        st.session_state["try_way"] = st.session_state["try_way_choice"]

    st.segmented_control(
        "How the picture comes",
        [way for way in WAYS if with_test_images or way != "test"],
        key="try_way_choice",
        format_func=lambda way: f"{WAYS[way][1]} {WAYS[way][0]}",
        required=True,
        on_change=take,
        label_visibility="collapsed",
        width="content",
    )


def pick_picture(current: Current, card: Card, digits: str | None) -> None:
    """Where a picture is brought by the chosen way, one picture at a time.

    Args:
        digits: name of a network to draw for, where this one sees colour.
    """
    if current.way == "file":
        _pick_file(current)
    elif current.way == "camera":
        _pick_camera()
    elif current.way == "paste":
        paste.show(_take_paste)
    elif current.way == "draw":
        _draw(current, card, digits)


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


def _pick_file(current: Current) -> None:
    def take() -> None:
        file = st.session_state[_FILE]
        bring("file", file.name if file else "", file.getvalue() if file else None)

    file = st.file_uploader(
        "Your own image",
        key=_FILE,
        on_change=take,
        help=f"{', '.join(FORMATS)}; any size up to {MAX_PIXELS / 1e6:.0f} megapixels, grey or colour. "
        "It stays on this machine.",
    )
    if current.brought and file is None:
        st.caption(f"Shown: {escaped(printable(current.brought[0], 40))}")


def _pick_camera() -> None:
    def take() -> None:
        photo = st.session_state[_CAMERA]
        bring("camera", "Photo", photo.getvalue() if photo else None)

    st.camera_input("Camera", key=_CAMERA, on_change=take, label_visibility="collapsed", resolution="480p")
    st.caption("No picture? Allow the camera beside the address, or bring a file. The photo stays on this machine.")


def _take_paste(message: Any) -> None:
    try:
        name, data = paste.pasted(message)
    except UserError as error:
        bring("paste", "", None)
        st.session_state.setdefault("try_lines", {})["paste"] = str(error)
    else:
        bring("paste", name, data)


def _draw(current: Current, card: Card, digits: str | None) -> None:
    if card.preprocessing.channels == 1:
        pad.show(current.brought[1] if current.brought else None, lambda data: bring("draw", "Your drawing", data))
        return
    known = escaped(", ".join(card.class_names[:3]))
    st.markdown(f"This network knows {known} and the like, in colour. The pad draws bright strokes on black.")
    if digits is not None:
        cards = cache.zoo().explorable
        name = escaped(state.model_label(digits, cards[digits]))
        st.button(f"Draw for {name}", on_click=state.choose_model, args=(digits, cards))


def shuffle_controls(examples: int) -> int:
    """Buttons for other test images.

    Returns:
        The seed of the thumbnails to show.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(f"One of {examples:,} test images", width="stretch")
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
