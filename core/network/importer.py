"""Networks trained with the EENets paper's own code (Demir & Akbas 2024), brought in as checkpoints."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from core.checkpoints import Card, check_safetensors, check_weights
from core.data.datasets import CIFAR10_CLASSES, DIGITS
from core.data.preprocess import Preprocessing
from core.errors import UserError
from core.network.counting import chain_macs, count_macs
from core.network.early_exit import EarlyExitNetwork
from core.network.placement import PLACEMENTS, place_exits
from core.network.registry import BACKBONES, build_network, display_name
from core.network.spec import SMALL_RESNET_DEPTHS, NetworkSpec

# what the paper's code normalises with, by the number of channels
SIZES = {1: 28, 3: 32}
MEANS = {1: (0.1307,), 3: (0.4914, 0.4822, 0.4465)}
STDS = {1: (0.3081,), 3: (0.2023, 0.1994, 0.2010)}
KNOWN_DATASETS = {1: ("mnist", DIGITS), 3: ("cifar10", CIFAR10_CLASSES)}

_HEAD = r"\.0\.(weight|bias)"  # position 0 of Sequential(Linear, Softmax or Sigmoid)
_RESNET_NAMES = (
    (r"stages\.(\d+)\.(\d+)\.(.+)", r"segments.\1.\2.\3"),
    (rf"exits\.(\d+)\.classifier{_HEAD}", r"exits.\1.classifier.\2"),
    (rf"exits\.(\d+)\.confidence{_HEAD}", r"exits.\1.confidence.linear.\2"),
    (rf"classifier{_HEAD}", r"exits.LAST.classifier.\1"),
    (rf"confidence{_HEAD}", r"exits.LAST.confidence.linear.\1"),
)
_EENET8_NAMES = (
    (r"initblock\.(\d+\..+)", r"segments.0.0.\1"),
    (r"basicblock1\.(\d+\..+)", r"segments.0.1.body.\1"),
    (r"basicblock2\.(\d+\..+)", r"segments.1.0.body.\1"),
    (r"basicblock3\.(\d+\..+)", r"segments.2.0.body.\1"),
    (r"conv2d_6\.(weight|bias)", r"segments.1.0.shortcut.\1"),
    (r"conv2d_9\.(weight|bias)", r"segments.2.0.shortcut.\1"),
    (r"finalblock\.0\.(.+)", r"exits.LAST.neck.0.\1"),
    (rf"exit([01])_classifier{_HEAD}", r"exits.\1.classifier.\2"),
    (rf"exit([01])_confidence{_HEAD}", r"exits.\1.confidence.linear.\2"),
    (rf"classifier{_HEAD}", r"exits.LAST.classifier.\1"),
)


def import_reference(
    path: Path,
    model: str | None = None,
    placement: str | None = None,
    exit_type: str | None = None,
    size: int | None = None,
    dataset: str | None = None,
    class_names: tuple[str, ...] | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> tuple[EarlyExitNetwork, Card]:
    """The network in a file of the paper's code, in evaluation mode, and a card for it.

    What is not given is read off the weights: the model from the names, the placement from where the exits are, the
    exit type from the length of their input. The size (28 for one channel, 32 for three), data set, class names and
    normalisation are those of the paper's MNIST and CIFAR-10 networks.

    The paper's code keeps the BatchNorm of its `bnpool` exits in a Python list, so it is never saved: such a network
    cannot be brought in.

    Args:
        path: a safetensors file of the network's state_dict.
        size: side of the square input in pixels.

    Raises:
        UserError: not safetensors, other names, or weights that contradict what was given.
    """
    from safetensors.torch import load_file

    check_safetensors(path)
    weights = load_file(path)
    early = 2 if _is_eenet8(weights) else _count(weights, r"exits\.(\d+)\.classifier\.0\.weight")
    renamed = _rename(weights, early, path.name)
    found_model, exit_after = _layout(renamed, path.name)
    if model not in (None, found_model):
        raise UserError(f"expected the weights of {model} in {path.name}, got those of {found_model}: drop --model")
    stem = renamed["segments.0.0.0.weight"]
    channels = int(stem.shape[1])
    num_classes = len(renamed[f"exits.{early}.classifier.weight"])
    if channels not in SIZES:
        raise UserError(f"expected a network of 1 or 3 input channels in {path.name}, got {channels}: retrain it")
    side = size or SIZES[channels]
    name, names = _labels(channels, num_classes, dataset, class_names)
    preprocessing = Preprocessing(
        channels=channels,
        size=side,
        mean=mean or MEANS[channels],
        std=std or STDS[channels],
        invert_if_light=name == "mnist",
    )
    spec = NetworkSpec(
        found_model,
        early,
        _placement(found_model, (channels, side, side), num_classes, exit_after, placement),
        _exit_type(renamed, exit_type, path.name),
        (channels, side, side),
        num_classes,
        confidence_input="features",
    )
    network, cost = build_network(spec)
    check_weights(network, renamed, path.name)
    network.load_state_dict(renamed)
    card = Card(
        title=f"{display_name(spec)} (imported)",
        dataset=name,
        spec=spec,
        preprocessing=preprocessing,
        class_names=names,
        cost=cost,
        recipe={"imported_from": path.name, "trained_with": "the EENets paper's code"},
    )
    return network.eval(), card


def _is_eenet8(weights: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("initblock.") for name in weights)


def _count(names: Mapping[str, Tensor], pattern: str) -> int:
    """How many numbers 0, 1, ... a pattern's group runs through."""
    return len({match[1] for name in names if (match := re.fullmatch(pattern, name))})


def _rename(weights: Mapping[str, Tensor], early: int, where: str) -> dict[str, Tensor]:
    """Tensors under this project's names."""
    table = _EENET8_NAMES if _is_eenet8(weights) else _RESNET_NAMES
    renamed = {}
    for name, tensor in weights.items():
        for pattern, ours in table:
            if re.fullmatch(pattern, name):
                renamed[re.sub(pattern, ours, name).replace("LAST", str(early))] = tensor
                break
        else:
            raise UserError(
                f"expected parameter names of the EENets paper's code in {where}, got {name!r}: "
                "only EENet-8 and 6n+2 EENets can be imported"
            )
    return renamed


def _layout(renamed: Mapping[str, Tensor], where: str) -> tuple[str, tuple[int, ...]]:
    """Model, and the block after which each early exit sits."""
    eenet8 = "segments.0.1.body.0.weight" in renamed
    segments = _count(renamed, r"segments\.(\d+)\..+")
    lengths = [_count(renamed, rf"segments\.{segment}\.(\d+)\..+") for segment in range(segments)]
    early = _count(renamed, r"exits\.(\d+)\.classifier\.weight") - 1
    missing = [n for n in ("segments.0.0.0.weight", f"exits.{early}.classifier.weight") if n not in renamed]
    if missing or segments != early + 1:
        raise UserError(
            f"expected stem, last classifier and one exit behind each stage but the last in {where}, "
            f"got {segments} stages and {max(early, 0)} early exits: save the whole state_dict"
        )
    if renamed["segments.0.0.0.weight"].ndim != 4:
        raise UserError(f"expected a convolution as the stem in {where}, got another shape: save the whole state_dict")
    exit_after = tuple(sum(lengths[: n + 1]) - 1 for n in range(early))
    if eenet8:
        return "eenet8", exit_after
    depth = 2 * (sum(lengths) - 1) + 2
    if depth not in SMALL_RESNET_DEPTHS:
        known = ", ".join(str(depth) for depth in SMALL_RESNET_DEPTHS)
        raise UserError(f"expected a network of {known} layers in {where}, got {depth}: other depths are not built")
    return f"eenet{depth}", exit_after


def _placement(
    model: str, shape: tuple[int, int, int], num_classes: int, exit_after: tuple[int, ...], wanted: str | None
) -> str:
    """The placement that puts exits after these blocks: the wanted one, or the first that does."""
    chain = BACKBONES[model](NetworkSpec(model, 0, "pareto", "pool", shape, num_classes))
    macs, feature_map = chain_macs(chain.blocks, torch.zeros(1, *shape))
    neck_macs, vector = chain_macs([chain.neck], feature_map)
    total = sum(macs) + neck_macs[0] + count_macs(chain.classifier, vector)
    fitting = []
    for name in PLACEMENTS:
        try:
            if place_exits(macs, total, len(exit_after), name) == exit_after:
                fitting.append(name)
        except UserError:
            continue  # this placement has no room for so many exits
    if wanted is None and fitting:
        return fitting[0]
    if wanted in fitting:
        return str(wanted)
    raise UserError(
        f"expected exits placed {wanted or 'by ' + ', '.join(PLACEMENTS)}, got exits after blocks {list(exit_after)}, "
        f"which is {' or '.join(fitting) or 'none of these'}: give the network's own --placement and --size"
    )


def _exit_type(renamed: Mapping[str, Tensor], wanted: str | None, where: str) -> str:
    """`pool` where the first exit's branches take one number a channel, else `plain`."""
    convolutions = [t for name, t in renamed.items() if name.startswith("segments.0.") and t.ndim == 4]
    pooled = renamed["exits.0.classifier.weight"].shape[1] == convolutions[-1].shape[0]
    found = "pool" if pooled else "plain"
    if wanted == "bnpool":
        raise UserError(
            f"expected exit type {found} in {where}, got bnpool: the paper's code does not save the BatchNorm of such "
            "exits, train the network here instead"
        )
    if wanted not in (None, found):
        raise UserError(f"expected exit type {found} by the weights in {where}, got {wanted}: drop --exit-type")
    return found


def _labels(
    channels: int, num_classes: int, dataset: str | None, class_names: tuple[str, ...] | None
) -> tuple[str, tuple[str, ...]]:
    """Name of the data set and its class names."""
    known_dataset, known_names = KNOWN_DATASETS[channels]
    name = dataset or (known_dataset if num_classes == len(known_names) else "")
    if not name:
        raise UserError(
            f"expected --dataset for a network of {num_classes} classes, got none: name what it was trained on"
        )
    if class_names is None and name == known_dataset:
        class_names = known_names
    if class_names is None or len(class_names) != num_classes:
        given = 0 if class_names is None else len(class_names)
        raise UserError(f"expected {num_classes} class names, got {given}: give --class-names a,b,c")
    return name, class_names
