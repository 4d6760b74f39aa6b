"""`python -m core train`: from the flags of the command line to a finished checkpoint."""

import argparse
import json
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from core.checkpoints import CHECKPOINTS, load_card, read_card
from core.data.datasets import dataset_name
from core.errors import UserError
from core.network.placement import PLACEMENTS
from core.network.spec import EXIT_TYPES, MODELS, STEMS, NetworkSpec
from core.training.jobs import (
    STOP_FILE,
    begin,
    check_name,
    clear,
    flags,
    hold,
    is_finished,
    keep,
    refuse_finished,
    sweep,
    to_request,
)

if TYPE_CHECKING:
    from core.data.datasets import ImageSet
    from core.network.cost import CostTable
    from core.training.recipe import Recipe


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
    parser.add_argument(
        "--early-exit-weight",
        type=float,
        metavar="W",
        help="of each early exit's cross-entropy, overrides the recipe's",
    )
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
    parser.add_argument("--parent", metavar="NAME", help="checkpoint with the same backbone to start from")
    parser.add_argument("--small-traces", action="store_true", help="keep scores and answers, not the class tables")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint; run again to go on")
    parser.add_argument("--keep-as", metavar="NAME", help="when it is done, move it to DATASET/MODEL in checkpoints/")


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Words after `python -m core train` as the command line understands them.

    Raises:
        UserError: one line on what it does not understand.
    """
    parser = _OneLineParser(add_help=False)
    add_arguments(parser)
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS)
    return parser.parse_args(list(words))


def shortest(values: Mapping[str, Any]) -> str:
    """The command line of a request, without the flags that say what is so anyway."""
    defaults = to_request(vars(parse(["--dataset", "", "--model", MODELS[0], "--out", ""])))
    named = ("dataset", "model", "exits", "epochs")
    said = {name: value for name, value in defaults.items() if name not in (*named, "out")}
    return "python -m core train " + shlex.join(flags(to_request(values), said))


def make_recipe(arguments: argparse.Namespace, shape: tuple[int, int, int], num_classes: int) -> "Recipe":
    """What the flags ask to train on images (channels, height, width) of so many classes.

    Raises:
        UserError: a flag that makes no sense.
    """
    from core.training.recipe import PRESETS, Recipe

    spec = NetworkSpec(
        arguments.model,
        arguments.exits,
        arguments.placement,
        arguments.exit_type,
        shape,
        num_classes,
        stem=arguments.stem,
        width=arguments.width,
    )
    names = {field.name for field in fields(Recipe)} - {"dataset", "network"}
    changes = {name: value for name, value in vars(arguments).items() if name in names and value is not None}
    recipe = PRESETS[arguments.recipe](arguments.dataset, spec, **changes)
    if arguments.confidence_input:
        recipe = replace(recipe, network=replace(recipe.network, confidence_input=arguments.confidence_input))
    return recipe


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
    from core.training.progress import Watch

    out, checkpoints = arguments.out, getattr(arguments, "checkpoints", CHECKPOINTS)
    target = None
    if arguments.keep_as is not None:
        check_name(arguments.keep_as)
        target = checkpoints / arguments.keep_as
        if is_finished(out):  # killed on the last inch
            with hold(out):
                return _keep(arguments, target)
    refuse_finished(out)
    device = pick_device(arguments.device)
    training = load_images(
        arguments.dataset, "training", arguments.data_dir, channels=arguments.channels, size=arguments.size
    )
    for problem in training.problems:
        print(problem, file=sys.stderr)
    recipe = make_recipe(arguments, training.images.shape[1:], len(training.class_names))

    def report(line: dict[str, Any]) -> None:
        print(json.dumps(line), file=sys.stderr)

    check_network(recipe, checkpoints)
    if target is not None:
        _own_test_images(arguments)
    with _termination_as_interrupt(), one_line_where_full(out), hold(out):
        begin(out, to_request(vars(arguments)))
        watch = Watch(out, recipe, len(training))
        try:
            metrics = train(
                recipe,
                training,
                out,
                arguments.data_dir,
                device.name,
                report,
                arguments.small_traces,
                checkpoints,
                tell=watch,
            )
            if target is not None:
                return _keep(arguments, target)
            clear(out)
            return metrics
        except KeyboardInterrupt:
            with suppress(OSError):
                (out / STOP_FILE).touch()
            raise
        except UserError as error:
            watch.fail(str(error))
            raise


def check_network(recipe: "Recipe", checkpoints: Path) -> "CostTable":
    """What the network's exits cost, counted before anything is written.

    Raises:
        UserError: it cannot be built, or its parent has another backbone or is not there.
    """
    from core.network.registry import build_network
    from core.training.recipe import check_parent

    if recipe.parent is not None:
        check_parent(recipe, load_card(recipe.parent, checkpoints).spec)
    return build_network(recipe.network)[1]


def _keep(arguments: argparse.Namespace, target: Path) -> dict[str, Any]:
    """Moves what is finished to `target`; the test images of somebody's own dataset go with it."""
    metrics = dict(read_card(arguments.out).metrics)
    images = _own_test_images(arguments)
    if images is not None:
        from core.data.embedded import LABELS_FILE, write_embedded

        root = target.parents[1]
        name = dataset_name(arguments.dataset)
        if not (root / name / LABELS_FILE).exists():
            with suppress(UserError):  # too many pixels: pages do without thumbnails
                write_embedded(name, images, root)
    keep(arguments.out, target)
    return metrics


def _own_test_images(arguments: argparse.Namespace) -> "ImageSet | None":
    """The test images of a folder or zip; None for a named dataset.

    Raises:
        UserError: checkpoints of another dataset with that name are there, and their images would be shown for these.
    """
    from core.data.datasets import NAMED, load_images
    from core.data.embedded import LABELS_FILE, load_labels, pixel_hash

    if arguments.dataset in NAMED:
        return None
    size = {"channels": arguments.channels, "size": arguments.size}
    images = load_images(arguments.dataset, "test", arguments.data_dir, **size)
    name, root = dataset_name(arguments.dataset), arguments.checkpoints
    if (root / name / LABELS_FILE).exists() and load_labels(name, root).sha256 != pixel_hash(images.images):
        raise UserError(
            f"expected the test images that lie with the checkpoints of {name}, got others: "
            "rename the folder or zip, so that its networks get a place of their own"
        )
    return images


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """SIGTERM ends a training as Ctrl-C does: between two steps, with a word about it."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def one_line_where_full(out: Path) -> Iterator[None]:
    """One line where something cannot be written; whatever was whole before still is."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        sweep(out)
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"expected room to write in {out}, got {reason}: make room and run again, "
            "it goes on after the last finished epoch"
        ) from error
