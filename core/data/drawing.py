"""A digit drawn on a pad, brought to where and how large the digits of MNIST are."""

import numpy as np
from PIL import Image

from core.errors import UserError

_INK = 40  # of 255: what counts as drawn
_BOX = 20 / 28  # the longer side of a digit of MNIST over the side of its picture
_LEAST = 0.25  # a drawing smaller than this share of the pad is not enlarged any further: a dot stays a dot


def centred(drawing: Image.Image, size: int) -> Image.Image:
    """Bright strokes on black, scaled to a box of 20/28 of the side, their centre of mass in the middle.

    Args:
        drawing: the pad, square, of any size.
        size: side of the result in pixels.

    Returns:
        Grey, size x size.

    Raises:
        UserError: nothing is drawn.

    Source: LeCun et al. 1998, section III: the digits were size-normalised to 20 x 20 pixels and centred in 28 x 28 by
        their centre of mass.
    """
    pixels = np.asarray(drawing.convert("L"))
    down, across = np.nonzero(pixels > _INK)
    if not len(down):
        raise UserError("expected a drawing, got an empty pad: draw a digit with mouse, pen or finger")
    left, top, right, bottom = across.min(), down.min(), across.max() + 1, down.max() + 1
    cut = Image.fromarray(pixels[top:bottom, left:right])
    longest = max(cut.width, cut.height, _LEAST * max(pixels.shape))
    factor = _BOX * size / longest
    small = cut.resize(
        (max(1, round(cut.width * factor)), max(1, round(cut.height * factor))), Image.Resampling.BILINEAR
    )
    weight = np.asarray(small, np.float64)
    total = weight.sum()
    middle_x = (weight.sum(axis=0) * (np.arange(small.width) + 0.5)).sum() / total
    middle_y = (weight.sum(axis=1) * (np.arange(small.height) + 0.5)).sum() / total
    x = int(np.clip(round(size / 2 - middle_x), 0, size - small.width))
    y = int(np.clip(round(size / 2 - middle_y), 0, size - small.height))
    paper = Image.new("L", (size, size))
    paper.paste(small, (x, y))
    return paper
