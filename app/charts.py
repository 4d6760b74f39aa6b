"""Plotly figures from plain data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import theme
from core.analysis.sweep import Sweep

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe-Ito without its vermilion, which means "wrong" here; legible on light and dark
_LINES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#8C8C8C", "#B8A100")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


@dataclass(frozen=True)
class Curve:
    """One network under one rule.

    Args:
        network, rule: what hovering calls it.
        sweep: its curve.
        cost: (rows,) on the axis shown.
        error: (rows,) standard errors of the accuracy, or None.
        colour, dash: which of the lines' colours and dashes.
    """

    network: str
    rule: str
    sweep: Sweep
    cost: Sequence[float]
    error: Sequence[float] | None
    colour: int
    dash: int


def compare_curves(curves: Sequence[Curve], axis: str, scheme: str = "light") -> "go.Figure":
    """Several curves in the accuracy-cost plane: colour tells the network, dashes the rule.

    Args:
        axis: title of the cost axis.
        scheme: `light` or `dark`.
    """
    import plotly.graph_objects as go  # a second or two that the first page need not wait for

    figure = go.Figure()
    tokens = theme.TOKENS[scheme]
    for curve in curves:
        colour = _LINES[curve.colour % len(_LINES)]
        accuracy = 100 * curve.sweep.accuracy
        if curve.error is not None:
            error = 100 * curve.error
            figure.add_scatter(
                x=[*curve.cost, *curve.cost[::-1]],
                y=[*(accuracy + error), *(accuracy - error)[::-1]],
                fill="toself",
                fillcolor=_faint(colour),
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
            )
        figure.add_scatter(
            x=curve.cost,
            y=accuracy,
            customdata=curve.sweep.threshold,
            name=f"{curve.network}, {curve.rule}",
            line={"color": colour, "width": 2.2, "dash": _DASHES[curve.dash % len(_DASHES)]},
            mode="lines",
            hovertemplate=f"{curve.network}, {curve.rule}<br>%{{y:.1f}} % right at %{{x:.3g}}, T = %{{customdata:.4g}}"
            "<extra></extra>",
        )
    figure.update_layout(
        height=420,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        xaxis={"title": axis, "gridcolor": tokens["hairline"], "zeroline": False},
        yaxis={"title": "right, %", "gridcolor": tokens["hairline"], "zeroline": False},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
        hovermode="closest",
    )
    return figure


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.14)"
