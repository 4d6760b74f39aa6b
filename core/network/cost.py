"""What an exit costs, in multiply-accumulates (MACs; 1 MAC = 2 FLOPs) counted by fvcore."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

METHOD = "fvcore, relu 1 per output element, max_pool2d 1 per input element"
ACCOUNTINGS = ("executed", "paper")


@dataclass(frozen=True)
class CostTable:
    """MACs for one image.

    Args:
        block_macs: every backbone block, the stem first.
        exit_macs: every early exit block, both branches.
        final_macs: the backbone's own neck and classifier.
        exit_after: for each early exit the block it follows.
    """

    block_macs: tuple[int, ...]
    exit_macs: tuple[int, ...]
    final_macs: int
    exit_after: tuple[int, ...]

    @property
    def plain_macs(self) -> int:
        """The backbone without early exits: what every relative cost is divided by."""
        return sum(self.block_macs) + self.final_macs

    def macs(self, accounting: str = "executed") -> tuple[int, ...]:
        """MACs of an example that leaves at each exit 1..N.

        Args:
            accounting: `executed` counts every exit block evaluated on the way; `paper` (EENets, section 3.2) counts
                only the block of the exit taken, and takes the last exit for the plain network.
        """
        if accounting not in ACCOUNTINGS:
            raise ValueError(f"accounting is one of {ACCOUNTINGS}, not {accounting!r}")
        executed = accounting == "executed"
        totals, tried = [], 0
        for block, macs in zip(self.exit_after, self.exit_macs, strict=True):
            tried = tried + macs if executed else macs
            totals.append(sum(self.block_macs[: block + 1]) + tried)
        return (*totals, self.plain_macs + (tried if executed else 0))

    def relative(self, accounting: str = "executed") -> tuple[float, ...]:
        """c_1..c_N: MACs of leaving at each exit over the MACs of the plain backbone."""
        return tuple(macs / self.plain_macs for macs in self.macs(accounting))


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
