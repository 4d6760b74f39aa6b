"""Links become views and views become links."""

from types import SimpleNamespace

import pytest

from app.state import View, card_thresholds, model_label, read_view, readable, write_view
from core.checkpoints import load_card


def card(early=3):
    return SimpleNamespace(
        spec=SimpleNamespace(num_early_exits=early),
        metrics={"calibration": {"area_under_curve_confidence": 0.8, "area_under_curve_probability": 0.9}},
        thresholds=lambda rule: (0.75,),
    )


CARDS = {"cifar10/eenet20": card(), "mnist/eenet8": card(2)}


def read(**parameters):
    return read_view(parameters, CARDS, start=card_thresholds)


def test_an_empty_link_is_the_default_view():
    view, problems = read()
    assert view == View("cifar10/eenet20", "probability", (0.75,))
    assert problems == []


@pytest.mark.parametrize(
    "view",
    [
        View("mnist/eenet8", "confidence", (0.62,)),
        View("cifar10/eenet20", "margin", (0.1, 0.9999999, 1.0), (0, 2), "macs", True, True),
        View("cifar10/eenet20", "patience", (0.0,), stretched=False),
        View("cifar10/eenet20", "entropy", (0.30000001192092896,), axis="paper"),
    ],
)
def test_a_link_brings_back_the_view(view):
    again, problems = read(**write_view(view))
    assert problems == []
    assert again == view or (again.thresholds == pytest.approx(view.thresholds, abs=1e-7))
    assert write_view(again) == write_view(view)


@pytest.mark.parametrize(
    ("parameters", "field", "fallback"),
    [
        ({"model": "cifar10/none"}, "model", "cifar10/eenet20"),
        ({"model": "../../etc"}, "model", "cifar10/eenet20"),
        ({"rule": "luck"}, "rule", "probability"),
        ({"t": "abc"}, "thresholds", (0.75,)),
        ({"t": "7"}, "thresholds", (0.75,)),
        ({"t": "nan"}, "thresholds", (0.75,)),
        ({"t": "-0.1"}, "thresholds", (0.75,)),
        ({"t": "inf"}, "thresholds", (0.75,)),
        ({"t": ""}, "thresholds", (0.75,)),
        ({"t": "0.5,0.5"}, "thresholds", (0.75,)),
        ({"off": "4"}, "off", ()),
        ({"off": "0"}, "off", ()),
        ({"off": "one"}, "off", ()),
        ({"off": "²"}, "off", ()),
        ({"axis": "euro"}, "axis", "relative"),
        ({"scale": "wide"}, "stretched", None),
        ({"temperature": "hot"}, "calibrated", False),
    ],
)
def test_what_a_link_says_wrongly_is_one_line_and_the_default(parameters, field, fallback):
    view, problems = read(**parameters)
    assert getattr(view, field) == fallback
    (line,) = problems
    assert "\n" not in line and "expected" in line and "showing" in line


def test_a_wrong_field_leaves_the_others_alone():
    view, problems = read(model="mnist/eenet8", rule="luck", t="0.25", off="2")
    assert view == View("mnist/eenet8", "probability", (0.25,), (1,))
    assert len(problems) == 1


def test_of_many_networks_a_few_are_named():
    cards = {f"own/net{number}": card() for number in range(20)}
    _, (line,) = read_view({"model": "nonsense"}, cards, start=card_thresholds)
    assert "one of own/net0, own/net1, own/net2, own/net3 or 16 more: showing own/net0" in line


def test_long_nonsense_is_cut():
    _, (line,) = read(t="9" * 5000)
    assert len(line) < 250


def test_switched_off_exits_never_let_go():
    assert View("m", "confidence", (0.5,), (1,)).effective(3) == (0.5, 1.0, 0.5)
    assert View("m", "confidence", (0.1, 0.2, 0.3), (0, 2)).effective(3) == (1.0, 0.2, 1.0)


@pytest.mark.parametrize(
    ("value", "shown"), [(0.354432612657547, 0.354), (0.9, 0.9), (0.99987654, 0.99988), (1.0, 1.0)]
)
def test_readable_thresholds_keep_the_digits_that_count(value, shown):
    assert readable(value) == pytest.approx(shown, abs=1e-5)


def test_networks_of_one_kind_are_told_apart():
    card = load_card("mnist/eenet8")
    assert model_label("mnist/eenet8", card) == "MNIST · EENet-8 · 2 early exits"
    assert model_label("mnist/eenet8-lambda-0.5", card) == "MNIST · EENet-8 · 2 early exits · lambda-0.5"
    assert model_label("mnist/mine", card) == "MNIST · EENet-8 · 2 early exits · mine"
