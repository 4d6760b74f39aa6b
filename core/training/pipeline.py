"""From a recipe to a finished checkpoint: train, fit the confidences, record both traces, write the card."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.analysis.reference_points import area_under_curve
from core.analysis.rules import BELOW_ONE
from core.analysis.sweep import exact_sweep
from core.checkpoints import CHECKPOINTS, Card, checkpoint_hash, read_network, save_checkpoint, trace_path
from core.data.datasets import ImageSet, dataset_name, load_images
from core.data.preprocess import Preprocessing
from core.feature_map import map_path
from core.network.cost import CostTable
from core.network.early_exit import EarlyExitNetwork
from core.network.features import record_feature_map
from core.network.registry import build_network, display_name
from core.network.spec import folder_name
from core.network.tracing import record_trace
from core.trace import SPLITS, Trace
from core.training.augment import augment
from core.training.confidence import BATCH, fit_confidence
from core.training.jobs import refuse_finished
from core.training.losses import CONFIDENCE_LOSSES
from core.training.recipe import Recipe
from core.training.state import STATE_FILE
from core.training.trainer import preprocessing_of, train_network

MORE_ERRORS = 0.1  # default thresholds make at most a tenth more errors on calibration than the full network
REPORTED_RULES = ("confidence", "probability")


def train(
    recipe: Recipe,
    training: ImageSet,
    out: Path,
    data_dir: Path,
    device: str = "cpu",
    report: Callable[[dict[str, Any]], None] = lambda line: None,
    small: bool = False,
    root: Path = CHECKPOINTS,
    tell: Callable[[str, int, int], None] = lambda phase, done, total: None,
) -> dict[str, Any]:
    """Trains and writes a checkpoint to `out`; run again after an interruption, it goes on where it was.

    The last epoch's weights count: nothing is selected on the calibration or the test split, and the test images are
    looked at once, when everything else is done.

    Args:
        training: the part `training` of the dataset.
        small: keep only the compact form of the traces and no feature map.
        root: where the recipe's parent lies.
        tell: called often with what is being done, how much of it is done, and the whole of it.

    Returns:
        The card's metrics, by split.
    """
    refuse_finished(out)
    target = torch.device(device)
    network, progress = train_network(recipe, training, out, target, report, root, tell)
    preprocessing = preprocessing_of(training)
    _, costs = build_network(recipe.network)
    if recipe.method == "alive" and recipe.loss in CONFIDENCE_LOSSES and recipe.network.num_early_exits:
        cost = torch.tensor(costs.relative(), dtype=torch.float32, device=target)

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            return _endless(training, preprocessing, recipe, target)

        fit_confidence(network, batches, cost, recipe.loss, recipe.cost_weight, tell=tell)
    seconds = sum(line["seconds"] for line in progress.history)
    card = Card(
        title=display_name(recipe.network),
        dataset=dataset_name(recipe.dataset),
        spec=recipe.network,
        preprocessing=preprocessing,
        class_names=training.class_names,
        cost=costs,
        plain_counterpart=plain_counterpart(recipe),
        recipe=recipe.to_json() | {"training_seconds": round(seconds), "training_examples": len(training)},
    )
    return finish(network, card, out, data_dir, recipe.dataset, device, small, tell)


def plain_counterpart(recipe: Recipe) -> str | None:
    """Name of the checkpoint of the same backbone without early exits; it may not have been trained."""
    if recipe.network.num_early_exits == 0:
        return None
    return f"{dataset_name(recipe.dataset)}/{folder_name(replace(recipe.network, num_early_exits=0))}"


def finish(
    network: EarlyExitNetwork,
    card: Card,
    out: Path,
    data_dir: Path,
    dataset: str,
    device: str,
    small: bool = False,
    tell: Callable[[str, int, int], None] = lambda phase, done, total: None,
) -> dict[str, Any]:
    """Records traces and map of trained weights, chooses default thresholds on calibration, writes everything."""
    save_checkpoint(out, network, card, half=True)
    stored, _ = read_network(out, device)
    traces = {}
    channels, size, _ = card.spec.input_shape
    for split in SPLITS:
        images = load_images(dataset, split, data_dir, channels=channels, size=size)
        told = partial(_tell_part, tell, f"recording {split}", len(images))
        traces[split] = record_trace(
            stored, images, card.preprocessing, card.cost.relative(), checkpoint_hash(out), split, report=told
        )
        (traces[split].compact() if small else traces[split]).save(trace_path(out, split))
        if not small and split == "test" and card.spec.num_early_exits:
            told = partial(_tell_part, tell, "mapping", len(images))
            found = record_feature_map(stored, images, card.preprocessing, checkpoint_hash(out), split, report=told)
            found.save(map_path(out, split))
    thresholds = {"probability": (default_threshold(traces["calibration"], "probability"),)}
    metrics = {split: split_metrics(trace, card.cost) for split, trace in traces.items()}
    early = card.spec.num_early_exits
    finished = replace(card, metrics=metrics, default_thresholds=thresholds if early else {})
    save_checkpoint(out, stored, finished, half=True)
    (out / STATE_FILE).unlink(missing_ok=True)
    return metrics


def _tell_part(tell: Callable[[str, int, int], None], phase: str, total: int, done: int) -> None:
    tell(phase, done, total)


def split_metrics(trace: Trace, cost: CostTable) -> dict[str, Any]:
    """Accuracy of each exit by itself, and for each reported rule the area under the accuracy-cost curve."""
    numbers: dict[str, Any] = {
        "n": trace.n,
        "exit_accuracy": [round(v, 5) for v in trace.correct.mean(axis=0).tolist()],
    }
    if len(cost.exit_macs):
        for rule in REPORTED_RULES:
            sweep = exact_sweep(trace.scores[rule], trace.correct, trace.relative_cost)
            area = area_under_curve(sweep.accuracy, sweep.relative_cost, trace.relative_cost[0])
            numbers[f"area_under_curve_{rule}"] = round(float(area), 5)
    return numbers


def default_threshold(trace: Trace, rule: str) -> float:
    """The shared threshold of least cost on this split with at most `MORE_ERRORS` more errors than the full network.

    A share of the errors rather than points means the same to a network that is 91 % right and one that is 99 % right.
    """
    if trace.num_exits == 1:
        return float(BELOW_ONE)
    sweep = exact_sweep(trace.scores[rule], trace.correct, trace.relative_cost)
    errors = 1 - trace.correct[:, -1].mean()
    good = 1 - sweep.accuracy <= errors * (1 + MORE_ERRORS)
    return float(sweep.threshold[good][sweep.relative_cost[good].argmin()])


def _endless(
    data: ImageSet, preprocessing: Preprocessing, recipe: Recipe, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented training batches in a seeded order, for ever."""
    generator = torch.Generator().manual_seed(recipe.seed + 1)
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    while True:
        for index in torch.randperm(len(labels), generator=generator).split(min(BATCH, len(labels))):
            x = preprocessing.normalise(augment(images[index], recipe.augmentation, generator).numpy())
            yield torch.from_numpy(x).to(device), labels[index].to(device)
