"""What can be taken along: the link, the curve, the operating point as a policy file."""

import io

import numpy as np
import pandas as pd
import streamlit as st

from app import cache, state
from app.state import View
from core.analysis.policy import Measured, PolicyFile
from core.analysis.sweep import operating_point
from core.analysis.uncertainty import standard_errors
from core.errors import UserError
from core.trace import Trace


def curve_csv(view: View, trace: Trace, fitted: tuple[float, ...] | None) -> str:
    """The exact curve of the view's rule, one line per threshold at which something changes."""
    sweep = cache.sweep(trace, view.rule, fitted, view.off)
    errors = standard_errors(sweep, trace.relative_cost)
    table = pd.DataFrame(
        {
            "threshold": [np.format_float_positional(t, unique=True) for t in sweep.threshold],
            "accuracy": sweep.accuracy,
            "accuracy_standard_error": errors.accuracy,
            "relative_cost": sweep.relative_cost,
            "relative_cost_standard_error": errors.relative_cost,
            **{f"exit_{n + 1}_count": sweep.exit_counts[:, n] for n in range(trace.num_exits)},
        }
    )
    text = io.StringIO()
    text.write(
        f"# {view.model}, rule {view.rule}, split {trace.split}, n = {trace.n}, weights {trace.checkpoint_hash}\n"
        "# row k holds for threshold[k+1] < T <= threshold[k]\n"
    )
    table.to_csv(text, index=False)
    return text.getvalue()


def policy(view: View, fitted: tuple[float, ...] | None, chosen_on: str) -> PolicyFile:
    """The operating point of a view as a policy that `python -m core evaluate --policy FILE` runs.

    Raises:
        UserError: the test trace is missing.
    """
    load = cache.load_trace if fitted is None else cache.load_full_trace
    measured = []
    test = load(view.model, "test")
    thresholds = tuple(float(np.float32(t)) for t in view.effective(test.num_exits - 1))
    for split in ("calibration", "test"):
        try:
            trace = load(view.model, split)
        except UserError:
            continue  # a network without a calibration trace still has a policy
        scores = trace.rule_scores(view.rule, fitted)
        point = operating_point(scores, trace.correct, trace.relative_cost, thresholds)
        measured.append(Measured(split, point.n, point.accuracy, point.relative_cost))
    return PolicyFile(view.model, test.checkpoint_hash, view.rule, thresholds, fitted, chosen_on, tuple(measured))


def _chosen_on(view: View) -> str:
    told = st.session_state.get("note")
    if told and [np.float32(t) for t in told["thresholds"]] == [
        np.float32(t) for t in view.effective(len(told["thresholds"]))
    ]:
        return f"wish on calibration: {told['text']}"
    return "by hand"


@st.fragment(key="share")
def control() -> None:
    """Link and downloads, of the thresholds as they stand when the drawer is opened; files are made when asked for."""
    drawer = st.popover(
        "Share",
        type="tertiary",
        help="A link to this view, and files to take along",
        key="share_open",
        on_change="rerun",
    )
    if drawer.open:
        with drawer:
            _files(st.session_state["view"])


def _files(view: View) -> None:
    file = f"{view.model.replace('/', '-')}-{view.rule}"
    chosen_on = _chosen_on(view)  # the session is out of reach when a file is made

    def fitted() -> tuple[float, ...] | None:
        return cache.temperatures(view.model) if view.calibrated else None

    def make_curve() -> str:
        load = cache.load_full_trace if view.calibrated else cache.load_trace
        return curve_csv(view, load(view.model), fitted())

    def make_policy() -> str:
        return policy(view, fitted(), chosen_on).to_json()

    st.caption("This view as a link")
    st.code(state.link(), language=None, wrap_lines=True)
    st.download_button(
        "The whole curve (CSV)",
        make_curve,
        f"{file}-curve.csv",
        "text/csv",
        on_click="ignore",
        icon=":material/show_chart:",
        width="stretch",
    )
    st.download_button(
        "The operating point (policy, JSON)",
        make_policy,
        f"{file}-policy.json",
        "application/json",
        on_click="ignore",
        icon=":material/tune:",
        width="stretch",
        help=f"`python -m core evaluate {view.model} --policy FILE` runs it",
    )
    st.caption("The chart itself: SVG and PNG above the chart.")
