"""A place to paste an image from the clipboard."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

import streamlit as st

from app.component import component
from core.data.decode import MAX_BYTES, printable
from core.errors import UserError

KEY = "paste"

_mount = component("paste")


def show(on_paste: Callable[[Any], None]) -> None:
    """Draw the place.

    Args:
        on_paste: called with the component's message, which `pasted` reads, before the page runs again.
    """
    _mount(key=KEY, data={"limit": MAX_BYTES}, on_image_change=lambda: on_paste(st.session_state[KEY].get("image")))


def pasted(message: Any) -> tuple[str, bytes]:
    """Name and contents of the image in a message of the component.

    Raises:
        UserError: larger than an image may be, or no message of the component.
    """
    name = message.get("name") if isinstance(message, dict) else None
    data = message.get("data") if isinstance(message, dict) else None
    if not isinstance(name, str) or not isinstance(data, str):
        raise UserError("expected an image from the clipboard, got something else: copy the picture again")
    body = data.partition(";base64,")[2]
    if 3 * len(body) // 4 > MAX_BYTES + 2:
        raise UserError(
            f"expected at most {MAX_BYTES / 2**20:.0f} MB from the clipboard, got {3 * len(body) / 2**22:.0f} MB: "
            "copy a smaller picture"
        )
    try:
        contents = base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise UserError("expected an image from the clipboard, got a damaged one: copy the picture again") from error
    # browsers call every copied picture image.png
    return ("Pasted image" if name in ("", "image.png") else printable(name)), contents
