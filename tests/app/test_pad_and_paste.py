"""Messages of the drawing pad and the paste target are checked like any other input."""

import base64

import pytest

from app.pad import drawing
from app.paste import pasted
from core.data.decode import MAX_BYTES
from core.errors import UserError


def url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def test_a_drawing_comes_as_it_was_sent() -> None:
    assert drawing(url(b"pixels")) == b"pixels"


@pytest.mark.parametrize(
    "message",
    [None, "", 3, {"png": "x"}, "data:text/html;base64,PGI+", "data:image/png;base64,%%%", url(bytes(2**20))],
)
def test_a_senseless_message_draws_nothing(message: object) -> None:
    assert drawing(message) is None


def test_a_paste_keeps_its_bytes_and_a_plain_name() -> None:
    assert pasted({"name": "image.png", "data": url(b"pixels")}) == ("Pasted image", b"pixels")
    assert pasted({"name": "a\nb.png", "data": url(b"pixels")}) == ("a?b.png", b"pixels")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (None, "something else"),
        ({"name": "a"}, "something else"),
        ({"name": 3, "data": url(b"x")}, "something else"),
        ({"name": "a", "data": "data:image/png;base64,%%%"}, "damaged"),
        ({"name": "a", "data": "data:image/png;base64," + "A" * (4 * (40 * 2**20) // 3)}, "got 40 MB"),
    ],
)
def test_a_bad_paste_is_one_line(message: object, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        pasted(message)
    assert "\n" not in str(caught.value)


def test_the_largest_image_still_fits() -> None:
    assert len(pasted({"name": "", "data": url(bytes(MAX_BYTES))})[1]) == MAX_BYTES
