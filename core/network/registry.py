"""Every network by name, and the one function that builds them."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from core.errors import UserError
from core.network.chain import Chain
from core.network.cost import CostTable, chain_macs, count_macs
from core.network.early_exit import EarlyExitNetwork
from core.network.eenet8 import eenet8
from core.network.exit_block import CONFIDENCE_INPUTS, EXIT_TYPES
from core.network.placement import PLACEMENTS, place_exits
from core.network.resnet import resnet_6n2

# name of the early-exit network -> (input_channels, num_classes) -> chain
BACKBONES: dict[str, Callable[[int, int], Chain]] = {
    "eenet8": eenet8,
    **{f"eenet{depth}": partial(resnet_6n2, depth) for depth in (20, 32, 44, 56, 110)},
}


@dataclass(frozen=True)
class NetworkSpec:
    """All it takes to build a network; stored in every checkpoint's card.

    Args:
        model: a name in `BACKBONES`; its exitless form is the same with `resnet` in place of `eenet`.
        num_early_exits: K; 0 is the plain network.
        placement: one of `PLACEMENTS`.
        exit_type: one of `EXIT_TYPES`.
        input_shape: (channels, height, width).
        num_classes: two or more.
        confidence_input: `features` (the paper's branch) or `features+answer` (ours, see `answer_features`).

    Raises:
        UserError: a field is not one of these.
    """

    model: str
    num_early_exits: int
    placement: str
    exit_type: str
    input_shape: tuple[int, int, int]
    num_classes: int
    confidence_input: str = "features+answer"

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_shape", tuple(self.input_shape))
        _one_of("model", self.model, tuple(BACKBONES))
        _one_of("placement", self.placement, tuple(PLACEMENTS))
        _one_of("exit type", self.exit_type, EXIT_TYPES)
        _one_of("confidence input", self.confidence_input, CONFIDENCE_INPUTS)
        if not isinstance(self.num_early_exits, int) or self.num_early_exits < 0:
            raise UserError(f"expected a number of early exits of 0 or more, got {self.num_early_exits}")
        if not isinstance(self.num_classes, int) or self.num_classes < 2:
            raise UserError(f"expected two classes or more, got {self.num_classes}")
        if len(self.input_shape) != 3 or not all(isinstance(n, int) and n > 0 for n in self.input_shape):
            raise UserError(f"expected an input shape (channels, height, width), got {self.input_shape}")

    def to_json(self) -> dict[str, Any]:
        """Plain values for the card."""
        return asdict(self) | {"input_shape": list(self.input_shape)}


def _one_of(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"expected {what} to be one of {', '.join(choices)}, got {value!r}")


def display_name(model: str, num_early_exits: int) -> str:
    """`EENet-20`, or `ResNet-20` for the plain network."""
    depth = re.sub(r"\D", "", model)
    return f"EENet-{depth}" if num_early_exits else f"ResNet-{depth}"


def build_network(spec: NetworkSpec) -> tuple[EarlyExitNetwork, CostTable]:
    """The network with fresh weights, and what its exits cost.

    Weights come from torch's global random state: seed it first where they matter.
    """
    chain = BACKBONES[spec.model](spec.input_shape[0], spec.num_classes)
    block_macs, feature_map = chain_macs(chain.blocks, torch.zeros(1, *spec.input_shape))
    neck_macs, vector = chain_macs([chain.neck], feature_map)
    final_macs = neck_macs[0] + count_macs(chain.classifier, vector)
    exit_after = place_exits(block_macs, sum(block_macs) + final_macs, spec.num_early_exits, spec.placement)
    network = EarlyExitNetwork(
        chain,
        exit_after,
        spec.exit_type,
        spec.input_shape,
        spec.num_classes,
        sees_answer=spec.confidence_input == "features+answer",
    )
    exit_macs = [
        count_macs(exit_block, torch.zeros(1, *shape))
        for exit_block, shape in zip(network.exits, network.feature_maps()[:-1], strict=False)
    ]
    return network, CostTable(tuple(block_macs), tuple(exit_macs), final_macs, exit_after)
