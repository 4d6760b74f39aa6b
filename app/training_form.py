"""What to train: the form, and what would be built, counted before anything starts."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from app import cache, state, theme
from app.controls import plain_text
from core.checkpoints import Card
from core.data.datasets import DOWNLOADABLE, dataset_name, missing_files, outline
from core.data.preprocess import LARGEST_SIZE
from core.errors import UserError
from core.network.placement import PLACEMENTS
from core.network.spec import EXIT_TYPES, MODELS, STEMS, TORCHVISION_MODELS, NetworkSpec, folder_name
from core.training import command, jobs
from core.training.recipe import LOSSES, Recipe, check_parent

OWN, UPLOAD = "a folder or zip on this machine", "a zip you bring"
_DATASETS = {**state.DATASETS, "own": OWN, "upload": UPLOAD}
_RECIPES = {
    "default": "every exit kept alive, confidences fitted at the end",
    "paper": "the paper's: its loss alone, end to end",
    "two-stage": "two stages: all exits first, then fused",
}
_LOSSES = {
    "cumulative": "cumulative (the paper's)",
    "fused": "fused",
    "normalized": "normalized",
    "tagged": "tagged",
    "unweighted": "unweighted (no confidences)",
}
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_OVERHEAD = 2e-4  # seconds for each image of a training, whatever the network: reading, shifting, stepping
_MOST_EXITS, _MOST_EPOCHS = 200, 10_000


@dataclass(frozen=True)
class Wish:
    """What the form asks for.

    Args:
        values: flags of `python -m core train`, without `out`.
        name: DATASET/NAME of the checkpoint to be.
        recipe: what the flags amount to; None where they make no sense.
        images: training images, about.
        problems: one line each; nothing starts while there is one.
    """

    values: Mapping[str, Any]
    name: str = ""
    recipe: Recipe | None = None
    images: int = 0
    problems: list[str] = field(default_factory=list)


def model_words(model: str) -> str:
    """`EENet-20`, `VGG-16`, `MobileNet v2`."""
    if model.startswith("eenet"):
        return f"EENet-{model.removeprefix('eenet')}"
    return model.removeprefix("ee").replace("_", " ").replace("vgg", "VGG-").replace("mobilenet", "MobileNet")


def show() -> Wish:
    """Draws the form, section by section; the name comes later, see `name_it`."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    dataset = _pick_dataset(values, problems)
    _pick_network(values)
    _pick_recipe(values, dataset)
    if not values["dataset"]:
        return Wish(values, problems=problems)
    try:
        shape, classes, images = _outline(
            values["dataset"], values["data_dir"], int(values["channels"]), int(values["size"])
        )
        _pick_parent(values, shape)
        values["resolution"] = small_first(shape[1]) if values["resolution"] else None
        recipe = command.make_recipe(command.parse(jobs.flags({**values, "out": "x"})), shape, classes)
        if recipe.parent is not None:
            check_parent(recipe, cache.zoo().cards[recipe.parent].spec)
    except UserError as error:
        return Wish(values, problems=[*problems, str(error)])
    return Wish(values, "", recipe, images, problems)


def name_it(wish: Wish) -> Wish:
    """The field for the name, and the wish with it."""
    assert wish.recipe is not None
    dataset = dataset_name(wish.recipe.dataset)
    model = folder_name(wish.recipe.network)
    taken = {path.name for root in (cache.ROOT, jobs.RUNS) for path in (root / dataset).glob("*")}
    free = next(n for n in (f"my-{model}{f'-{k}' if k > 1 else ''}" for k in range(1, 10_000)) if n not in taken)
    own = st.text_input("Name", key="train_name", placeholder=free, help="Of the checkpoint to be").strip()
    name = f"{dataset}/{own or free}"
    problems = list(wish.problems)
    try:
        jobs.check_name(name)
        if (own or free) in taken:
            raise UserError(f"expected a new name, got {name}, which there is already: choose another one")
    except UserError as error:
        problems.append(str(error))
    return replace(wish, name=name, problems=problems)


def _pick_dataset(values: dict[str, Any], problems: list[str]) -> str:
    """Which images."""
    first, second = st.columns(2)
    with first:
        choice = st.selectbox(
            "Images", list(_DATASETS), key="train_dataset", format_func=_DATASETS.__getitem__, persist_state="session"
        )
    values.update(dataset=choice, data_dir="data", size=32, channels=3)
    if choice in state.DATASETS:
        with second:
            place = st.text_input(
                "Data directory",
                value="data",
                key="train_data_dir",
                persist_state="session",
                help="Where the dataset's files lie on this machine",
            )
        values["data_dir"] = str(Path(place.strip() or ".").expanduser())
        missing = missing_files(choice, Path(values["data_dir"]))
        if missing:
            can = choice in DOWNLOADABLE
            line = f"{state.DATASETS[choice]} is not there: {missing}"
            if not can or not st.checkbox(
                "It is not there: download it first (needs the internet)",
                value=True,
                key="train_download",
                persist_state="session",
            ):
                problems.append(f"{line}{', or let it be downloaded' if can else ''}")
        return choice
    values["dataset"] = ""
    with second:
        if choice == "own":
            path = st.text_input(
                "Folder or zip",
                key="train_path",
                persist_state="session",
                placeholder="/home/me/pictures",
                help="One sub-folder of images per class; with train/ and test/ on top these are the splits, "
                "else a fifth of each class becomes the test split",
            )
            values["dataset"] = path.strip()
        else:
            values["dataset"] = _uploaded(problems)
    if not values["dataset"] and not problems:
        problems.append(
            "name the folder or zip to train on" if choice == "own" else "bring a zip with one folder per class"
        )
    first, second = st.columns(2)
    with first:
        values["size"] = int(
            st.number_input(
                "Resized to, pixels",
                1,
                LARGEST_SIZE,
                32,
                key="train_size",
                persist_state="session",
                help="Each image is cut to its centred square and resized to this side",
            )
        )
    with second:
        grey = st.segmented_control(
            "In", ["colour", "grey"], default="colour", required=True, key="train_colours", persist_state="session"
        )
        values["channels"] = 1 if grey == "grey" else 3
    return choice


def _uploaded(problems: list[str]) -> str:
    """Path of the zip that was brought, kept below runs/ under the hash of its contents; empty without one."""
    file = st.file_uploader(
        "Zip", type=["zip"], key="train_upload", help="One folder of images per class; its name becomes the dataset's"
    )
    if file is None:
        return ""
    data = file.getvalue()
    stem = _UNSAFE.sub("-", Path(file.name).stem).strip("-.")[:40] or "images"
    path = jobs.RUNS / ".uploads" / hashlib.sha256(data).hexdigest()[:16] / f"{stem}.zip"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            partial.write_bytes(data)
            partial.replace(path)
    except OSError as error:
        problems.append(f"expected room for the zip, got {error.strerror}: make room on this machine")
        return ""
    return str(path)


def _pick_network(values: dict[str, Any]) -> None:
    first, second, third = st.columns([0.4, 0.3, 0.3])
    with first:
        values["model"] = st.selectbox(
            "Network", MODELS, key="train_model", format_func=model_words, persist_state="session"
        )
    with second:
        values["exits"] = int(
            st.number_input(
                "Early exits",
                0,
                _MOST_EXITS,
                2,
                key="train_exits",
                persist_state="session",
                help="K; 0 trains the plain network, the reference line of the charts",
            )
        )
    with third:
        values["placement"] = st.selectbox(
            "Placed",
            list(PLACEMENTS),
            key="train_placement",
            persist_state="session",
            help="An early exit follows the first block at which the running computation reaches a fraction of the "
            "whole. For i = 0..K-1: pareto 1-0.8^(i+1), fine 1-0.95^(i+1), linear (i+1)/(K+1), golden 1.618^(i-K)",
        )
    values.update(stem="standard", width=1.0)
    if values["model"] in TORCHVISION_MODELS:
        first, second = st.columns(2)
        with first:
            values["stem"] = st.segmented_control(
                "Stem",
                STEMS,
                default="small",
                required=True,
                key="train_stem",
                persist_state="session",
                help="small: 3 x 3 without pooling, for images up to 64 pixels",
            )
        with second:
            values["width"] = st.number_input(
                "Width",
                value=0.25,
                step=0.25,
                key="train_width",
                persist_state="session",
                help="Factor on the channels: a quarter costs about a sixteenth",
            )
    first, second = st.columns(2, vertical_alignment="bottom")
    with first:
        values["exit_type"] = st.segmented_control(
            "Exit type",
            EXIT_TYPES,
            default="plain" if values["model"] == "eenet8" else "pool",
            required=True,
            key=f"train_exit_type_{'narrow' if values['model'] == 'eenet8' else 'wide'}",
            persist_state="session",
            help="plain: flatten, linear: best where there are few channels. pool: average over space, linear. "
            "bnpool: BatchNorm, average, linear. grid: average over each quarter of the image, linear",
        )
    with second:
        values["resolution"] = st.checkbox(
            "Smaller images first",
            key="train_resolution",
            persist_state="session",
            help="The first 30 % of the epochs at half the side, the next 20 % at three quarters: "
            "about a third less to compute. Not with exit type plain.",
        )


def _pick_recipe(values: dict[str, Any], dataset: str) -> None:
    recipe = st.selectbox(
        "Method",
        list(_RECIPES),
        key="train_recipe",
        format_func=_RECIPES.__getitem__,
        persist_state="session",
        help="**Every exit kept alive**: all exits learn from their own cross-entropy, then the confidences are fitted "
        "with the loss below on the frozen network. **The paper's**: the loss below trains everything at once.",
    )
    values["recipe"] = "paper" if recipe == "paper" else "default"
    values["method"] = "two-stage" if recipe == "two-stage" else None
    first, second = st.columns([0.6, 0.4])
    with first:
        values["loss"] = st.selectbox(
            "Loss",
            LOSSES,
            index=LOSSES.index("cumulative"),
            key="train_loss",
            format_func=_LOSSES.__getitem__,
            persist_state="session",
            disabled=recipe == "two-stage",
        )
    with second:
        values["cost_weight"] = st.number_input(
            "Cost weight λ",
            value=1.0,
            step=0.25,
            key="train_cost_weight",
            persist_state="session",
            help="Weight of the computation in the loss: larger, and more images leave early",
        )
    first, second = st.columns(2)
    with first:
        short = dataset == "mnist"
        values["epochs"] = int(
            st.number_input(
                "Epochs",
                1,
                _MOST_EPOCHS,
                6 if short else 20,
                key=f"train_epochs_{'short' if short else 'long'}",
                persist_state="session",
                help="Passes over the training images",
            )
        )
    with second:
        values["seed"] = int(
            st.number_input(
                "Seed",
                0,
                2**31 - 1,
                0,
                key="train_seed",
                persist_state="session",
                help="Of the weights, the order of the images and their augmentation: the same seed, the same network",
            )
        )


def small_first(side: int) -> tuple[tuple[float, int], ...]:
    """Shares of the epochs on images of half and of three quarters of the side, in even pixels."""
    return (0.3, side // 4 * 2), (0.2, side * 3 // 8 * 2)


def _pick_parent(values: dict[str, Any], shape: tuple[int, int, int]) -> None:
    cards = {name: card for name, card in cache.zoo().cards.items() if _fits(card, values, shape)}
    parent = st.selectbox(
        "Starts from",
        ["", *cards],
        key="train_parent",
        persist_state="session",
        format_func=lambda name: name or "fresh weights",
        help="Or a checkpoint of the same network, for a few more epochs with another λ, say; of one with other exits "
        "the backbone is taken",
    )
    values["parent"] = parent if parent in cards else None


def _fits(card: Card, values: Mapping[str, Any], shape: tuple[int, int, int]) -> bool:
    return (card.spec.model, tuple(card.spec.input_shape)) == (values["model"], tuple(shape))


@st.cache_data(ttl=20, max_entries=32, show_spinner="Looking at the folder …")
def _outline(dataset: str, data_dir: str, channels: int, size: int) -> tuple[tuple[int, int, int], int, int]:
    return outline(dataset, Path(data_dir), channels, size)


@dataclass(frozen=True)
class Built:
    """A network that was built to be counted.

    Args:
        macs, relative: of leaving at each exit 1..N.
        plain: MACs of the network without early exits.
        parameters: learned numbers.
    """

    macs: tuple[int, ...]
    relative: tuple[float, ...]
    plain: int
    parameters: int


@st.cache_data(max_entries=64, show_spinner="Counting what it costs …")
def _built(spec: str) -> dict[str, Any]:
    from core.network.registry import build_network

    network, cost = build_network(NetworkSpec.from_json(json.loads(spec)))
    return {
        "macs": cost.macs(),
        "relative": cost.relative(),
        "plain": cost.plain_macs,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }


def build(recipe: Recipe) -> Built:
    """What the network would cost. Imports torch.

    Raises:
        UserError: more exits than fit, or images too small.
    """
    return Built(**_built(json.dumps(recipe.network.to_json(), sort_keys=True)))


def minutes(recipe: Recipe, macs: int, images: int) -> float:
    """Very roughly, on one core of the machine that the zoo's rate was measured on."""
    from core.training.zoo import TRAINING_RATE

    per_image = 3 * macs / TRAINING_RATE + _OVERHEAD
    side = recipe.network.input_shape[1]
    passes = sum(((recipe.side(epoch) or side) / side) ** 2 for epoch in range(recipe.epochs))
    return per_image * images * passes / 60


def rough(value: float) -> str:
    """Minutes in words: `under a minute`, `4 minutes`, `3 hours`, `2 days`."""
    if value < 1:
        return "under a minute"
    for unit, length in (("day", 1440.0), ("hour", 60.0), ("minute", 1.0)):
        if value >= 1.5 * length or length == 1:
            count = math.floor(value / length + 0.5)
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return ""


def show_outlook(wish: Wish, built: Built) -> None:
    """What will be built: the price of each exit as a bar, the size of it all, about how long."""
    recipe = wish.recipe
    assert recipe is not None
    colours = theme.exit_colours(len(built.macs), theme.current_scheme())
    muted = theme.TOKENS[theme.current_scheme()]["muted"]
    widest = max(built.relative)
    rows = "".join(
        f'<div style="display:grid;grid-template-columns:52px 1fr 168px;gap:10px;align-items:center">'
        f'<span style="color:{colour};font-weight:600">exit {n + 1}</span>'
        f'<div style="background:{colour}40;border-radius:4px;height:16px">'
        f'<div style="width:{100 * cost / widest:.1f}%;background:{colour};height:16px;border-radius:4px"></div></div>'
        f'<span>{cost:.2f} <span style="color:{muted};font-size:13px">{_mega(macs)} MACs</span></span></div>'
        for n, (cost, macs, colour) in enumerate(zip(built.relative, built.macs, colours, strict=True))
    )
    st.html(f'<div style="display:grid;gap:7px;font-size:15px">{rows}</div>')
    shape = recipe.network.input_shape
    facts = [
        ("parameters", f"{built.parameters:,}"),
        ("without exits", f"{_mega(built.plain)} MACs"),
        ("training images", f"about {wish.images:,}"),
        ("image", f"{shape[1]} x {shape[2]}, {'grey' if shape[0] == 1 else 'colour'}"),
        ("classes", f"{recipe.network.num_classes}"),
        ("takes, very roughly", f"{rough(minutes(recipe, built.macs[-1], wish.images))} on one core"),
    ]
    cells = "".join(
        f'<div><div style="color:{muted};font-size:13px">{escape(label)}</div><div>{escape(value)}</div></div>'
        for label, value in facts
    )
    st.html(
        '<div style="display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:14px;font-size:15px;'
        f'margin-top:6px">{cells}</div>'
    )


def _mega(macs: int) -> str:
    return f"{macs / 1e9:.2f} G" if macs >= 1e9 else f"{macs / 1e6:.1f} M" if macs >= 1e5 else f"{macs / 1e3:.0f} k"


def sentence(wish: Wish, built: Built) -> str:
    """What the form would train, in words."""
    recipe = wish.recipe
    assert recipe is not None
    where = state.DATASETS.get(recipe.dataset, dataset_name(recipe.dataset))
    what = f"{model_words(recipe.network.model)} on {where}"
    early = recipe.network.num_early_exits
    if early == 0:
        return f"{what} without early exits: the plain network that others are compared with."
    return (
        f"{what} with {early} early exit{'s' if early > 1 else ''}: an image that leaves at the first costs "
        f"{built.relative[0]:.2f} of the plain network, one that runs to the end {built.relative[-1]:.2f}."
    )


def start_button(wish: Wish) -> bool:
    """The button, and beneath it one line for each thing in its way; whether the wish is to be started now."""
    ready = not wish.problems and wish.recipe is not None
    pressed = st.button(
        "Start",
        key="train_start",
        type="primary",
        icon=":material/play_arrow:",
        disabled=not ready,
        width="stretch",
    )
    for line in wish.problems:
        st.error(plain_text(line[:1].upper() + line[1:]), icon=":material/error:")
    return pressed and ready


def show_command(wish: Wish) -> None:
    """What to type for the same."""
    if wish.name:
        values = {**wish.values, "out": f"runs/{wish.name}", "keep_as": wish.name}
        st.caption("The same on the command line:")
        st.code(command.shortest(values), language="bash", wrap_lines=True)
