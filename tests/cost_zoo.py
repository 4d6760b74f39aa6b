"""A small root of checkpoints for the tests of *Cost weight*: shapes told apart by their brightness."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from core.checkpoints import Card, checkpoint_hash, save_checkpoint, trace_path
from core.data.datasets import ImageSet
from core.data.embedded import write_embedded
from core.data.preprocess import Preprocessing
from core.exit_features import PooledFeatures, features_path
from core.network.early_exit import EarlyExitNetwork
from core.network.features import exit_features
from core.network.registry import build_network
from core.network.spec import NetworkSpec
from core.network.tracing import record_trace

NAME = "shapes/eenet8"
CLASSES = ("dim", "grey", "bright")
PREPROCESSING = Preprocessing(channels=1, size=16, mean=(0.4,), std=(0.25,))


def images(examples: int, seed: int) -> ImageSet:
    """Noise whose brightness depends on the class, with some overlap."""
    random = np.random.default_rng(seed)
    labels = np.arange(examples) % 3
    level = np.array([60, 95, 150])[labels] + random.normal(0, 12, examples)
    pixels = level[:, None, None, None] + random.normal(0, 30, (examples, 1, 16, 16))
    return ImageSet(pixels.clip(0, 255).astype(np.uint8), labels, np.arange(examples), CLASSES)


def network(exit_type: str = "pool", seed: int = 0) -> tuple[EarlyExitNetwork, Card]:
    """A network with 2 early exits: random weights, but a last exit that has been fitted by least squares."""
    torch.manual_seed(seed)
    spec = NetworkSpec("eenet8", 2, "pareto", exit_type, (1, 16, 16), 3)
    built, cost = build_network(spec)
    built.eval()
    recipe = {"method": "alive", "loss": "cumulative", "cost_weight": 1.0, "epochs": 3, "seed": seed}
    card = Card("EENet-8", "shapes", spec, PREPROCESSING, CLASSES, cost, recipe=recipe)
    data = images(150, 7)
    with torch.no_grad():
        x = torch.from_numpy(PREPROCESSING.normalise(data.images))
        for segment in built.segments:
            x = segment(x)
        last = built.exit_block(2)
        features = torch.cat([last.neck(x), torch.ones(150, 1)], dim=1)
        target = 8 * torch.eye(3)[torch.from_numpy(data.labels)] - 4
        fitted = torch.linalg.lstsq(features, target).solution
        last.classifier.weight.copy_(fitted[:-1].T)
        last.classifier.bias.copy_(fitted[-1])
    return built, card


def features(built: EarlyExitNetwork, data: ImageSet, weights: str, split: str) -> PooledFeatures:
    """What the exits see of images."""
    found = exit_features(built, data.images, PREPROCESSING)
    return PooledFeatures.from_arrays(*found, data.labels, data.ids, weights, split)


def save(root: Path, name: str, built: EarlyExitNetwork, card: Card, tested: ImageSet) -> None:
    """A checkpoint with its test trace."""
    folder = root / name
    save_checkpoint(folder, built, card)
    trace = record_trace(built, tested, PREPROCESSING, card.cost.relative(), checkpoint_hash(folder), "test")
    trace.small().save(trace_path(folder, "test"))


def write_zoo(root: Path, cost_weights: tuple[float, ...] = (0.0, 1.0, 4.0), with_features: bool = True) -> None:
    """A parent, a member of its family for each cost weight (random exits, each its own), test images, features."""
    tested = images(90, 1)
    built, card = network()
    save(root, NAME, built, card, tested)
    write_embedded("shapes", tested, root)
    if with_features:
        trained = features(built, images(240, 2), checkpoint_hash(root / NAME), "training")
        trained.save(features_path(root / NAME))
    for number, weight in enumerate(cost_weights):
        torch.manual_seed(100 + number)
        with torch.no_grad():
            for exit_block in list(built.exits)[:-1]:
                exit_block.classifier.reset_parameters()
                exit_block.confidence.linear.reset_parameters()
        recipe = {
            "method": "end-to-end", "loss": "cumulative", "cost_weight": weight, "epochs": 2, "seed": 0,
            "parent": NAME, "training_seconds": 10 + number,
        }  # fmt: skip
        save(
            root,
            f"{NAME}-lambda-{weight:g}",
            built,
            replace(card, recipe=recipe, title=f"EENet-8, λ = {weight:g}"),
            tested,
        )
