"""One network's card: its numbers, recipe and provenance in words, ready for the page."""

import html
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from app import theme
from app.profiles import Known
from app.state import DATASETS
from app.zoo_table import METHODS, card_accuracy
from core.analysis.uncertainty import accuracy_interval
from core.checkpoints import Card
from core.network.cost import METHOD
from core.training.recipe import Recipe

THIN = "\u202f"
CSS = """
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 5px 22px; font-size: 14px; }
.facts, .facts dt, .facts dd { margin: 0 !important; padding: 0 !important; overflow-wrap: anywhere; }
.facts dt { color: light-dark(#667085, #98A2B3); }
.st-key-zoo_data button[data-variant="pills"] { min-height: 2.5rem; }
.model-head { display: flex; gap: 6px 14px; align-items: baseline; flex-wrap: wrap; }
.model-head h2 { padding: 0; margin: 0; font-size: 23px; font-weight: 700; letter-spacing: -0.01em; }
.model-head span, .exits-table caption { color: light-dark(#667085, #98A2B3); font-size: 14px; }
.exits-scroll { overflow-x: auto; }
.exits-table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; width: 100%; margin: 0; }
.exits-table caption { caption-side: bottom; text-align: left; padding-top: 8px; font-size: 13px; }
.exits-table th, .exits-table td { text-align: right; padding: 5px 14px 5px 0; border: 0; white-space: nowrap; }
.exits-table th { font-weight: 500; color: light-dark(#667085, #98A2B3); vertical-align: bottom; line-height: 1.25; }
.exits-table tr > :first-child { text-align: left; }
.exits-table tbody tr { border-top: 1px solid light-dark(#E3E6EB, #2A313C); }
.exits-table small { color: light-dark(#667085, #98A2B3); font-size: 12.5px; }
.exits-table i { display: inline-block; width: 11px; height: 11px; border-radius: 50%; margin-right: 8px; }
.stage .facts, .stage.exits-scroll .exits-table, .stage.model-head span { font-size: 21px; }
.stage.model-head h2 { font-size: 34px; }
.stage.exits-scroll caption, .stage.exits-scroll small { font-size: 18px; }
"""
STAGE_CSS = ".st-key-models_panel { display: none; }"


def macs(number: float) -> str:
    """`40.9 M`, with a thin space."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            value = number / size
            return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}{THIN}{unit}"
    return f"{number:.0f}"


def duration(seconds: float) -> str:
    """`48 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def measured(card: Card, split: str, exit_: int) -> str | None:
    """An exit's accuracy on a split with its 95 % interval, as HTML; None where the card has none."""
    accuracy, n = card_accuracy(card, split), card.metrics.get(split, {}).get("n")
    if not accuracy or not n or not 0 <= accuracy[exit_] <= 1:
        return None
    low, high = accuracy_interval(round(accuracy[exit_] * n), n)
    return f"{100 * accuracy[exit_]:.2f}{THIN}% <small>{100 * low:.2f} to {100 * high:.2f}</small>"


def numbers_table(card: Card, known: Known, present: bool = False) -> str:
    """HTML of what each exit gets right and what it costs."""
    light, dark = (theme.exit_colours(card.num_exits, scheme) for scheme in theme.SCHEMES)
    cost = card.cost
    own = [*cost.exit_macs, cost.final_macs]
    error = () if known.profile is None else known.profile.calibration_error
    heads = [
        "",
        _split_head(card, "calibration"),
        _split_head(card, "test"),
        "calibration error<br>on test",
        "exit block<br>MACs",
        "MACs executed<br>when leaving",
        "cost<br>executed",
        "MACs as<br>in the paper",
        "cost as<br>in the paper",
    ]
    body = []
    for n in range(card.num_exits):
        cells = [
            f'<i style="background:light-dark({light[n]},{dark[n]})"></i>exit {n + 1}',
            measured(card, "calibration", n) or "-",
            measured(card, "test", n) or "-",
            f"{100 * error[n]:.1f}{THIN}%" if error else "-",
            macs(own[n]),
            macs(cost.macs("executed")[n]),
            f"{cost.relative('executed')[n]:.3f}",
            macs(cost.macs("paper")[n]),
            f"{cost.relative('paper')[n]:.3f}",
        ]
        body.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{text}</th>" for text in heads)
    caption = (
        "Right: each exit by itself, on every example, with Wilson's 95 % interval. Executed: the blocks up to the "
        "exit and every exit block tried on the way, over the network without exits; as in the paper: only the "
        "block of the exit taken. Calibration error: of the largest probability, 15 bins. 1 MAC = 2 FLOPs."
    )
    stage = " stage" if present else ""
    return (
        f'<div class="exits-scroll{stage}"><table class="exits-table"><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _split_head(card: Card, split: str) -> str:
    n = card.metrics.get(split, {}).get("n")
    return f"right on {split}" + (f"<br>n = {n:,}" if n else "<br>not recorded")


def head(name: str, card: Card, present: bool = False) -> str:
    """HTML of the card's title."""
    early = card.spec.num_early_exits
    exits = "no early exit" if not early else f"{early} early exit{'s' if early > 1 else ''}"
    title = f"{card.title} on {DATASETS.get(card.dataset, card.dataset)}"
    place = f", {card.spec.placement} placement, {card.spec.exit_type} exits" if early else ""
    return (
        f'<div class="model-head{" stage" if present else ""}"><h2>{html.escape(title)}</h2>'
        f"<span>{html.escape(name)} · {exits}{html.escape(place)}</span></div>"
    )


def facts(pairs: Sequence[tuple[str, str]], present: bool = False) -> str:
    """HTML of names and values; both are escaped here."""
    lines = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in pairs)
    return f'<div{" class=stage" if present else ""}><dl class="facts">{lines}</dl></div>'


# fields of a recipe that are told together with another, or by the card's title
_TOLD = {
    "dataset", "network", "loss", "cost_weight", "method", "epochs", "resolution", "optimizer", "learning_rate",
    "head_learning_rate", "weight_decay", "batch_size", "augmentation", "seed", "parent", "early_exit_weight",
}  # fmt: skip
_AUGMENTATIONS = {
    "none": "none",
    "shift": "shifted by up to 2 pixels",
    "crop-flip": "shifted by up to 4 pixels and mirrored",
}


def recipe_facts(recipe: Recipe, outcome: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A recipe in words.

    Args:
        outcome: the card's recipe, for how long it took on how many images.
    """
    examples, seconds = outcome.get("training_examples"), outcome.get("training_seconds")
    early = recipe.network.num_early_exits > 0
    pairs = [("Data", recipe.dataset + (f", {examples:,} images" if isinstance(examples, int) else ""))]
    if early:
        pairs.append(("Method", f"{recipe.method}: {METHODS.get(recipe.method, recipe.method)}"))
        pairs.append(("Loss", f"{recipe.loss}, cost weight λ = {recipe.cost_weight:g}"))
        if recipe.method != "end-to-end":
            pairs.append(("Weight of an early exit", f"{recipe.early_exit_weight:g}"))
    pairs.append(("Epochs", f"{recipe.epochs}" + _sizes(recipe)))
    rates = f"{recipe.learning_rate:.4g}"
    if recipe.optimizer == "muon":
        rates += f", {recipe.head_learning_rate:.4g} for what is no filter"
    pairs.append(("Optimiser", f"{recipe.optimizer}, learning rate {rates}, weight decay {recipe.weight_decay:g}"))
    pairs.append(
        ("Batch", f"{recipe.batch_size} images, {_AUGMENTATIONS.get(recipe.augmentation, recipe.augmentation)}")
    )
    pairs.append(("Seed", str(recipe.seed)))
    pairs.append(("Started from", recipe.parent or "fresh weights"))
    for field in fields(recipe):  # what later recipes add
        value = getattr(recipe, field.name)
        if field.name not in _TOLD and value != field.default:
            pairs.append((field.name.replace("_", " ").capitalize(), str(value)))
    if isinstance(seconds, (int, float)) and 0 <= seconds < 1e9:
        pairs.append(("Took", duration(seconds)))
    return pairs


def _sizes(recipe: Recipe) -> str:
    if not recipe.resolution:
        return ""
    parts = [f"{100 * share:.0f} % on {side} px" for share, side in recipe.resolution]
    return f": {', '.join(parts)}, the rest on {recipe.network.input_shape[1]} px"


def loose_recipe(recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The plain values of a recipe that `core train` did not write."""
    return [
        (str(name).replace("_", " ")[:60], str(value)[:300])
        for name, value in recipe.items()
        if isinstance(value, (str, int, float)) and not isinstance(value, bool)
    ]


def provenance(
    name: str, card: Card, known: Known, weights: str, files: Sequence[str], there: Collection[str]
) -> list[tuple[str, str]]:
    """Where a network comes from and what is kept of it.

    Args:
        weights: SHA-256 of its weights, in hex.
        files: names of the files in its folder.
        there: names of all networks that can be opened.
    """
    channels, height, width = card.spec.input_shape
    classes = ", ".join(card.class_names[:10]) + (f" … ({len(card.class_names)})" if len(card.class_names) > 10 else "")
    traces = [split for split in ("calibration", "test") if f"trace-{split}.npz" in files]
    more = {
        "history.jsonl": "training history",
        "map-test.npz": "map of the test images",
        "corruptions-test.npz": "answers on corrupted images",
        "features-training.npz": "features to refit its exits",
    }
    kept = [words for file, words in more.items() if file in files]
    pairs = [
        ("Folder", f"checkpoints/{name}"),
        ("Weights", f"SHA-256 {weights[:16]}…"),
        ("Input", f"{width} x {height}, {'grey' if channels == 1 else 'colour'}"),
        ("Classes", classes),
        ("Recorded answers", " and ".join(traces) if traces else f"none: run python -m core trace {name}"),
        ("Also kept", ", ".join(kept) if kept else "nothing else"),
        ("Without exits, trained alike", _counterpart(card, there)),
        ("MACs counted with", METHOD),
    ]
    if known.size is not None:
        exits = f", {known.size.exit_parameters:,} of them in exits" if not card.is_plain else ""
        pairs.insert(3, ("Parameters", f"{known.size.parameters:,}{exits}"))
        pairs.append(("On disk", f"{known.size.disk_bytes / 1e6:.1f} MB"))
    return pairs


def _counterpart(card: Card, there: Collection[str]) -> str:
    if card.is_plain:
        return "this is one"
    if card.plain_counterpart is None:
        return "none"
    return card.plain_counterpart + ("" if card.plain_counterpart in there else ", not trained yet")
