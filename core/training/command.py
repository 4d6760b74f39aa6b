"""`python -m core train`: from the flags of the command line to a finished checkpoint."""

import argparse
import json
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from core.network.placement import PLACEMENTS
from core.network.spec import EXIT_TYPES, MODELS, STEMS, NetworkSpec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of DESIGN section 4; what is not given is decided by the recipe's preset."""
    parser.add_argument("--dataset", required=True, help="mnist, cifar10, or a folder or zip with one folder per class")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="where dataset files lie (data)")
    parser.add_argument("--size", type=int, default=32, help="side that a folder's images are resized to (32)")
    parser.add_argument("--channels", type=int, default=3, choices=(1, 3), help="of a folder's images: 1 is grey (3)")
    parser.add_argument("--model", required=True, choices=MODELS)
    parser.add_argument("--exits", type=int, default=4, metavar="K", help="early exits; 0 is the plain network (4)")
    parser.add_argument("--placement", choices=tuple(PLACEMENTS), default="pareto")
    parser.add_argument("--exit-type", choices=EXIT_TYPES, default="pool")
    parser.add_argument("--stem", choices=STEMS, default="standard", help="of torchvision's networks; small: <= 64 px")
    parser.add_argument("--width", type=float, default=1.0, help="of torchvision's networks: factor on channels (1)")
    parser.add_argument(
        "--recipe",
        choices=("default", "paper"),
        default="default",
        help="default keeps every exit alive and fits the confidences at the end; paper is its loss alone, end to end",
    )
    parser.add_argument(
        "--loss", choices=("fused", "cumulative", "normalized", "tagged", "unweighted"), default="cumulative"
    )
    parser.add_argument("--method", choices=("alive", "end-to-end", "two-stage"), help="overrides the recipe's")
    parser.add_argument("--cost-weight", type=float, default=1.0, metavar="W", help="lambda (1)")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--optimizer", choices=("muon", "sgd", "adam"))
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--head-learning-rate", type=float)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--confidence-input", choices=("features", "features+answer"))
    parser.add_argument(
        "--resolution",
        type=_resolution,
        metavar="SHARE:SIDE,...",
        help="smaller images first, e.g. 0.3:16,0.25:20,0.2:24 (shares of the epochs)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parent", metavar="NAME", help="checkpoint of the same network to start from")
    parser.add_argument("--small-traces", action="store_true", help="keep scores and answers, not the class tables")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint; run again to go on")


def _resolution(text: str) -> tuple[tuple[float, int], ...]:
    """`0.3:16,0.2:24` -> ((0.3, 16), (0.2, 24))."""
    try:
        pairs = [pair.split(":") for pair in text.split(",")]
        return tuple((float(share), int(side)) for share, side in pairs)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected SHARE:SIDE,..., got {text!r}") from error


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains and returns what the command prints.

    Raises:
        UserError: a flag, the dataset or the folder is not usable.
    """
    from core.data.datasets import load_images
    from core.network.devices import pick_device
    from core.training.pipeline import train
    from core.training.recipe import PRESETS, Recipe

    device = pick_device(arguments.device)
    training = load_images(
        arguments.dataset, "training", arguments.data_dir, channels=arguments.channels, size=arguments.size
    )
    for problem in training.problems:
        print(problem, file=sys.stderr)
    spec = NetworkSpec(
        arguments.model,
        arguments.exits,
        arguments.placement,
        arguments.exit_type,
        training.images.shape[1:],
        len(training.class_names),
        stem=arguments.stem,
        width=arguments.width,
    )
    names = {field.name for field in fields(Recipe)} - {"dataset", "network"}
    changes = {name: value for name, value in vars(arguments).items() if name in names and value is not None}
    recipe = PRESETS[arguments.recipe](arguments.dataset, spec, **changes)
    if arguments.confidence_input:
        recipe = replace(recipe, network=replace(recipe.network, confidence_input=arguments.confidence_input))

    def report(line: dict[str, Any]) -> None:
        print(json.dumps(line), file=sys.stderr)

    return train(recipe, training, arguments.out, arguments.data_dir, device.name, report, arguments.small_traces)
