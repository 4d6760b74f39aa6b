"""One example's story: the drawer says what the executor does, and shows the neighbours that the map knows."""

import json
from dataclasses import replace

import numpy as np
import pytest

from app import cache, story
from app.state import View
from core.analysis.overthinking import prediction_depth
from core.checkpoints import load_network, load_trace
from core.data.embedded import load_embedded
from core.errors import UserError
from core.feature_map import load_feature_map
from core.network.executor import Policy, run_exit_by_exit

MODEL = "mnist/eenet8"
ROWS = (0, 6, 17, 247, 1014)


@pytest.fixture(scope="module")
def trace():
    return load_trace(MODEL)


@pytest.fixture(scope="module")
def card():
    return cache.zoo().cards[MODEL]


@pytest.mark.parametrize(
    ("rule", "thresholds", "off"),
    [("confidence", (0.5,), ()), ("probability", (0.99, 0.6), ()), ("margin", (0.8,), (0,)), ("patience", (0.5,), ()),
     ("entropy", (1.0,), ()), ("confidence", (0.0,), ())],
)  # fmt: skip
def test_the_story_is_the_executors(trace, card, rule, thresholds, off):
    network, _ = load_network(MODEL)
    images = card.preprocessing.normalise(load_embedded("mnist")[list(ROWS)])
    view = View(MODEL, rule, thresholds, off)
    for row, image in zip(ROWS, images, strict=True):
        done = run_exit_by_exit(network, image[None], Policy(rule, view.effective(2)), card.cost, beyond=True)
        told = story.tell(row, trace, card, view, trace.rule_scores(rule))
        assert told.taken == done.exit and told.truth == str(trace.labels[row]) and told.image == row
        answers = np.array([verdict.probabilities.argmax() for verdict in done.verdicts])
        assert told.depth == prediction_depth(answers[None])[0]
        for n, (exit_, verdict) in enumerate(zip(told.exits, done.verdicts, strict=True)):
            best = np.argsort(-verdict.probabilities, kind="stable")[:3]
            assert exit_.top[0][0] == card.class_names[best[0]]
            for name, probability in exit_.top:
                wanted = verdict.probabilities[card.class_names.index(name)]
                assert probability == pytest.approx(wanted, abs=0.002)  # the table holds float16 logarithms
            assert [p for _, p in exit_.top] == pytest.approx(verdict.probabilities[best].tolist(), abs=0.002)
            assert exit_.score == pytest.approx(verdict.score, abs=1e-4)
            wanted = None if verdict.threshold is None else pytest.approx(verdict.threshold)
            assert exit_.threshold == wanted
            assert exit_.executed == verdict.executed and exit_.leaves == (n == done.exit)
            assert exit_.relative_cost == pytest.approx(verdict.relative_cost)
            assert exit_.off == (n in off)
            assert exit_.right == (best[0] == trace.labels[row])


def words(told):
    return "".join(text for text, _ in story.sentence(told)).replace("\u202f", " ")


def example(trace, condition):
    return int(np.flatnonzero(condition(trace))[0])


def test_the_sentence_and_the_facts(trace, card):
    view = View(MODEL, "confidence", (0.5,))
    scores = trace.rule_scores("confidence")
    easy = example(trace, lambda t: t.correct.all(axis=1) & (scores[:, 0] > 0.5))
    told = story.tell(easy, trace, card, view, scores)
    said = card.class_names[trace.labels[easy]]
    assert (
        words(told)
        == f"Leaves at exit 1 as “{said}”, right, after {100 * trace.relative_cost[0]:.0f} % of the computation"
    )
    lines = story.facts(told, card, "test")
    assert lines[0] == f"In truth “{said}”: MNIST test image {easy}." and "prediction depth 1" in lines[1]

    never = View(MODEL, "confidence", (1.0,))
    lost = example(trace, lambda t: t.correct[:, 0] & ~t.correct[:, -1])
    told = story.tell(lost, trace, card, never, scores)
    assert words(told).startswith("Goes all the way to exit 3, which says ") and ", wrong, after 1" in words(told)
    assert ("“" + card.class_names[trace.predicted[lost, -1]] + "”", "wrong") in story.sentence(told)
    assert story.facts(told, card, "test")[-1] == "Exit 1 had it right."

    always = View(MODEL, "confidence", (0.0,))
    late = example(trace, lambda t: ~t.correct[:, 0] & t.correct[:, 1])
    assert (
        story.facts(story.tell(late, trace, card, always, scores), card, "test")[-1] == "Exit 2 would have been right."
    )
    hopeless = example(trace, lambda t: ~t.correct.any(axis=1))
    assert (
        story.facts(story.tell(hopeless, trace, card, always, scores), card, "test")[-1] == "No exit is right about it."
    )


def test_without_the_class_table_only_the_answers_are_told(trace, card):
    scores = trace.rule_scores("confidence")
    told = story.tell(6, trace.small(), card, View(MODEL, "confidence", (0.5,)), scores)
    assert [exit_.top for exit_ in told.exits] == [((card.class_names[c], None),) for c in trace.predicted[6]]


def test_the_class_table_is_fetched_only_for_the_same_examples(trace):
    full = story.with_class_table(trace.small(), MODEL)
    assert np.array_equal(full.log_probabilities, trace.log_probabilities)
    assert story.with_class_table(trace, MODEL) is trace
    part = trace.small().select(np.arange(50))
    assert story.with_class_table(part, MODEL) is part
    other = replace(trace.small(), checkpoint_hash="0" * 64)
    assert story.with_class_table(other, MODEL) is other
    assert story.with_class_table(part, "no/network") is part


def test_neighbours_are_those_of_the_map(trace, card):
    found = load_feature_map(MODEL)
    view = View(MODEL, "confidence", (0.5,))
    told = story.tell(247, trace, card, view, trace.rule_scores("confidence"))
    data = story.payload(told, trace, card, view, found, "", images=True)
    json.dumps(data, allow_nan=False)
    places = {247: 0}
    for n, exit_ in enumerate(data["exits"]):
        assert [item["row"] for item in exit_["neighbours"]] == found.neighbours[247, n].tolist()
        for item in exit_["neighbours"]:
            row = item["row"]
            assert places.setdefault(row, item["place"]) == item["place"]
            assert item["right"] == trace.correct[row, n] and item["truth"] == str(trace.labels[row])
            assert f"exit {n + 1} says {trace.predicted[row, n]}" in item["text"]
        assert exit_["alike"] == (trace.labels[found.neighbours[247, n]] == trace.labels[247]).sum()
    assert sorted(places.values()) == list(range(len(places)))
    assert data["sheet"]["url"].startswith("data:image/webp") and data["sheet"]["rows"] == -(-len(places) // 12)


def test_no_map_and_no_images_leave_the_story(trace, card):
    view = View(MODEL, "confidence", (0.5,))
    told = story.tell(5, trace, card, view, trace.rule_scores("confidence"))
    data = story.payload(told, trace, card, view, None, "No neighbours to show: none.", images=False)
    assert data["sheet"] is None and data["note"] and all(exit_["neighbours"] == [] for exit_ in data["exits"])
    with pytest.raises(UserError, match="core map mnist/resnet8"):
        load_feature_map("mnist/resnet8")


@pytest.mark.parametrize(("message", "path"), [(7, [5, 7]), (True, [5]), (-1, [5]), (10, [5]), ("7", [5]), (None, [5])])
def test_a_message_is_checked(monkeypatch, message, path):
    memory = {story.KEY: {"pick": message}, "story_path": [5]}
    monkeypatch.setattr(story.st, "session_state", memory)
    story._follow(10)
    assert memory["story_path"] == path
    story._back()
    assert memory["story_path"] == [5]
