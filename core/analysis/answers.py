"""From what every exit said about some images to where each leaves: arithmetic, so that a threshold acts at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.analysis.rules import exit_scores, log_softmax
from core.analysis.sweep import route


@dataclass(frozen=True)
class Answers:
    """What became of n images under one policy; the executor gives the same.

    Args:
        exits: column 0..N-1 at which each leaves, (n,).
        predicted: the top class there, (n,).
        probability: of that class, without temperature, (n,).
        score: of the rule there, (n,).
    """

    exits: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probability: NDArray[np.float64]
    score: NDArray[np.float32]


def leave(
    logits: NDArray[np.float32],
    confidence_logits: NDArray[np.float32],
    rule: str,
    thresholds: Sequence[float],
    temperatures: Sequence[float] | None = None,
) -> Answers:
    """Where images leave, and as what.

    Args:
        logits: of every exit, (n, exits, classes).
        confidence_logits: (n, exits); +inf where the last exit has no confidence branch.
        rule: a name in `core.analysis.rules.RULES`.
        thresholds: one for all or one per early exit, in 0..1.
        temperatures: one per exit, or None for 1.

    Raises:
        UserError: unknown rule, bad thresholds or temperatures.
    """
    scores = exit_scores(rule, logits, confidence_logits, temperatures)
    exits = route(scores, thresholds)
    rows = np.arange(len(exits))
    last = log_softmax(logits[rows, exits])  # (n, classes)
    predicted = last.argmax(axis=1) if len(last) else np.empty(0, np.int64)
    return Answers(exits, predicted, np.exp(last[rows, predicted]), scores[rows, exits])
