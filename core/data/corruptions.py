"""Seven ways to make a picture harder, five severities each, and severity 0, which leaves it as it is.

Pure functions: what chance there is comes from the picture's own pixels, so the same picture at the same severity
always comes out the same. Sizes are shares of the side, so that a severity means the same at 28 and at 96 pixels.
"""

import hashlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.data.preprocess import to_image
from core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

SEVERITIES = 5
_GREY = 128

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Corruption:
    """One way to make a picture harder.

    Args:
        name: the word used in code and files.
        label: the word on the page.
        levels: the parameter at severities 1..5.
        words: the parameter in words, with `{}` where its number stands.
        function: (uint8 images (n, channels, h, w), level) -> the same shape and type.
        shown: turns a level into the number in words.
    """

    name: str
    label: str
    levels: tuple[float, ...]
    words: str
    function: Callable[[Images, float], Images]
    shown: Callable[[float], str] = "{:g}".format

    def describe(self, severity: int) -> str:
        """A severity in words: `sigma 0.08`."""
        return "unchanged" if severity == 0 else self.words.format(self.shown(self.levels[severity - 1]))


def corrupt(images: Images, name: str, severity: int) -> Images:
    """Pictures made harder.

    Args:
        images: uint8 (n, channels, height, width), 1 or 3 channels.
        name: in `CORRUPTIONS`.
        severity: 0 (unchanged) to 5.

    Raises:
        UserError: another name, severity, shape or type.
    """
    corruption = get_corruption(name)
    if type(severity) is not int or not 0 <= severity <= SEVERITIES:
        raise UserError(f"expected a severity from 0 to {SEVERITIES}, got {severity!r}: choose one of these")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.dtype != np.uint8 or 0 in images.shape[2:]:
        raise UserError(
            f"expected uint8 pictures (n, 1 or 3, height, width), got {images.dtype} {images.shape}: "
            "corrupt them before they are normalised"
        )
    if severity == 0 or not len(images):
        return images.copy()
    return corruption.function(images, corruption.levels[severity - 1])


def get_corruption(name: str) -> Corruption:
    """The corruption of that name.

    Raises:
        UserError: there is none.
    """
    if name not in CORRUPTIONS:
        raise UserError(f"expected a corruption among {', '.join(CORRUPTIONS)}, got {name!r}: choose one of these")
    return CORRUPTIONS[name]


def _chance(image: Images) -> np.random.Generator:
    """Random numbers that belong to one picture (channels, h, w), whatever is done to it."""
    return np.random.default_rng(list(hashlib.blake2b(image.tobytes(), digest_size=16).digest()))


def _tensor(images: Images) -> "Tensor":
    import torch

    return torch.from_numpy(np.array(images, order="C"))  # a copy: shared test images are read-only


def _torchvision() -> Any:
    """`torchvision.transforms.v2.functional`, which takes seconds to import."""
    from torchvision.transforms.v2 import functional

    return functional


def _noise(images: Images, sigma: float) -> Images:
    """Gaussian noise, the same pattern at every strength. (Not v2's own: its chance cannot be tied to a picture.)"""
    noise = np.stack([_chance(image).standard_normal(image.shape, np.float32) for image in images])
    return np.rint(np.clip(images + 255 * sigma * noise, 0, 255)).astype(np.uint8)


def _blur(images: Images, share: float) -> Images:
    sigma = share * min(images.shape[2:])
    # three sigma to both sides, and no further than a picture's own reflection reaches
    reach = min(math.ceil(3 * sigma), min(images.shape[2:]) - 1)
    return _torchvision().gaussian_blur(_tensor(images), 2 * reach + 1, sigma).numpy()


def _contrast(images: Images, kept: float) -> Images:
    return _torchvision().adjust_contrast(_tensor(images), kept).numpy()


def _jpeg(images: Images, quality: float) -> Images:
    """Pillow's JPEG: torchvision's is deprecated since 0.29 and will go."""
    pressed = []
    for image in images:
        buffer = io.BytesIO()
        to_image(image).save(buffer, "JPEG", quality=int(quality))
        pixels = np.asarray(Image.open(buffer)).reshape(*image.shape[1:], image.shape[0])
        pressed.append(pixels.transpose(2, 0, 1))
    return np.stack(pressed)


def _rotate(images: Images, degrees: float) -> Images:
    """To the left or to the right, as chance has it; what comes in at the corners is the picture's reflection."""
    from torchvision.transforms import InterpolationMode

    v2 = _torchvision()
    height, width = images.shape[2:]
    # a rotated square sees (sqrt(2) - 1) / 2 of its side beyond its edges
    beyond = min(math.ceil(0.21 * max(height, width)) + 1, min(height, width) - 1)
    padded = v2.pad(_tensor(images), [beyond] * 4, padding_mode="reflect")
    turned = [v2.rotate(padded, angle, InterpolationMode.BILINEAR) for angle in (degrees, -degrees)]
    left, right = (v2.center_crop(batch, [height, width]).numpy() for batch in turned)
    to_the_left = np.array([_chance(image).random() < 0.5 for image in images])
    return np.where(to_the_left[:, None, None, None], left, right)


def _occlude(images: Images, share: float) -> Images:
    """A grey square somewhere; as it grows it stays over what it covered."""
    v2 = _torchvision()
    height, width = images.shape[2:]
    side = max(1, round(share * min(height, width)))
    covered = []
    for image in images:
        down, across = _chance(image).random(2)
        top, left = round(down * (height - side)), round(across * (width - side))
        covered.append(v2.erase(_tensor(image), top, left, side, side, _tensor(np.full((1, 1, 1), _GREY, np.uint8))))
    return np.stack([image.numpy() for image in covered])


def _pixelate(images: Images, kept: float) -> Images:
    from torchvision.transforms import InterpolationMode

    v2 = _torchvision()
    size = list(images.shape[2:])
    small = [max(1, round(kept * side)) for side in size]
    coarse = v2.resize(_tensor(images), small, InterpolationMode.BILINEAR, antialias=True)
    return v2.resize(coarse, size, InterpolationMode.NEAREST_EXACT).numpy()


def _share(share: float) -> str:
    return f"{100 * share:g}\u202f%"


CORRUPTIONS: dict[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        Corruption("noise", "Noise", (0.02, 0.04, 0.06, 0.08, 0.12), "sigma {}", _noise),
        Corruption("blur", "Blur", (0.015, 0.02, 0.027, 0.035, 0.045), "sigma {} of the side", _blur, _share),
        Corruption("contrast", "Low contrast", (0.8, 0.65, 0.5, 0.35, 0.2), "{} kept", _contrast, _share),
        Corruption("jpeg", "JPEG", (75, 50, 30, 15, 7), "quality {}", _jpeg),
        Corruption("rotation", "Rotation", (7, 15, 25, 40, 60), "by {}°", _rotate),
        Corruption("occlusion", "Occlusion", (0.15, 0.25, 0.35, 0.45, 0.55), "{} of the side", _occlude, _share),
        Corruption("pixelation", "Pixelation", (0.85, 0.7, 0.55, 0.4, 0.25), "{} of the pixels", _pixelate, _share),
    )
}
