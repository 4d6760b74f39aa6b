"""*Cost weight* as a script: families, links good and bad, refits, keeping one, what is missing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import cache, navigation, refits
from core.analysis.sweep import exact_sweep
from core.checkpoints import CHECKPOINTS, load_card, load_network, load_trace
from core.exit_features import features_path
from tests.cost_zoo import NAME, write_zoo

ROOT = Path(__file__).parents[2]
PAGES = navigation._PAGES
KEPT = f"{NAME}-refit-cumulative-0.7"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    root = tmp_path_factory.mktemp("zoo")
    write_zoo(root)
    return root


@pytest.fixture
def checkpoints(zoo, tmp_path, monkeypatch):
    """A family of three and features to refit from, in a root of its own."""
    root = tmp_path / "checkpoints"
    shutil.copytree(zoo, root)
    monkeypatch.setattr(cache, "ROOT", root)
    st.cache_data.clear()
    st.cache_resource.clear()
    yield root
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture(autouse=True)
def comes_first(monkeypatch):
    """This page as the start page: one run opens it."""
    monkeypatch.setattr(navigation, "_PAGES", tuple(sorted(PAGES, key=lambda page: page[3] != "cost")))


def open_page(**parameters):
    at = AppTest.from_file(str(ROOT / "app/main.py"), default_timeout=60)
    for name, value in parameters.items():
        at.query_params["lambda" if name == "weight" else name] = value
    return at.run()


def calm(at):
    assert not at.exception and not at.warning and not at.error


def figure(at, number):
    return json.loads(at.get("plotly_chart")[number].proto.spec)


def curves(at):
    """Name of each curve and whether it is dashed."""
    data = figure(at, 0)["data"]
    return {each["name"]: each["line"].get("dash") for each in data if each["mode"] == "lines" and "name" in each}


def said(at):
    for element in at.get("bidi_component"):
        if element.proto.component_name == "eenet_sentence":
            data = json.loads(element.proto.json)
            return "".join(part for part, _ in data["parts"]).replace("\u202f", " "), data["below"]
    raise AssertionError("no sentence")


def test_a_newcomer_sees_the_family(checkpoints):
    at = open_page()
    calm(at)
    assert curves(at) == {f"λ = {weight}, trained end to end": "solid" for weight in (0, 1, 4)}
    words, below = said(at)
    expected = []
    for weight in (0, 4):
        trace = load_trace(f"{NAME}-lambda-{weight}", "test", checkpoints)
        point = exact_sweep(trace.scores["confidence"], trace.correct, trace.relative_cost).at(0.5)
        expected.append(f"λ = {weight}, {100 * point.accuracy:.1f} % right for {100 * point.relative_cost:.0f} %")
    assert words == f"At {expected[0]} of the computation; at {expected[1]}"
    assert "n = 90" in below and "test split" in below and f"from {NAME}" in below
    assert dict(at.query_params) == {"model": f"{NAME}-lambda-0", "rule": "confidence", "t": "0.5"}
    marks = [each for each in figure(at, 0)["data"] if each["mode"] == "markers"]
    assert len(marks) == 3 and len(figure(at, 1)["data"]) >= 5


def test_the_slider_refits_and_the_link_says_so(checkpoints):
    at = open_page()
    at.select_slider(key="cost_lambda").set_value(0.7).run()
    calm(at)
    assert curves(at)["λ = 0.7, refitted, cumulative, pool"] == "dash"
    assert "refit at λ = 0.7" in said(at)[0]
    assert at.query_params["lambda"] == "0.7" and at.query_params["exits"] == "pool"
    (row,) = [each.value for each in at.markdown if "refitted" in each.value]
    assert "n = 90" in row and "trained end to end" not in row  # nobody was trained at 0.7


def test_a_refit_beside_a_trained_network_says_the_gap(checkpoints):
    at = open_page(weight="1")
    calm(at)
    (row,) = [each.value for each in at.markdown if "refitted" in each.value]
    assert "At equal cost the network trained end to end at λ = 1 is" in row and "on average" in row
    at.selectbox(key="cost_loss").set_value("fused").run()
    calm(at)
    (row,) = [each.value for each in at.markdown if "refitted" in each.value]
    assert "its loss is cumulative, the refit's fused" in row


def test_several_refits_stay_and_go(checkpoints):
    at = open_page(weight="2")
    next(button for button in at.button if button.label == "Hold on chart").click().run()
    at.text_input(key="cost_lambda_text").set_value("0.05").run()
    calm(at)
    assert sum(dash == "dash" for dash in curves(at).values()) == 2
    assert at.query_params["hold"] == "2:cumulative:pool"
    at.button(key="cost_remove1").click().run()
    assert list(curves(at))[-1] == "λ = 0.05, refitted, cumulative, pool"
    assert sum(dash == "dash" for dash in curves(at).values()) == 1 and "hold" not in at.query_params
    at.button(key="cost_remove0").click().run()
    calm(at)
    assert len(curves(at)) == 3 and "lambda" not in at.query_params


@pytest.mark.parametrize("text", ["-1", "nan", "abc"])
def test_a_bad_cost_weight_in_the_field_is_one_line(checkpoints, text):
    at = open_page()
    at.text_input(key="cost_lambda_text").set_value(text).run()
    assert not at.exception
    (line,) = at.warning
    assert "expected a cost weight from 0 to 1,000,000" in line.value.replace("\\", "") and "\n" not in line.value
    assert len(curves(at)) == 3 and "lambda" not in at.query_params


def test_a_bad_link_is_said_even_when_a_refit_has_to_be_waited_for(checkpoints):
    at = open_page(weight="3", t="9", rule="mood")
    assert not at.exception and len(at.warning) == 2
    assert "λ = 3, refitted, cumulative, pool" in curves(at)
    assert not at.run().warning


def test_without_a_learned_confidence_another_rule_shows_it(checkpoints):
    at = open_page(weight="1", loss="unweighted")
    calm(at)
    assert len(curves(at)) == 3
    assert any("choose another rule" in each.value for each in at.markdown)
    at.get_by_key("cost_rule").set_value("probability").run()
    calm(at)
    assert curves(at)["refitted, unweighted, pool"] == "dash"


def test_the_same_refit_is_never_computed_twice(checkpoints, monkeypatch):
    from core.training import refit

    calls = []
    real = refit.fit_confidences
    monkeypatch.setattr(refit, "fit_confidences", lambda *a, **k: calls.append(1) or real(*a, **k))
    calm(open_page(weight="1.25"))
    at = open_page(weight="1.25", t="0.7")
    at.slider(key="cost_t").set_value(0.3).run()
    calm(at)
    assert len(calls) == 1


def test_a_kept_refit_is_a_checkpoint_on_every_page(checkpoints, monkeypatch):
    at = open_page(weight="0.7")
    shown = {each["name"]: each for each in figure(at, 0)["data"] if "name" in each}
    at.button(key="cost_keep0").click().run()
    assert not at.exception and not at.error
    assert "calibration" in at.success[0].value
    card = load_card(KEPT, checkpoints)
    assert (card.recipe["method"], card.recipe["parent"], card.recipe["loss"]) == ("refit", NAME, "cumulative")
    assert card.recipe["cost_weight"] == 0.7 and card.metrics["test"]["n"] == 90
    trace = load_trace(KEPT, "test", checkpoints)
    point = exact_sweep(trace.scores["confidence"], trace.correct, trace.relative_cost).at(0.5)
    mark = shown["λ = 0.7, refitted, cumulative, pool, at the threshold"]
    assert (mark["x"][0], mark["y"][0]) == pytest.approx((point.relative_cost, 100 * point.accuracy))
    load_network(KEPT, root=checkpoints)
    assert len(curves(at)) == 4  # it is no member of the trained family
    monkeypatch.setattr(navigation, "_PAGES", PAGES)
    for page in ("explore", "who_exits_where", "models"):
        other = AppTest.from_file(str(ROOT / "app/main.py"), default_timeout=60).run()
        if page != "explore":
            other.switch_page(f"../pages/{page}.py").run()
        other.query_params.clear()
        other.query_params["model"] = KEPT
        other.run()
        assert not other.exception and not other.error, page
        if page != "models":
            assert other.session_state["view"].model == KEPT


def test_keeping_twice_is_one_line(checkpoints):
    found = refits.start(NAME, refits.RefitRecipe(0.7), "cpu").wait()
    assert refits.keep(found, "cpu") == KEPT
    with pytest.raises(refits.UserError, match=f"expected a new checkpoint, got {KEPT}, which is there already"):
        refits.keep(found, "cpu")


def test_damaged_features_are_one_line_and_a_mended_file_is_read(checkpoints):
    path = features_path(checkpoints / NAME)
    whole = path.read_bytes()
    path.write_bytes(whole[:-99])
    at = open_page(weight="1")
    assert not at.exception and len(curves(at)) == 3
    (line,) = at.error
    assert "expected features in features" in line.value and "\n" not in line.value
    path.write_bytes(whole)
    os.utime(path, ns=(1, 1))
    at = open_page(weight="1")
    calm(at)
    assert len(curves(at)) == 4


def test_no_test_images_no_refit(checkpoints):
    for file in (checkpoints / "shapes").glob("test-images.*"):
        file.unlink()
    at = open_page()
    calm(at)
    assert len(curves(at)) == 3 and not at.select_slider
    assert any("expected test images of shapes" in each.value for each in at.caption)


def test_a_network_without_a_family_can_be_refitted(checkpoints):
    for weight in (0, 1, 4):
        shutil.rmtree(checkpoints / f"{NAME}-lambda-{weight}")
    at = open_page(weight="2", loss="tagged", exits="bnpool")
    calm(at)
    assert set(curves(at)) == {"λ = 1, trained branch by branch", "λ = 2, refitted, tagged, bnpool"}


def test_nothing_to_compare_says_what_to_run(checkpoints):
    for weight in (0, 1, 4):
        shutil.rmtree(checkpoints / f"{NAME}-lambda-{weight}")
    features_path(checkpoints / NAME).unlink()
    at = open_page()
    calm(at)
    assert at.title[0].value == "No cost weights to compare yet"
    assert any("core train" in code.value for code in at.code)
    assert any(f"core features {NAME}" in code.value for code in at.code)


def test_a_broken_trace_is_one_line(checkpoints):
    (checkpoints / f"{NAME}-lambda-1" / "trace-test.npz").write_bytes(b"PK")
    at = open_page()
    assert not at.exception and len(at.error) == 1


def test_presenting_hides_the_controls(checkpoints):
    at = open_page(present="1", weight="1")
    calm(at)
    assert not at.selectbox and not at.select_slider and len(curves(at)) == 4


def test_it_does_not_need_torch(checkpoints):
    features_path(checkpoints / NAME).unlink()
    program = (
        "import sys; from streamlit.testing.v1 import AppTest; "
        "at = AppTest.from_file('app/main.py', default_timeout=60).run(); "
        "at.switch_page('../pages/cost_weight.py').run(); "
        "assert not at.exception and len(at.get('plotly_chart')) == 2; sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "EENET_CHECKPOINTS": str(checkpoints)}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-500:]


def test_the_shipped_checkpoints_are_a_page(monkeypatch):
    monkeypatch.setattr(refits, "begin", lambda name, device: None)
    assert (CHECKPOINTS / "mnist/eenet8/features-training.npz").is_file()
    at = open_page(model="mnist/eenet8")
    calm(at)
    assert curves(at) and "n = 10,000" in said(at)[1]
