"""A training's history as Plotly figures."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from app import theme

if TYPE_CHECKING:
    import plotly.graph_objects as go

HEIGHT = 250


def loss(history: Sequence[Mapping[str, Any]], scheme: str) -> "go.Figure":
    """Training loss after each epoch; where the loss changes its kind, a line of its own."""
    figure = _figure("loss", history, scheme)
    for kind in dict.fromkeys(line["loss_name"] for line in history):
        part = [line for line in history if line["loss_name"] == kind]
        _add(figure, part, [line["loss"] for line in part], kind, theme.TOKENS[scheme]["text"], "%{y:.4g}")
    return figure


def accuracy(history: Sequence[Mapping[str, Any]], scheme: str) -> "go.Figure":
    """Training accuracy of each exit by itself, in the exits' colours."""
    figure = _figure("right on training images, %", history, scheme)
    count = len(history[-1]["training_accuracy"])
    everything = [100 * value for line in history for value in line["training_accuracy"]]
    places = spread(
        [100 * value for value in history[-1]["training_accuracy"]], 0.09 * (max(everything) - min(everything))
    )
    for n, colour in enumerate(theme.exit_colours(count, scheme)):
        values = [100 * line["training_accuracy"][n] for line in history]
        _add(figure, history, values, f"exit {n + 1}", colour, "%{y:.1f} %", place=places[n])
    return figure


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Heights for the names of these values, in the same order and at least a gap apart, the highest at its own."""
    order = sorted(range(len(values)), key=lambda n: values[n], reverse=True)
    places = list(values)
    for above, below in pairwise(order):
        places[below] = min(places[below], places[above] - gap)
    return places


def cost(history: Sequence[Mapping[str, Any]], scheme: str) -> "go.Figure":
    """Mean relative cost of the training images."""
    figure = _figure("mean cost", history, scheme)
    values = [line["mean_cost"] for line in history]
    _add(figure, history, values, "mean cost", theme.TOKENS[scheme]["accent"], "%{y:.2f}", named=False)
    figure.update_yaxes(range=[0, max(1.05, 1.05 * max(values))])
    return figure


def shares(history: Sequence[Mapping[str, Any]], scheme: str) -> "go.Figure":
    """Share of the training images that leaves at each exit, stacked to 100 %."""
    figure = _figure("leave at each exit, %", history, scheme)
    count = len(history[-1]["exit_shares"])
    for n, colour in enumerate(theme.exit_colours(count, scheme)):
        figure.add_scatter(
            x=[line["epoch"] for line in history],
            y=[100 * line["exit_shares"][n] for line in history],
            name=f"exit {n + 1}",
            stackgroup="exits",
            mode="lines+markers" if len(history) == 1 else "lines",
            line={"color": colour, "width": 0.5},
            fillcolor=colour,
            hovertemplate=f"epoch %{{x}}: %{{y:.1f}} % leave at exit {n + 1}<extra></extra>",
        )
    figure.update_yaxes(range=[0, 100])
    return figure


def _figure(title: str, history: Sequence[Mapping[str, Any]], scheme: str) -> "go.Figure":
    import plotly.graph_objects as go  # a second or two that the form need not wait for

    line = theme.TOKENS[scheme]["hairline"]
    last = history[-1]["epoch"]
    figure = go.Figure()
    figure.update_layout(
        height=HEIGHT,
        margin={"l": 8, "r": 56, "t": 8, "b": 8},
        showlegend=False,
        hovermode="closest",
        xaxis={"title": "epoch", "showgrid": False, "zeroline": False, "tickformat": "d"},
        yaxis={"title": title, "gridcolor": line, "zeroline": False},
    )
    if last <= 8:
        figure.update_xaxes(dtick=1)
    return figure


def _add(
    figure: "go.Figure",
    history: Sequence[Mapping[str, Any]],
    values: Sequence[float],
    name: str,
    colour: str,
    value: str,
    named: bool = True,
    place: float | None = None,
) -> None:
    """A line over the epochs with its name at its end, or at the height of `place`."""
    epochs = [line["epoch"] for line in history]
    figure.add_scatter(
        x=epochs,
        y=values,
        name=name,
        mode="lines+markers" if len(epochs) < 12 else "lines",
        line={"color": colour, "width": 2.2},
        marker={"size": 5},
        hovertemplate=f"{name}, epoch %{{x}}: {value}<extra></extra>",
    )
    if named:
        figure.add_annotation(
            x=epochs[-1],
            y=values[-1] if place is None else place,
            text=name,
            showarrow=False,
            xanchor="left",
            xshift=7,
            font={"color": colour},
        )
