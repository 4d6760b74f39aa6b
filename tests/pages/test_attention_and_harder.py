"""*Where it looks* and *Make it harder* on the page: closed until opened, then what the network says."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.analysis.robustness import FILE, load_corrupted, robustness
from core.checkpoints import CHECKPOINTS, load_network, load_trace
from core.data.corruptions import CORRUPTIONS, corrupt
from core.data.embedded import load_embedded
from core.network.attribution import grad_cam
from core.network.executor import Policy, execute

MAIN = str(Path(__file__).parents[2] / "app" / "main.py")
MODEL = "mnist/eenet8"


def open_page(**parameters: str) -> AppTest:
    app = AppTest.from_file(MAIN, default_timeout=120)
    app.run()
    app.query_params.update({"model": MODEL, "rule": "probability", "t": "0.8", "image": "6", **parameters})
    return app.switch_page("../pages/try_image.py").run()


def opened(section: str, **parameters: str) -> AppTest:
    app = open_page(**parameters)
    assert component(app, section) is None  # nothing runs until somebody opens it
    app.session_state[f"{section}_open"] = True
    app.run()
    assert not app.exception and not app.error
    return app


def component(app: AppTest, name: str) -> dict[str, Any] | None:
    shown = [c for c in app.get("bidi_component") if c.proto.component_name == f"eenet_{name}"]
    return json.loads(shown[0].proto.json) if shown else None


@pytest.fixture(scope="module")
def seen() -> tuple[Any, Any, np.ndarray]:
    """Network, card and test image 6 as it goes in."""
    network, card = load_network(MODEL)
    return network, card, load_embedded("mnist")[6:7]


def test_where_it_looks(seen) -> None:
    network, card, image = seen
    app = opened("attention")
    shown, wanted = component(app, "attention"), grad_cam(network, card.preprocessing.normalise(image))
    assert shown["chosen"] is None and shown["taken"] == component(app, "journey")["taken"]
    for n, exit_ in enumerate(shown["exits"]):
        assert exit_["class"] == exit_["answer"] == str(wanted.classes[n])
        assert exit_["p"] == pytest.approx(float(wanted.probabilities[n].max()), abs=1e-5)
        assert (exit_["heat"] is None) == bool(wanted.looks_nowhere[n])
        assert exit_["executed"] == (n <= shown["taken"])
    app.selectbox(key=f"attention_class {MODEL}").set_value(3).run()
    chosen = component(app, "attention")
    assert chosen["chosen"] == "3" and {exit_["class"] for exit_ in chosen["exits"]} == {"3"}
    assert [e["heat"] for e in chosen["exits"]] != [e["heat"] for e in shown["exits"]]


def test_make_it_harder(seen) -> None:
    network, card, image = seen
    app = opened("harder")
    for name in ("noise", "rotation"):
        app.segmented_control(key="harder_corruption").set_value(name).run()
        shown = component(app, "harder")
        harder = np.concatenate([corrupt(image, name, severity) for severity in range(6)])
        found = execute(network, card.preprocessing.normalise(harder), Policy("probability", (0.8,)))
        assert shown["corruption"] == name and len(shown["severities"]) == 6
        for severity, step in enumerate(shown["severities"]):
            exit_ = int(found.exits[severity])
            assert step["exit"] == exit_ and step["answer"] == str(found.predicted[severity])
            assert step["score"] == pytest.approx(float(found.scores[severity, exit_]), abs=1e-6)
            assert step["cost"] == pytest.approx(card.cost.relative()[exit_])
            assert step["words"] == CORRUPTIONS[name].describe(severity)
    wanted = robustness(load_corrupted(MODEL), load_trace(MODEL, small=True), "probability", (0.8,))
    charts = shown["all"]["charts"]
    assert shown["all"]["n"] == 2000 and [chart["name"] for chart in charts] == list(CORRUPTIONS)
    np.testing.assert_allclose([chart["accuracy"] for chart in charts], wanted.accuracy)
    np.testing.assert_allclose([chart["cost"] for chart in charts], wanted.relative_cost)
    assert len(shown["all"]["sentences"]) == 6


def test_other_rules_and_temperatures_say_why_there_is_no_chart() -> None:
    shown = component(opened("harder", rule="margin"), "harder")
    assert shown["all"] is None and "largest probability" in shown["line"]
    shown = component(opened("harder", temperature="1"), "harder")
    assert shown["all"] is None and "calibrated" in shown["line"]


def test_without_the_file_one_line_says_how_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(CHECKPOINTS / MODEL, tmp_path / MODEL, ignore=shutil.ignore_patterns(FILE))
    for name in ("test-images.json", "test-images.webp"):
        shutil.copy(CHECKPOINTS / "mnist" / name, tmp_path / "mnist" / name)
    monkeypatch.setattr("app.cache.ROOT", tmp_path)
    shown = component(opened("harder"), "harder")
    assert shown["all"] is None and shown["line"].endswith(f"run `python -m core corruptions {MODEL}`")
    assert len(shown["severities"]) == 6
