"""A checkpoint's numbers, against plain loops and its own card."""

import json

import numpy as np
import pytest

from core.checkpoints import CHECKPOINTS, load_card, load_trace
from core.profile import profile, size_of
from core.trace import Trace

MODEL = "mnist/eenet8"


def hand_trace() -> Trace:
    """Four examples, two exits, two classes; the first exit is sure of 0.9, 0.8, 0.7, 0.6."""
    first, second = np.array([0.9, 0.8, 0.7, 0.6]), np.array([0.95, 0.95, 0.95, 0.95])
    said = [[0, 0], [0, 0], [0, 1], [0, 0]]  # top class at either exit
    logits = np.zeros((4, 2, 2))
    for row in range(4):
        for exit_, sure in enumerate((first, second)):
            logits[row, exit_, said[row][exit_]] = np.log(sure[row] / (1 - sure[row]))
    labels = [0, 0, 1, 1]
    return Trace.from_outputs(logits, np.zeros((4, 2)), labels, range(4), [0.4, 1.0], "x", "test")


def test_numbers_by_hand():
    found = profile(hand_trace())
    assert (found.split, found.n) == ("test", 4)
    assert found.exit_accuracy == (0.5, 0.75)
    # each score has a bin of its own: |1 - .9|, |1 - .8|, |0 - .7|, |0 - .6|, over four
    assert found.calibration_error[0] == pytest.approx((0.1 + 0.2 + 0.7 + 0.6) / 4, abs=1e-6)
    assert found.calibration_error[1] == pytest.approx(abs(0.75 - 0.95), abs=1e-6)
    # T falls: all go on (0.75 at 1.0); the surest leave first, nobody's answer changes until the third does
    accuracy, cost = found.fronts["probability"]
    assert accuracy.tolist() == [0.5, 0.75]
    assert cost == pytest.approx([0.4, 0.7])
    assert found.best("probability", 0.69) == 0.5
    assert found.best("probability", 0.7) == 0.75
    assert found.best("probability", 0.3) is None
    # best so far: 0.5 from 0.4 to 0.7, 0.75 from 0.7 to 1
    assert found.area["probability"] == pytest.approx(0.625)


def test_a_plain_network_is_one_point():
    found = profile(load_trace("mnist/resnet8", small=True))
    assert found.area == {}
    assert found.best("confidence", 1.0) == found.exit_accuracy[0]
    assert found.best("confidence", 0.99) is None


def test_the_card_says_the_same():
    numbers = load_card(MODEL).metrics["test"]
    found = profile(load_trace(MODEL, small=True))
    assert found.n == numbers["n"]
    assert found.exit_accuracy == pytest.approx(numbers["exit_accuracy"], abs=1e-5)
    for rule in ("confidence", "probability"):
        assert found.area[rule] == pytest.approx(numbers[f"area_under_curve_{rule}"], abs=2e-5)


def test_parameters_are_those_torch_counts():
    from core.checkpoints import load_network

    network, _ = load_network(MODEL)
    size = size_of(CHECKPOINTS / MODEL)
    assert size.parameters == sum(p.numel() for p in network.parameters())
    assert size.exit_parameters == sum(p.numel() for p in network.exits.parameters())
    assert size.disk_bytes == sum(len(path.read_bytes()) for path in (CHECKPOINTS / MODEL).iterdir())
    assert json.dumps(size.parameters)  # a plain int
