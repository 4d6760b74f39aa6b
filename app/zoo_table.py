"""All networks in one table: what they are, how well they do for how much, how they were trained."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache as remember
from typing import Any

import pandas as pd
import streamlit as st

from app import state
from app.profiles import Known
from app.state import DATASETS
from core.analysis.rules import RULES
from core.checkpoints import Card
from core.network.cost import CostTable
from core.training import zoo as plan

# what a network is compared with -> its words on the page
FAMILIES = {
    "main": "main networks",
    "plain": "without exits",
    "lambda": "cost weight",
    "placement": "placement",
    "exit type": "exit type",
    "loss": "loss",
    "seed": "seed",
    "depth": "depth",
    "backbone": "backbone",
    "own": "your own",
}
OWN_RULE = "own"
METHODS = {
    "alive": "every exit by itself, confidences fitted after",
    "end-to-end": "the loss alone, end to end",
    "two-stage": "unweighted, then fused",
}


@dataclass(frozen=True)
class Budget:
    """The most that an image may cost on average.

    Args:
        amount: a relative cost, or MACs.
        in_macs: which of the two.
    """

    amount: float
    in_macs: bool = False

    def relative(self, cost: CostTable) -> float:
        """As a relative cost of one network."""
        return self.amount / cost.plain_macs if self.in_macs else self.amount

    @property
    def short(self) -> str:
        """For the head of a column."""
        return f"{self.amount / 1e6:g} M MACs" if self.in_macs else f"cost {self.amount:g}"

    def __str__(self) -> str:
        return f"{self.amount / 1e6:g} M MACs" if self.in_macs else f"{self.amount:g} of the computation"


@dataclass(frozen=True, eq=False)
class Row:
    """One network of the table."""

    name: str
    card: Card
    known: Known
    family: str
    rule: str
    best: float | None

    @property
    def accuracy(self) -> tuple[float, ...]:
        """Of each exit on the test split, 0..1; from the card where there is no trace; empty where neither is."""
        if self.known.profile is not None:
            return self.known.profile.exit_accuracy
        return card_accuracy(self.card, "test")

    @property
    def n(self) -> int | None:
        """Number of test examples."""
        if self.known.profile is not None:
            return self.known.profile.n
        return self.card.metrics.get("test", {}).get("n")

    @property
    def area(self) -> float | None:
        """Under the curve of its rule, 0..1; None without early exits."""
        if self.known.profile is not None:
            return self.known.profile.area.get(self.rule)
        return self.card.metrics.get("test", {}).get(f"area_under_curve_{self.rule}")


def card_accuracy(card: Card, split: str) -> tuple[float, ...]:
    """Accuracy of each exit as the card has it, 0..1; empty where it has none for every exit."""
    values = card.metrics.get(split, {}).get("exit_accuracy", ())
    return tuple(values) if isinstance(values, (list, tuple)) and len(values) == card.num_exits else ()


@remember
def planned() -> dict[str, plan.Entry]:
    """The zoo's plan by name."""
    return {entry.name: entry for entry in plan.entries()}


def family_of(name: str, card: Card) -> str:
    """What a network is compared with: as the zoo's plan says, else what its card tells."""
    entry = planned().get(name)
    if entry is not None:
        return entry.family
    return "plain" if card.is_plain else "own"


def rows_of(cards: Mapping[str, Card], known: Mapping[str, Known], rule: str, budget: Budget) -> list[Row]:
    """The networks in the order of their names.

    Args:
        rule: a name in `RULES`, or `own` for the one with the larger area on calibration.
    """
    rows = []
    for name, card in cards.items():
        chosen = state.default_rule(card) if rule == OWN_RULE else rule
        found = known[name].profile
        best = None if found is None else found.best(chosen, budget.relative(card.cost))
        rows.append(Row(name, card, known[name], family_of(name, card), chosen, best))
    return rows


def passing(rows: Sequence[Row], datasets: Sequence[str], families: Sequence[str], plain: bool) -> list[Row]:
    """Those of some datasets and families (empty: of all), with networks without exits or not."""
    return [
        row
        for row in rows
        if (not datasets or row.card.dataset in datasets)
        and (not families or row.family in families)
        and (plain or not row.card.is_plain)
    ]


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """The table as the page shows it, percentages in per cent."""
    return pd.DataFrame([_line(row) for row in rows])


def _line(row: Row) -> dict[str, Any]:
    card, recipe, size, found = row.card, row.card.recipe, row.known.size, row.known.profile
    accuracy = [100 * share for share in row.accuracy]
    errors = [] if found is None else [100 * error for error in found.calibration_error]
    early = not card.is_plain
    return {
        "name": row.name,
        "title": card.title,
        "dataset": DATASETS.get(card.dataset, card.dataset),
        "exits": card.spec.num_early_exits,
        "best": None if row.best is None else 100 * row.best,
        "full": accuracy[-1] if accuracy else None,
        "first": accuracy[0] if accuracy and early else None,
        "accuracy": accuracy if early else None,
        "area": None if row.area is None else 100 * row.area,
        "rule": RULES[row.rule].label.lower() if early else "",
        "macs": card.cost.plain_macs,
        "cost": card.cost.relative()[0] if early else None,
        "parameters": None if size is None else size.parameters,
        "error": errors[-1] if errors else None,
        "errors": sum(errors) / len(errors) if errors else None,
        "placement": card.spec.placement if early else "",
        "exit type": card.spec.exit_type if early else "",
        "family": FAMILIES.get(row.family, row.family),
        "loss": _word(recipe, "loss") if early else "",
        "lambda": _number(recipe, "cost_weight") if early else None,
        "method": _word(recipe, "method") if early else "",
        "epochs": _number(recipe, "epochs"),
        "seed": _number(recipe, "seed"),
        "parent": _word(recipe, "parent"),
        "minutes": None if (seconds := _number(recipe, "training_seconds")) is None else seconds / 60,
        "trained": _number(recipe, "training_examples"),
        "n": row.n,
        "disk": None if size is None else size.disk_bytes / 1e6,
    }


def _word(recipe: Mapping[str, Any], name: str) -> str:
    value = recipe.get(name)
    return value[:60] if isinstance(value, str) else ""


def _number(recipe: Mapping[str, Any], name: str) -> float | None:
    value = recipe.get(name)
    plain = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12  # false for NaN
    return value if plain else None


def columns(rows: Sequence[Row], budget: Budget) -> dict[str, Any]:
    """How Streamlit shows the columns."""
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    shown = [share for row in rows for share in row.accuracy]
    least = min(shown, default=0.0)
    low = max(0, 2 * math.floor(50 * (least - 0.1 * (1 - least))))  # the lowest bar is still to be seen
    test = "Test split."
    return {
        "name": text("Network", pinned=True, help="Its folder below checkpoints/"),
        "title": text("What"),
        "dataset": text("Data"),
        "exits": number("Early exits", format="%d"),
        "best": number(
            f"Right at ≤ {budget.short}",
            format="%.1f %%",
            help=f"{test} Highest accuracy on its exact curve for at most {budget} on average, one threshold for all "
            "exits. Empty: it costs more.",
        ),
        "full": number("Right in full", format="%.1f %%", help=f"{test} Accuracy of the last exit alone"),
        "first": number("Right at exit 1", format="%.1f %%", help=f"{test} Accuracy of exit 1 alone"),
        "accuracy": st.column_config.BarChartColumn(
            f"Exits, {low} to 100 %", y_min=low, y_max=100, help=f"{test} Accuracy of each exit alone, first to last"
        ),
        "area": number(
            "Area under curve",
            format="%.2f %%",
            help=f"{test} Mean accuracy over relative cost from exit 1 to 1, best accuracy so far, of the rule beside",
        ),
        "rule": text("Rule", help="When an image leaves, in the columns of the curve"),
        "macs": number("MACs", format="compact", help="Of the network without exits, for one image; 1 MAC = 2 FLOPs"),
        "cost": number("Cost of exit 1", format="%.2f", help="Executed MACs over those of the network without exits"),
        "parameters": number("Parameters", format="compact", help="Learned numbers, exits included"),
        "error": number(
            "Calibration error",
            format="%.1f %%",
            help=f"{test} Expected calibration error of the last exit's largest probability, 15 bins",
        ),
        "errors": number("… of all exits", format="%.1f %%", help=f"{test} The same, mean over the exits"),
        "placement": text("Placement"),
        "exit type": text("Exit type"),
        "family": text("Compared by", help="What it is there to be compared by"),
        "loss": text("Loss"),
        "lambda": number("λ", format="%g", help="Cost weight in the loss"),
        "method": text("Method", help="; ".join(f"{name}: {words}" for name, words in METHODS.items())),
        "epochs": number("Epochs", format="%d"),
        "seed": number("Seed", format="%d"),
        "parent": text("Started from", help="The checkpoint its training began with"),
        "minutes": number("Trained, min", format="%.0f", help="On the machine that trained it"),
        "trained": number("Trained on n", format="localized", help="Images it was trained on"),
        "n": number("Tested on n", format="localized", help="Images of the test split"),
        "disk": number("Size, MB", format="%.1f", help="Of all files in its folder"),
    }


def as_csv(rows: Sequence[Row], budget: Budget) -> str:
    """The table to take home, shares from 0 to 1, one column for each exit's accuracy and calibration error.

    A text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    most = max((row.card.num_exits for row in rows), default=0)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    facts = [
        "network", "title", "dataset", "split", "n", "early_exits", "placement", "exit_type", "family", "rule",
        f"best_accuracy_at_{'macs' if budget.in_macs else 'relative_cost'}_{budget.amount:g}", "area_under_curve",
        "macs", "parameters", "loss", "cost_weight", "method", "epochs", "seed", "parent", "training_seconds",
        "training_examples", "disk_bytes",
    ]  # fmt: skip
    exits = [f"{what}_exit_{n + 1}" for what in ("accuracy", "calibration_error", "relative_cost") for n in range(most)]
    writer.writerow([*facts, *exits])
    for row in rows:
        card, recipe, size, found = row.card, row.card.recipe, row.known.size, row.known.profile
        early = not card.is_plain
        texts = [card.spec.placement, card.spec.exit_type] if early else ["", ""]
        errors = () if found is None else found.calibration_error
        values = [
            row.name, card.title, card.dataset, "test", row.n, card.spec.num_early_exits, *texts, row.family,
            row.rule if early else "", _short(row.best), _short(row.area), card.cost.plain_macs,
            None if size is None else size.parameters, _word(recipe, "loss"), _number(recipe, "cost_weight"),
            _word(recipe, "method"), _number(recipe, "epochs"), _number(recipe, "seed"), _word(recipe, "parent"),
            _number(recipe, "training_seconds"), _number(recipe, "training_examples"),
            None if size is None else size.disk_bytes,
        ]  # fmt: skip
        for numbers in (row.accuracy, errors, card.cost.relative()):
            values += [_short(number) for number in numbers] + [None] * (most - len(numbers))
        writer.writerow([_cell(value) for value in values])
    return buffer.getvalue()


def _short(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value
