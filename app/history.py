"""The course of a training, epoch by epoch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import theme

if TYPE_CHECKING:
    import plotly.graph_objects as go


def small_epochs(resolution: Sequence[Sequence[float]], epochs: int) -> list[tuple[int, int, int]]:
    """Runs of epochs on smaller images.

    Args:
        resolution: pairs (share of the epochs, side in pixels), as in a recipe.
        epochs: of the whole training.

    Returns:
        (first epoch, last epoch, side), epochs counted from 1.
    """
    found: list[tuple[int, int, int]] = []
    passed = 0.0
    epoch = 0
    for share, side in resolution:
        passed += share
        first = epoch
        while epoch < epochs and epoch < passed * epochs:
            epoch += 1
        if epoch > first:
            found.append((first + 1, epoch, int(side)))
    return found


def panels_of(history: Sequence[dict[str, Any]], num_exits: int) -> list[tuple[str, str]]:
    """What there is to draw: (field, title); without early exits cost and shares say nothing."""
    panels = [
        ("loss", "loss"),
        ("training_accuracy", "right on training images, %"),
        ("mean_cost", "mean cost by learned confidence"),
        ("exit_shares", "share leaving at each exit, %"),
        ("seconds", "seconds an epoch"),
    ]
    if num_exits == 1:
        panels = [panel for panel in panels if panel[0] not in ("mean_cost", "exit_shares")]
    return [panel for panel in panels if any(panel[0] in line for line in history)]


@st.cache_resource(max_entries=64, show_spinner=False)
def figure(
    history: Sequence[dict[str, Any]],
    num_exits: int,
    resolution: Sequence[Sequence[float]],
    epochs: int,
    scheme: str = "light",
    present: bool = False,
) -> "go.Figure":
    """Loss, training accuracy, mean cost, exit shares and seconds beside each other; drawn once, for all to see.

    Args:
        history: one dict for each epoch, from `read_history`.
        resolution, epochs: of the recipe, to mark epochs on smaller images.
    """
    from plotly.subplots import make_subplots

    tokens, colours = theme.TOKENS[scheme], theme.exit_colours(num_exits, scheme)
    panels = panels_of(history, num_exits)
    size = 18 if present else 12
    drawn = make_subplots(
        rows=1, cols=len(panels), subplot_titles=[title for _, title in panels], horizontal_spacing=0.04
    )
    for column, (field, _) in enumerate(panels, 1):
        lines = [line for line in history if field in line]
        epoch = [line["epoch"] for line in lines]
        place = {"row": 1, "col": column}
        if isinstance(lines[0][field], list):
            for n, colour in enumerate(colours):
                values = [100 * line[field][n] for line in lines]
                stacked = {"stackgroup": "shares", "fillcolor": colour} if field == "exit_shares" else {}
                drawn.add_scatter(
                    x=epoch, y=values, mode="lines", line={"color": colour, "width": 0.5 if stacked else 2},
                    hovertemplate=f"exit {n + 1}: %{{y:.1f}} %<extra></extra>", showlegend=False, **stacked, **place,
                )  # fmt: skip
        else:
            drawn.add_scatter(
                x=epoch, y=[line[field] for line in lines], mode="lines",
                line={"color": tokens["accent"] if field != "seconds" else tokens["muted"], "width": 2},
                hovertemplate="epoch %{x}: %{y:.4g}<extra></extra>", showlegend=False, **place,
            )  # fmt: skip
        for first, last, side in small_epochs(resolution, epochs):
            drawn.add_vrect(
                x0=first - 0.5, x1=last + 0.5, fillcolor=tokens["muted"], opacity=0.1, line_width=0, **place
            )
            if field in ("loss", "seconds"):
                drawn.add_annotation(
                    x=(first + last) / 2, y=1, yref="y domain" if column == 1 else f"y{column} domain", yanchor="top",
                    text=f"{side} px", showarrow=False, font={"size": size - 1, "color": tokens["muted"]}, **place,
                )  # fmt: skip
        drawn.update_xaxes(title={"text": "epoch", "standoff": 4}, **place)
        if field in ("seconds", "exit_shares"):
            drawn.update_yaxes(rangemode="tozero", **place)
        if field == "exit_shares":
            drawn.update_yaxes(range=[0, 100], **place)
    drawn.update_xaxes(gridcolor=tokens["hairline"], zeroline=False, tickfont={"size": size}, nticks=5)
    drawn.update_yaxes(gridcolor=tokens["hairline"], zeroline=False, tickfont={"size": size}, nticks=6)
    drawn.update_annotations(font={"size": size + 1, "color": tokens["muted"]})
    drawn.update_layout(
        height=330 if present else 250, margin={"l": 8, "r": 8, "t": 30, "b": 8}, hovermode="x", font={"size": size}
    )
    return drawn
