"""Exit rules: how each exit's answer becomes one score, so that one control fits all of them.

Every score is float32 in 0..1, higher leaves, cut at the float32 just below 1: a threshold of 1 never leaves early.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UserError

BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Rule:
    """One way to decide that an example leaves.

    Args:
        name: the word used in code, links and files.
        label: the words on the page.
        meaning: when an example leaves, in one plain sentence.
        formula: what the score is, for a tooltip.
        needs: what `function` takes: `confidence_logits` (examples, exits), `log_probabilities` (examples, exits,
            classes) or `predictions` (examples, exits), exits from the first on.
        function: turns that array into scores, float32 (examples, exits).
        default_threshold: a sensible place for a control to start.
        uses_temperature: whether a temperature per exit changes the score.
    """

    name: str
    label: str
    meaning: str
    formula: str
    needs: str
    function: Callable[[NDArray], Scores]
    default_threshold: float
    uses_temperature: bool = False
    range: tuple[float, float] = (0.0, 1.0)
    direction: str = "higher leaves"


def as_scores(values: NDArray) -> Scores:
    """float32 in 0..1, cut at the float32 just below 1."""
    return np.clip(np.asarray(values).astype(np.float32), np.float32(0), BELOW_ONE)


def sigmoid(logits: ArrayLike) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) in float64, without overflow; 1 at +inf."""
    x = np.asarray(logits, np.float64)
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def log_softmax(logits: ArrayLike, temperatures: ArrayLike | None = None) -> NDArray[np.float64]:
    """Log-probabilities in float64.

    Args:
        logits: (examples, exits, classes); log-probabilities do as well, a softmax does not see the difference.
        temperatures: one positive number per exit that divides its logits, or None for 1.
    """
    x = np.asarray(logits, np.float64)
    if temperatures is not None:
        x = x / np.asarray(temperatures, np.float64)[:, None]  # (exits, 1)
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def confidence(confidence_logits: NDArray) -> Scores:
    """The learned confidence h = sigmoid of the confidence branch (EENets, section 3)."""
    return as_scores(sigmoid(confidence_logits))


def probability(log_probabilities: NDArray) -> Scores:
    """The largest class probability (BranchyNet, MSDNet)."""
    return as_scores(np.exp(log_probabilities.max(axis=-1)))


def margin(log_probabilities: NDArray) -> Scores:
    """The largest minus the second largest probability; with a single class, the largest."""
    if log_probabilities.shape[-1] < 2:
        return probability(log_probabilities)
    two = np.partition(log_probabilities, log_probabilities.shape[-1] - 2, axis=-1)[..., -2:]
    return as_scores(np.exp(two[..., 1]) - np.exp(two[..., 0]))


def entropy(log_probabilities: NDArray) -> Scores:
    """1 - H / log(classes): 0 for a uniform answer, 1 for a certain one (BranchyNet thresholds H itself)."""
    classes = log_probabilities.shape[-1]
    if classes < 2:
        return probability(log_probabilities)
    p = np.exp(log_probabilities)
    # a probability that underflows to 0 counts 0, its logarithm may be -inf
    h = -(p * np.where(p > 0, log_probabilities, 0)).sum(axis=-1)
    return as_scores(1 - h / np.log(classes))


def patience(predictions: NDArray) -> Scores:
    """1 - 1/r, where r exits in a row, this one the last, give the same class (PABEE, Zhou et al. 2020).

    A threshold up to 1/2 asks for two exits that agree, up to 2/3 for three, up to 3/4 for four. It does not depend on
    how many exits follow. (PABEE counts repetitions: its patience is r - 1.)
    """
    run = np.ones(predictions.shape, np.int64)
    for exit_ in range(1, predictions.shape[1]):
        agrees = predictions[:, exit_] == predictions[:, exit_ - 1]
        run[:, exit_] = np.where(agrees, run[:, exit_ - 1] + 1, 1)
    return as_scores(1 - 1 / run)


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            "confidence",
            "Learned confidence",
            "a small branch of its own at each exit has learned when to stop",
            "h, the confidence branch",
            "confidence_logits",
            confidence,
            0.5,
        ),
        Rule(
            "probability",
            "Largest probability",
            "the likeliest class is likely enough",
            "max p",
            "log_probabilities",
            probability,
            0.9,
            True,
        ),
        Rule(
            "margin",
            "Margin",
            "the likeliest class is far enough ahead of the next",
            "largest p - second largest p",
            "log_probabilities",
            margin,
            0.8,
            True,
        ),
        Rule(
            "entropy",
            "Entropy",
            "the probability is gathered in few classes",
            "1 - H(p) / log(classes)",
            "log_probabilities",
            entropy,
            0.8,
            True,
        ),
        Rule(
            "patience",
            "Patience",
            "enough exits in a row give the same answer: 2 for T up to 0.5, 3 up to 0.67, 4 up to 0.75",
            "1 - 1/r, r exits in a row agree",
            "predictions",
            patience,
            0.5,
        ),
    )
}


def get_rule(name: str) -> Rule:
    """The rule of that name.

    Raises:
        UserError: there is none.
    """
    if name not in RULES:
        raise UserError(f"expected an exit rule among {', '.join(RULES)}, got {name!r}: choose one of these")
    return RULES[name]


def check_temperatures(temperatures: Sequence[float] | None, num_exits: int) -> NDArray[np.float64] | None:
    """One positive finite temperature per exit, or None.

    Raises:
        UserError: another number of them, or one that is not positive and finite.
    """
    if temperatures is None:
        return None
    values = np.asarray(temperatures, np.float64).reshape(-1)
    if values.size != num_exits or not (np.isfinite(values) & (values > 0)).all():
        raise UserError(
            f"expected {num_exits} positive temperatures, one per exit, got {values.tolist()}: "
            "fit them on this network's calibration trace"
        )
    return values


def exit_scores(
    name: str, logits: NDArray, confidence_logits: NDArray, temperatures: Sequence[float] | None = None
) -> Scores:
    """Scores of exits 1..m from what the network said there, the same for the executor and the trace.

    Args:
        name: of the rule.
        logits: (examples, m, classes) before softmax.
        confidence_logits: (examples, m) before the sigmoid.
        temperatures: m of them, for the rules that look at probabilities; the others ignore them.

    Raises:
        UserError: unknown rule or bad temperatures.
    """
    rule = get_rule(name)
    if rule.needs == "confidence_logits":
        return rule.function(confidence_logits)
    if rule.needs == "predictions":
        return rule.function(logits.argmax(axis=-1))
    return rule.function(log_softmax(logits, check_temperatures(temperatures, logits.shape[1])))
