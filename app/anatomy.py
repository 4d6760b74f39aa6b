"""A network's blocks and exits drawn to their true cost."""

import json
from typing import Any

from app import theme
from app.component import component
from app.journey import blocks_of
from core.checkpoints import Card

_mount = component("anatomy")


def payload(name: str, card: Card, accuracy: tuple[float, ...] | None, present: bool = False) -> dict[str, Any]:
    """The component's data, plain JSON.

    Args:
        name: of the checkpoint.
        accuracy: of each exit on the test split, 0..1, or None where it is not known.
    """
    cost = card.cost
    executed, paper = cost.macs("executed"), cost.macs("paper")
    after, own = [*cost.exit_after, None], [*cost.exit_macs, None]
    data = {
        "name": name,
        "blocks": blocks_of(card),
        "exits": [
            {"after": block, "macs": macs, "executed": run, "paper": charged}
            for block, macs, run, charged in zip(after, own, executed, paper, strict=True)
        ],
        "plainMacs": cost.plain_macs,
        "accuracy": None if accuracy is None else list(accuracy),
        "unit": "as a share of the network without exits" + (" and with its accuracy on test" if accuracy else ""),
        "palette": theme.palette(card.num_exits),
        "present": present,
    }
    json.dumps(data, allow_nan=False)
    return data


def show(data: dict[str, Any]) -> None:
    """Draw the network from its `payload`."""
    _mount(key="anatomy", data=data)
