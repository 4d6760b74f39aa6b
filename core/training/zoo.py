"""The zoo: every checkpoint the project ships or means to, what it is compared with, its recipe.

`python -m core zoo --plan` prints it in the order of training, `python -m core zoo --train` trains what is missing.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from core.checkpoints import CARD_FILE, CHECKPOINTS, list_checkpoints
from core.errors import UserError
from core.network.spec import NetworkSpec, folder_name
from core.training.recipe import Recipe, default_recipe, paper_recipe

WORK = CHECKPOINTS.parent / "runs"

COST_WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
SEEDS = (1, 2)  # the third is that of the network itself
SMALL_FIRST = ((0.3, 16), (0.2, 24))  # shares of the epochs on smaller images
BRANCH = {"mnist": 4, "cifar10": 2}  # extra epochs of each member of a lambda family
LOSS_EPOCHS = 4
PLACEMENT_EPOCHS = 2
BACKBONE_EXIT_WEIGHT = 0.15  # smaller than usual: the whole network's accuracy comes first
TRAINING_EXAMPLES = {"mnist": 55_000, "cifar10": 45_000}
# multiply-accumulates a second in training steps of EENet-20 (three forward passes each), float32, one core of an AMD
# EPYC with AVX2; 2026-11-21
TRAINING_RATE = 2.6e10


@dataclass(frozen=True)
class Entry:
    """One checkpoint of the zoo.

    Args:
        name: DATASET/MODEL, its folder.
        family: what it is compared with: `main`, `plain`, `lambda`, `placement`, `exit type`, `loss`, `seed`,
            `backbone`, `depth`.
        recipe: how it is trained.
        full: whether its traces keep the class tables: at most three networks, for the repository's size.
    """

    name: str
    family: str
    recipe: Recipe
    full: bool = False

    def seconds(self) -> float:
        """Estimated training time on one core of the machine that `TRAINING_RATE` was measured on."""
        side = self.recipe.network.input_shape[1]
        sides = [self.recipe.side(epoch) or side for epoch in range(self.recipe.epochs)]
        passes = sum((pixels / side) ** 2 for pixels in sides)
        return 3 * _macs(self.recipe.network) * TRAINING_EXAMPLES[self.recipe.dataset] * passes / TRAINING_RATE


@cache
def _macs(spec: NetworkSpec) -> int:
    from core.network.registry import build_network

    return build_network(spec)[1].macs()[-1]


def entries() -> list[Entry]:
    """All entries, by family; needs no torch."""
    return [*_main(), *_lambda_families(), *_designs(), *_seeds(), *_backbones()]


def plan() -> list[Entry]:
    """All entries in the order they are trained: a parent before its branches, then the cheapest first."""
    planned = entries()
    seconds = {entry.name: entry.seconds() for entry in planned}
    first = [entry for entry in planned if entry.family in ("main", "plain")]
    rest = sorted((entry for entry in planned if entry not in first), key=lambda entry: seconds[entry.name])
    return [*first, *rest]


def missing(entries: list[Entry], root: Path = CHECKPOINTS) -> list[Entry]:
    """Those whose checkpoint is not there, or broken."""
    there = {entry.name for entry in list_checkpoints(root) if entry.problem is None}
    return [entry for entry in entries if entry.name not in there]


def train_missing(
    entries: list[Entry],
    data_dir: Path,
    device: str = "cpu",
    root: Path = CHECKPOINTS,
    work: Path = WORK,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
) -> list[str]:
    """Trains what is missing, one after the other; interrupted and run again, it goes on where it was.

    A training lives in `work` until it is done; then its folder moves to `root`.

    Args:
        report: called with each finished epoch's line of the history, `name` added.

    Returns:
        Names of the checkpoints made.
    """
    from core.data.datasets import load_images
    from core.training.pipeline import train
    from core.training.state import STATE_FILE

    made = []
    for entry in missing(entries, root):
        out = work / entry.name
        if not (out / CARD_FILE).exists() or (out / STATE_FILE).exists():
            training = load_images(entry.recipe.dataset, "training", data_dir)
            tell = partial(_tell, report, entry.name)
            train(entry.recipe, training, out, data_dir, device, tell, small=not entry.full, root=root)
        target = root / entry.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise UserError(f"expected no folder {target}, got a broken checkpoint there: move it away")
        shutil.move(out, target)
        made.append(entry.name)
    return made


def _tell(report: Callable[[dict[str, Any]], None], name: str, line: dict[str, Any]) -> None:
    report({"name": name, **line})


def to_json(entry: Entry, there: bool) -> dict[str, Any]:
    """What `core zoo --plan` prints of an entry."""
    return {
        "name": entry.name,
        "family": entry.family,
        "trained": there,
        "estimated_minutes": round(entry.seconds() / 60, 1),
        "recipe": entry.recipe.to_json(),
    }


def _spec(dataset: str, model: str, exits: int, placement: str = "pareto", exit_type: str = "pool") -> NetworkSpec:
    shape = (1, 28, 28) if dataset == "mnist" else (3, 32, 32)
    return NetworkSpec(model, exits, placement, exit_type, shape, 10)


def _with_plain(entry: Entry) -> Iterator[Entry]:
    """A network and its plain counterpart, trained alike."""
    yield entry
    recipe = replace(entry.recipe, network=replace(entry.recipe.network, num_early_exits=0))
    yield Entry(f"{recipe.dataset}/{folder_name(recipe.network)}", "plain", recipe)


def _main() -> Iterator[Entry]:
    eenet8 = _spec("mnist", "eenet8", 2, exit_type="plain")
    yield from _with_plain(Entry("mnist/eenet8", "main", default_recipe("mnist", eenet8, epochs=12), full=True))
    eenet20 = _spec("mnist", "eenet20", 4, "fine", "plain")
    yield from _with_plain(Entry("mnist/eenet20", "main", default_recipe("mnist", eenet20, epochs=5), full=True))
    yield from _with_plain(Entry("cifar10/eenet20", "main", _cifar("eenet20"), full=True))


def _cifar(model: str, epochs: int = 46, **network: Any) -> Recipe:
    spec = replace(_spec("cifar10", model, 4), **network)
    return default_recipe("cifar10", spec, epochs=epochs, resolution=SMALL_FIRST)


def _other_exits(parent: str, exit_type: str) -> Recipe:
    """A trained network with fresh early exits of another type, all of it trained on for a few epochs.

    The last exit weighs more than in the parent: the early ones find features made for them already.
    """
    return replace(
        _cifar("eenet20", epochs=8, exit_type=exit_type),
        parent=parent,
        early_exit_weight=0.15,
        learning_rate=0.01,
        resolution=(),
    )


def _lambda_families() -> Iterator[Entry]:
    """The paper's loss end to end at several cost weights, each a few epochs from the same parent."""
    for entry in _main():
        if entry.name not in ("mnist/eenet8", "cifar10/eenet20"):
            continue
        scratch = default_recipe(entry.recipe.dataset, entry.recipe.network)
        for cost_weight in COST_WEIGHTS:
            recipe = replace(
                entry.recipe,
                method="end-to-end",
                cost_weight=cost_weight,
                epochs=BRANCH[entry.recipe.dataset],
                early_exit_weight=scratch.early_exit_weight,
                learning_rate=scratch.learning_rate / 3,
                head_learning_rate=scratch.head_learning_rate / 3,
                resolution=(),
                parent=entry.name,
            )
            yield Entry(f"{entry.name}-lambda-{cost_weight:g}", "lambda", recipe)


def _designs() -> Iterator[Entry]:
    """Placements, exit types and losses, each on one network, all else equal."""
    for placement in ("pareto", "fine", "linear", "golden"):
        spec = _spec("mnist", "eenet20", 4, placement)
        yield Entry(f"mnist/eenet20-{placement}", "placement", default_recipe("mnist", spec, epochs=PLACEMENT_EPOCHS))
    for exit_type in ("pool", "bnpool", "grid"):
        spec = _spec("mnist", "eenet8", 2, exit_type=exit_type)
        yield Entry(f"mnist/eenet8-{exit_type}", "exit type", default_recipe("mnist", spec, epochs=12))
    yield Entry("cifar10/eenet20-grid", "exit type", _other_exits("cifar10/eenet20", "grid"))
    for loss in ("fused", "cumulative", "normalized", "tagged"):
        spec = _spec("mnist", "eenet8", 2)
        yield Entry(f"mnist/eenet8-{loss}", "loss", paper_recipe("mnist", spec, epochs=LOSS_EPOCHS, loss=loss))


def _seeds() -> Iterator[Entry]:
    for seed in SEEDS:
        spec = _spec("mnist", "eenet8", 2, exit_type="plain")
        yield Entry(f"mnist/eenet8-seed-{seed}", "seed", default_recipe("mnist", spec, epochs=12, seed=seed))


def _backbones() -> Iterator[Entry]:
    """torchvision's networks, as narrow as two cores train and the repository holds, and one deeper network."""
    narrow: tuple[tuple[str, float, int, Any], ...] = (
        ("eenet18", 0.25, 20, SMALL_FIRST),
        ("eevgg16", 0.125, 20, ()),  # halves its maps five times: nothing is left of smaller images
        ("eemobilenet_v2", 0.25, 20, SMALL_FIRST),
    )
    for model, width, epochs, resolution in narrow:
        recipe = replace(
            _cifar(model, epochs, exit_type="grid", stem="small", width=width),
            early_exit_weight=BACKBONE_EXIT_WEIGHT,
            resolution=resolution,
        )
        for entry in _with_plain(Entry(f"cifar10/{folder_name(recipe.network)}", "backbone", recipe)):
            yield replace(entry, family="backbone")
    yield Entry("cifar10/eenet56", "depth", _cifar("eenet56", epochs=30))
