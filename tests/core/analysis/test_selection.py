"""A filter passes what a plain loop passes, and a link brings it back."""

from dataclasses import replace

import numpy as np
import pytest

from core.analysis.overthinking import GROUPS
from core.analysis.selection import (
    LONGEST_LASSO,
    Answer,
    Box,
    Leaver,
    Move,
    Selection,
    comparable_scores,
    matching,
    read_selection,
    write_selection,
)
from core.analysis.sweep import route
from core.trace import Trace

CLASSES, EXITS, EXAMPLES = 4, 3, 120


def random_trace(seed, n=EXAMPLES, exits=EXITS, classes=CLASSES):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, exits, classes)) + 1.2 * np.eye(classes)[labels][:, None]
    return Trace.from_outputs(
        logits, rng.normal(size=(n, exits)), labels, np.arange(n), np.linspace(0.3, 1.01, exits), "0" * 64, "test"
    )


def random_marks(rng):
    """A filter with some of everything."""

    def maybe(value):
        return value if rng.random() < 0.6 else None

    def number(most):
        return int(rng.integers(0, most))

    def ends():
        a, b = sorted(float(np.round(x, 4)) for x in rng.random(2))
        return a, b

    def some(make, most=3):
        return tuple(dict.fromkeys(make() for _ in range(int(rng.integers(1, most + 1))))) if rng.random() < 0.4 else ()

    return Selection(
        some(lambda: number(CLASSES)),
        some(lambda: number(CLASSES)),
        maybe(bool(rng.random() < 0.5)) if rng.random() < 0.4 else None,
        some(lambda: number(EXITS)),
        ends() if rng.random() < 0.3 else None,
        some(lambda: Leaver(maybe(number(CLASSES)), maybe(number(EXITS)), maybe(bool(rng.random() < 0.5)))),
        some(lambda: Answer(number(EXITS), number(CLASSES), number(CLASSES), bool(rng.random() < 0.5)), 8),
        some(lambda: number(EXITS)),
        some(lambda: str(rng.choice(list(GROUPS)))),
        some(lambda: Box((number(EXITS), number(EXITS)), ends(), ends())),
        some(
            lambda: Move(
                maybe(number(EXITS)), maybe(number(EXITS)), maybe(bool(rng.random() < 0.5)), bool(rng.random() < 0.3)
            )
        ),
        tuple(sorted({number(EXAMPLES) for _ in range(60)})) if rng.random() < 0.3 else None,
    )


def group_of(correct):
    if correct[-1]:
        return "always" if all(correct) else "late"
    return "early" if any(correct) else "never"


def depth_of(predicted):
    depth = len(predicted) - 1
    while depth > 0 and predicted[depth - 1] == predicted[-1]:
        depth -= 1
    return depth


def passes(s, i, trace, exits, scores, before):
    """One example, in words."""
    label, exit_ = int(trace.labels[i]), int(exits[i])
    said = int(trace.predicted[i, exit_])
    right = said == label
    was_right = before is not None and bool(trace.predicted[i, before[i]] == label)
    tests = [
        not s.labels or label in s.labels,
        not s.predicted or said in s.predicted,
        s.right is None or right == s.right,
        not s.exits or exit_ in s.exits,
        s.scores is None or s.scores[0] <= float(scores[i, exit_]) <= s.scores[1],
        not s.depths or depth_of(trace.predicted[i].tolist()) in s.depths,
        not s.groups or group_of((trace.predicted[i] == label).tolist()) in s.groups,
        s.rows is None or i in s.rows,
        not s.leavers
        or any(m.label in (None, label) and m.exit in (None, exit_) and m.right in (None, right) for m in s.leavers),
        not s.answers
        or any(
            m.label == label and trace.predicted[i, m.exit] == m.predicted and (not m.leaving or m.exit == exit_)
            for m in s.answers
        ),
        not s.boxes
        or any(
            m.first[0] <= float(scores[i, m.exits[0]]) < m.first[1]
            and m.second[0] <= float(scores[i, m.exits[1]]) < m.second[1]
            for m in s.boxes
        ),
        not s.moves
        or before is None
        or any(
            m.before in (None, before[i])
            and m.now in (None, exit_)
            and (m.turned is None or (was_right != right and right == m.turned))
            and (not m.changed or before[i] != exit_)
            for m in s.moves
        ),
    ]
    return all(tests)


@pytest.mark.parametrize("seed", range(40))
def test_a_filter_passes_what_a_loop_passes(seed):
    rng = np.random.default_rng(seed)
    trace = random_trace(seed)
    scores = comparable_scores(trace.rule_scores("probability"), trace)
    exits, before = route(scores, 0.6), route(scores, (0.8, 0.4))
    for point in (before, None):
        selection = random_marks(rng)
        expected = [passes(selection, i, trace, exits, scores, point) for i in range(trace.n)]
        assert matching(selection, trace, exits, scores, point).tolist() == expected


@pytest.mark.parametrize("seed", range(40))
def test_a_link_brings_a_filter_back(seed):
    selection = random_marks(np.random.default_rng(1000 + seed))
    text = write_selection(selection)
    again, bad = read_selection(text, CLASSES, EXITS, EXAMPLES)
    assert not bad
    assert again == selection
    assert not set(text) & set("&#?+ %=")


def test_the_empty_filter_passes_all_and_writes_nothing():
    trace = random_trace(1)
    assert matching(Selection(), trace, np.zeros(trace.n, np.int64), trace.scores["margin"]).all()
    assert write_selection(Selection()) == ""
    assert read_selection("", 2, 2, 2) == (Selection(), [])


@pytest.mark.parametrize(
    "bad",
    [
        "class:9", "class:-1", "class:", "class", "nothing:1", "exit:0", "exit:4", "answer:maybe", "score:0.9_0.1",
        "score:nan_1", "score:0.2", "leave:1", "leave:1_1_z", "leave:9_1", "cell:1_1", "cell:1_1_1_x", "group:odd",
        "box:1_2_0_1_0", "box:1_2_0_1_0.5_inf", "move:9_1", "move:1_1_q", "lasso:****", "lasso:AAAA",
        "lasso:eJwTEhISAgABOgCV", "depth:²", "class:99999999999999999999",
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told_and_the_rest_kept(bad):
    selection, told = read_selection(
        f"class:1;{bad};answer:wrong" if not bad.startswith("class") else f"{bad};answer:wrong", CLASSES, EXITS, 5
    )
    assert told == [bad]
    assert selection == Selection(labels=() if bad.startswith("class") else (1,), right=False)


def test_a_lasso_that_unpacks_to_too_much_is_refused():
    import base64
    import zlib

    bomb = base64.urlsafe_b64encode(zlib.compress(bytes(50_000_000))).decode().rstrip("=")
    assert read_selection(f"lasso:{bomb}", CLASSES, EXITS, 10**6) == (Selection(), [f"lasso:{bomb}"])


def test_a_lasso_too_long_for_a_link_stays_out_of_it():
    rows = tuple(np.flatnonzero(np.random.default_rng(0).random(60_000) < 0.5).tolist())
    assert write_selection(Selection(rows=rows, right=True)) == "answer:right"
    rows = tuple(row for row in rows if row < 10_000)
    text = write_selection(Selection(rows=rows))
    assert len(text) < LONGEST_LASSO
    assert read_selection(text, 2, 2, 10_000)[0].rows == rows


def test_clicks_set_add_and_take_away():
    plain = Selection(labels=(2,))
    one, two = Leaver(1, 0), Leaver(3, 2)
    once = plain.marked("leavers", one, add=False)
    assert once == replace(plain, leavers=(one,))
    assert once.marked("leavers", one, add=False) == plain  # the only mark, clicked again
    both = once.marked("leavers", two, add=True)
    assert both.leavers == (one, two)
    assert both.marked("leavers", one, add=True).leavers == (two,)
    assert both.marked("groups", "early", add=True) == replace(both, groups=("early",))
    assert both.marked("groups", "early", add=False) == replace(plain, groups=("early",))
    assert both.marked("leavers", one, add=False).leavers == (one,)


def test_the_last_exit_gets_scores_that_tell_examples_apart():
    trace = random_trace(3)
    scores = trace.rule_scores("confidence").copy()
    assert comparable_scores(scores, trace) is scores
    scores[:, -1] = 0.5
    mended = comparable_scores(scores, trace)
    assert (mended[:, -1] == trace.scores["probability"][:, -1]).all()
    assert (mended[:, :-1] == scores[:, :-1]).all()
