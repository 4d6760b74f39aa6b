"""What a network sees of each image on its way: every exit's feature map, averaged over space."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.datasets import ImageSet
from core.data.preprocess import Preprocessing
from core.errors import UserError
from core.feature_map import NEIGHBOURS, FeatureMap
from core.network.early_exit import EarlyExitNetwork

Turn = Callable[[], AbstractContextManager[object]]


class ExitFeatures(NamedTuple):
    """All that exit blocks of type `pool` and `bnpool` can learn from, and the last exit's answer."""

    pooled: list[NDArray[np.float32]]  # for each early exit (examples, channels)
    last_logits: NDArray[np.float32]  # (examples, classes)


def pooled_features(
    network: EarlyExitNetwork,
    images: NDArray[np.uint8],
    preprocessing: Preprocessing,
    batch_size: int = 500,
    report: Callable[[int], None] = lambda done: None,
    *,
    spread: bool = False,
    turn: Turn = nullcontext,
) -> list[NDArray[np.float32]]:
    """The feature map at every exit averaged over space, whatever the exit block itself makes of it.

    Args:
        network: in evaluation mode, on the device to use.
        images: (examples, channels, h, w) of the network's size.
        report: called with the number of examples done after each batch.
        spread: whether the standard deviations over space follow the means.
        turn: entered for each batch, so that others who use the network get theirs in between.

    Returns:
        For each exit (examples, channels of its feature map), twice the channels with their spread.

    Raises:
        UserError: no images.
    """

    def take(maps: list[Tensor]) -> list[Tensor]:
        means = [x.mean(dim=(2, 3)) for x in maps]
        if not spread:
            return means
        deviations = (x.std(dim=(2, 3), correction=0) for x in maps)
        return [torch.cat(pair, dim=1) for pair in zip(means, deviations, strict=True)]

    return _collect(network, images, preprocessing, batch_size, report, turn, take)


def exit_features(
    network: EarlyExitNetwork,
    images: NDArray[np.uint8],
    preprocessing: Preprocessing,
    batch_size: int = 500,
    report: Callable[[int], None] = lambda done: None,
    *,
    turn: Turn = nullcontext,
) -> ExitFeatures:
    """What a refit of the early exits needs; arguments and errors as `pooled_features`."""
    last = network.exit_block(network.num_exits - 1)

    def take(maps: list[Tensor]) -> list[Tensor]:
        return [*(x.mean(dim=(2, 3)) for x in maps[:-1]), last.classifier(last.neck(maps[-1]))]

    *pooled, logits = _collect(network, images, preprocessing, batch_size, report, turn, take)
    return ExitFeatures(pooled, logits)


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


def _collect(
    network: EarlyExitNetwork,
    images: NDArray[np.uint8],
    preprocessing: Preprocessing,
    batch_size: int,
    report: Callable[[int], None],
    turn: Turn,
    take: Callable[[list[Tensor]], list[Tensor]],
) -> list[NDArray[np.float32]]:
    """What `take` makes of the feature maps of all exits, batch by batch, joined."""
    if network.training:
        raise ValueError("the network is in training mode: call network.eval() first")
    if len(images) == 0:
        raise UserError("expected images to find the features of, got none: give one or more")
    device = next(network.parameters()).device
    batches = []
    for start in range(0, len(images), batch_size):
        with turn(), torch.inference_mode():
            x = torch.from_numpy(preprocessing.normalise(images[start : start + batch_size])).to(device)
            maps = []
            for segment in network.segments:
                x = segment(x)
                maps.append(x)
            batches.append([found.float().cpu().numpy() for found in take(maps)])
        report(min(start + batch_size, len(images)))
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]
