"""Every network by name, and the one function that builds them."""

import re
from collections.abc import Callable, Sequence
from functools import partial

import torch

from core.network.chain import Chain
from core.network.cost import CostTable
from core.network.counting import chain_macs, count_macs
from core.network.early_exit import EarlyExitNetwork
from core.network.eenet8 import eenet8
from core.network.placement import place_exits
from core.network.resnet import resnet_6n2
from core.network.spec import SMALL_RESNET_DEPTHS, NetworkSpec

__all__ = ["BACKBONES", "NetworkSpec", "assemble", "build_network", "display_name"]

# name of the early-exit network -> (input_channels, num_classes) -> chain
BACKBONES: dict[str, Callable[[int, int], Chain]] = {
    "eenet8": eenet8,
    **{f"eenet{depth}": partial(resnet_6n2, depth) for depth in SMALL_RESNET_DEPTHS},
}


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
    network = _with_exits(chain, exit_after, spec)
    exit_macs = [
        count_macs(exit_block, torch.zeros(1, *shape))
        for exit_block, shape in zip(network.exits, network.feature_maps()[:-1], strict=False)
    ]
    return network, CostTable(tuple(block_macs), tuple(exit_macs), final_macs, exit_after)


def assemble(spec: NetworkSpec, exit_after: Sequence[int]) -> EarlyExitNetwork:
    """The network with fresh weights where its exits are known: nothing is counted, fvcore is not loaded.

    Args:
        exit_after: for each early exit the index of the block it follows.
    """
    return _with_exits(BACKBONES[spec.model](spec.input_shape[0], spec.num_classes), exit_after, spec)


def _with_exits(chain: Chain, exit_after: Sequence[int], spec: NetworkSpec) -> EarlyExitNetwork:
    return EarlyExitNetwork(
        chain,
        exit_after,
        spec.exit_type,
        spec.input_shape,
        spec.num_classes,
        sees_answer=spec.confidence_input == "features+answer",
    )
