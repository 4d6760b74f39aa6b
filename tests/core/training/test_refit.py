"""A refit against optima found otherwise, its limits in lambda, and the network it becomes."""

from functools import cache

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from core.analysis.gap import accuracy_gap
from core.analysis.sweep import exact_sweep, operating_point
from core.errors import UserError
from core.network.registry import build_network
from core.network.tracing import run_network
from core.refit_recipe import REFIT_LOSSES, RefitRecipe
from core.training.refit import (
    CONFIDENCE_DECAY,
    SOFTMAX_DECAY,
    fit_confidences,
    fit_softmax,
    refit_cost,
    refit_trace,
    refitted_network,
    softmax_regression,
    warm_up,
)
from tests.cost_zoo import PREPROCESSING, features, images, network

RANDOM = np.random.default_rng(5)
COST = (0.3, 0.6, 1.0)


@cache
def grounds():
    """A network, its card, features of training and of test images."""
    built, card = network()
    return built, card, features(built, images(240, 2), "w", "training"), features(built, images(90, 1), "w", "test")


@cache
def softmax():
    return fit_softmax(grounds()[2])


@cache
def traced(recipe, steps=80):
    _, _, training, tested = grounds()
    fitted = fit_confidences(training, softmax(), recipe, COST, True, steps)
    return refit_trace(tested, softmax(), fitted, True, COST, "w")


def test_softmax_regression_is_the_optimum_that_a_plain_optimiser_finds():
    x = (RANDOM.normal(size=(30, 3)) @ [[2, 0, 0], [1, 0.1, 0], [0, 0, 30]] + [5, -1, 100]).astype(np.float32)
    labels = RANDOM.integers(0, 3, 30)
    found = softmax_regression(x, labels, 3, steps=500, tolerance=1e-9)
    # the penalty is on the weights of whitened features: W' = L^-1 W with L L^T the covariance
    mean, root = x.mean(axis=0), np.linalg.cholesky(np.cov(x.T.astype(float), bias=True))

    def loss(flat):
        weights, bias = flat[:9].reshape(3, 3), flat[9:]
        total = 0.0
        for row, label in zip(x.astype(float), labels, strict=True):
            logits = weights @ np.linalg.solve(root, row - mean) + bias
            total += np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label]
        return total / len(x) + SOFTMAX_DECAY / 2 * (weights**2).sum()

    best = minimize(loss, np.zeros(12), options={"gtol": 1e-7})
    weights = best.x[:9].reshape(3, 3) @ np.linalg.inv(root)
    logits = x @ weights.T + best.x[9:] - weights @ mean
    ours = found(x)
    difference = (ours - ours.mean(axis=1, keepdims=True)) - (logits - logits.mean(axis=1, keepdims=True))
    assert np.abs(difference).max() < 2e-3


def test_softmax_of_a_constant_and_a_dead_channel():
    x = np.zeros((30, 2), np.float32)
    labels = np.array([0] * 15 + [1] * 10 + [2] * 5)
    found = softmax_regression(x, labels, 3)
    p = np.exp(found(x[:1])[0])
    assert p / p.sum() == pytest.approx([1 / 2, 1 / 3, 1 / 6], abs=1e-3)  # the shares of the classes


def test_one_confidence_that_sees_nothing_balances_likelihood_against_cost():
    # two exits, constant features: h minimises NLL(h y1 + (1 - h) y2) + lambda (h c1 + (1 - h) c2), by a fine grid
    from core.exit_features import PooledFeatures

    labels = np.array([0, 1] * 20)
    last = np.where(np.arange(40)[:, None] % 4 < 3, 3.0, -3.0) * np.where(labels[:, None] == [0, 1], 1, -1)
    training = PooledFeatures.from_arrays([np.zeros((40, 1))], last, labels, np.arange(40), "w", "training")
    first = fit_softmax(training)
    for weight in (0.3, 0.9):
        (found,) = fit_confidences(training, first, RefitRecipe(weight, "fused"), (0.4, 1.0), False, steps=60)
        h = 1 / (1 + np.exp(-found.bias[0]))
        y1, y2 = 0.5, 1 / (1 + np.exp(-2 * last[np.arange(40), labels]))
        grid = np.linspace(0.0005, 0.9995, 1000)
        cost = [-np.log(g * y1 + (1 - g) * y2).mean() + weight * (0.4 * g + 1.0 * (1 - g)) for g in grid]
        assert h == pytest.approx(grid[int(np.argmin(cost))], abs=0.01)


@pytest.mark.parametrize("loss", ["fused", "cumulative"])
def test_without_a_cost_the_last_exit_decides_and_with_a_huge_one_the_first(loss):
    def at_half(weight):
        trace = traced(RefitRecipe(weight, loss))
        return operating_point(trace.scores["confidence"], trace.correct, trace.relative_cost, 0.5)

    free, dear = at_half(0.0), at_half(1e6)
    assert dear.exit_counts == (90, 0, 0)
    trace = traced(RefitRecipe(0.0, loss))
    assert free.accuracy >= trace.correct[:, -1].mean() - 0.05
    costs = [at_half(weight).relative_cost for weight in (0.0, 2.0, 1e6)]
    assert costs == sorted(costs, reverse=True) and costs[0] > 1.3 * costs[-1]


@pytest.mark.parametrize("loss", REFIT_LOSSES)
@pytest.mark.parametrize("weight", [0.0, 1e6])
def test_every_loss_gives_finite_answers(loss, weight):
    trace = traced(RefitRecipe(weight, loss))
    assert np.isfinite(trace.confidence).all() and trace.confidence.shape == (90, 3)
    assert (trace.confidence[:, -1] == 1).all()
    if loss == "unweighted":
        assert (trace.confidence[:, :-1] == 0.5).all()


@pytest.mark.parametrize("loss", ["cumulative", "fused", "tagged"])
def test_the_curve_is_that_of_a_longer_refit(loss):
    short, long = (traced(RefitRecipe(0.5, loss), steps) for steps in (80, 250))
    curves = [exact_sweep(t.scores["confidence"], t.correct, t.relative_cost) for t in (short, long)]
    assert abs(accuracy_gap(*curves).mean) < 0.01


def test_a_confidence_is_at_an_optimum_of_the_papers_loss():
    """The objective in plain loops is no smaller one step away in any direction."""
    _, _, training, _ = grounds()
    recipe = RefitRecipe(0.7)
    fitted = fit_confidences(training, softmax(), recipe, COST, False, steps=200)
    likelihood = []
    for values, branch in zip(training.pooled, softmax(), strict=True):
        likelihood.append(branch(values).astype(float))
    likelihood.append(training.last_logits.astype(float))
    p = [np.exp(z - z.max(1, keepdims=True)) for z in likelihood]
    y = [(q / q.sum(1, keepdims=True))[np.arange(240), training.labels] for q in p]

    def objective(confidences):
        h = [1 / (1 + np.exp(-c(v)[:, 0])) for c, v in zip(confidences, training.pooled, strict=True)]
        y_after, c_after = y[2], np.full(240, COST[2])
        total = (-np.log(y_after) + 0.7 * c_after).mean()
        squares = 0.0
        for n in (1, 0):
            y_after = h[n] * y[n] + (1 - h[n]) * y_after
            c_after = h[n] * COST[n] + (1 - h[n]) * c_after
            total += (-np.log(y_after) + 0.7 * c_after).mean()
            spread = training.pooled[n].std(axis=0, ddof=1) + 1e-3
            squares += ((confidences[n].weight[0] * spread) ** 2).sum()
        return total / 1.7 + CONFIDENCE_DECAY / 2 * squares

    best = objective(fitted)
    for n in range(2):
        spread = training.pooled[n].std(axis=0) + 1e-3
        for channel in range(training.pooled[n].shape[1]):
            for step in (-0.2, 0.2):
                moved = [type(c)(c.weight.copy(), c.bias.copy()) for c in fitted]
                moved[n].weight[0, channel] += step / spread[channel]
                moved[n].bias[0] -= step / spread[channel] * training.pooled[n][:, channel].mean()
                assert objective(moved) > best - 1e-6


@pytest.mark.parametrize("exit_type", ["pool", "bnpool"])
@pytest.mark.parametrize("seen", ["plain", "pool"])
def test_the_refitted_network_answers_as_its_trace_says(exit_type, seen):
    built, card = network(seen)
    training, tested = (
        features(built, images(n, seed), "w", s) for n, seed, s in ((90, 2, "training"), (60, 1, "test"))
    )
    answers = fit_softmax(training, steps=15)
    cost = refit_cost(card, exit_type)
    relative = cost.relative()
    confidences = fit_confidences(training, answers, RefitRecipe(1.0, exit_type=exit_type), relative, True, steps=10)
    trace = refit_trace(tested, answers, confidences, True, relative, "w")
    made = refitted_network(built, card, exit_type, answers, confidences)
    outputs = run_network(made, images(60, 1).images, PREPROCESSING)
    confidence = 1 / (1 + np.exp(-outputs.confidence_logits.astype(float)))
    np.testing.assert_allclose(trace.confidence, confidence, atol=2e-4)
    assert np.array_equal(trace.predicted, outputs.logits.argmax(axis=2))
    old = run_network(built, images(60, 1).images, PREPROCESSING)
    np.testing.assert_array_equal(outputs.logits[:, -1], old.logits[:, -1])  # the last exit stays
    from dataclasses import replace

    _, wanted = build_network(replace(card.spec, exit_type=exit_type))
    assert cost == wanted


def test_features_of_another_network_are_refused():
    built, card, training, _ = grounds()
    wrong = fit_softmax(type(training)((training.pooled[1], training.pooled[0]), *[
        getattr(training, name) for name in ("last_logits", "labels", "ids", "checkpoint_hash", "split")
    ]), steps=3)  # fmt: skip
    with pytest.raises(UserError, match="expected features of 4 channels at exit 1, got 8"):
        refitted_network(built, card, "pool", wrong, wrong)


def test_whoever_listens_hears_of_it_and_can_end_it():
    _, _, training, _ = grounds()
    heard = []
    fit_softmax(training, report=heard.append)
    assert heard == sorted(heard) and heard[-1] == 1.0 and len(heard) > 4
    heard.clear()
    fit_confidences(training, softmax(), RefitRecipe(1.0), COST, True, report=heard.append)
    assert heard[-1] == 1.0

    class EnoughError(Exception):
        pass

    def stop(part):
        raise EnoughError

    for fit in (
        lambda: fit_softmax(training, report=stop),
        lambda: fit_confidences(training, softmax(), RefitRecipe(1.0), COST, True, report=stop),
    ):
        with pytest.raises(EnoughError):
            fit()


def test_nothing_random_and_no_gradients_left_on():
    warm_up()
    with torch.no_grad():
        first, second = traced(RefitRecipe(0.5), 10), traced.__wrapped__(RefitRecipe(0.5), 10)
    assert np.array_equal(first.confidence, second.confidence)
