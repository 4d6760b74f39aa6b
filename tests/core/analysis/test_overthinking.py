"""Groups, depths, what is lost and who moves, against a plain loop."""

import numpy as np
import pytest

from core.analysis.overthinking import (
    GROUPS,
    group_costs,
    groups,
    lost_on_the_way,
    movers,
    prediction_depth,
    tally,
)
from core.analysis.sweep import route
from core.trace import Trace


def random_trace(seed, n=200, exits=4, classes=3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, exits, classes)) + np.eye(classes)[labels][:, None]
    return Trace.from_outputs(
        logits, rng.normal(size=(n, exits)), labels, np.arange(n), np.linspace(0.25, 1.02, exits), "0" * 64, "test"
    )


def test_groups_by_hand():
    correct = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]], bool)
    assert [list(GROUPS)[g] for g in groups(correct)] == ["always", "never", "early", "early", "late", "late"]
    assert [list(GROUPS)[g] for g in groups(np.array([[True], [False]]))] == ["always", "never"]


def test_depth_by_hand():
    said = np.array([[1, 1, 1, 1], [0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 0], [2, 2, 0, 0]])
    assert prediction_depth(said).tolist() == [0, 1, 2, 3, 2]
    assert prediction_depth(said[:, :1]).tolist() == [0] * 5


@pytest.mark.parametrize("seed", range(8))
def test_all_of_it_against_a_loop(seed):
    trace = random_trace(seed)
    scores = trace.rule_scores("margin")
    before, now = route(scores, 0.3), route(scores, (0.6, 0.1, 0.9))
    cost = trace.relative_cost
    lost, sums = [], {name: [0, 0.0, 0.0, 0] for name in GROUPS}
    changed = turned_right = turned_wrong = 0
    for i in range(trace.n):
        correct = [bool(said == trace.labels[i]) for said in trace.predicted[i]]
        first = correct.index(True) if any(correct) else 0
        right = correct[now[i]]
        lost.append(not right and any(correct[: now[i]]))
        name = ("always" if all(correct) else "late") if correct[-1] else "early" if any(correct) else "never"
        sums[name][0] += 1
        sums[name][1] += cost[now[i]]
        sums[name][2] += cost[first]
        sums[name][3] += right
        changed += before[i] != now[i]
        turned_right += right and not correct[before[i]]
        turned_wrong += correct[before[i]] and not right
    assert lost_on_the_way(trace.correct, now).tolist() == lost
    found = group_costs(trace, now)
    for g, (count, spent, oracle, right) in enumerate(sums.values()):
        assert (found.counts[g], found.right[g]) == (count, right)
        assert found.cost[g] == pytest.approx(spent / max(count, 1))
        assert found.oracle_cost[g] == pytest.approx(oracle / max(count, 1))
    moved = movers(trace, before, now)
    assert (moved.changed, moved.turned_right, moved.turned_wrong) == (changed, turned_right, turned_wrong)
    assert moved.now.accuracy - moved.before.accuracy == pytest.approx((turned_right - turned_wrong) / trace.n)
    assert moved.now.relative_cost == pytest.approx(cost[now].mean())
    assert moved.counts.sum() == trace.n


@pytest.mark.parametrize("seed", range(4))
def test_a_tally_counts_like_a_loop(seed):
    rng = np.random.default_rng(seed)
    a, b, c = rng.integers(0, 3, 80), rng.integers(0, 5, 80), rng.random(80) < 0.5
    rows = rng.random(80) < 0.6
    expected = np.zeros((3, 5, 2), int)
    for i in range(80):
        if rows[i]:
            expected[a[i], b[i], int(c[i])] += 1
    assert (tally((3, 5, 2), a, b, c, rows=rows) == expected).all()
    assert tally((3, 5, 2), a, b, c).sum() == 80
    assert tally((2, 2), a[:0], b[:0]).tolist() == [[0, 0], [0, 0]]
