"""The drawing pad: what was drawn comes as a PNG each time the pen is lifted."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

import streamlit as st

from app.component import component

KEY = "pad"
_LARGEST = 2**20  # characters; a drawing takes about 5,000
_START = "data:image/png;base64,"

_mount = component("pad")


def show(drawn: bytes | None, on_draw: Callable[[bytes | None], None]) -> None:
    """Draw the pad.

    Args:
        drawn: the PNG that was drawn so far, or None: where a pad starts that comes into view again.
        on_draw: called with the PNG, or None where the pad was cleared, before the page runs again.
    """

    def take() -> None:
        on_draw(drawing(st.session_state[KEY].get("png")))

    _mount(key=KEY, data={"start": _START + base64.b64encode(drawn).decode() if drawn else ""}, on_png_change=take)


def drawing(message: Any) -> bytes | None:
    """The PNG in a message of the pad, checked like any other input; None where nothing is drawn."""
    if not isinstance(message, str) or not message.startswith(_START) or len(message) > _LARGEST:
        return None
    try:
        return base64.b64decode(message[len(_START) :], validate=True)
    except binascii.Error:
        return None
