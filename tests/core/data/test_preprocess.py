"""From a picture of any size to a network's input."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core.data.preprocess import Preprocessing, is_light, to_image
from core.errors import UserError

GREY = Preprocessing(channels=1, size=28, mean=(0.1307,), std=(0.3081,))
COLOUR = Preprocessing(channels=3, size=32, mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26))
DIGITS = replace(GREY, invert_if_light=True)


def noise(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_json_round_trip():
    for preprocessing in (GREY, COLOUR, DIGITS):
        assert Preprocessing.from_json(json.loads(json.dumps(preprocessing.to_json()))) == preprocessing
    assert Preprocessing.from_json({"channels": 1, "size": 28, "mean": [0.5], "std": [1]}).std == (1.0,)


@pytest.mark.parametrize(
    "change",
    [
        {"channels": 2},
        {"channels": "3"},
        {"channels": True},
        {"size": 0},
        {"size": 28.0},
        {"size": 5_000},
        {"mean": [0.5]},
        {"mean": 0.5},
        {"mean": [0.5, "0.5", 0.5]},
        {"std": [0.2, 0.0, 0.2]},
        {"std": [0.2, float("nan"), 0.2]},
        {"invert_if_light": 1},
        {"colour": "red"},
    ],
)
def test_a_wrong_card_is_one_line(change):
    with pytest.raises(UserError, match=r"^expected .*, got .*: correct [^\n]*$"):
        Preprocessing.from_json(COLOUR.to_json() | change)


@pytest.mark.parametrize("values", [None, [], {}, {"channels": 3}])
def test_a_card_without_preprocessing(values):
    with pytest.raises(UserError, match="correct the card"):
        Preprocessing.from_json(values)


def test_a_picture_of_the_right_size_keeps_its_pixels():
    picture = noise(32, 32)
    prepared = COLOUR.prepare(picture)
    assert prepared.steps == ()
    assert np.array_equal(prepared.picture, np.asarray(picture).transpose(2, 0, 1))
    assert prepared.input.shape == (1, *COLOUR.input_shape)
    assert prepared.input.dtype == np.float32


def test_normalising_is_what_torchvision_does():
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 7), dtype=np.uint8)
    torch, v2 = pytest.importorskip("torch"), pytest.importorskip("torchvision.transforms.v2")
    expected = v2.Normalize(COLOUR.mean, COLOUR.std)(torch.from_numpy(images).float() / 255)
    assert np.allclose(COLOUR.normalise(images), expected, atol=1e-6)
    assert COLOUR.normalise(images[:0]).shape == (0, 3, 5, 7)


def test_normalising_wants_bytes_and_channels():
    with pytest.raises(ValueError, match="uint8"):
        COLOUR.normalise(np.zeros((1, 1, 4, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        COLOUR.normalise(np.zeros((1, 3, 4, 4), dtype=np.float32))


@pytest.mark.parametrize("size", [(300, 200), (97, 411), (64, 64)])
def test_crop_and_resize_are_torchvisions(size):
    v2 = pytest.importorskip("torchvision.transforms.v2")
    picture = noise(*size)
    expected = v2.Resize(32, v2.InterpolationMode.BILINEAR)(v2.CenterCrop(min(size))(picture))
    ours = COLOUR.prepare(picture).picture.astype(int)
    assert np.abs(ours - np.asarray(expected).transpose(2, 0, 1)).max() <= 1


def test_shrinking_averages_instead_of_skipping():
    stripes = np.zeros((320, 320, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    picture = COLOUR.prepare(Image.fromarray(stripes)).picture
    assert picture.min() > 120 and picture.max() < 135


def test_the_centre_is_kept():
    strip = Image.new("RGB", (1_000, 40), "black")
    strip.paste((255, 255, 255), (480, 0, 520, 40))
    prepared = COLOUR.prepare(strip)
    assert prepared.picture.min() == 255
    assert prepared.steps == ("cut to the centred square of 40 x 40 pixels", "shrunk to 32 x 32")


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 2), (2_000, 1_500)])
def test_any_size(size):
    for preprocessing in (GREY, COLOUR):
        prepared = preprocessing.prepare(noise(*size))
        assert prepared.picture.shape == preprocessing.input_shape
        assert np.isfinite(prepared.input).all()
    assert "enlarged to 32 x 32" in COLOUR.prepare(noise(3, 2)).steps


def test_grey_from_colour_and_colour_from_grey():
    assert GREY.prepare(noise(28, 28)).picture.shape == (1, 28, 28)
    grey = COLOUR.prepare(Image.new("L", (32, 32), 77)).picture
    assert (grey == 77).all() and grey.shape == (3, 32, 32)


def drawing(paper: int, ink: int) -> Image.Image:
    image = Image.new("L", (280, 280), paper)
    image.paste(ink, (120, 40, 160, 240))
    return image


def test_dark_ink_on_paper_is_inverted_and_said_so():
    dark_on_light, light_on_dark = DIGITS.prepare(drawing(255, 0)), DIGITS.prepare(drawing(0, 255))
    assert np.array_equal(dark_on_light.picture, light_on_dark.picture)
    assert np.array_equal(dark_on_light.input, light_on_dark.input)
    assert any("inverted" in step for step in dark_on_light.steps)
    assert not any("inverted" in step for step in light_on_dark.steps)


def test_without_the_switch_nothing_is_inverted():
    assert np.array_equal(GREY.prepare(drawing(255, 0)).picture, 255 - GREY.prepare(drawing(0, 255)).picture)


def test_a_stroke_that_touches_the_border_does_not_decide():
    image = drawing(255, 0)
    image.paste(0, (0, 100, 280, 160))
    assert is_light(np.asarray(image)[None])


def test_the_enlarged_picture_has_even_squares():
    picture = COLOUR.prepare(noise(32, 32)).picture
    image = to_image(picture, 300)
    assert image.size == (320, 320)
    assert np.array_equal(np.asarray(image)[::10, ::10].transpose(2, 0, 1), picture)
    assert np.array_equal(np.asarray(image)[9::10, 9::10].transpose(2, 0, 1), picture)
    assert to_image(GREY.prepare(noise(28, 28)).picture).size == (28, 28)
