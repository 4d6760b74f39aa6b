"""The file of corrupted answers survives saving; accuracy, cost and exits are what a plain loop finds."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from core.analysis.robustness import (
    FILE,
    LARGEST_ERROR,
    RULES,
    CorruptedAnswers,
    load_corrupted,
    robustness,
)
from core.analysis.rules import BELOW_ONE, as_scores
from core.checkpoints import load_trace
from core.errors import UserError
from core.trace import Trace

COST = np.array([0.3, 0.6, 1.05])


def made(n: int = 40, seed: int = 0) -> tuple[CorruptedAnswers, Trace]:
    """Two corruptions, three severities, three exits; and the trace of the pictures as they were, with some more."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(n)[: n - 5]
    shape = (2, 3, n - 5, 3)
    scores = {rule: as_scores(rng.beta(3, 0.5, shape)) for rule in RULES}
    answers = CorruptedAnswers(("noise", "blur"), scores, rng.random(shape) < 0.7, ids, COST, "abc")
    logits = 3 * rng.standard_normal((n, 3, 4))
    trace = Trace.from_outputs(
        logits, rng.standard_normal((n, 3)), rng.integers(0, 4, n), rng.permutation(n), COST, "abc", "test"
    )
    return answers, trace


def test_saved_and_loaded(tmp_path: Path) -> None:
    answers, _ = made()
    answers.save(tmp_path / FILE)
    back = CorruptedAnswers.load(tmp_path / FILE)
    assert back.corruptions == answers.corruptions and back.checkpoint_hash == "abc"
    assert (back.n, back.severities, back.num_exits) == (35, 3, 3)
    np.testing.assert_array_equal(back.correct, answers.correct)
    np.testing.assert_array_equal(back.ids, answers.ids)
    np.testing.assert_array_equal(back.relative_cost, COST)
    for rule in RULES:
        assert back.scores[rule].dtype == np.float32
        np.testing.assert_allclose(back.scores[rule], answers.scores[rule], atol=LARGEST_ERROR)
        np.testing.assert_array_equal(back.scores[rule], answers.rounded().scores[rule])
    first = (tmp_path / FILE).read_bytes()
    back.save(tmp_path / FILE)
    assert (tmp_path / FILE).read_bytes() == first and list(tmp_path.iterdir()) == [tmp_path / FILE]


def test_rounding_keeps_order_and_is_finest_near_one() -> None:
    values = np.unique(as_scores(np.concatenate([np.linspace(0, 1, 5000), 1 - np.logspace(-7, -1, 5000)])))
    answers = CorruptedAnswers(
        ("noise",),
        dict.fromkeys(RULES, values.reshape(1, 1, -1, 1)),
        np.ones((1, 1, len(values), 1), np.bool_),
        np.arange(len(values)),
        np.ones(1),
        "abc",
    )
    back = answers.rounded().scores["confidence"].ravel()
    assert np.all(np.diff(back) >= 0) and back[-1] == BELOW_ONE and back[0] < 1e-6
    assert np.abs(back - values).max() <= LARGEST_ERROR
    near = (values > 0.99) & (values < 1 - 1e-5)
    assert (np.abs(back - values)[near] / (1 - values[near])).max() < 0.01


@pytest.mark.parametrize("thresholds", [(0.9,), (0.99, 0.5), (1.0,), (0.0,)])
@pytest.mark.parametrize("rule", RULES)
def test_against_a_plain_loop(rule: str, thresholds: tuple[float, ...]) -> None:
    answers, trace = made()
    found = robustness(answers, trace, rule, thresholds)
    limits = thresholds * 2 if len(thresholds) == 1 else thresholds
    row_of = {int(id_): row for row, id_ in enumerate(trace.ids)}
    for c in range(2):
        for severity in range(4):
            right, cost, sure, exits = [], [], [], np.zeros(3)
            for i, id_ in enumerate(answers.ids):
                if severity == 0:
                    place, source = (row_of[int(id_)],), trace.scores
                    correct = trace.correct[place]
                else:
                    place, source = (c, severity - 1, i), answers.scores
                    correct = answers.correct[place]
                scores = source[rule][place]
                taken = next((n for n in range(2) if scores[n] >= np.float32(limits[n])), 2)
                right.append(correct[taken])
                cost.append(COST[taken])
                sure.append(source["probability"][place][taken])
                exits[taken] += 1
            assert found.accuracy[c, severity] == pytest.approx(np.mean(right))
            assert found.relative_cost[c, severity] == pytest.approx(np.mean(cost))
            assert found.certainty[c, severity] == pytest.approx(np.mean(sure), abs=1e-6)
            assert found.gap[c, severity] == pytest.approx(np.mean(sure) - np.mean(right), abs=1e-6)
            np.testing.assert_allclose(found.exit_shares[c, severity], exits / 35)
    assert found.n == 35 and found.corruptions == ("noise", "blur")


def test_what_does_not_fit_is_one_line() -> None:
    answers, trace = made()
    with pytest.raises(UserError, match="margin"):
        robustness(answers, trace, "margin", 0.5)
    with pytest.raises(UserError, match="from 0 to 1"):
        robustness(answers, trace, "confidence", 1.5)
    with pytest.raises(UserError, match="with the images"):
        robustness(answers, trace.select(np.arange(20)), "confidence", 0.5)
    with pytest.raises(UserError, match="with the images"):
        robustness(answers, trace.select(np.arange(0)), "confidence", 0.5)
    other = Trace(**{**trace.__dict__, "checkpoint_hash": "other"})
    with pytest.raises(UserError, match="same weights"):
        robustness(answers, other, "confidence", 0.5)


def rewritten(path: Path, **changes: np.ndarray) -> Path:
    """The file with some arrays replaced."""
    with np.load(path) as arrays:
        np.savez(path, **({name: arrays[name] for name in arrays.files} | changes))
    return path


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / FILE
    answers, _ = made()
    with pytest.raises(UserError, match="python -m core corruptions"):
        CorruptedAnswers.load(path)
    answers.save(path)
    with np.load(path) as arrays:
        meta, planes = json.loads(str(arrays["meta"])), arrays["scores"]
    whole = path.read_bytes()
    changes: list[dict[str, np.ndarray]] = [
        {"meta": np.array(json.dumps(meta | {"format": 1}))},
        {"meta": np.array(json.dumps(meta | {"examples": -1}))},
        {"meta": np.array(json.dumps(meta | {"examples": 36}))},
        {"meta": np.array(json.dumps(meta | {"corruptions": [1, 2]}))},
        {"meta": np.array("no JSON")},
        {"scores": planes[..., :-1]},
        {"scores": np.full_like(planes, 255)},
        {"correct": np.zeros(3, np.uint8)},
        {"relative_cost": np.zeros(3)},
        {"id_steps": np.zeros(35, np.int32)},
        {"relative_cost": np.array([None, None, None], dtype=object)},
    ]
    for change in changes:
        path.write_bytes(whole)
        rewritten(path, **change)
        with pytest.raises(UserError) as error:
            CorruptedAnswers.load(path)
        assert "\n" not in str(error.value)
    for data in (b"", b"PK no zip", whole[: len(whole) // 2]):
        path.write_bytes(data)
        with pytest.raises(UserError, match="something else"):
            CorruptedAnswers.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.txt", "nothing")
    with pytest.raises(UserError, match="something else"):
        CorruptedAnswers.load(path)


def test_the_shipped_file() -> None:
    """Made of the shipped weights, small, and its severities get harder."""
    answers = load_corrupted("mnist/eenet8")
    trace = load_trace("mnist/eenet8", small=True)
    assert answers.n == 2000 and len(answers.corruptions) == 7 and answers.severities == 5
    assert Path("checkpoints/mnist/eenet8", FILE).stat().st_size < 2_000_000
    found = robustness(answers, trace, "probability", (0.9,))
    assert np.all(found.accuracy[:, 0] > 0.97) and np.all(found.accuracy[:, 0] == found.accuracy[0, 0])
    assert np.all(found.accuracy[:, 5] < found.accuracy[:, 1])
    np.testing.assert_allclose(found.exit_shares.sum(axis=2), 1)


def test_missing_or_of_other_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="python -m core corruptions mnist/resnet8"):
        load_corrupted("mnist/resnet8")
