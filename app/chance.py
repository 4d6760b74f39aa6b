"""Several seeds of one recipe: how much of a difference between networks is chance."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from app import controls, state, theme
from app.zoo_table import Budget, Row
from core.analysis.rules import RULES
from core.analysis.seeds import Band, Spread, band, same_but_for_seed, spread
from core.checkpoints import Card
from core.errors import UserError
from core.training.command_line import recipe_of

if TYPE_CHECKING:
    import plotly.graph_objects as go


def groups_of(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Names of networks with early exits whose recipes differ in the seed alone."""
    recipes: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.card.is_plain:
            continue
        try:
            recipes[row.name] = recipe_of(row.card).to_json()
        except UserError:
            continue
    return same_but_for_seed(recipes)


def sentence(accuracy: Spread, area: Spread) -> str:
    """What the seeds say, in words of Markdown."""
    n = len(accuracy.values)
    return (
        f"{n} seeds of one recipe, all else equal: the full network is right {_measured(accuracy)}, the area under the "
        f"curve is {_measured(area)}. A difference between two networks that is not larger than this may be chance."
    )


def _measured(found: Spread) -> str:
    return (
        f"**{100 * found.mean:.2f} ± {100 * found.deviation:.2f} %** ({100 * found.low:.2f} to {100 * found.high:.2f})"
    )


def figure(curves: Sequence[tuple[str, Any, Any]], found: Band, scheme: str = "light") -> "go.Figure":
    """Each seed's curve, and the band between the best and the worst of them at every cost.

    Args:
        curves: (label, accuracy, cost) of each.
    """
    import plotly.graph_objects as go

    tokens = theme.TOKENS[scheme]
    accent = tokens["accent"]
    red, green, blue = (int(accent[i : i + 2], 16) for i in (1, 3, 5))
    drawn = go.Figure()
    drawn.add_scatter(
        x=[*found.cost, *found.cost[::-1]],
        y=[*(100 * found.high), *(100 * found.low[::-1])],
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.18)",
        line={"width": 0},
        hoverinfo="skip",
        name="between the seeds",
    )
    for label, accuracy, cost in curves:
        drawn.add_scatter(
            x=cost,
            y=100 * accuracy,
            mode="lines",
            name=label,
            line={"color": tokens["muted"], "width": 1, "shape": "hv"},
            hovertemplate=f"{label}<br>%{{y:.2f}} % right at %{{x:.3f}}<extra></extra>",
            showlegend=False,
        )
    drawn.add_scatter(
        x=found.cost,
        y=100 * found.mean,
        mode="lines",
        name="mean",
        line={"color": accent, "width": 2.4},
        hovertemplate="mean %{y:.2f} % at %{x:.3f}<extra></extra>",
    )
    drawn.update_layout(
        height=340,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        xaxis={"title": "relative cost", "gridcolor": tokens["hairline"], "zeroline": False},
        yaxis={"title": "right at this cost or less, %", "gridcolor": tokens["hairline"], "zeroline": False},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
        hovermode="closest",
    )
    return drawn


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """One line for each seed, and below them mean and standard deviation, in per cent."""
    lines = [
        {"network": row.name, "seed": str(row.card.recipe["seed"]), **{k: 100 * v for k, v in _numbers(row).items()}}
        for row in rows
    ]
    if not lines:
        return pd.DataFrame()
    spreads = {name: spread([line[name] for line in lines]) for name in lines[0] if name not in ("network", "seed")}
    lines.append({"network": "mean", "seed": "", **{name: found.mean for name, found in spreads.items()}})
    lines.append({"network": "± standard deviation", "seed": "", **{k: s.deviation for k, s in spreads.items()}})
    return pd.DataFrame(lines)


def _numbers(row: Row) -> dict[str, float]:
    exits = {f"exit {n + 1}": share for n, share in enumerate(row.accuracy)}
    best = {} if row.best is None else {"best": row.best}
    return exits | best | ({} if row.area is None else {"area": row.area})


def show(rows: Sequence[Row], budget: Budget) -> None:
    """Every group of seeds among the rows."""
    measured = [row for row in rows if row.known.profile is not None]
    groups = groups_of(measured)
    if not groups:
        st.caption(
            "No recipe of these networks was trained from several seeds. Train one again with another --seed, and it "
            "appears here."
        )
    by_name = {row.name: row for row in measured}
    for names in groups:
        _group([by_name[name] for name in names], budget)


def _group(rows: Sequence[Row], budget: Budget) -> None:
    card: Card = rows[0].card
    rule = rows[0].rule  # one rule for all, so that nothing but the seed differs
    profiles = [row.known.profile for row in rows if row.known.profile is not None]
    alike = [
        Row(row.name, row.card, row.known, row.family, rule, found.best(rule, budget.relative(card.cost)))
        for row, found in zip(rows, profiles, strict=True)
    ]
    curves = [
        (f"seed {row.card.recipe['seed']}", *found.fronts[rule]) for row, found in zip(rows, profiles, strict=True)
    ]
    label = state.model_label(rows[0].name, card)
    common = label.removesuffix(f" · seed-{card.recipe['seed']}")
    st.markdown(f"#### {controls.plain_text(common)}")
    areas = spread([found.area[rule] for found in profiles])
    st.markdown(sentence(spread([found.exit_accuracy[-1] for found in profiles]), areas))
    chart, numbers = st.columns([0.55, 0.45], gap="large", vertical_alignment="center")
    with chart:
        found = band([(accuracy, cost) for _, accuracy, cost in curves])
        st.plotly_chart(figure(curves, found, theme.current_scheme()), key=f"chance_{rows[0].name}")
    with numbers:
        lines = table(alike)
        percent = st.column_config.NumberColumn(format="%.2f %%")
        st.dataframe(
            lines,
            hide_index=True,
            key=f"chance_table_{rows[0].name}",
            column_config={name: percent for name in lines if name not in ("network", "seed")}
            | {"best": st.column_config.NumberColumn(f"at ≤ {budget.short}", format="%.2f %%")},
        )
    st.caption(
        f"Leaving by {RULES[rule].label.lower()}, one threshold for all exits; test split, n = {profiles[0].n:,}. "
        "The deviation is over seeds (divided by their number less one); beside it every accuracy has the error of "
        "its sample of examples."
    )
