"""The heat's colours and what the component is told."""

import base64
import io
from types import SimpleNamespace

import numpy as np
from PIL import Image

from app.attention import heat_picture, heat_ramp, payload
from app.journey import Picture
from core.checkpoints import load_card
from core.data.preprocess import Prepared
from core.network.attribution import Attention


def lightness(colours: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB colours, uint8 (n, 3)."""
    encoded = colours / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(y > 216 / 24389, 116 * np.cbrt(y) - 16, 24389 / 27 * y)


def test_the_ramp_rises_evenly_in_lightness() -> None:
    ramp = heat_ramp()
    assert ramp.shape == (256, 3) and ramp.dtype == np.uint8
    steps = np.diff(lightness(ramp[::15]))
    assert steps.min() > 0 and steps.max() < 2 * steps.mean()


def test_no_heat_is_clear() -> None:
    pixels = np.asarray(heat_picture(np.array([[0, 0.5, 1]], np.float32)))
    assert pixels.shape == (1, 3, 4) and pixels[0, 0, 3] == 0 and pixels[0, 2, 3] == 255
    assert 0 < pixels[0, 1, 3] < 255


def test_payload() -> None:
    card = load_card("mnist/eenet8")
    heat = np.zeros((3, 28, 28), np.float32)
    heat[0, 3, 5] = heat[2, 1, 1] = 1
    probabilities = np.full((3, 10), 0.01, np.float32)
    probabilities[:, 7] = 0.91
    found = Attention(heat, np.array([4, 4, 4]), probabilities)
    pixels = np.zeros((1, 28, 28), np.uint8)
    picture = Picture(
        "k", "Test image 1", "", (28, 28), "", Prepared(np.zeros((1, 1, 28, 28), np.float32), pixels, ()), 7
    )
    data = payload(found, SimpleNamespace(exit=1), card, picture, 4)
    assert data["chosen"] == "4" and data["taken"] == 1
    assert [e["executed"] for e in data["exits"]] == [True, True, False]
    assert [e["state"] for e in data["exits"]] == ["goes on", "leaves here", "not executed"]
    assert [e["answer"] for e in data["exits"]] == ["7"] * 3 and all(e["right"] for e in data["exits"])
    assert [e["heat"] is None for e in data["exits"]] == [False, True, False]
    assert abs(data["exits"][0]["p"] - 0.01) < 1e-6
    image = Image.open(io.BytesIO(base64.b64decode(data["exits"][0]["heat"].split(",")[1])))
    assert image.mode == "RGBA" and image.size == (28, 28)
    assert np.argwhere(np.asarray(image)[:, :, 3] == 255).tolist() == [[3, 5]]
