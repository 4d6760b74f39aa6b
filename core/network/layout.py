"""How tensors lie in memory: what a CPU or GPU computes fastest."""

import torch
from torch import nn


def fast_layout(network: nn.Module) -> torch.memory_format:
    """channels_last where every convolution has a multiple of 16 channels, else the plain layout.

    With 4 channels the CPU backward pass of channels_last writes past its buffers (torch 2.15, oneDNN, AVX2: the
    process aborts); narrow networks gain nothing from it anyway.
    """
    widths = [module.out_channels for module in network.modules() if isinstance(module, nn.Conv2d)]
    return torch.channels_last if all(width % 16 == 0 for width in widths) else torch.contiguous_format
