"""Every rule on numbers worked out by hand, and what all rules share."""

import numpy as np
import pytest

from core.analysis.rules import BELOW_ONE, RULES, exit_scores, get_rule, log_softmax, sigmoid
from core.errors import UserError

P = np.array([[[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]]])  # one example, two exits, three classes


def test_worked_by_hand():
    logits = np.log(P) + 3
    assert exit_scores("probability", logits, None) == pytest.approx(np.array([[0.7, 0.5]]), abs=1e-7)
    assert exit_scores("margin", logits, None) == pytest.approx(np.array([[0.5, 0.25]]), abs=1e-7)
    h = -(0.7 * np.log(0.7) + 0.2 * np.log(0.2) + 0.1 * np.log(0.1)), 1.5 * np.log(2)
    assert exit_scores("entropy", logits, None)[0] == pytest.approx(1 - np.array(h) / np.log(3), abs=1e-6)
    assert exit_scores("confidence", logits, np.array([[0.0, np.log(3)]]))[0] == pytest.approx([0.5, 0.75])
    assert exit_scores("patience", logits, None).tolist() == [[0, 0]]  # classes 0, then 2


def test_patience_counts_exits_in_a_row():
    scores = RULES["patience"].function(np.array([[3, 3, 3, 1, 1]]))
    assert scores[0] == pytest.approx([0, 1 / 2, 2 / 3, 0, 1 / 2])


@pytest.mark.parametrize("name", list(RULES))
def test_scores_are_float32_in_range_and_below_one(name):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 30, (200, 4, 10)).astype(np.float32)
    confidence_logits = rng.normal(0, 30, (200, 4)).astype(np.float32)
    confidence_logits[:, -1] = np.inf
    scores = exit_scores(name, logits, confidence_logits)
    assert scores.dtype == np.float32 and scores.shape == (200, 4)
    assert (scores >= 0).all() and (scores <= BELOW_ONE).all()
    # the same alone as in a batch, and from the first exits as from all
    assert np.array_equal(exit_scores(name, logits[7:8, :2], confidence_logits[7:8, :2]), scores[7:8, :2])


@pytest.mark.parametrize("name", ["probability", "margin", "entropy"])
def test_certain_uniform_and_single_class(name):
    certain = np.zeros((1, 1, 4))
    certain[..., 2] = 1e4
    assert exit_scores(name, certain, None)[0, 0] == BELOW_ONE
    assert exit_scores(name, np.zeros((1, 1, 4)), None)[0, 0] == pytest.approx(0.25 * (name == "probability"))
    assert exit_scores(name, np.zeros((1, 1, 1)), None)[0, 0] == BELOW_ONE


@pytest.mark.parametrize("name", list(RULES))
def test_temperatures_move_only_rules_that_use_them(name):
    logits = np.random.default_rng(3).normal(0, 2, (20, 2, 5))
    plain = exit_scores(name, logits, logits[..., 0])
    warm = exit_scores(name, logits, logits[..., 0], [2.0, 1.0])
    assert np.array_equal(plain[:, 1], warm[:, 1])
    assert (plain[:, 0] > warm[:, 0]).all() if get_rule(name).uses_temperature else np.array_equal(plain, warm)


def test_no_overflow():
    assert sigmoid([-1e4, 0, 1e4, np.inf, -np.inf]).tolist() == [0, 0.5, 1, 1, 0]
    assert np.exp(log_softmax([[[1e4, -1e4]]])).tolist() == [[[1, 0]]]


def test_bad_input():
    with pytest.raises(UserError, match="'gut feeling'"):
        get_rule("gut feeling")
    for temperatures in ([1.0], [1.0, 0.0], [1.0, np.nan]):
        with pytest.raises(UserError, match="2 positive temperatures"):
            exit_scores("margin", np.zeros((1, 2, 3)), None, temperatures)
