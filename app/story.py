"""One example's story in a drawer: what every exit says about it, where it leaves, what lies next to it."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import cache, feature_map, state, theme
from app.component import component
from app.controls import plain_text
from app.navigation import build_pages
from app.state import DATASETS, View
from core.analysis.overthinking import prediction_depth
from core.analysis.rules import RULES, log_softmax
from core.analysis.sweep import route
from core.checkpoints import Card
from core.errors import UserError
from core.feature_map import FeatureMap
from core.trace import Trace

KEY = "story"
TOP_CLASSES = 3
_PATH = "story_path"  # rows looked at one after the other in this drawer
_TILE = 48  # pixels of the largest thumbnail sent
_COLUMNS = 12

_mount = component("story")


@dataclass(frozen=True)
class ExitStory:
    """What one exit says about one example and what comes of it.

    Args:
        top: names and probabilities of the most likely classes; only the first, without a probability, where the
            class table is not at hand.
        right: whether the first of them is the true class.
        score: of the rule.
        threshold: what the score must reach; None at the last exit, which takes whatever is left.
        off: whether this exit is switched off.
        executed: whether the example comes here.
        leaves: whether it leaves here.
        relative_cost: of leaving here.
    """

    top: tuple[tuple[str, float | None], ...]
    right: bool
    score: float
    threshold: float | None
    off: bool
    executed: bool
    leaves: bool
    relative_cost: float


@dataclass(frozen=True)
class Story:
    """One example's way through the network, read off the trace.

    Args:
        row: of the trace.
        image: its id in the dataset's test images.
        truth: name of its class.
        exits: exit 1 first, those it never comes to as well.
        taken: column of the exit at which it leaves.
        depth: column of the first exit from which on the answer stays.
    """

    row: int
    image: int
    truth: str
    exits: tuple[ExitStory, ...]
    taken: int
    depth: int


def tell(row: int, trace: Trace, card: Card, view: View, scores: NDArray[np.float32]) -> Story:
    """The story of one example.

    Args:
        row: of the trace; with its class table, probabilities are told too.
        scores: of the view's rule, (examples, exits).
    """
    thresholds = view.effective(trace.num_exits - 1)
    taken = int(route(scores[row : row + 1], thresholds)[0])
    exits = [
        ExitStory(
            top=_top(row, n, trace, card.class_names),
            right=bool(trace.correct[row, n]),
            score=float(scores[row, n]),
            threshold=thresholds[n] if n < len(thresholds) else None,
            off=n in view.off,
            executed=n <= taken,
            leaves=n == taken,
            relative_cost=float(trace.relative_cost[n]),
        )
        for n in range(trace.num_exits)
    ]
    depth = int(prediction_depth(trace.predicted[row : row + 1])[0])
    return Story(row, int(trace.ids[row]), card.class_names[trace.labels[row]], tuple(exits), taken, depth)


def _top(row: int, n: int, trace: Trace, names: tuple[str, ...]) -> tuple[tuple[str, float | None], ...]:
    if trace.log_probabilities is None:
        return ((names[trace.predicted[row, n]], None),)
    probabilities = np.exp(log_softmax(trace.log_probabilities[row, n]))
    best = np.argsort(-probabilities, kind="stable")[:TOP_CLASSES]
    return tuple((names[i], float(probabilities[i])) for i in best)


def sentence(story: Story) -> list[tuple[str, int | str | None]]:
    """What happens, in words: parts of text with the exit or the role whose colour they wear, or None."""
    end, n = story.exits[story.taken], story.taken
    said = end.top[0][0]
    goes, says = ("Goes all the way to ", ", which says ") if n == len(story.exits) - 1 else ("Leaves at ", " as ")
    ink: int | str = n if end.right else "wrong"
    parts: list[tuple[str, int | str | None]] = [(goes, None), (f"exit {n + 1}", n), (says, None), (f"“{said}”", ink)]
    parts += [(", right, after " if end.right else ", wrong, after ", None)]
    parts += [(f"{100 * end.relative_cost:.0f}\u202f%", n), (" of the computation", None)]
    return parts


def facts(story: Story, card: Card, split: str) -> list[str]:
    """Lines about the example: what it is, how deep its answer is made, what another exit knew."""
    lines = [
        f"In truth “{story.truth}”: {DATASETS.get(card.dataset, card.dataset)} {split} image {story.image}.",
    ]
    last = story.exits[-1].top[0][0]
    if story.depth == 0:
        lines.append(f"Every exit says “{last}”: prediction depth 1.")
    else:
        lines.append(
            f"The answer “{last}” stands from exit {story.depth + 1} on: prediction depth {story.depth + 1} "
            f"of {len(story.exits)}."
        )
    right = [n for n, exit_ in enumerate(story.exits) if exit_.right]
    if story.exits[story.taken].right:
        return lines
    if not right:
        lines.append("No exit is right about it.")
    else:
        where = "had it right" if right[0] < story.taken else "would have been right"
        lines.append(f"Exit {right[0] + 1} {where}.")
    return lines


def payload(
    story: Story, trace: Trace, card: Card, view: View, found: FeatureMap | None, note: str, images: bool
) -> dict[str, Any]:
    """The component's data, plain JSON.

    Args:
        found: the feature map with the trace's rows, or None.
        note: one line in place of neighbours, where there is no map.
        images: whether there are embedded test images of the dataset.

    Raises:
        UserError: the embedded images are damaged.
    """
    names = card.class_names
    rows = [] if found is None else [int(other) for nearby in found.neighbours[story.row] for other in nearby]
    places = list(dict.fromkeys([story.row, *rows]))  # each picture once, the example itself first
    sheet = None
    if images:
        tile = min(max(card.spec.input_shape[1:]), _TILE)
        columns = min(_COLUMNS, len(places))
        url = cache.sprite(card.dataset, tuple(int(trace.ids[row]) for row in places), tile, columns)
        sheet = {"url": url, "columns": columns, "rows": -(-len(places) // columns)}

    def neighbour(row: int, n: int) -> dict[str, Any]:
        said, truth = names[trace.predicted[row, n]], names[trace.labels[row]]
        verdict = "right" if said == truth else f"which is wrong: it is {truth}"
        return {
            "row": row,
            "place": places.index(row),
            "right": said == truth,
            "truth": truth,
            "text": f"Image {int(trace.ids[row])}: exit {n + 1} says {said}, {verdict}",
        }

    def exit_of(n: int, exit_: ExitStory) -> dict[str, Any]:
        nearby = [] if found is None else [neighbour(int(row), n) for row in found.neighbours[story.row, n]]
        return {
            "top": [list(pair) for pair in exit_.top],
            "right": exit_.right,
            "score": exit_.score,
            "threshold": exit_.threshold,
            "off": exit_.off,
            "executed": exit_.executed,
            "leaves": exit_.leaves,
            "cost": exit_.relative_cost,
            "neighbours": nearby,
            "alike": sum(item["truth"] == story.truth for item in nearby),
        }

    rule = RULES[view.rule]
    label = rule.label.lower() + (" with temperature" if view.calibrated else "")
    data = {
        "row": story.row,
        "truth": story.truth,
        "sheet": sheet,
        "name": f"{trace.split} image {story.image}",
        "sentence": [list(part) for part in sentence(story)],
        "facts": facts(story, card, trace.split),
        "rule": f"{label}: {rule.formula}",
        "exits": [exit_of(n, exit_) for n, exit_ in enumerate(story.exits)],
        "note": note,
        "palette": theme.palette(trace.num_exits),
    }
    json.dumps(data, allow_nan=False)
    return data


def show(row: int, trace: Trace, card: Card, view: View, scores: NDArray[np.float32]) -> None:
    """Open the drawer about one example. Call it in the run in which the example was picked, and only there.

    Args:
        row: of the trace.
        trace: of the view's model, with or without its class table.
        scores: of the view's rule, (examples, exits).
    """
    st.session_state[_PATH] = [row]
    _drawer(trace, card, view, scores)


@st.dialog("One image", width="medium", position="right")
def _drawer(trace: Trace, card: Card, view: View, scores: NDArray[np.float32]) -> None:
    path: list[int] = st.session_state[_PATH]
    images = cache.has_images(card.dataset)
    laboratory = build_pages().get("try")
    if images and laboratory is not None:
        st.page_link(
            laboratory,
            label="Try this image",
            icon=":material/science:",
            query_params={"image": str(int(trace.ids[path[-1]])), **state.write_view(view)},
        )
    try:
        found, note = feature_map.load(view.model, trace), ""
    except UserError as error:
        found, note = None, f"No neighbours to show: {error}.".replace("`", "")
    try:
        story = tell(path[-1], with_class_table(trace, view.model), card, view, scores)
        data = payload(story, trace, card, view, found, note, images)
        data["back"] = int(trace.ids[path[-2]]) if len(path) > 1 else None
    except UserError as error:
        st.error(plain_text(str(error)), icon=":material/broken_image:")
        return
    _mount(key=KEY, data=data, on_pick_change=lambda: _follow(trace.n), on_back_change=_back)


def with_class_table(trace: Trace, model: str) -> Trace:
    """The same trace with its class table where that can be had."""
    if trace.log_probabilities is not None:
        return trace
    try:
        full = cache.load_full_trace(model, trace.split)
    except UserError:
        return trace
    same = full.checkpoint_hash == trace.checkpoint_hash and np.array_equal(full.ids, trace.ids)
    return full if same else trace


def _follow(examples: int) -> None:
    """A neighbour was clicked: its story next. What a browser sends is checked like any other input."""
    row = st.session_state[KEY].get("pick")
    if isinstance(row, int) and not isinstance(row, bool) and 0 <= row < examples:
        st.session_state[_PATH] = [*st.session_state[_PATH], row]


def _back() -> None:
    st.session_state[_PATH] = st.session_state[_PATH][:-1] or st.session_state[_PATH]
