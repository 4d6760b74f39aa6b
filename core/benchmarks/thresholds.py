"""What thresholds of their own for every exit save against the best shared threshold, at the same accuracy on test."""

from pathlib import Path
from typing import Any

from core.analysis.reference_points import cost_at_accuracy
from core.analysis.sweep import exact_sweep
from core.analysis.thresholds import Wish, fulfil, per_exit_front
from core.checkpoints import CHECKPOINTS, load_trace

NAME = "cifar10/eenet20"
RULES = ("confidence", "probability")
POINTS_LOST = (0.5, 1.0, 2.0, 4.0)


def run(name: str = NAME, root: Path = CHECKPOINTS) -> dict[str, Any]:
    """For each rule and wish "lose at most x points": the cost of per-exit thresholds and of the shared threshold.

    The per-exit thresholds are chosen on calibration. The shared threshold they are compared with is the cheapest on
    the test curve itself that is as accurate as they turn out to be: what doubt there is speaks for the shared one.

    Args:
        name: of the checkpoint, with both traces.
        root: where it lies.
    """
    calibration, test = load_trace(name, "calibration", root), load_trace(name, "test", root)
    lines = []
    for rule in RULES:
        shared = exact_sweep(test.scores[rule], test.correct, test.relative_cost)
        front = per_exit_front(calibration.scores[rule], calibration.correct, calibration.relative_cost)
        for points in POINTS_LOST:
            chosen = fulfil(Wish("loss", points), calibration, test, rule, per_exit=True, front=front).test
            if chosen is None:
                raise ValueError("expected a point measured on test")
            cost = cost_at_accuracy(shared.accuracy, shared.relative_cost, chosen.accuracy)
            lines.append(
                {
                    "rule": rule,
                    "points_lost_on_calibration": points,
                    "test_accuracy": chosen.accuracy,
                    "per_exit_cost": chosen.relative_cost,
                    "shared_cost": cost,
                    "saved": None if cost is None else cost - chosen.relative_cost,
                }
            )
    return {"benchmark": "thresholds", "checkpoint": name, "n": test.n, "wishes": lines}
