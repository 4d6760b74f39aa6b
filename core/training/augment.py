"""Augmentation of a whole batch at once: each image its own shift and mirror, from a given generator."""

import torch
from torch import Tensor
from torch.nn import functional as F


def shift(images: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Each image moved by up to `pixels` in both directions, the border filled with zeros.

    Args:
        images: (batch, channels, h, w), any dtype.
    """
    batch, channels, height, width = images.shape
    padded = F.pad(images, (pixels, pixels, pixels, pixels))
    offset = torch.randint(0, 2 * pixels + 1, (2, batch, 1), generator=generator)
    rows = (torch.arange(height) + offset[0])[:, None, :, None]  # (batch, 1, h, 1)
    columns = (torch.arange(width) + offset[1])[:, None, None, :]  # (batch, 1, 1, w)
    example = torch.arange(batch)[:, None, None, None]
    return padded[example, torch.arange(channels)[None, :, None, None], rows, columns]


def mirror(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image (batch, channels, h, w) mirrored left to right with probability 1/2."""
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def augment(images: Tensor, how: str, generator: torch.Generator) -> Tensor:
    """A batch of uint8 images augmented as the recipe says: `none`, `shift` or `crop-flip`."""
    if how == "shift":
        return shift(images, 2, generator)
    if how == "crop-flip":
        return mirror(shift(images, 4, generator), generator)
    return images
