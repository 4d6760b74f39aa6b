"""The trace: recorded once, read back with the same bits, refused when something is wrong."""

import json
import pickle
import zipfile

import numpy as np
import pytest

from core.analysis.rules import BELOW_ONE, RULES, exit_scores
from core.errors import UserError
from core.trace import Trace
from core.trace_codes import code_open_shares, decode_open_shares, round_scores


def outputs(n=300, num_exits=3, classes=10, seed=0, scale=3.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, scale, (n, num_exits, classes)).astype(np.float32)
    confidence_logits = rng.normal(0, 3, (n, num_exits)).astype(np.float32)
    confidence_logits[:, -1] = np.inf
    return logits, confidence_logits, rng.integers(0, classes, n), rng.permutation(5 * n)[:n]


def record(logits, confidence_logits, labels, ids, split="test"):
    cost = np.linspace(0.3, 1.02, logits.shape[1])
    return Trace.from_outputs(logits, confidence_logits, labels, ids, cost, "0" * 64, split)


def assert_same(a, b):
    assert (a.n, a.num_exits, a.classes, a.split, a.checkpoint_hash) == (
        b.n,
        b.num_exits,
        b.classes,
        b.split,
        b.checkpoint_hash,
    )
    for name in ("confidence", "predicted", "labels", "ids", "relative_cost", "correct"):
        mine, other = getattr(a, name), getattr(b, name)
        assert mine.dtype == other.dtype and np.array_equal(mine, other), name
    assert set(a.scores) == set(b.scores) == set(RULES)
    for rule in RULES:
        assert a.scores[rule].dtype == b.scores[rule].dtype == np.float32
        assert np.array_equal(a.scores[rule], b.scores[rule]), rule


@pytest.mark.parametrize("num_exits", [1, 3])
@pytest.mark.parametrize("classes", [1, 2, 10, 300])
@pytest.mark.parametrize("scale", [0.01, 3, 100])
def test_round_trip(tmp_path, num_exits, classes, scale):
    trace = record(*outputs(60, num_exits, classes, scale=scale))
    trace.save(tmp_path / "a.npz")
    loaded = Trace.load(tmp_path / "a.npz")
    assert_same(trace, loaded)
    assert loaded.log_probabilities.dtype == np.float16
    assert np.array_equal(trace.log_probabilities, loaded.log_probabilities)
    small = Trace.load(tmp_path / "a.npz", small=True)
    assert_same(trace, small)
    assert small.probabilities is None and small.log_probabilities is None
    loaded.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    trace.small().save(tmp_path / "c.npz")
    assert Trace.load(tmp_path / "c.npz").probabilities is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz", "c.npz"]


def test_scores_are_those_of_the_executor_before_rounding():
    logits, confidence_logits, labels, ids = outputs()
    trace = record(logits, confidence_logits, labels, ids)
    for rule in RULES:
        assert np.array_equal(trace.rule_scores(rule), exit_scores(rule, logits, confidence_logits))
        assert np.array_equal(trace.rule_scores(rule), trace.scores[rule])
    assert (trace.confidence[:, -1] == 1).all() and (trace.scores["confidence"][:, -1] == BELOW_ONE).all()
    assert np.array_equal(trace.predicted, logits.argmax(2))
    assert np.array_equal(trace.correct, logits.argmax(2) == labels[:, None])


@pytest.mark.parametrize("scale", [0.01, 1, 3, 30])
def test_table_is_close_and_agrees_with_the_top_class(scale):
    logits, *rest = outputs(3000, scale=scale)
    trace = record(logits, *rest)
    exact = np.exp(logits.astype(float) - logits.max(2, keepdims=True))
    exact /= exact.sum(2, keepdims=True)
    assert trace.probabilities.dtype == np.float32
    assert np.abs(trace.probabilities - exact).max() < 0.002
    assert np.array_equal(trace.probabilities.argmax(2), trace.predicted)


def test_temperature_from_the_table_is_close_to_temperature_from_the_logits():
    logits, confidence_logits, labels, ids = outputs(2000)
    trace = record(logits, confidence_logits, labels, ids)
    for rule in RULES:
        wanted = exit_scores(rule, logits, confidence_logits, [1.5, 0.8, 1.0])
        assert np.abs(trace.rule_scores(rule, [1.5, 0.8, 1.0]) - wanted).max() < 0.01
    with pytest.raises(UserError, match="small form"):
        trace.small().rule_scores("margin", [1, 1, 1])
    with pytest.raises(UserError, match="3 positive temperatures"):
        trace.rule_scores("margin", [1, 1])


def test_tuning_and_certifying_parts_split_by_id():
    trace = record(*outputs(50))
    tuning, certifying = trace.tuning(), trace.certifying()
    assert (tuning.n, certifying.n) == (20, 30)
    assert tuning.ids.max() < certifying.ids.min()
    assert set(tuning.ids) | set(certifying.ids) == set(trace.ids)
    row = int(np.flatnonzero(trace.ids == tuning.ids[3])[0])
    assert np.array_equal(tuning.probabilities[3], trace.probabilities[row])
    assert record(*outputs(5000, 1, 2)).tuning().n == 2000


def test_the_compact_form_keeps_order_and_eight_bits_of_the_distance_below_one(tmp_path):
    steps = np.array([0, 1, 255, 256, 513, 2**23 - 1, 2**23 + 67890, 0x3F800000])  # of float32, down from 1 to 0
    kept = np.array([0, 1, 255, 256, 512, 255 * 2**15, 2**23 + 65536, 0x3F800000 >> 22 << 22])
    scores = (0x3F800000 - steps).astype(np.int32).view(np.float32)[:, None]
    assert np.array_equal((0x3F800000 - round_scores(scores)[:, 0].view(np.int32)), kept)

    trace = record(*outputs(n=400))
    compact = trace.compact()
    assert compact.log_probabilities is None and np.array_equal(compact.predicted, trace.predicted)
    for name in ("confidence", "probability", "patience"):
        values = trace.scores[name]
        order = np.argsort(values[:, 0], kind="stable")
        assert (np.diff(compact.scores[name][order, 0]) >= 0).all()
        assert ((1 - compact.scores[name]) <= 1.0000001 * (1 - values)).all()
        assert np.abs(compact.scores[name] - values).max() < 0.004
    for small, name in ((compact, "compact.npz"), (trace.small(), "small.npz")):
        small.save(tmp_path / name)
        assert_same(Trace.load(tmp_path / name), small)
    assert (tmp_path / "compact.npz").stat().st_size < 0.5 * (tmp_path / "small.npz").stat().st_size


def test_margin_and_entropy_are_told_by_what_the_largest_probability_leaves_open():
    # p = 0.6, then 0.3 and 0.1: the second takes 3/4 of the open 0.4, whose entropy is that of (3/4, 1/4)
    p = np.array([0.6, 0.3, 0.1])
    scores = {
        "probability": np.array([[0.6]], np.float32),
        "margin": np.array([[0.3]], np.float32),
        "entropy": np.array([[1 + (p * np.log(p)).sum() / np.log(3)]], np.float32),
    }
    second, spread = code_open_shares(scores, 3)
    assert second[0, 0] == 48 and spread[0, 0] == 52  # of 64; (3/4 log 4/3 + 1/4 log 4) / log 2 = 0.811
    margin, entropy = decode_open_shares(scores["probability"], second, spread, 3)
    assert margin[0, 0] == pytest.approx(0.3, abs=1e-6) and entropy[0, 0] == pytest.approx(scores["entropy"], abs=0.001)
    with pytest.raises(ValueError, match="outside"):
        decode_open_shares(scores["probability"], second + 100, spread, 3)


@pytest.mark.parametrize("classes", [1, 2, 3, 10, 300])
@pytest.mark.parametrize("scale", [0.01, 1, 10, 100])
def test_the_compact_form_reads_back_as_it_was_and_stays_close(tmp_path, classes, scale):
    trace = record(*outputs(n=2000, classes=classes, scale=scale))
    compact = trace.compact()
    compact.save(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert "spread.npy" in archive.namelist() and "margin.npy" not in archive.namelist()
    assert_same(Trace.load(tmp_path / "a.npz"), compact)
    assert_same(compact.compact(), compact)
    for name in ("margin", "entropy"):
        error = np.abs(compact.scores[name] - trace.scores[name].astype(float))
        assert error.max() <= 0.02 and (error <= 1e-5 + 0.1 * (1 - trace.scores["probability"])).all()


def test_no_examples_and_one_class(tmp_path):
    empty = record(*outputs(20)).select(np.zeros(20, bool))
    empty.save(tmp_path / "empty.npz")
    assert Trace.load(tmp_path / "empty.npz").n == 0
    logits, confidence_logits, _, ids = outputs(20)
    assert record(logits, confidence_logits, np.full(20, 3), ids).correct.shape == (20, 3)


def test_bad_outputs():
    logits, confidence_logits, labels, ids = outputs(20)
    broken = logits.copy()
    broken[3, 1, 2] = np.nan
    with pytest.raises(UserError, match="NaN or infinity"):
        record(broken, confidence_logits, labels, ids)
    with pytest.raises(UserError, match="NaN or infinity"):
        record(logits, np.full_like(confidence_logits, np.nan), labels, ids)
    with pytest.raises(UserError, match="labels from 0 to 9, got 0 to 10"):
        record(logits, confidence_logits, np.append(0, np.full(19, 10)), ids)
    with pytest.raises(UserError, match="labels of shape"):
        record(logits, confidence_logits, labels[:5], ids)
    with pytest.raises(UserError, match="confidence logits"):
        record(logits, confidence_logits[:, :2], labels, ids)
    with pytest.raises(UserError, match="split among"):
        record(logits, confidence_logits, labels, ids, split="train")
    with pytest.raises(UserError, match="positive relative costs"):
        Trace.from_outputs(logits, confidence_logits, labels, ids, [0.3, np.nan, 1], "0" * 64, "test")


def rewrite(path, **changes):
    """The same file with some members replaced by other bytes, or left out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            new = changes.get(name.removesuffix(".npy"), content)
            if new is not None:
                archive.writestr(name, new)


def npy(array):
    from io import BytesIO

    file = BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    "changes",
    [
        {"predicted": None},
        {"predicted": npy(np.zeros((3, 7), np.uint8))},
        {"predicted": npy(np.array([object()]))},
        {"labels": npy(np.full(20, 200, np.uint8))},
        {"confidence": npy(np.zeros((4, 3, 7), np.uint8))},
        {"confidence": npy(np.full((4, 3, 20), 255, np.uint8))},
        {"log_probabilities": npy(np.zeros(1, np.float16))},
        {"log_probability_ranks": npy(np.zeros((2, 3, 4, 20), np.uint8))},
        {"meta": npy(np.array("{"))},
        {"meta": npy(np.array("[]"))},
        {"meta": npy(np.array(json.dumps({"format": 99})))},
        {"meta": npy(np.array(json.dumps({"format": 1})))},
        {"relative_cost": npy(np.array([1.0, np.nan, 2.0]))},
    ],
)
def test_broken_files_are_refused_in_one_line(tmp_path, changes):
    path = tmp_path / "trace.npz"
    record(*outputs(20)).save(path)
    rewrite(path, **changes)
    with pytest.raises(UserError, match="expected") as raised:
        Trace.load(path)
    assert "\n" not in str(raised.value)


def test_a_trace_can_be_pickled_for_a_cache():
    trace = record(*outputs(20))
    assert_same(pickle.loads(pickle.dumps(trace)), trace)


def test_no_file_half_a_file_and_another_file(tmp_path):
    path = tmp_path / "trace.npz"
    with pytest.raises(UserError, match="no such file"):
        Trace.load(path)
    record(*outputs(20)).save(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a trace", whole[:200] + b"\xff" * 50 + whole[250:]):
        path.write_bytes(content)
        with pytest.raises(UserError, match="got something else"):
            Trace.load(path)
