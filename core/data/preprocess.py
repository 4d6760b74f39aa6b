"""From a picture of any size to what a network sees. Numpy and Pillow only, so pages need no torch for it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from core.errors import UserError

LARGEST_SIZE = 1_024


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a network wants its images; stored as data in every checkpoint's card.

    Args:
        channels: 1 (grey) or 3 (red, green, blue).
        size: side of the square input, in pixels.
        mean, std: per channel, of pixels in 0..1.
        invert_if_light: the network knows bright strokes on black (MNIST), so a picture whose border is light (dark
            ink on paper) is inverted first; the step is reported.

    Raises:
        UserError: a field is not one of these.
    """

    channels: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    invert_if_light: bool = False

    def __post_init__(self) -> None:
        if type(self.channels) is not int or self.channels not in (1, 3):
            raise UserError(f"expected 1 or 3 channels, got {self.channels!r}: correct the preprocessing")
        if type(self.size) is not int or not 1 <= self.size <= LARGEST_SIZE:
            raise UserError(
                f"expected an input size of 1 to {LARGEST_SIZE} pixels, got {self.size!r}: correct the preprocessing"
            )
        for field in ("mean", "std"):
            object.__setattr__(self, field, self._per_channel(field, getattr(self, field)))
        if min(self.std) <= 0:
            raise UserError(f"expected std above 0, got {list(self.std)}: correct the preprocessing")
        if type(self.invert_if_light) is not bool:
            raise UserError(
                f"expected invert_if_light true or false, got {self.invert_if_light!r}: correct the preprocessing"
            )

    def _per_channel(self, field: str, values: Any) -> tuple[float, ...]:
        """Finite numbers, one for each channel."""
        usable = isinstance(values, (tuple, list)) and len(values) == self.channels
        if not usable or not all(
            isinstance(v, (int, float)) and type(v) is not bool and math.isfinite(v) for v in values
        ):
            raise UserError(
                f"expected {self.channels} finite number(s) for {field}, got {values!r}: correct the preprocessing"
            )
        return tuple(float(v) for v in values)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.size, self.size

    def to_json(self) -> dict[str, Any]:
        """Plain values for the card."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, values: Any) -> "Preprocessing":
        """Back from the card.

        Raises:
            UserError: not a mapping, a field missing, unknown or out of range.
        """
        if not isinstance(values, Mapping):
            raise UserError(f"expected preprocessing as a JSON object, got {values!r}: correct the card")
        required, known = {"channels", "size", "mean", "std"}, set(cls.__dataclass_fields__)
        if not required <= set(values) <= known:
            raise UserError(
                f"expected preprocessing with {', '.join(sorted(required))}, "
                f"got {', '.join(sorted(map(str, values))) or 'nothing'}: correct the card"
            )
        return cls(**values)

    @cached_property
    def _table(self) -> np.ndarray:
        """Normalised value of each byte, (channels, 256) float32: every path that looks up here agrees to the bit."""
        pixels = np.arange(256) / 255
        mean, std = np.array(self.mean)[:, None], np.array(self.std)[:, None]
        return ((pixels - mean) / std).astype(np.float32)

    def normalise(self, images: np.ndarray) -> np.ndarray:
        """uint8 images (n, channels, h, w) of any size -> float32, (pixel / 255 - mean) / std."""
        if images.ndim != 4 or images.shape[1] != self.channels or images.dtype != np.uint8:
            raise ValueError(f"expected uint8 (n, {self.channels}, h, w), got {images.dtype} {images.shape}")
        return np.stack(
            [table[images[:, channel]] for channel, table in enumerate(self._table)], axis=1
        )  # (n, channels, h, w)

    def prepare(self, image: Image.Image) -> "Prepared":
        """A picture of any size, mode L or RGB -> network input.

        The largest centred square is cut out and resized by area-aware (antialiased) bilinear interpolation, as
        torchvision's CenterCrop and Resize do; a picture that already has the size keeps its pixels.
        """
        picture, steps = centred_square(image, self.channels, self.size)
        if self.invert_if_light and is_light(picture):
            picture = 255 - picture
            steps.append("inverted: the network knows bright strokes on black")
        return Prepared(self.normalise(picture[None]), picture, tuple(steps))


def centred_square(image: Image.Image, channels: int, size: int) -> tuple[np.ndarray, list[str]]:
    """The largest centred square of a picture, mode L or RGB, in grey or colour and resized.

    Returns:
        uint8 (channels, size, size), and what was done in words.
    """
    steps = []
    image = image.convert("L" if channels == 1 else "RGB")
    width, height = image.size
    side = min(width, height)
    if width != height:
        left, top = round((width - side) / 2), round((height - side) / 2)
        # not resize(box=...): its filter would mix in pixels from beyond the cut
        image = image.crop((left, top, left + side, top + side))
        steps.append(f"cut to the centred square of {side} x {side} pixels")
    if side != size:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
        steps.append(f"{'shrunk' if side > size else 'enlarged'} to {size} x {size}")
    pixels = np.asarray(image).reshape(size, size, channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)), steps


@dataclass(frozen=True)
class Prepared:
    """One image ready for a network.

    Args:
        input: (1, channels, h, w) float32, normalised.
        picture: (channels, h, w) uint8, what the network sees before normalisation.
        steps: what was done to the picture, in words, in order; empty where its pixels went in as they were.
    """

    input: np.ndarray
    picture: np.ndarray
    steps: tuple[str, ...]


def is_light(picture: np.ndarray) -> bool:
    """Whether the background of a picture, uint8 (channels, h, w), is light: the median of a border of two pixels."""
    inner = np.zeros(picture.shape[1:], dtype=bool)
    inner[2:-2, 2:-2] = True
    return bool(np.median(picture[:, ~inner]) > 127)


def to_image(picture: np.ndarray, shortest_side: int = 0) -> Image.Image:
    """uint8 (channels, h, w) as a Pillow picture, its pixels enlarged to even squares so that none is blurred.

    Args:
        shortest_side: in pixels; the picture is enlarged by the smallest whole factor that reaches it.
    """
    image = Image.fromarray(picture[0] if picture.shape[0] == 1 else picture.transpose(1, 2, 0))
    factor = max(1, math.ceil(shortest_side / min(image.size)))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
