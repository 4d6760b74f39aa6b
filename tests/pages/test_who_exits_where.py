"""*Who exits where* as a script: links good and bad, filters, pins, checkpoints that lack something."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import cache
from core.analysis.selection import Selection
from core.analysis.sweep import route
from core.checkpoints import CHECKPOINTS, load_trace
from core.trace import Trace

ROOT = Path(__file__).parents[2]
MODEL = "mnist/eenet8"


def open_page(**parameters):
    at = AppTest.from_file(str(ROOT / "app/main.py"), default_timeout=60).run()
    for name, value in ({"model": MODEL} | parameters).items():
        at.query_params[name] = value
    return at.switch_page("../pages/who_exits_where.py").run()


def component(at, name):
    """What a component of the page was given, found by its name."""
    for element in at.get("bidi_component"):
        if element.proto.component_name == f"eenet_{name}":
            yield json.loads(element.proto.json)


def one(at, name):
    return next(component(at, name))


def count(at):
    return next(m.value for m in at.markdown if " image" in m.value)


def calm(at):
    assert not at.exception and not at.warning and not at.error


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """A root of its own with one network and its images."""
    shutil.copytree(CHECKPOINTS / MODEL, tmp_path / MODEL)
    for file in (CHECKPOINTS / "mnist").glob("test-images.*"):
        shutil.copy(file, tmp_path / "mnist")
    monkeypatch.setattr(cache, "ROOT", tmp_path)
    st.cache_data.clear()
    yield tmp_path
    st.cache_data.clear()


@pytest.mark.parametrize("model", ["mnist/eenet8", "cifar10/eenet20"])
def test_a_newcomer_sees_images_and_marks(model):
    at = open_page(model=model, rule="confidence", t="0.5")
    calm(at)
    trace = load_trace(model, "test", small=True)
    exits = route(trace.rule_scores("confidence"), 0.5)
    bands = one(at, "bands")
    assert [band["passing"] for band in bands["bands"]] == np.bincount(exits, minlength=trace.num_exits).tolist()
    assert bands["sheet"]["url"].startswith("data:image/webp")
    kinds = [panel["kind"] for doors in component(at, "doors") for panel in doors["panels"]]
    assert kinds == ["classes", "flow", "answers"]
    assert count(at) == "**10,000** test images"
    assert len(json.dumps(bands)) < 500_000


def test_a_link_is_followed_and_written_back():
    link = {"only": "class:3,8;answer:wrong;group:early", "chart": "scores:2_1", "order": "unsure", "solo": "3"}
    at = open_page(t="0.9", pin="margin:0.5", **link)
    calm(at)
    scene = at.session_state["who"]
    assert scene.selection == Selection(labels=(3, 8), right=False, groups=("early",))
    assert (scene.chart, scene.pair, scene.order, scene.solo) == ("scores", (1, 0), "unsure", 2)
    assert {name: at.query_params[name] for name in link} == link
    assert [band["exit"] for band in one(at, "bands")["bands"]] == [2]


@pytest.mark.parametrize(
    "bad",
    [
        {"only": "class:99"},
        {"only": "**bold**:[x](y)"},
        {"pin": "confidence:7"},
        {"chart": "cake"},
        {"order": "up"},
        {"solo": "4"},
        {"t": "abc"},
        {"model": "x/y"},
    ],
)
def test_a_bad_link_is_one_line_and_a_page(bad):
    at = open_page(**bad)
    assert not at.exception and not at.error
    (line,) = at.warning
    assert "expected" in line.value and "\n" not in line.value
    assert one(at, "bands")["bands"]
    assert not at.run().warning  # said once


@pytest.mark.parametrize("chart", ["answers:1h", "depth", "scores:1_3", "groups", "map", "moves"])
@pytest.mark.parametrize("t", ["0", "0.7,0.99", "1"])
def test_every_chart_stands_at_extreme_thresholds(chart, t):
    at = open_page(chart=chart, t=t, pin="probability:0.9:calibrated", only="leave:7_x;depth:1,3")
    calm(at)
    if chart != "map":
        assert list(component(at, "doors"))[1]["panels"][0]["kind"] == chart.split(":")[0]


def test_filters_of_the_drawer_combine():
    at = open_page(rule="confidence", t="0.5")
    at.session_state["who_filter"] = True
    at.run()
    at.multiselect(key="who_labels").set_value([4, 9]).run()
    at.get_by_key("who_right").set_value("wrong").run()
    at.slider(key="who_scores").set_value((0.2, 0.9)).run()
    calm(at)
    trace = load_trace(MODEL, "test", small=True)
    scores = trace.rule_scores("confidence")
    exits = route(scores, 0.5)
    expected = 0
    for i in range(trace.n):
        if trace.labels[i] in (4, 9) and trace.predicted[i, exits[i]] != trace.labels[i]:
            last = exits[i] == trace.num_exits - 1
            value = float((trace.scores["probability"] if last else scores)[i, exits[i]])
            expected += 0.2 <= value <= 0.9
    assert count(at).startswith(f"**{expected:,}** of 10,000")
    assert at.query_params["only"] == "class:4,9;answer:wrong;score:0.2_0.9"
    at.button(key="who_chip0").click().run()
    assert at.query_params["only"] == "answer:wrong;score:0.2_0.9"
    at.button(key="who_clear").click().run()
    assert "only" not in at.query_params
    assert count(at).startswith("**10,000**")


def test_a_pinned_point_stays_when_the_threshold_moves():
    at = open_page(rule="confidence", t="0.5")
    at.button(key="who_pin").click().run()
    calm(at)
    moves = list(component(at, "doors"))[1]["panels"][0]
    assert moves["kind"] == "moves" and moves["changed"] == 0
    at.slider(key="try_t").set_value(0.99).run()
    calm(at)
    assert at.query_params["pin"] == "confidence:0.5"
    moves = list(component(at, "doors"))[1]["panels"][0]
    trace = load_trace(MODEL, "test", small=True)
    scores = trace.rule_scores("confidence")
    assert moves["changed"] == int((route(scores, 0.5) != route(scores, 0.99)).sum())
    at.button(key="who_unpin").click().run()
    calm(at)
    assert "pin" not in at.query_params and "chart" not in at.query_params


def test_a_filter_that_nothing_passes_is_a_page():
    at = open_page(only="class:1;leave:2_x")
    calm(at)
    assert count(at).startswith("**0** of")
    assert all(not band["rows"] for band in one(at, "bands")["bands"])


def test_the_filter_waits_while_another_page_is_open():
    at = open_page(only="class:7")
    at.switch_page("../pages/explore.py").run()
    for name in list(at.query_params):
        del at.query_params[name]
    at.switch_page("../pages/who_exits_where.py").run()
    calm(at)
    assert at.query_params["only"] == "class:7"


def test_another_network_keeps_the_classes_it_shares():
    at = open_page(only="class:7;depth:2")
    at.selectbox(key="network").set_value("cifar10/eenet20").run()
    calm(at)
    assert "only" not in at.query_params


def test_presenting_hides_the_controls():
    at = open_page(present="1", only="answer:wrong")
    calm(at)
    assert not at.selectbox and not at.multiselect
    assert "wrong" in count(at)


def test_no_images_leave_answers_and_counts(checkpoints):
    for file in (checkpoints / "mnist").glob("test-images.*"):
        file.unlink()
    at = open_page()
    calm(at)
    assert any("answers only" in caption.value for caption in at.caption)
    assert one(at, "bands")["bands"][0]["rows"]


def test_a_damaged_sheet_is_one_line(checkpoints):
    (checkpoints / "mnist/test-images.webp").write_bytes(b"no picture")
    st.cache_resource.clear()
    at = open_page()
    assert not at.exception
    (error,) = at.error
    assert "expected" in error.value and "\n" not in error.value


@pytest.mark.parametrize("broken", [None, b"PK nothing"])
def test_a_missing_or_broken_trace_is_one_line(checkpoints, broken):
    path = checkpoints / MODEL / "trace-test.npz"
    path.unlink()
    if broken is not None:
        path.write_bytes(broken)
    at = open_page()
    assert not at.exception
    assert len(at.error) == 1


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_trace_of_few_examples_is_a_page(checkpoints, rows):
    for split in ("test", "calibration"):
        path = checkpoints / MODEL / f"trace-{split}.npz"
        trace = Trace.load(path)
        trace.select(np.arange(rows)).save(path)
    at = open_page(rule="confidence", t="0.5,0.5", chart="groups")
    assert not at.exception
    assert len(at.error) == (rows == 0)
    if rows:
        assert count(at).startswith(f"**{rows}** test image")


def test_no_checkpoints_are_said(checkpoints):
    shutil.rmtree(checkpoints / "mnist")
    at = open_page()
    assert not at.exception
    assert at.title[0].value == "No network to explore yet"


def test_it_does_not_need_torch():
    program = (
        "import sys; from streamlit.testing.v1 import AppTest; "
        "at = AppTest.from_file('app/main.py', default_timeout=60).run(); "
        "at.switch_page('../pages/who_exits_where.py').run(); "
        "assert not at.exception, at.exception; sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-500:]


def test_selections_do_not_leak_between_visitors():
    first, second = open_page(only="class:1"), open_page()
    assert first.session_state["who"].selection == replace(Selection(), labels=(1,))
    assert second.session_state["who"].selection.is_empty
