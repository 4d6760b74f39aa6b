"""How far a score can be read as a probability of being right: temperatures and calibration error."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.analysis.rules import log_softmax
from core.errors import UserError
from core.trace import Trace

TEMPERATURE_RANGE = (0.05, 20.0)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Examples in bins of equal width over 0..1 by what was claimed.

    Args:
        edges: (bins + 1,).
        count: (bins,).
        claimed, right: (bins,), mean score and share of right answers; NaN in empty bins.
        error: expected calibration error, 0..1: mean of |right - claimed| over the bins, weighted by count.
    """

    edges: NDArray[np.float64]
    count: NDArray[np.int64]
    claimed: NDArray[np.float64]
    right: NDArray[np.float64]
    error: float


def negative_log_likelihood(logits: ArrayLike, labels: ArrayLike, temperature: float = 1.0) -> float:
    """Mean over the examples of -log p(label).

    Args:
        logits: (examples, classes), or log-probabilities.
        labels: (examples,).
        temperature: divides the logits.
    """
    log_p = log_softmax(np.asarray(logits, np.float64) / temperature)
    return float(-np.take_along_axis(log_p, np.asarray(labels, np.int64)[:, None], axis=1).mean())


def fit_temperatures(trace: Trace) -> tuple[float, ...]:
    """One temperature per exit that minimises the NLL, within 0.05..20. Pass the tuning part of a calibration trace.

    The NLL is convex in 1/T, so a bounded search over log T finds the minimum. An exit that is always right has none:
    it gets the lower bound.

    Raises:
        UserError: a trace without examples or without its class table.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", one scalar per exit.
    """
    from scipy.optimize import minimize_scalar

    if trace.n == 0:
        raise UserError("expected at least 1 example to fit temperatures on, got 0: use the calibration split")
    bounds = tuple(np.log(TEMPERATURE_RANGE))
    table = trace.table()
    fitted = []
    for exit_ in range(trace.num_exits):
        logits = table[:, exit_].astype(np.float64)
        if trace.classes == 1:
            fitted.append(1.0)
            continue
        found = minimize_scalar(
            lambda log_t, logits=logits: negative_log_likelihood(logits, trace.labels, float(np.exp(log_t))),
            bounds=bounds,
            method="bounded",
            options={"xatol": 1e-4},
        )
        fitted.append(float(np.exp(found.x)))
    return tuple(fitted)


def reliability(scores: ArrayLike, correct: ArrayLike, bins: int = 15) -> Reliability:
    """How often examples are right against how sure they were.

    Args:
        scores: (examples,) in 0..1 at one exit, or at the exits taken; NaN is left out.
        correct: (examples,).
        bins: of equal width; a score on an edge belongs to the bin above.

    Raises:
        UserError: no examples, or lengths that differ.

    Source: Guo et al. 2017, equation 3.
    """
    sure, hits = np.asarray(scores, np.float64), np.asarray(correct, np.bool_)
    if sure.ndim != 1 or sure.shape != hits.shape:
        raise UserError(
            f"expected one score and one right/wrong per example, got {sure.shape} and {hits.shape}: "
            "take both from one exit"
        )
    known = ~np.isnan(sure)
    sure, hits = sure[known], hits[known]
    if not len(sure):
        raise UserError("expected at least 1 example, got 0: choose a split or filter that holds examples")
    edges = np.linspace(0, 1, bins + 1)
    where = np.clip((sure * bins).astype(np.int64), 0, bins - 1)
    count = np.bincount(where, minlength=bins)
    filled = np.where(count > 0, count, np.nan)
    claimed = np.bincount(where, sure, bins) / filled
    right = np.bincount(where, hits, bins) / filled
    error = float(np.nansum(np.abs(right - claimed) * count) / len(sure))
    return Reliability(edges, count, claimed, right, error)


def expected_calibration_error(scores: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """The `error` of `reliability`."""
    return reliability(scores, correct, bins).error
