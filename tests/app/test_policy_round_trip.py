"""A policy file that the page hands out, run by the command line on the real network, gives the page's numbers."""

import contextlib
import io
import json

import pytest

from app import share
from app.state import View
from core.analysis.sweep import operating_point
from core.checkpoints import load_trace
from core.cli import main

MODEL = "mnist/eenet8"


@pytest.mark.parametrize(
    "view",
    [
        View(MODEL, "confidence", (0.5,)),
        View(MODEL, "probability", (0.9, 0.7)),
        View(MODEL, "margin", (0.8, 0.8), off=(0,)),
    ],
)
def test_the_command_line_runs_what_the_page_hands_out(view, tmp_path):
    (tmp_path / "policy.json").write_text(share.policy(view, None, "calibration").to_json())
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["evaluate", MODEL, "--policy", str(tmp_path / "policy.json"), "--device", "cpu", "--json"]) == 0
    ran = json.loads(printed.getvalue())
    trace = load_trace(MODEL, "test")
    shown = operating_point(trace.scores[view.rule], trace.correct, trace.relative_cost, view.effective(2))
    # a score within rounding of its threshold may fall on either side of it on another machine
    assert ran["n"] == shown.n == 10_000
    assert sum(abs(a - b) for a, b in zip(ran["exit_counts"], shown.exit_counts, strict=True)) <= 4
    assert ran["accuracy"] == pytest.approx(shown.accuracy, abs=2e-4)
    assert ran["relative_cost"] == pytest.approx(shown.relative_cost, abs=2e-4)
