"""A refit of all early exits at a new cost weight: how long it takes, and how far it is from convergence."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from core.analysis.gap import accuracy_gap
from core.analysis.sweep import exact_sweep
from core.checkpoints import CHECKPOINTS, load_network
from core.data.embedded import load_embedded, load_labels
from core.exit_features import PooledFeatures, features_path, load_features
from core.network.features import exit_features
from core.refit_recipe import RefitRecipe
from core.training.refit import CONFIDENCE_STEPS, fit_confidences, fit_softmax, refit_trace, warm_up

NAMES = ("cifar10/eenet20", "mnist/eenet8")
COST_WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
CONVERGED = 12  # times as many steps


def run(
    names: tuple[str, ...] = NAMES, cost_weights: tuple[float, ...] = COST_WEIGHTS, root: Path = CHECKPOINTS
) -> dict[str, Any]:
    """For each network with features: seconds, and the largest gap in accuracy at equal cost to a converged refit.

    The loss is the paper's, the exit type the network's own or `pool`, the curve that of the learned confidence on
    test. The test images' way through the frozen network, once for all refits, is timed by itself.

    Args:
        names: of the checkpoints; those without features are left out.
        root: where they lie.
    """
    warm_up()
    there = [name for name in names if features_path(root / name).is_file()]
    return {"benchmark": "refit", "networks": [_measure(name, cost_weights, root) for name in there]}


def _measure(name: str, cost_weights: tuple[float, ...], root: Path) -> dict[str, Any]:
    training = load_features(name, root)
    network, card = load_network(name, root=root)
    images, labels = load_embedded(card.dataset, root), load_labels(card.dataset, root).labels
    started = time.perf_counter()
    found = exit_features(network, images, card.preprocessing)
    test_seconds = time.perf_counter() - started
    tested = PooledFeatures.from_arrays(*found, labels, np.arange(len(labels)), training.checkpoint_hash, "test")
    relative, sees_answer = card.cost.relative(), card.spec.confidence_input == "features+answer"
    lines = []
    far = fit_softmax(training, steps=1500, tolerance=1e-8)
    for weight in cost_weights:
        recipe = RefitRecipe(weight)
        computed, started = time.process_time(), time.perf_counter()
        softmax = fit_softmax(training)
        between = time.perf_counter()
        confidences = fit_confidences(training, softmax, recipe, relative, sees_answer)
        fitted = time.perf_counter()
        trace = refit_trace(tested, softmax, confidences, sees_answer, relative, training.checkpoint_hash)
        done, computed = time.perf_counter(), time.process_time() - computed
        converged = refit_trace(
            tested,
            far,
            fit_confidences(training, far, recipe, relative, sees_answer, steps=CONFIDENCE_STEPS * CONVERGED),
            sees_answer,
            relative,
            training.checkpoint_hash,
        )
        curves = [exact_sweep(t.scores["confidence"], t.correct, t.relative_cost) for t in (trace, converged)]
        gap = accuracy_gap(*curves)
        lines.append(
            {
                "cost_weight": weight,
                "softmax_seconds": round(between - started, 2),
                "confidence_seconds": round(fitted - between, 2),
                "trace_seconds": round(done - fitted, 2),
                "seconds": round(done - started, 2),
                "processor_seconds": round(computed, 2),  # the same on a busy machine
                "mean_gap_points": None if gap is None else round(100 * abs(gap.mean), 3),
                "largest_gap_points": None if gap is None else round(100 * abs(gap.largest), 3),
                "at_cost": None if gap is None else round(gap.at, 3),
            }
        )
    return {
        "checkpoint": name,
        "training_examples": training.n,
        "n": tested.n,
        "features_bytes": features_path(root / name).stat().st_size,
        "test_images_seconds": round(test_seconds, 1),
        "refits": lines,
    }
