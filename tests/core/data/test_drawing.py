"""What is drawn anywhere on the pad, in whatever size, comes to where MNIST's digits are."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from core.data.drawing import centred
from core.errors import UserError


def stroke(*points: tuple[int, int], width: int = 22) -> Image.Image:
    pad = Image.new("RGB", (280, 280))
    ImageDraw.Draw(pad).line(points, fill="white", width=width)
    return pad


@pytest.mark.parametrize("points", [((40, 30), (40, 150)), ((200, 100), (200, 270)), ((20, 60), (250, 60))])
def test_the_longer_side_is_20_of_28_and_the_mass_in_the_middle(points) -> None:
    found = np.asarray(centred(stroke(*points), 28), float)
    down, across = np.nonzero(found > 40)
    assert max(np.ptp(down), np.ptp(across)) + 1 in (19, 20, 21)
    assert abs((found.sum(axis=1) * np.arange(28)).sum() / found.sum() - 13.5) <= 0.6
    assert abs((found.sum(axis=0) * np.arange(28)).sum() / found.sum() - 13.5) <= 0.6


def test_where_it_is_drawn_does_not_matter() -> None:
    one, other = (centred(stroke((x, y), (x + 60, y + 90)), 28) for x, y in ((20, 20), (170, 150)))
    assert np.abs(np.asarray(one, int) - np.asarray(other, int)).max() <= 30


def test_a_dot_stays_a_dot() -> None:
    pad = Image.new("L", (280, 280))
    ImageDraw.Draw(pad).ellipse((100, 100, 110, 110), fill=255)
    assert (np.asarray(centred(pad, 28)) > 40).sum() < 30


def test_a_full_pad_stays_inside() -> None:
    assert centred(Image.new("L", (280, 280), 255), 32).size == (32, 32)


@pytest.mark.parametrize("level", [0, 20])
def test_an_empty_pad_is_one_line(level: int) -> None:
    with pytest.raises(UserError, match="empty pad: draw a digit"):
        centred(Image.new("L", (280, 280), level), 28)
