"""What the page counts, says and remembers."""

from dataclasses import replace

import numpy as np
import pytest

from app import bands, doors, who
from app.state import View
from app.who import Chip, Pin, Scene, chips, plural, read_scene, rounded, sentence, write_scene
from core.analysis.selection import Answer, Box, Leaver, Move, Selection, comparable_scores, matching
from core.analysis.sweep import route
from core.trace import Trace

NAMES = ("cat", "ship", "deer")
MODEL = "a/b"


def random_trace(seed, n=300, exits=3, classes=3, easy=True):
    """Classes with rising numbers are harder for the early exits."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    strength = (3.0 - labels)[:, None] * (np.linspace(0.6, 1.6, exits) if easy else np.ones(exits))
    logits = rng.normal(size=(n, exits, classes)) + strength[..., None] * np.eye(classes)[labels][:, None]
    return Trace.from_outputs(
        logits, rng.normal(size=(n, exits)), labels, np.arange(n), np.linspace(0.3, 1.01, exits), "0" * 64, "test"
    )


def words(parts):
    return "".join(text for text, _ in parts)


def read(parameters, exits=5, classes=10, examples=100):
    return read_scene(parameters, MODEL, classes, exits, examples)


# ---- the link


@pytest.mark.parametrize(
    "scene",
    [
        Scene(MODEL),
        Scene(MODEL, Selection(labels=(3, 5), right=False), order="unsure", solo=2),
        Scene(MODEL, Selection(answers=(Answer(2, 3, 5, True),)), chart="answers", asked=2, leaving=True),
        Scene(MODEL, Selection(rows=(1, 5, 99)), chart="scores", pair=(3, 1)),
        Scene(MODEL, Selection(moves=(Move(1, 2, True),)), Pin("margin", (0.1, 0.9999999, 1.0, 0.0), True), "moves"),
        Scene(MODEL, pin=Pin("confidence", (0.25,) * 4), chart="groups"),
        Scene(MODEL, Selection(boxes=(Box((0, 1), (0.0, 0.5), (0.9, 1.0)),)), chart="map"),
        Scene(MODEL, chart="depth", leaving=False),
    ],
)
def test_a_link_brings_the_scene_back(scene):
    again, problems = read(write_scene(scene))
    assert not problems
    assert again == scene or (again.pin == scene.pin and replace(again, asked=scene.asked) == scene)
    assert write_scene(again) == write_scene(scene)


@pytest.mark.parametrize(
    "bad",
    [
        {"only": "class:77"},
        {"only": "<script>"},
        {"pin": "luck:0.5"},
        {"pin": "confidence:0.5,0.5"},
        {"pin": "confidence:2"},
        {"pin": "confidence:nan"},
        {"chart": "pie"},
        {"chart": "moves"},
        {"chart": "answers:9"},
        {"chart": "scores:1"},
        {"order": "random"},
        {"solo": "0"},
        {"solo": "9" * 500},
    ],
)
def test_a_bad_link_is_one_line_and_the_rest_is_kept(bad):
    scene, problems = read({"only": "answer:wrong", "chart": "depth", **bad})
    (line,) = problems
    assert "expected" in line and len(line) < 220 and "\n" not in line
    if "only" not in bad:
        assert scene.selection == Selection(right=False)
    if "chart" not in bad:
        assert scene.chart == "depth"


def test_moves_without_a_pin_are_dropped():
    assert read({"only": "move:1_2"})[0].selection.is_empty
    assert not read({"only": "move:1_2", "pin": "confidence:0.5"})[0].selection.is_empty


def test_another_network_keeps_what_makes_sense():
    scene = Scene(MODEL, Selection(labels=(1,), right=True, depths=(2,)), Pin("confidence", (0.5,)), "moves")
    assert who.carried(scene, "c/d", True) == Scene("c/d", Selection(labels=(1,), right=True))
    assert who.carried(scene, "c/d", False) == Scene("c/d", Selection(right=True))


# ---- the sentence


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.8, 0.95, 0.999999, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_sentence_says_what_a_loop_finds(threshold, seed):
    trace = random_trace(seed)
    exits = route(trace.rule_scores("probability"), threshold)
    said = words(sentence(trace, exits, NAMES))
    lost = 0
    for i in range(trace.n):
        right = [bool(p == trace.labels[i]) for p in trace.predicted[i]]
        lost += not right[exits[i]] and any(right[: exits[i]])
    if lost > 1:
        assert said.endswith(f"; {lost} images turned from right to wrong on the way")
    else:
        assert ("1 image turned from right to wrong" in said) == bool(lost)
    if len(set(exits.tolist())) == 1:
        assert said.startswith(f"All 300 images leave at exit {exits[0] + 1}")
    elif "done by exit" in said and "alike" not in said:
        by = int(said.split("done by exit ")[1][0])
        mean = [trace.relative_cost[exits[trace.labels == c]].mean() for c in range(3)]
        first, last = int(np.argmin(mean)), int(np.argmax(mean))
        for c in (first, last):
            share = (exits[trace.labels == c] < by).mean()
            assert f"{rounded(float(share))} of the {plural(NAMES[c])}" in said


def test_extreme_thresholds_have_sentences_of_their_own():
    trace = random_trace(0)
    scores = trace.rule_scores("probability")
    assert words(sentence(trace, route(scores, 0.0), NAMES)) == (
        "All 300 images leave at exit 1; no image loses a right answer on its way"
    )
    assert words(sentence(trace, route(scores, 1.0), NAMES)).startswith("All 300 images leave at exit 3, the last;")
    one = trace.select(np.zeros(1, np.int64))
    assert words(sentence(one, np.zeros(1, np.int64), NAMES)).startswith("The only image leaves at exit 1")
    of_one_class = trace.select(trace.labels == 1)
    exits = route(of_one_class.rule_scores("probability"), 0.9)
    assert words(sentence(of_one_class, exits, NAMES)).startswith("The classes leave alike: ")


def test_words():
    named = ("truck", "deer", "7", "fox", "fly", "boy", "n01440764 tench", "Cat")
    expected = ["trucks", "deer", "7s", "foxes", "flies", "boys", "“n01440764 tench” images", "“Cat” images"]
    assert [plural(name) for name in named] == expected
    thin = "\u202f"
    assert [rounded(x) for x in (0, 0.001, 0.5, 0.999, 1)] == [f"{t}{thin}%" for t in ("0", "< 1", "50", "> 99", "100")]


# ---- chips


def test_every_chip_takes_its_own_part_away():
    selection = Selection(
        (1,), (2,), True, (0,), (0.25, 0.5), (Leaver(1, 0, False), Leaver(None, 2)), depths=(1,), groups=("early",)
    )
    found = chips(selection, NAMES)
    assert [chip.text for chip in found][:6] == [
        "class ship", "answer deer", "right", "exit 1", "score 0.25 to 0.5", "ship, exit 1, wrong"
    ]  # fmt: skip
    assert found[0].rest == replace(selection, labels=())
    assert found[5].rest == replace(selection, leavers=(Leaver(None, 2),))
    assert found[6] == Chip("3 more", replace(selection, leavers=(Leaver(1, 0, False),), depths=(), groups=()))
    assert not chips(Selection(), NAMES)
    marks = Selection(
        answers=(Answer(0, 1, 2, True),), boxes=(Box((0, 1), (0, 0.5), (0.5, 1)),),
        moves=(Move(0, 1), Move(changed=True), Move(turned=False)), rows=(1, 2),
    )  # fmt: skip
    assert [chip.text for chip in chips(marks, NAMES)] == [
        "lasso of 2", "exit 1 says deer of a ship and it leaves there", "exit 1: 0 to 0.5, exit 2: 0.5 to 1",
        "exit 1 → 2", "changed exit", "turned wrong",
    ]  # fmt: skip


# ---- marks: what they show is what a click on them passes


def prepared(seed=1):
    trace = random_trace(seed)
    scores = comparable_scores(trace.rule_scores("probability"), trace)
    exits, before = route(scores, 0.7), route(scores, (0.9, 0.5))
    shown = np.random.default_rng(seed).random(trace.n) < 0.4
    return trace, scores, exits, before, shown


def behind(name, shown, prepared):
    """How many images a click on a mark shows, and how many of them are among some others."""
    trace, scores, exits, before, _ = prepared
    kind, mark = doors.read_mark(name, trace.classes, trace.num_exits)
    passes = matching(Selection().marked(kind, mark, add=False), trace, exits, scores, before)
    return int(passes.sum()), int((passes & shown).sum())


def test_squares_and_ribbons_count_what_a_click_shows():
    trace, _, exits, _, shown = data = prepared()
    squares = doors.leaving_panels(trace, exits, shown)[0]
    for c in range(3):
        for e in range(3):
            here, there = squares["all"][c][e], squares["shown"][c][e]
            assert behind(f"leave:{c}_{e + 1}", shown, data) == (sum(here), sum(there))
            assert behind(f"leave:{c}_{e + 1}_w", shown, data) == (here[0], there[0])
    assert sorted(squares["order"]) == [0, 1, 2]
    assert doors.leaving_panels(trace, exits, None)[0]["shown"] is None


def test_cells_bars_groups_and_moves_count_what_a_click_shows():
    trace, _, exits, before, shown = data = prepared(2)
    for asked in range(3):
        for leaving in (False, True):
            cells = doors.answers_panel(trace, exits, shown, asked, leaving)
            for c in range(3):
                for s in range(3):
                    name = f"cell:{asked + 1}_{c}_{s}" + ("_h" if leaving else "")
                    assert behind(name, shown, data) == (cells["all"][c][s], cells["shown"][c][s])
    bars = doors.depth_panel(trace, shown)
    rows = doors.groups_panel(trace, exits, shown)
    for n in range(3):
        assert behind(f"depth:{n + 1}", shown, data) == (sum(bars["all"][n]), sum(bars["shown"][n]))
    for g, (name, _) in enumerate(rows["groups"]):
        assert behind(f"group:{name}", shown, data) == (sum(rows["all"][g]), sum(rows["shown"][g]))
    moved = doors.moves_panel(trace, before, exits, shown, ("a", "b"))
    for a in range(3):
        for b in range(3):
            here = np.array(moved["all"][a][b]), np.array(moved["shown"][a][b])
            assert behind(f"move:{a + 1}_{b + 1}", shown, data) == (here[0].sum(), here[1].sum())
            assert behind(f"move:{a + 1}_{b + 1}_r", shown, data)[0] == here[0][0, 1]
    assert behind("move:x_x_c", shown, data)[0] == moved["changed"]
    assert [behind(f"move:x_x_{to}", shown, data)[0] for to in "rw"] == moved["turned"]


@pytest.mark.parametrize("pair", [(0, 1), (2, 0), (1, 1)])
def test_bins_count_what_a_box_around_them_shows(pair):
    trace, scores, exits, _, shown = data = prepared(3)
    panel = doors.scores_panel(trace, exits, scores, shown, pair, (0.7, 0.7))
    ends = [[np.format_float_positional(edge, trim="-") for edge in edges] for edges in panel["edges"]]
    assert sum(sum(found[2:4]) for found in panel["bins"]) == trace.n
    for i, j, *counts in panel["bins"]:
        box = f"box:{pair[0] + 1}_{pair[1] + 1}_{ends[0][i]}_{ends[0][i + 1]}_{ends[1][j]}_{ends[1][j + 1]}"
        assert behind(box, shown, data) == (sum(counts[:2]), sum(counts[2:]))


@pytest.mark.parametrize("sent", [None, 7, "", "class:1", "leave:9_1", "leave:1_1;depth:1", "depth:1,2", "group:x", {}])
def test_what_a_browser_sends_is_checked(sent):
    assert doors.read_mark(sent, 3, 3) is None


@pytest.mark.parametrize("sent", [None, {}, {"exit": 3, "leaving": True}, {"pair": [0]}, {"pair": [True, 1]}, "x"])
def test_wishes_that_make_no_sense_change_nothing(sent):
    assert doors.changed_scene(Scene(MODEL), sent, 3) == Scene(MODEL)


def test_wishes_and_pages_are_followed():
    scene = Scene(MODEL)
    assert doors.changed_scene(scene, {"exit": 1, "leaving": True}, 3) == replace(scene, asked=1, leaving=True)
    assert doors.changed_scene(scene, {"pair": [2, 1]}, 3) == replace(scene, pair=(2, 1))
    assert bands.turned(scene, {"exit": 1, "start": 64}, 3).starts == (0, 64, 0)
    assert bands.turned(scene, {"solo": 2}, 3).solo == 2
    assert bands.turned(replace(scene, solo=2), {"solo": None}, 3).solo is None
    assert bands.turned(scene, {"order": "unsure"}, 3).order == "unsure"
    for sent in ({"exit": 3, "start": 0}, {"exit": 0, "start": -1}, {"solo": 3}, {"order": "x"}, 5, None):
        assert bands.turned(scene, sent, 3) == scene


# ---- bands


@pytest.mark.parametrize("order", ["sure", "unsure"])
@pytest.mark.parametrize("solo", [None, 1])
def test_bands_hold_every_image_once_in_order(order, solo):
    trace, scores, exits, _, shown = prepared(4)
    scene = Scene(MODEL, order=order, solo=solo)
    columns = range(3) if solo is None else [1]
    seen = {n: [] for n in columns}
    for start in range(0, 2000, 32):
        page = replace(scene, starts=(start,) * 3)
        for band in bands.choose_bands(trace, exits, scores, shown, page):
            if start == band.start:
                seen[band.exit] += band.rows
            assert band.count == (exits == band.exit).sum()
            assert band.passing == ((exits == band.exit) & shown).sum()
            assert band.wrong == ((exits == band.exit) & shown & ~trace.correct[:, band.exit]).sum()
    for n in columns:
        assert sorted(seen[n]) == np.flatnonzero((exits == n) & shown).tolist()
        values = scores[seen[n], n]
        assert (np.diff(values) <= 0).all() if order == "sure" else (np.diff(values) >= 0).all()


def test_pages_share_the_rows_there_are():
    assert bands.page_sizes([3000, 3000, 3000], 9) == [96, 96, 96]
    assert bands.page_sizes([0, 0, 3000], 9) == [32, 32, 224]
    assert bands.page_sizes([10, 40, 3000], 9) == [32, 64, 192]
    assert bands.page_sizes([0, 1, 33], 9) == [32, 32, 64]
    assert bands.page_sizes([5000], 12) == [384]


def test_a_pin_is_the_point_as_it_routes():
    view = View(MODEL, "margin", (0.5,), off=(1,), calibrated=True)
    assert who.pin_of(view, 4) == Pin("margin", (0.5, 1.0, 0.5), True)
