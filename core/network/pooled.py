"""What a network makes of pictures, pooled: the mean and the spread of every feature map at every exit."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.preprocess import Preprocessing
from core.network.early_exit import EarlyExitNetwork

_BATCH = 50


def pooled_features(
    network: EarlyExitNetwork,
    images: NDArray[np.uint8],
    preprocessing: Preprocessing,
    turn: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> NDArray[np.float32]:
    """Mean and standard deviation over space of the feature maps that the exits see, all exits of the network.

    Args:
        network: in evaluation mode, on the device to use.
        images: (n, channels, h, w) of the network's size.
        turn: entered for each batch, so that others who use the network get theirs in between.

    Returns:
        (n, twice the channels of all exits together).
    """
    if network.training:
        raise ValueError("the network is in training mode: call network.eval() first")
    device = next(network.parameters()).device
    found = []
    for start in range(0, len(images), _BATCH):
        with turn(), torch.inference_mode():
            x = torch.from_numpy(preprocessing.normalise(images[start : start + _BATCH])).to(device)
            columns = []
            for segment in network.segments:
                x = segment(x)
                columns += [x.mean(dim=(2, 3)), x.std(dim=(2, 3), correction=0)]
            found.append(torch.cat(columns, dim=1).float().cpu().numpy())
    return np.concatenate(found)
