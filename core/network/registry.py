"""Every network by name, and the one function that builds them."""

import re
from collections.abc import Callable, Sequence
from functools import partial

import torch

from core.errors import UserError
from core.network.chain import Chain
from core.network.cost import CostTable
from core.network.counting import chain_macs, count_macs
from core.network.early_exit import EarlyExitNetwork
from core.network.eenet8 import eenet8
from core.network.placement import place_exits
from core.network.resnet import resnet_6n2
from core.network.spec import SMALL_RESNET_DEPTHS, TORCHVISION_MODELS, NetworkSpec, plain_name

__all__ = ["BACKBONES", "NetworkSpec", "assemble", "build_network", "display_name"]


def _small_resnet(depth: int, spec: NetworkSpec) -> Chain:
    return resnet_6n2(depth, spec.input_shape[0], spec.num_classes)


def _torchvision_chain(spec: NetworkSpec) -> Chain:
    from core.network import torchvision_backbones as families

    options = (spec.input_shape[0], spec.num_classes, spec.stem == "small", spec.width)
    plain = plain_name(spec.model)
    if plain.startswith("mobilenet"):
        return families.torchvision_mobilenet(plain, *options)
    family, depth = re.fullmatch(r"([a-z]+)(\d+)", plain).groups()  # type: ignore[union-attr]
    build = families.torchvision_resnet if family == "resnet" else families.torchvision_vgg
    return build(int(depth), *options)


# name of the early-exit network -> its backbone; torchvision is imported when one of its own is asked for
BACKBONES: dict[str, Callable[[NetworkSpec], Chain]] = {
    "eenet8": lambda spec: eenet8(spec.input_shape[0], spec.num_classes),
    **{f"eenet{depth}": partial(_small_resnet, depth) for depth in SMALL_RESNET_DEPTHS},
    **dict.fromkeys(TORCHVISION_MODELS, _torchvision_chain),
}
_FAMILIES = {"resnet": "ResNet", "vgg": "VGG", "mobilenet": "MobileNet"}


def display_name(spec: NetworkSpec) -> str:
    """`EENet-20`, `ResNet-20` for the plain network; `EE-VGG-16, width 0.25`."""
    family, rest = re.fullmatch(r"([a-z]+?)_?(v?\d.*)", plain_name(spec.model)).groups()  # type: ignore[union-attr]
    name = f"{_FAMILIES[family]}{'' if family == 'mobilenet' else '-'}{rest.replace('_', ' ').upper()}"
    if family == "mobilenet":
        name = name.replace(" SMALL", " small").replace(" LARGE", " large")
    if spec.num_early_exits:
        name = name.replace("ResNet", "EENet") if family == "resnet" else f"EE-{name}"
    return name + (f", width {spec.width:g}" if spec.width != 1 else "")


def build_network(spec: NetworkSpec) -> tuple[EarlyExitNetwork, CostTable]:
    """The network with fresh weights, and what its exits cost.

    Weights come from torch's global random state: seed it first where they matter.

    Raises:
        UserError: more exits than fit, or images too small for the network.
    """
    chain = BACKBONES[spec.model](spec)
    try:
        block_macs, feature_map = chain_macs(chain.blocks, torch.zeros(1, *spec.input_shape))
    except RuntimeError as error:  # a map without pixels left
        side = min(spec.input_shape[1:])
        raise UserError(
            f"expected images large enough for {spec.model}, got {side} x {side} pixels, of which nothing is left "
            "on the way: take larger images or another network"
        ) from error
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
    return _with_exits(BACKBONES[spec.model](spec), exit_after, spec)


def _with_exits(chain: Chain, exit_after: Sequence[int], spec: NetworkSpec) -> EarlyExitNetwork:
    return EarlyExitNetwork(
        chain,
        exit_after,
        spec.exit_type,
        spec.input_shape,
        spec.num_classes,
        sees_answer=spec.confidence_input == "features+answer",
    )
