"""What a network sees of each image on its way: every exit's feature map, averaged over space."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.datasets import ImageSet
from core.data.preprocess import Preprocessing
from core.errors import UserError
from core.feature_map import NEIGHBOURS, FeatureMap
from core.network.early_exit import EarlyExitNetwork


def pooled_features(
    network: EarlyExitNetwork,
    images: NDArray[np.uint8],
    preprocessing: Preprocessing,
    batch_size: int = 500,
    report: Callable[[int], None] = lambda done: None,
) -> list[NDArray[np.float32]]:
    """The feature map at every exit averaged over space, whatever the exit block itself makes of it.

    Args:
        network: in evaluation mode, on the device to use.
        images: (examples, channels, h, w) of the network's size.
        report: called with the number of examples done after each batch.

    Returns:
        For each exit (examples, channels of its feature map).

    Raises:
        UserError: no images.
    """
    if network.training:
        raise ValueError("the network is in training mode: call network.eval() first")
    if len(images) == 0:
        raise UserError("expected images to find the features of, got none: give one or more")
    device = next(network.parameters()).device
    parts: list[list[NDArray[np.float32]]] = [[] for _ in network.segments]
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = slice(start, start + batch_size)
            x = torch.from_numpy(preprocessing.normalise(images[batch])).to(device)
            for segment, found in zip(network.segments, parts, strict=True):
                x = segment(x)
                found.append(x.mean(dim=(2, 3)).float().cpu().numpy())
            report(min(start + batch_size, len(images)))
    return [np.concatenate(found) for found in parts]


def record_feature_map(
    network: EarlyExitNetwork,
    images: ImageSet,
    preprocessing: Preprocessing,
    checkpoint_hash: str,
    split: str,
    k: int = NEIGHBOURS,
    batch_size: int = 500,
    report: Callable[[int], None] = lambda done: None,
) -> FeatureMap:
    """The feature map of a split.

    Args:
        images: of the network's size, the same and in the same order as those of the split's trace.
        checkpoint_hash: SHA-256 of the weights.
        split: `calibration` or `test`.
        k: neighbours per example.

    Raises:
        UserError: no images, or features that are not finite.
    """
    features = pooled_features(network, images.images, preprocessing, batch_size, report)
    return FeatureMap.from_features(features, images.ids, checkpoint_hash, split, k)
