"""Multiply-accumulates counted by fvcore, as `core.network.cost.METHOD` says."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def count_macs(module: nn.Module, x: Tensor) -> int:
    """MACs of one module in evaluation mode on one input (1, ...).

    BatchNorm, average pooling and linear layers are counted as fvcore does; additions, softmax and sigmoid are free.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # raised while fvcore is imported
        from fvcore.nn import FlopCountAnalysis
    was_training = module.training
    analysis = FlopCountAnalysis(module.eval(), x)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    handles: dict[str, Callable[[list[Any], list[Any]], int]] = {}
    for name in ("aten::relu", "aten::relu_"):
        handles[name] = lambda inputs, outputs: _elements(outputs[0])
    handles["aten::max_pool2d"] = lambda inputs, outputs: _elements(inputs[0])
    analysis.set_op_handle(**handles)
    total = int(analysis.total())
    module.train(was_training)
    return total


def _elements(value: Any) -> int:
    """Number of elements of a traced tensor."""
    return int(torch.Size(value.type().sizes()).numel())


def chain_macs(blocks: Sequence[nn.Module], x: Tensor) -> tuple[list[int], Tensor]:
    """MACs of each block of a chain, and the feature map behind it."""
    macs = []
    with torch.no_grad():
        for block in blocks:
            was_training = block.training
            macs.append(count_macs(block, x))
            x = block.eval()(x)
            block.train(was_training)
    return macs, x
