"""Several networks and rules in one accuracy-cost plane, and what they amount to in a table."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from app import cache, charts, explorer, state, theme, timing
from app.cache import Zoo
from app.charts import Curve
from app.state import View
from core.analysis.reference_points import area_under_curve, cost_at_accuracy
from core.analysis.rules import RULES
from core.analysis.uncertainty import standard_errors
from core.errors import UserError

_POINTS = 400  # drawn of each curve
_MOST = 12
_AT_FIRST = 4  # networks


def table(rows: Sequence[tuple[str, str]], zoo: Zoo, least_accuracy: float) -> pd.DataFrame:
    """One line per network and rule, read off the exact test curves.

    Args:
        rows: names of networks and rules.
        least_accuracy: 0..1, at which costs are compared.

    Raises:
        UserError: a trace is missing.
    """
    lines = []
    for name, rule in rows:
        card, trace = zoo.cards[name], cache.load_trace(name)
        sweep = cache.sweep(trace, rule)
        cost = cost_at_accuracy(sweep.accuracy, sweep.relative_cost, least_accuracy)
        lines.append(
            {
                "network": state.model_label(name, card),
                "rule": RULES[rule].label.lower(),
                "full network": 100 * float(trace.correct[:, -1].mean()),
                "best": 100 * float(sweep.accuracy.max()),
                "area under the curve": 100
                * area_under_curve(sweep.accuracy, sweep.relative_cost, float(trace.relative_cost[0])),
                "cost": cost,
                "MACs": None if cost is None else round(cost * card.cost.plain_macs),
                "n": trace.n,
            }
        )
    return pd.DataFrame(lines)


def curve(name: str, rule: str, zoo: Zoo, axis: str, band: bool, colour: int, dash: int) -> Curve:
    """A network's curve on a cost axis.

    Raises:
        UserError: its trace is missing.
    """
    card, trace = zoo.cards[name], cache.load_trace(name)
    sweep = cache.sweep(trace, rule).thin(_POINTS)
    measured = timing.stored(name, state.current_device(), card.num_exits)
    values = np.array(explorer.cost_axis(axis, card.cost, measured).values)
    cost = sweep.exit_counts @ values / sweep.n
    error = standard_errors(sweep, trace.relative_cost).accuracy if band else None
    return Curve(state.model_label(name, card), RULES[rule].label.lower(), sweep, cost, error, colour, dash)


def show(zoo: Zoo, view: View) -> None:
    """The comparison, folded away until it is asked for."""
    with st.expander("Compare networks and rules", key="compare_open", on_change="rerun") as folded:
        if folded.open:
            _open(zoo, view)


@st.fragment(key="compare")
def _open(zoo: Zoo, view: View) -> None:
    cards = zoo.explorable
    left, middle, right = st.columns([4, 5, 3])
    others = [name for name in cards if cards[name].dataset == cards[view.model].dataset and name != view.model]
    names = left.multiselect(
        "Networks",
        list(cards),
        default=[view.model, *others[: _AT_FIRST - 1]],
        format_func=lambda name: state.model_label(name, cards[name]),
        key="compare_names",
        persist_state="session",
    )
    rules = middle.pills(
        "Leave when this is high enough",
        list(RULES),
        default=["confidence", "probability"],
        selection_mode="multi",
        format_func=lambda rule: RULES[rule].label.lower(),
        key="compare_rules",
    )
    axis = right.selectbox("Cost axis", list(state.AXES), format_func=state.AXES.__getitem__, key="compare_axis")
    band = right.toggle("± 1 standard error", value=True, key="compare_band")
    rows = [(name, rule) for name in names for rule in rules][:_MOST]
    if not rows:
        st.caption("Choose at least one network and one rule.")
        return
    try:
        if axis == "ms":
            _measure(names, zoo)
        curves = [curve(name, rule, zoo, axis, band, names.index(name), list(rules).index(rule)) for name, rule in rows]
        best = max(float(drawn.sweep.accuracy.max()) for drawn in curves)
        level = st.number_input(
            "Compare the cost at this accuracy, %",
            0.0,
            100.0,
            round(100 * best - 1, 1),
            0.5,
            format="%.1f",
            key=f"compare_level_{'-'.join(names)}",
            width=260,
        )
        lines = table(rows, zoo, level / 100)
    except UserError as error:
        st.error(str(error), icon=":material/broken_image:")
        return
    label = explorer.cost_axis(axis, cards[names[0]].cost).label if axis != "ms" else _ms_label(names, zoo)
    if axis == "macs":
        label = "MACs an image (in each network's own unit)" if _mixed_units(names, zoo) else label
    st.plotly_chart(charts.compare_curves(curves, label, theme.current_scheme()), key="compare_chart")
    st.dataframe(
        lines,
        hide_index=True,
        column_config={
            "full network": st.column_config.NumberColumn(format="%.1f %%", help="Accuracy of the last exit alone"),
            "best": st.column_config.NumberColumn(format="%.1f %%", help="Highest accuracy on the curve"),
            "area under the curve": st.column_config.NumberColumn(
                format="%.2f %%", help="Mean accuracy over relative cost from exit 1 to 1, best accuracy so far"
            ),
            "cost": st.column_config.NumberColumn(
                f"relative cost at {level:.1f} %",
                format="%.3f",
                help="The least cost on the test curve; empty: not reached",
            ),
            "MACs": st.column_config.NumberColumn(f"MACs at {level:.1f} %", format="compact"),
        },
    )
    st.caption(f"Read off the exact curves of the test split (n = {lines['n'].min():,}); nothing is chosen here.")


def _measure(names: Sequence[str], zoo: Zoo) -> None:
    """Measure what has not been measured yet, with a progress bar."""
    device = state.current_device()
    missing = [name for name in names if timing.stored(name, device, zoo.cards[name].num_exits) is None]
    if not missing:
        return
    bar = st.progress(0.0, text="Measuring how long each exit takes on this machine …")
    for done, name in enumerate(missing):
        timing.measure(name, device, lambda part, done=done: bar.progress((done + part) / len(missing)) and None)
    bar.empty()


def _ms_label(names: Sequence[str], zoo: Zoo) -> str:
    measured = timing.stored(names[0], state.current_device(), zoo.cards[names[0]].num_exits)
    return f"milliseconds an image, one at a time, on {measured.device if measured else 'this machine'}"


def _mixed_units(names: Sequence[str], zoo: Zoo) -> bool:
    return len({zoo.cards[name].cost.plain_macs >= 1e6 for name in names}) > 1
