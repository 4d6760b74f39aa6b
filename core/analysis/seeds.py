"""How much is chance: the same recipe trained from several seeds, its numbers and its curves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UserError

# what differs between trainings of one recipe, and says nothing about the recipe
_CHANCE = ("seed", "training_seconds")


@dataclass(frozen=True)
class Spread:
    """One number, measured once for each seed.

    Args:
        values: as measured.
        mean: of them.
        deviation: the sample's standard deviation (divided by n - 1), NaN for a single value.
        low, high: the least and the largest.
    """

    values: tuple[float, ...]
    mean: float
    deviation: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Band:
    """The curves of several seeds on common costs, each carrying the best accuracy so far.

    Args:
        cost: (points,) rising.
        mean, low, high: (points,), over the seeds.
    """

    cost: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def spread(values: Sequence[float]) -> Spread:
    """Mean, standard deviation and ends of some measurements.

    Raises:
        UserError: there are none.
    """
    if not len(values):
        raise UserError("expected at least 1 value, got 0: choose networks that were measured")
    found = np.asarray(values, np.float64)
    deviation = float(found.std(ddof=1)) if len(found) > 1 else float("nan")
    return Spread(tuple(found.tolist()), float(found.mean()), deviation, float(found.min()), float(found.max()))


def same_but_for_seed(recipes: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Groups of names whose recipes are equal but for the seed, of two different seeds or more.

    Args:
        recipes: plain values by name; each has a `seed`, or is left out.

    Returns:
        Groups in the order of their first name, names by rising seed. Of several trainings from one seed the first
        name counts.
    """
    groups: dict[str, dict[Any, str]] = {}
    for name, recipe in recipes.items():
        if "seed" not in recipe:
            continue
        key = json.dumps({k: v for k, v in recipe.items() if k not in _CHANCE}, sort_keys=True, default=str)
        groups.setdefault(key, {}).setdefault(recipe["seed"], name)
    return [tuple(group[seed] for seed in sorted(group)) for group in groups.values() if len(group) > 1]


def best_at(accuracy: ArrayLike, cost: ArrayLike, most: float) -> float | None:
    """The highest accuracy on a curve at this cost or less, or None where even its cheapest point costs more.

    Args:
        accuracy, cost: (points,) in any order.
    """
    reached = np.asarray(accuracy, np.float64)[np.asarray(cost, np.float64) <= most]
    return float(reached.max()) if reached.size else None


def frontier(accuracy: ArrayLike, cost: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The points of a curve that no cheaper point matches: accuracy and cost, both rising.

    Args:
        accuracy, cost: (points,) in any order.
    """
    accuracy, cost = np.asarray(accuracy, np.float64), np.asarray(cost, np.float64)
    order = np.lexsort((-accuracy, cost))  # of points at one cost the best comes first
    best = np.maximum.accumulate(accuracy[order])
    better = np.append(True, best[1:] > best[:-1])
    return best[better], cost[order][better]


def band(curves: Sequence[tuple[ArrayLike, ArrayLike]], points: int = 200) -> Band:
    """Mean, lowest and highest best-so-far accuracy of several curves, where all of them have begun.

    Args:
        curves: (accuracy, cost) of each seed, arrays (points,) in any order.
        points: evenly over the cost, from the dearest of the cheapest points to the dearest of all points.

    Raises:
        UserError: no curves.
    """
    if not curves:
        raise UserError("expected at least 1 curve, got 0: choose networks that were measured")
    fronts = [frontier(accuracy, cost) for accuracy, cost in curves]
    first = max(float(cost[0]) for _, cost in fronts)
    last = max(float(np.max(np.asarray(cost))) for _, cost in curves)
    at = np.linspace(first, max(first, last), points)
    best = np.array([accuracy[np.searchsorted(cost, at, side="right") - 1] for accuracy, cost in fronts])
    return Band(at, best.mean(axis=0), best.min(axis=0), best.max(axis=0))
