"""Families of networks that differ in the cost weight alone, found by their cards."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.checkpoints import Card

REFIT_METHOD = "refit"
# what a recipe says about the machine's day, not about what was asked for
_CIRCUMSTANCES = ("training_seconds",)


@dataclass(frozen=True)
class Family:
    """Networks whose recipes are equal but for the cost weight.

    Args:
        cost_weights: lambda of each member, rising.
        names: of the members, DATASET/MODEL.
        parent: name of the checkpoint their training started from, or None.
    """

    cost_weights: tuple[float, ...]
    names: tuple[str, ...]
    parent: str | None

    def member(self, cost_weight: float) -> str | None:
        """The member trained at that cost weight, if there is one."""
        known = dict(zip(self.cost_weights, self.names, strict=True))
        return known.get(cost_weight)


def lambda_families(cards: Mapping[str, Card]) -> list[Family]:
    """All families of two members or more, in the order of their first member's name.

    Recipes are taken as they are: network, dataset, loss, method, epochs, seed, parent and all the rest must agree.
    Networks without early exits and refits have none; of two members at one cost weight the first by name counts.

    Args:
        cards: by name.
    """
    groups: dict[str, dict[float, str]] = {}
    for name in sorted(cards):
        card = cards[name]
        weight = trained_cost_weight(card)
        if weight is None or card.is_plain or card.recipe.get("method") == REFIT_METHOD:
            continue
        groups.setdefault(_kin(card), {}).setdefault(weight, name)
    families = []
    for found in groups.values():
        if len(found) > 1:
            weights = tuple(sorted(found))
            names = tuple(found[weight] for weight in weights)
            families.append(Family(weights, names, parent_name(cards[names[0]])))
    return sorted(families, key=lambda family: family.names[0])


def trained_cost_weight(card: Card) -> float | None:
    """Lambda of a card's recipe, or None where it names none."""
    weight = card.recipe.get("cost_weight")
    fits = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    return float(weight) if fits else None  # type: ignore[arg-type]


def parent_name(card: Card) -> str | None:
    """The checkpoint a card's training started from."""
    parent = card.recipe.get("parent")
    return parent if isinstance(parent, str) else None


def _kin(card: Card) -> str:
    """Equal for members of one family."""
    skipped = ("cost_weight", *_CIRCUMSTANCES)
    recipe: dict[str, Any] = {key: value for key, value in card.recipe.items() if key not in skipped}
    return json.dumps([card.dataset, card.spec.to_json(), list(card.class_names), recipe], sort_keys=True, default=str)
