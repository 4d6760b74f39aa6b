"""The table of networks, the words of a card, the drawing's numbers: by hand."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from app import anatomy, history, model_card, models, zoo_table
from app.profiles import Known
from app.zoo_table import Budget
from core.checkpoints import CHECKPOINTS, load_card
from core.profile import Profile, Size
from core.training.command_line import recipe_of

EENET8 = load_card("mnist/eenet8", CHECKPOINTS)
RESNET8 = load_card("mnist/resnet8", CHECKPOINTS)
FRONT = (np.array([0.5, 0.7, 0.8]), np.array([0.25, 0.5, 1.0]))


def known(exits, area):
    rules = ("confidence", "probability", "margin", "entropy", "patience")
    profile = Profile("test", 200, exits, (0.01,) * len(exits), dict.fromkeys(rules, FRONT), dict.fromkeys(rules, area))
    return Known(Size(1000, 100, 2_500_000), profile, None)


CARDS = {"mnist/a": EENET8, "mnist/plain": RESNET8, "other/b": replace(EENET8, dataset="other")}
KNOWN = {
    "mnist/a": known((0.5, 0.7, 0.8), 0.6),
    "mnist/plain": replace(known((0.9,), 0.9), profile=replace(known((0.9,), 0).profile, area={})),
    "other/b": Known(Size(5, 1, 10), None, "No test trace"),
}


HALF = Budget(0.5)


def rows(budget=HALF, rule="margin"):
    return zoo_table.rows_of(CARDS, KNOWN, rule, budget)


def test_a_budget_is_read_off_the_curve():
    assert [row.best for row in rows(Budget(0.5))] == [0.7, 0.7, None]
    assert [row.best for row in rows(Budget(0.49))] == [0.5, 0.5, None]
    assert [row.best for row in rows(Budget(0.1))] == [None, None, None]
    plain = EENET8.cost.plain_macs
    assert rows(Budget(0.6 * plain, in_macs=True))[0].best == 0.7
    assert (str(Budget(0.5)), str(Budget(2e6, True)), Budget(0.5).short) == (
        "0.5 of the computation",
        "2 M MACs",
        "cost 0.5",
    )


def test_a_network_s_own_rule_is_the_one_its_card_found_on_calibration():
    numbers = EENET8.metrics["calibration"]
    better = max(("confidence", "probability"), key=lambda rule: numbers[f"area_under_curve_{rule}"])
    assert rows(rule=zoo_table.OWN_RULE)[0].rule == better


def test_without_a_trace_the_card_s_numbers_stand():
    row = rows(rule="confidence")[2]
    assert row.accuracy == tuple(EENET8.metrics["test"]["exit_accuracy"])
    assert row.n == 10_000 and row.best is None
    assert row.area == EENET8.metrics["test"]["area_under_curve_confidence"]


def test_filters():
    found = rows()
    names = lambda *filters: [row.name for row in zoo_table.passing(found, *filters)]  # noqa: E731
    assert names([], [], True) == ["mnist/a", "mnist/plain", "other/b"]
    assert names([], [], False) == ["mnist/a", "other/b"]
    assert names(["other"], [], True) == ["other/b"]
    assert names([], ["plain"], True) == ["mnist/plain"]
    assert names([], ["own"], False) == ["mnist/a", "other/b"]
    assert names(["mnist"], ["lambda"], True) == []


def test_families_come_from_the_plan_else_from_the_card():
    assert zoo_table.family_of("mnist/eenet8-lambda-2", EENET8) == "lambda"
    assert zoo_table.family_of("mnist/eenet8-seed-1", EENET8) == "seed"
    assert zoo_table.family_of("mine/anything", EENET8) == "own"
    assert zoo_table.family_of("mine/anything", RESNET8) == "plain"


def test_the_table_in_per_cent():
    frame = zoo_table.frame(rows())
    assert frame["best"].tolist()[:2] == pytest.approx([70, 70])
    assert frame["full"].tolist()[:2] == pytest.approx([80, 90])
    assert frame["area"].tolist()[0] == pytest.approx(60) and np.isnan(frame["area"].tolist()[1])
    assert frame["accuracy"].tolist()[0] == pytest.approx([50, 70, 80])
    assert frame["macs"].tolist() == [648528, 648528, 648528]
    assert frame["cost"].tolist()[0] == pytest.approx(307332 / 648528)
    assert frame["disk"].tolist()[0] == pytest.approx(2.5)
    assert set(frame) == set(zoo_table.columns(rows(), Budget(0.5)))


def test_the_csv_has_every_exit_and_no_formulas():
    evil = dict(EENET8.recipe) | {"parent": "=cmd()"}
    found = zoo_table.rows_of({**CARDS, "mnist/a": replace(EENET8, recipe=evil)}, KNOWN, "margin", Budget(0.5))
    lines = list(csv.DictReader(io.StringIO(zoo_table.as_csv(found, Budget(0.5)))))
    first, plain, blank = lines
    assert first["best_accuracy_at_relative_cost_0.5"] == "0.7"
    assert [first[f"accuracy_exit_{n}"] for n in (1, 2, 3)] == ["0.5", "0.7", "0.8"]
    assert first["parent"] == "'=cmd()"
    assert plain["accuracy_exit_1"] == "0.9" and plain["accuracy_exit_2"] == ""
    assert blank["calibration_error_exit_1"] == "" and blank["split"] == "test"


def test_the_sentence_names_the_best_for_the_budget():
    found = rows()
    words = lambda parts: "".join(text for text, _ in parts).replace("\u202f", " ")  # noqa: E731
    assert words(models.sentence(found, "mnist", Budget(0.5))) == (
        "3 networks, 2 with early exits. For at most 50 % of its computation, mnist/a is right most often on MNIST: "
        "70.0 %, in full 80.0 %"
    )
    assert words(models.sentence(found, "other", Budget(1e6, True))) == (
        "3 networks, 2 with early exits: none answers other for at most 1 M MACs an image"
    )
    assert words(models.sentence([], "mnist", Budget(1))) == "No network passes this filter"


def test_intervals_and_counts_of_a_card():
    # Wilson, 9 of 10, z = 1.96: centre (0.9 + 0.19208) / 1.38416, half 1.41598 * sqrt(0.009 + 0.0096040)
    card = replace(RESNET8, metrics={"test": {"n": 10, "exit_accuracy": [0.9]}})
    assert model_card.measured(card, "test", 0) == "90.00\u202f% <small>59.58 to 98.21</small>"
    assert model_card.measured(card, "calibration", 0) is None
    table = model_card.numbers_table(card, Known(None, None, "no trace"))
    assert "n = 10" in table and "not recorded" in table and table.count("<tr>") == 2


def test_words_of_sizes_and_times():
    assert [model_card.macs(n).replace("\u202f", " ") for n in (950, 1234, 34500, 40.94e6, 1.3e9, 256e6)] == [
        "950", "1.23 k", "34.5 k", "40.9 M", "1.30 G", "256 M",
    ]  # fmt: skip
    assert [model_card.duration(s) for s in (48, 285, 5400, 7320)] == ["48 s", "5 min", "1 h 30 min", "2 h 2 min"]


def test_names_from_outside_are_escaped():
    text = model_card.facts([("<b>", "</dl><script>x</script>")])
    assert "<b>" not in text and "<script>" not in text
    assert "<i>" not in model_card.head("a/b", replace(EENET8, title="<i>Evil</i>"))


def test_a_recipe_in_words():
    recipe = recipe_of(load_card("cifar10/eenet20", CHECKPOINTS))
    recipe = replace(recipe, epochs=46, resolution=((0.3, 16), (0.2, 24)), seed=3, parent=None)
    facts = dict(model_card.recipe_facts(recipe, {"training_seconds": 7320, "training_examples": 45000}))
    assert facts["Epochs"] == "46: 30 % on 16 px, 20 % on 24 px, the rest on 32 px"
    assert (facts["Seed"], facts["Started from"], facts["Took"]) == ("3", "fresh weights", "2 h 2 min")
    assert facts["Data"] == "cifar10, 45,000 images"
    assert "Loss" not in dict(model_card.recipe_facts(recipe_of(RESNET8), {}))


def test_epochs_on_smaller_images_as_the_recipe_runs_them():
    recipe = recipe_of(load_card("cifar10/eenet20", CHECKPOINTS))
    for resolution, epochs in (((0.3, 16), (0.2, 24)), 46), (((0.5, 8),), 3), (((0.1, 8), (0.1, 9)), 4), ((), 5):
        changed = replace(recipe, resolution=resolution, epochs=epochs)
        sides = [changed.side(epoch) for epoch in range(epochs)]
        found = [None] * epochs
        for first, last, side in history.small_epochs(resolution, epochs):
            found[first - 1 : last] = [side] * (last - first + 1)
        assert found == sides
    assert history.small_epochs(((0.3, 16), (0.2, 24)), 46) == [(1, 14, 16), (15, 23, 24)]


def test_the_history_of_a_plain_network_says_nothing_of_exits():
    lines = [
        {"epoch": 1, "loss": 1.0, "mean_cost": 1.0, "exit_shares": [1.0], "training_accuracy": [0.5], "seconds": 2}
    ]
    assert [field for field, _ in history.panels_of(lines, 1)] == ["loss", "training_accuracy", "seconds"]
    assert len(history.panels_of(lines, 2)) == 5


def test_the_drawing_gets_every_block_and_exit():
    data = anatomy.payload("mnist/eenet8", EENET8, (0.9, 0.95, 0.99))
    assert [block["macs"] for block in data["blocks"]] == [37632, 235200, 189728, 182672, 3296]
    assert [exit_["after"] for exit_ in data["exits"]] == [1, 2, None]
    assert [exit_["macs"] for exit_ in data["exits"]] == [34500, 17252, None]
    # up to block 1 and its exit; up to block 2 and both exits, or its own alone; all and both exits, or all
    assert [exit_["executed"] for exit_ in data["exits"]] == [307332, 514312, 700280]
    assert [exit_["paper"] for exit_ in data["exits"]] == [307332, 479812, 648528]
    json.dumps(data, allow_nan=False)
    alone = anatomy.payload("mnist/resnet8", RESNET8, None)
    assert len(alone["exits"]) == 1 and {block["exit"] for block in alone["blocks"]} == {0}


@pytest.mark.parametrize(
    ("picked", "rows", "cells", "now", "opened"),
    [
        ((), [], [(1, "best")], (), "b"),
        ((), [2], [], ("c",), "c"),
        (("c",), [2, 0], [(1, "best")], ("c", "a"), None),  # the tick is new, the mark is old
        (("c", "a"), [0, 2], [(1, "best")], ("c", "a"), "b"),
        (("c", "a"), [2], [], ("c",), None),
        (("a",), [], [], (), None),
        (("filtered/out", "a"), [0, 1], [], ("filtered/out", "a", "b"), None),
        ((), [], [(9, "best")], (), None),
        ((), [], [], (), None),
    ],
)
def test_what_a_click_means(picked, rows, cells, now, opened):
    assert models.clicked(["a", "b", "c"], picked, {"rows": rows, "cells": cells}) == (now, opened)


def test_no_more_than_fit_side_by_side():
    names = [str(n) for n in range(10)]
    now, _ = models.clicked(names, (), {"rows": list(range(10))})
    assert len(now) == models.MOST_PICKED
    # a tick too many changes nothing, and rows can still be opened
    assert models.clicked(names, now, {"rows": list(range(7)), "cells": [(9, "best")]}) == (now, "9")
