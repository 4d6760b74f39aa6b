"""The Explore page as a script: links good and bad, checkpoints missing and broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import cache
from core.analysis.rules import RULES
from core.checkpoints import CHECKPOINTS
from core.trace import Trace

ROOT = Path(__file__).parents[2]
MODEL = "mnist/eenet8"


def open_page(**parameters):
    at = AppTest.from_file(str(ROOT / "app/main.py"), default_timeout=60)
    for name, value in parameters.items():
        at.query_params[name] = value
    return at.run()


def lines(at):
    return [warning.value for warning in at.warning]


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """A root of its own with one network."""
    shutil.copytree(CHECKPOINTS / MODEL, tmp_path / MODEL)
    monkeypatch.setattr(cache, "ROOT", tmp_path)
    st.cache_data.clear()
    yield tmp_path
    st.cache_data.clear()


def test_a_newcomer_sees_a_network():
    at = open_page()
    assert not at.exception and not lines(at)
    view = at.session_state["view"]
    assert at.selectbox(key="network").value == view.model
    assert at.query_params["model"] == view.model
    assert len(at.get("bidi_component")) == 2


def test_a_link_is_followed():
    at = open_page(model=MODEL, rule="margin", t="0.25,0.75", off="2", axis="macs")
    assert not at.exception and not lines(at)
    view = at.session_state["view"]
    assert (view.model, view.rule, view.thresholds, view.off, view.axis) == (
        MODEL,
        "margin",
        (0.25, 0.75),
        (1,),
        "macs",
    )


@pytest.mark.parametrize(
    "parameters",
    [{"model": "x/y"}, {"t": "abc"}, {"t": "7"}, {"t": "nan"}, {"rule": "<b>luck</b>"}, {"off": "99"}, {"axis": "*"}],
)
def test_a_bad_link_is_one_line_and_a_page(parameters):
    at = open_page(**({"model": MODEL} | parameters))
    assert not at.exception
    (line,) = lines(at)
    assert "expected" in line and "\n" not in line
    assert len(at.get("bidi_component")) == 2
    assert not lines(at.run())  # said once


def test_controls_change_the_view_and_the_link():
    at = open_page(model=MODEL)
    at.get_by_key("rule_choice").set_value("entropy").run()
    at.selectbox(key="axis_choice").set_value("macs").run()
    assert not at.exception
    assert at.session_state["view"].rule == "entropy"
    assert at.query_params["rule"] == "entropy"
    assert at.query_params["axis"] == "macs"


def test_no_checkpoints_are_said_in_one_line(checkpoints):
    shutil.rmtree(checkpoints / "mnist")
    at = open_page()
    assert not at.exception
    assert at.title[0].value == "No network to explore yet"


@pytest.mark.parametrize("file", ["card.json", "model.safetensors"])
def test_a_broken_folder_is_named_and_harms_nobody(checkpoints, file):
    shutil.copytree(checkpoints / MODEL, checkpoints / "mnist/broken")
    (checkpoints / "mnist/broken" / file).write_bytes(b"\x80\x04 no")
    at = open_page()
    assert not at.exception
    assert at.selectbox(key="network").options == ["MNIST · EENet-8 · 2 early exits"]
    assert "mnist/broken" in at.selectbox(key="network").help


@pytest.mark.parametrize("broken", [None, b"", b"PK nothing"])
def test_a_missing_or_broken_trace_is_one_line(checkpoints, broken):
    path = checkpoints / MODEL / "trace-test.npz"
    path.unlink()
    if broken is not None:
        path.write_bytes(broken)
    at = open_page(model=MODEL)
    assert not at.exception
    (error,) = at.error
    assert "expected" in error.value and "\n" not in error.value


def test_no_images_leave_the_counts(checkpoints):
    at = open_page(model=MODEL)
    assert not at.exception
    assert any("counts only" in caption.value for caption in at.caption)


def test_presenting_hides_the_controls():
    at = open_page(model=MODEL, present="1")
    assert not at.exception
    assert not at.selectbox


def test_explore_does_not_need_torch():
    program = (
        "import sys; from streamlit.testing.v1 import AppTest; "
        "at = AppTest.from_file('app/main.py', default_timeout=60).run(); "
        "assert not at.exception, at.exception; sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-500:]


def test_a_wish_is_one_click():
    at = open_page(model=MODEL, t="0.5")
    at.radio(key="wish_kind").set_value("cost").run()
    at.number_input(key="wish_cost").set_value(0.6).run()
    assert not at.exception
    view = at.session_state["view"]
    assert view.thresholds != (0.5,)
    assert at.query_params["t"] != "0.5"
    assert at.session_state["note"]["title"].startswith("Wish")


def test_calibrated_rules_are_for_probabilities_only():
    at = open_page(model=MODEL, rule="confidence")
    assert at.checkbox(key="calibrated_choice").disabled
    at = open_page(model=MODEL, rule="probability")
    at.checkbox(key="calibrated_choice").check().run()
    assert not at.exception
    assert at.query_params["temperature"] == "1"


def test_networks_without_class_tables_are_not_calibrated():
    name = "mnist/eenet8-pool"
    assert not cache.has_class_tables(name)
    at = open_page(model=name, rule="probability", temperature="1")
    assert not at.exception
    assert not at.error
    assert at.checkbox(key="calibrated_choice").disabled
    assert not at.checkbox(key="calibrated_choice").value
    assert any("kept without class probabilities" in line.value for line in at.warning)
    # and on the way there from one that is
    at = open_page(model=MODEL, rule="probability", temperature="1")
    at.selectbox(key="network").set_value(name).run()
    assert not at.error
    assert not at.checkbox(key="calibrated_choice").value


def test_comparing_opens_on_demand():
    at = open_page(model=MODEL)
    assert not at.get("plotly_chart")
    at.session_state["compare_open"] = True
    at.run()
    assert not at.exception
    assert len(at.get("plotly_chart")) == 1
    assert len(at.dataframe) == 1


def replace_trace(folder, split, change):
    """Write a changed trace of the checkpoint's own weights."""
    trace = Trace.load(folder / f"trace-{split}.npz")
    change(trace).save(folder / f"trace-{split}.npz")


def test_a_trace_without_examples_is_a_page(checkpoints):
    for split in ("test", "calibration"):
        replace_trace(checkpoints / MODEL, split, lambda trace: trace.select(np.zeros(0, np.int64)))
    at = open_page()
    assert not at.exception
    (error,) = at.error
    assert "got none" in error.value


def test_one_example_of_one_class_is_a_page(checkpoints):
    for split in ("test", "calibration"):
        replace_trace(checkpoints / MODEL, split, lambda trace: trace.select(np.zeros(1, np.int64)))
    for rule in RULES:
        at = open_page(model=MODEL, rule=rule, t="0.5,0.5")
        assert not at.exception and not lines(at)
