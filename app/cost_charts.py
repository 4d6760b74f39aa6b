"""Figures of *Cost weight*: curves with lambda as colour, and what a fixed threshold gives against lambda."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from app import theme
from app.cost_weight import Line

if TYPE_CHECKING:
    import plotly.graph_objects as go

# lambda from small to large: straw to brown, which no exit and no wrong answer wears; towards the text's own contrast
_RAMPS = {
    "light": ("#D9B44A", "#B7872A", "#8A5A1C", "#4A2C10"),
    "dark": ("#7D5F2C", "#B98D3C", "#E6C067", "#FFF1C9"),
}
_POINTS = 350  # drawn of each curve
HEIGHT = 470
CONFIG = {"displayModeBar": False}
_NEAR = 0.045  # share of the plot within which two labels would touch


def place(cost_weight: float) -> float:
    """Where lambda lies on the log-like scale that has room for 0."""
    return math.log2(1 + cost_weight / 0.25)


def colour(cost_weight: float, largest: float, scheme: str) -> str:
    """A lambda's colour.

    Args:
        largest: the one that wears the end of the ramp.
    """
    ramp = [tuple(int(stop[i : i + 2], 16) for i in (1, 3, 5)) for stop in _RAMPS[scheme]]
    where = min(1.0, place(cost_weight) / max(place(largest), 1e-9)) * (len(ramp) - 1)
    low = min(int(where), len(ramp) - 2)
    mixed = (round(a + (b - a) * (where - low)) for a, b in zip(ramp[low], ramp[low + 1], strict=True))
    return "#" + "".join(f"{channel:02X}" for channel in mixed)


def curves(
    lines: Sequence[Line], largest: float, plain: tuple[str, float] | None, scheme: str, present: bool
) -> "go.Figure":
    """Accuracy over cost: trained networks solid, refits dashed, a mark on each where the threshold stands.

    Args:
        largest: lambda that wears the end of the colour ramp.
        plain: title and accuracy of the network without early exits, or None.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    tokens = theme.TOKENS[scheme]
    size = 18 if present else 13
    for line in sorted(lines, key=lambda line: line.refitted):
        shown = line.sweep.thin(_POINTS)
        wears = colour(line.cost_weight, largest, scheme)
        if line.refitted:  # a clear strip, so that the dashes are seen on top of solid lines
            figure.add_scatter(
                x=shown.relative_cost,
                y=100 * shown.accuracy,
                mode="lines",
                line={"color": tokens["page"], "width": 5},
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=shown.relative_cost,
            y=100 * shown.accuracy,
            customdata=shown.threshold,
            name=line.words,
            mode="lines",
            line={"color": wears, "width": 2.6, "dash": "dash" if line.refitted else "solid"},
            hovertemplate=f"{line.words}<br>%{{y:.1f}} % right at cost %{{x:.3f}}, T = %{{customdata:.4g}}"
            "<extra></extra>",
        )
    for line in lines:
        wears = colour(line.cost_weight, largest, scheme)
        figure.add_scatter(
            x=[line.point.relative_cost],
            y=[100 * line.point.accuracy],
            mode="markers",
            marker={
                "size": 12,
                "symbol": "diamond" if line.refitted else "circle",
                "color": tokens["page"] if line.refitted else wears,
                "line": {"width": 2.2, "color": wears if line.refitted else tokens["page"]},
            },
            name=f"{line.words}, at the threshold",
            hovertemplate=f"{line.words}<br>%{{y:.1f}} % right at cost %{{x:.3f}}<extra></extra>",
        )
    bottom, top = _accuracy_range(lines, plain)
    for text, line in _labels(lines, bottom, top):
        figure.add_annotation(
            x=line.point.relative_cost,
            y=100 * line.point.accuracy,
            text=text,
            showarrow=False,
            xanchor="right" if line.refitted else "left",
            yanchor="bottom" if line.refitted else "top",
            xshift=-7 if line.refitted else 7,
            yshift=3 if line.refitted else -3,
            bgcolor=_faded(tokens["page"]),
            borderpad=1,
            font={"size": size, "color": colour(line.cost_weight, largest, scheme)},
        )
    if plain is not None:
        figure.add_scatter(
            x=[1],
            y=[100 * plain[1]],
            mode="markers+text",
            marker={"symbol": "x-thin", "size": 11, "line": {"width": 2, "color": tokens["muted"]}},
            text=[plain[0]],
            textposition="top center",
            textfont={"color": tokens["muted"], "size": size - 1},
            name=plain[0],
            hovertemplate=f"{plain[0]}, no early exits: %{{y:.1f}} %<extra></extra>",
        )
    figure.update_layout(
        **_layout(present),
        showlegend=False,
        xaxis=_axis(tokens, "mean cost, relative to the plain network", size),
        yaxis=_axis(tokens, "right, %", size) | {"range": [bottom, top]},
    )
    return figure


def _accuracy_range(lines: Sequence[Line], plain: tuple[str, float] | None) -> tuple[float, float]:
    values = [100 * float(edge) for line in lines for edge in (line.sweep.accuracy.min(), line.sweep.accuracy.max())]
    values += [] if plain is None else [100 * plain[1]]
    room = max(0.5, 0.06 * (max(values) - min(values)))
    return max(0.0, min(values) - room), min(101.0, max(values) + 1.6 * room)


def _labels(lines: Sequence[Line], bottom: float, top: float) -> list[tuple[str, Line]]:
    """Words beside the marks; those of marks that touch are joined."""
    costs = [float(edge) for line in lines for edge in (line.sweep.relative_cost.min(), line.sweep.relative_cost.max())]
    width = max(max(costs) - min(costs), 1e-9)
    groups: list[list[Line]] = []
    for line in lines:
        for group in groups:
            near = group[-1]
            apart = (
                abs(line.point.relative_cost - near.point.relative_cost) / width,
                100 * abs(line.point.accuracy - near.point.accuracy) / (top - bottom),
            )
            if near.refitted == line.refitted and apart[0] < 2 * _NEAR and apart[1] < _NEAR:
                group.append(line)
                break
        else:
            groups.append([line])
    found = []
    for group in groups:
        weights = ", ".join(dict.fromkeys(f"{line.cost_weight:g}" for line in group))
        found.append((f"λ = {weights}" + (" refit" if group[0].refitted else ""), group[len(group) // 2]))
    return found


def against_lambda(lines: Sequence[Line], largest: float, scheme: str, present: bool) -> "go.Figure":
    """Accuracy, mean cost and exit shares at the fixed threshold, one above the other, over lambda."""
    from plotly.subplots import make_subplots

    tokens = theme.TOKENS[scheme]
    size = 17 if present else 12
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, row_heights=[0.29, 0.29, 0.42], vertical_spacing=0.085)
    trained = [line for line in lines if not line.refitted]
    refitted = [line for line in lines if line.refitted]
    rows = (
        (1, "right, %", lambda line: 100 * line.point.accuracy, ".1f"),
        (2, "mean cost", lambda line: line.point.relative_cost, ".3f"),
    )
    for row, _, value, digits in rows:
        figure.add_scatter(
            x=[place(line.cost_weight) for line in trained],
            y=[value(line) for line in trained],
            customdata=[line.words for line in trained],
            mode="lines+markers",
            line={"color": tokens["muted"], "width": 1.5},
            marker={"size": 9, "color": [colour(line.cost_weight, largest, scheme) for line in trained]},
            hovertemplate=f"%{{customdata}}<br>%{{y:{digits}}}<extra></extra>",
            row=row,
            col=1,
        )
        figure.add_scatter(
            x=[place(line.cost_weight) for line in refitted],
            y=[value(line) for line in refitted],
            customdata=[line.words for line in refitted],
            mode="markers",
            marker={
                "size": 10,
                "symbol": "diamond",
                "color": tokens["page"],
                "line": {"width": 2, "color": [colour(line.cost_weight, largest, scheme) for line in refitted]},
            },
            hovertemplate=f"%{{customdata}}<br>%{{y:{digits}}}<extra></extra>",
            row=row,
            col=1,
        )
    for row, least in ((1, 2.0), (2, 0.1)):  # what is all but equal shall look so
        values = [rows[row - 1][2](line) for line in lines]
        middle, span = (max(values) + min(values)) / 2, max(values) - min(values)
        figure.update_yaxes(range=[middle - max(least, 1.3 * span) / 2, middle + max(least, 1.3 * span) / 2], row=row)
    _shares(figure, trained, refitted, scheme, size)
    ticks: dict[float, str] = {}
    for line in [*trained, *refitted]:
        where = place(line.cost_weight)
        if not line.refitted or all(abs(where - other) > 0.3 for other in ticks):
            ticks[where] = f"{line.cost_weight:g}"
    x_axis = {
        "tickvals": list(ticks),
        "ticktext": list(ticks.values()),
        "gridcolor": tokens["hairline"],
        "zeroline": False,
        "tickfont": {"size": size},
    }
    figure.update_xaxes(**x_axis)
    everywhere = [place(line.cost_weight) for line in lines] or [0.0]
    middle, span = (max(everywhere) + min(everywhere)) / 2, max(everywhere) - min(everywhere)
    half = max(1.5, 0.63 * span + 0.25)  # room for the exits' names on both sides
    figure.update_xaxes(range=[middle - half, middle + half])
    figure.update_xaxes(title={"text": "cost weight λ", "font": {"size": size}}, row=3, col=1)
    figure.update_yaxes(gridcolor=tokens["hairline"], zeroline=False, tickfont={"size": size}, nticks=4)
    titles = ("right, %", "mean cost, relative", "share leaving at each exit, %")
    for row, title in enumerate(titles, 1):
        figure.add_annotation(
            text=title, x=0, y=1, xref="x domain", yref=f"y{'' if row == 1 else row} domain", xanchor="left",
            yanchor="bottom", showarrow=False, font={"size": size, "color": tokens["muted"]},
        )  # fmt: skip
    figure.update_layout(**_layout(present), showlegend=False, barmode="stack", bargap=0)
    return figure


def _shares(figure: "go.Figure", trained: Sequence[Line], refitted: Sequence[Line], scheme: str, size: int) -> None:
    """Stacked bars in the exits' own colours; a refit's are narrow, hatched and beside a trained network's."""
    if not trained and not refitted:
        return
    exits = len((trained or refitted)[0].point.exit_counts)
    colours = theme.exit_colours(exits, scheme)
    places = sorted({place(line.cost_weight) for line in trained})
    steps = [b - a for a, b in pairwise(places)]
    width = 0.55 * min([*steps, 1.2])
    beside = []
    for line in refitted:
        where = place(line.cost_weight)
        touches = [other for other in places if abs(other - where) < 0.75 * width]
        beside.append(touches[0] + 0.75 * width if touches else where)
    page = theme.TOKENS[scheme]["page"]
    for n in range(exits):
        for group, x, wide, pattern in (
            (trained, [place(line.cost_weight) for line in trained], width, ""),
            (refitted, beside, 0.45 * width, "/"),
        ):
            figure.add_bar(
                x=x,
                y=[100 * line.point.exit_shares[n] for line in group],
                width=wide,
                marker={
                    "color": colours[n],
                    "line": {"width": 1, "color": page},
                    "pattern": {
                        "shape": pattern,
                        "fillmode": "overlay",
                        "fgcolor": page,
                        "size": 6,
                        "solidity": 0.2,
                    },
                },
                customdata=[line.words for line in group],
                hovertemplate=f"%{{customdata}}<br>%{{y:.1f}} % leave at exit {n + 1}<extra></extra>",
                row=3,
                col=1,
            )
    figure.update_yaxes(range=[0, 100], row=3, col=1)
    ends = trained or refitted
    last = place(ends[-1].cost_weight)
    crowded = any(0 < where - last < width for where in beside)
    _exit_names(figure, ends[-1], last + (1.05 if crowded else 0.62) * width, "left", colours, size)
    if len(ends) > 1:
        _exit_names(figure, ends[0], place(ends[0].cost_weight) - 0.62 * width, "right", colours, size)


def _exit_names(figure: "go.Figure", line: Line, x: float, anchor: str, colours: Sequence[str], size: int) -> None:
    """The exits' names beside a stacked bar, where their shares are tall enough."""
    base = 0.0
    for n, share in enumerate(line.point.exit_shares):
        if share > 0.12:
            figure.add_annotation(
                x=x,
                y=100 * (base + share / 2),
                text=f"exit {n + 1}",
                showarrow=False,
                xanchor=anchor,
                font={"size": size, "color": colours[n]},
                row=3,
                col=1,
            )
        base += share


def _faded(colour_: str) -> str:
    red, green, blue = (int(colour_[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.75)"


def _axis(tokens: dict[str, str], title: str, size: int) -> dict[str, Any]:
    return {
        "title": {"text": title, "font": {"size": size}},
        "gridcolor": tokens["hairline"],
        "zeroline": False,
        "tickfont": {"size": size - 1},
    }


def _layout(present: bool) -> dict[str, Any]:
    return {
        "height": 640 if present else HEIGHT,
        "margin": {"l": 10, "r": 14, "t": 18, "b": 10},
        "hovermode": "closest",
        "dragmode": False,
    }
