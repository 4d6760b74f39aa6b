"""How fast early-exit inference is here: in batches against one image at a time, and against the full network."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.checkpoints import CHECKPOINTS, load_card, load_network
from core.data.embedded import load_embedded_set
from core.network.early_exit import EarlyExitNetwork
from core.network.executor import Execution, Policy, execute

NAME = "cifar10/eenet20"
BATCH = 256
WARM_UP = 256  # images run before the clock starts
FEW = 500  # images for what is slow: one at a time, and bf16 where the processor has to imitate it
REPEATS = 3


def run(
    name: str = NAME, rule: str = "probability", limit: int | None = None, root: Path = CHECKPOINTS
) -> dict[str, Any]:
    """Measures on the CPU, on the test images that come with the checkpoint, at the card's default threshold.

    Args:
        name: of the checkpoint.
        limit: how many test images; None for all.
        root: where the checkpoint lies.
    """
    card = load_card(name, root)
    network, _ = load_network(name, root=root)
    examples = load_embedded_set(card.dataset, CHECKPOINTS)
    images = card.preprocessing.normalise(examples.images[:limit])
    labels = examples.labels[:limit]
    policy, never = Policy(rule, card.thresholds(rule)), Policy(rule, (1.0,))
    few = images[:FEW]
    execute(network, images[:WARM_UP], never, BATCH)
    execute(network, images[:16], never, 1)
    early = _fastest(network, images, policy, BATCH)
    full = _fastest(network, images, never, BATCH)
    few_early = _fastest(network, few, policy, BATCH)
    alone = _fastest(network, few, policy, 1)
    bf16 = execute(network, few, policy, BATCH, autocast=True)
    cost = np.array(card.cost.relative())
    measured = early.seconds / full.seconds
    expected = float(cost[early.exits].mean() / cost[full.exits].mean())
    return {
        "benchmark": "inference",
        "checkpoint": name,
        "n": len(images),
        "threads": torch.get_num_threads(),
        "rule": rule,
        "thresholds": list(policy.thresholds),
        "accuracy": float((early.predicted == labels).mean()),
        "relative_cost": float(cost[early.exits].mean()),
        "early_images_per_second": round(len(images) / early.seconds),
        "full_images_per_second": round(len(images) / full.seconds),
        "one_at_a_time_images_per_second": round(len(few) / alone.seconds),
        "batch_speed_up": round(alone.seconds / few_early.seconds, 2),
        "wall_clock_share": round(measured, 4),
        "cost_share": round(expected, 4),
        "share_over_cost": round(measured / expected, 3),
        "exits_unlike_one_at_a_time": int((alone.exits != few_early.exits).sum()),
        "bf16_images_per_second": round(len(few) / bf16.seconds),
        "bf16_speed_up": round(few_early.seconds / bf16.seconds, 3),
        "bf16_other_exit": float((bf16.exits != few_early.exits).mean()),
        "bf16_other_answer": float((bf16.predicted != few_early.predicted).mean()),
        "bf16_largest_score_change": float(np.nanmax(np.abs(bf16.scores - few_early.scores))),
    }


def _fastest(network: EarlyExitNetwork, images: NDArray[np.float32], policy: Policy, batch_size: int) -> Execution:
    """The run that other work disturbed least."""
    repeats = 1 if batch_size == 1 else REPEATS
    return min((execute(network, images, policy, batch_size) for _ in range(repeats)), key=lambda run: run.seconds)
