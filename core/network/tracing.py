"""Running a whole network over a set of images: what every exit says about every example, for a trace."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.datasets import ImageSet
from core.data.preprocess import Preprocessing
from core.network.early_exit import EarlyExitNetwork
from core.trace import Trace


class Outputs(NamedTuple):
    """Raw outputs of all exits."""

    logits: NDArray[np.float32]  # (examples, exits, classes)
    confidence_logits: NDArray[np.float32]  # (examples, exits); +inf where the last exit has no confidence branch


def run_network(
    network: EarlyExitNetwork,
    images: NDArray[np.uint8],
    preprocessing: Preprocessing,
    batch_size: int = 500,
    report: Callable[[int], None] = lambda done: None,
) -> Outputs:
    """Every exit's answer about every image, in float32 whatever the device.

    Args:
        network: in evaluation mode, on the device to use.
        images: (examples, channels, h, w) of the network's size.
        report: called with the number of examples done after each batch.
    """
    if network.training:
        raise ValueError("the network is in training mode: call network.eval() first")
    device = next(network.parameters()).device
    shape = (len(images), network.num_exits)
    logits = np.empty((*shape, network.num_classes), np.float32)
    confidence_logits = np.empty(shape, np.float32)
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = slice(start, start + batch_size)
            outputs = network(torch.from_numpy(preprocessing.normalise(images[batch])).to(device))
            logits[batch] = outputs.logits.float().cpu().numpy()
            confidence_logits[batch] = outputs.confidence_logits.float().cpu().numpy()
            report(min(start + batch_size, len(images)))
    return Outputs(logits, confidence_logits)


def record_trace(
    network: EarlyExitNetwork,
    images: ImageSet,
    preprocessing: Preprocessing,
    relative_cost: tuple[float, ...],
    checkpoint_hash: str,
    split: str,
    batch_size: int = 500,
    report: Callable[[int], None] = lambda done: None,
) -> Trace:
    """The trace of a split.

    Args:
        images: of the network's size.
        relative_cost: executed accounting, see `CostTable.relative`.
        checkpoint_hash: SHA-256 of the weights.
        split: `calibration` or `test`.

    Raises:
        UserError: the network's outputs are not finite, or a label is no class of it.
    """
    outputs = run_network(network, images.images, preprocessing, batch_size, report)
    return Trace.from_outputs(*outputs, images.labels, images.ids, relative_cost, checkpoint_hash, split)
