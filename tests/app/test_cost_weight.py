"""Links, words and colours of *Cost weight*."""

import re

import numpy as np
import pytest

from app import cost_charts
from app.cost_weight import (
    Ground,
    Line,
    Scene,
    gap_sentence,
    labels,
    read_held,
    read_scene,
    refit_words,
    sentence,
    slider_steps,
    step_words,
    write_scene,
)
from app.theme import RAMPS, TOKENS
from core.analysis.gap import Gap
from core.analysis.sweep import exact_sweep
from core.checkpoints import load_card
from core.refit_recipe import RefitRecipe

GROUND = Ground((0.0, 0.25, 4.0), ("own/a", "own/b", "own/c"), "own/parent")
KNOWN = [GROUND, Ground((1.0,), ("own/single",), "own/single")]
HELD = (RefitRecipe(0.7, "fused"), RefitRecipe(3.0, "tagged", "bnpool"))


def line(weight, name="own/a", scores=((0.9, 0.0), (0.2, 0.0), (0.6, 0.0), (0.1, 0.0))):
    correct = np.array([[1, 1], [0, 1], [1, 1], [0, 0]], bool)
    sweep = exact_sweep(np.array(scores, np.float32), correct, [0.25, 1.0])
    words = refit_words(RefitRecipe(weight)) if name is None else f"λ = {weight:g}, trained"
    return Line(weight, name, words, sweep, sweep.at(0.5))


@pytest.mark.parametrize(
    "scene",
    [
        Scene("own/a"),
        Scene("own/single", "margin", 0.125, RefitRecipe(1e-7), HELD),
        Scene("own/a", "confidence", 1.0, RefitRecipe(123456.0, "normalized", "bnpool")),
        Scene("own/a", current=RefitRecipe(0.0), held=(RefitRecipe(0.0),)),
    ],
)
def test_a_scene_survives_its_link(scene):
    assert read_scene(write_scene(scene), KNOWN, "own/a") == (scene, [])


@pytest.mark.parametrize("name", ["own/b", "own/c", "own/parent"])
def test_any_member_and_the_parent_name_the_family(name):
    assert read_scene({"model": name}, KNOWN, "own/single") == (Scene("own/a"), [])


@pytest.mark.parametrize(
    ("bad", "left"),
    [
        ({"lambda": "-1"}, None),
        ({"lambda": "nan"}, None),
        ({"lambda": "abc"}, None),
        ({"lambda": "inf"}, None),
        ({"lambda": "1", "loss": "v9"}, RefitRecipe(1.0)),
        ({"lambda": "1", "exits": "plain"}, RefitRecipe(1.0)),
        ({"rule": "mood"}, None),
        ({"t": "1.5"}, None),
        ({"t": "nan"}, None),
        ({"model": "<b>*x*</b>" * 30}, None),
        ({"hold": "0.7:fused:pool:more"}, None),
        ({"hold": "x;1:v9;;nan"}, None),
    ],
)
def test_a_bad_link_is_one_line_and_a_scene(bad, left):
    scene, problems = read_scene(bad, KNOWN, "own/a")
    assert len(problems) == 1 and "expected" in problems[0] and "\n" not in problems[0]
    assert len(problems[0]) < 260
    assert scene == Scene("own/a", current=left)


def test_what_makes_sense_of_the_held_is_held():
    assert read_held("0.7:fused;bad;3:tagged:bnpool;0.7:fused:pool") == (HELD, True)
    many, bad = read_held(";".join(str(n) for n in range(9)))
    assert len(many) == 5 and bad


def test_the_sentence_says_what_lambda_buys():
    text = "".join(part for part, _ in sentence([line(0.0), line(4.0)], line(0.7, None)))
    text = text.replace("\u202f", " ")
    # two of four leave at exit 1 for 0.25, two run to the end for 1, three are right
    assert text == (
        "At λ = 0, 75.0 % right for 62 % of the computation; at λ = 4, 75.0 % right for 62 %; "
        "refit at λ = 0.7, 75.0 % right for 62 %"
    )
    assert "at λ" not in "".join(part for part, _ in sentence([line(0.0)], None))


@pytest.mark.parametrize(
    ("mean", "largest", "words"),
    [
        (0.023, 0.051, "2.3 points ahead on average, 5.1 at most (at cost 0.42"),
        (-0.023, -0.051, "2.3 points behind on average, 5.1 at most (at cost"),
        (0.001, -0.02, "0.1 points ahead on average, 2.0 at most the other way (at cost"),
    ],
)
def test_the_gap_in_words(mean, largest, words):
    found = gap_sentence(Gap(mean, largest, 0.42, 0.24, 1.0), "end to end", 1.0)
    assert found.startswith(f"the network trained end to end at λ = 1 is {words}")


def test_the_slider_stops_at_zero_at_every_member_and_where_it_stands():
    steps = slider_steps(GROUND, RefitRecipe(0.123))
    assert steps == sorted(steps) and steps[0] == 0 and {0.25, 4.0, 0.123} <= set(steps)
    say = step_words(GROUND)
    assert say(0.25) == "λ = 0.25 · trained too" and say(0.5) == "λ = 0.5"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lambdas_have_colours_of_their_own(scheme):
    colours = [cost_charts.colour(weight, 4.0, scheme) for weight in (0, 0.25, 0.5, 1, 2, 4)]
    assert all(re.fullmatch(r"#[0-9A-F]{6}", colour) for colour in colours)
    light = [sum(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in colours]
    assert light == sorted(light, reverse=scheme == "light") and len(set(light)) == 6
    assert not set(colours) & {*RAMPS[scheme], TOKENS[scheme]["wrong"]}
    assert cost_charts.colour(1e6, 4.0, scheme) == colours[-1]


def test_solid_and_dashed_and_labels_that_would_touch_are_joined():
    lines = [line(0.0), line(0.25), line(4.0, scores=((0.9, 0), (0.9, 0), (0.9, 0), (0.9, 0))), line(0.7, None)]
    figure = cost_charts.curves(lines, 4.0, ("ResNet-8", 0.8), "light", False)
    drawn = {trace.name: trace.line.dash for trace in figure.data if trace.mode == "lines" and trace.name}
    assert drawn == {"λ = 0, trained": "solid", "λ = 0.25, trained": "solid", "λ = 4, trained": "solid",
                     "λ = 0.7, refitted, cumulative, pool": "dash"}  # fmt: skip
    assert [a.text for a in figure.layout.annotations] == ["λ = 0, 0.25", "λ = 4", "λ = 0.7 refit"]
    exact = {tuple(trace.y) for trace in figure.data if trace.name == "λ = 0, trained"}
    assert exact == {tuple(100 * lines[0].sweep.accuracy)}


def test_shares_stack_to_a_hundred_and_a_refit_stands_beside_its_twin():
    lines = [line(0.0), line(4.0), line(4.0, None)]
    figure = cost_charts.against_lambda(lines, 4.0, "dark", True)
    bars = [trace for trace in figure.data if trace.type == "bar"]
    totals: dict[float, float] = {}
    for bar in bars:
        for x, y in zip(bar.x, bar.y, strict=True):
            totals[x] = totals.get(x, 0) + y
    assert list(totals.values()) == pytest.approx([100.0, 100.0, 100.0])  # three places, none on top of another
    assert cost_charts.place(0) == 0 and cost_charts.place(0.25) == 1


def test_no_two_families_are_called_alike():
    card = load_card("mnist/eenet8")
    known = [Ground((0.0, 1.0), (f"own/{n}", f"own/{n}1"), None) for n in "ab"]
    known.append(Ground((0.0, 2.0), ("own/c", "own/c2"), None))
    names = labels(known, {name: card for ground in known for name in ground.names})
    assert len(set(names.values())) == 3 and names["own/a"].endswith(" · own/a")
    assert names["own/c"].startswith("MNIST · EENet-8 · λ = 0 … 2 · cumulative") and "own/c" not in names["own/c"]
