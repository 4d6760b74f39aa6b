"""Training speed: images per second of the trainer's own step, against plain contiguous float32, in turn.

Two things make the difference, and they are told apart: how tensors lie in memory (and bfloat16 where the processor
has it), which changes nothing else; and the first half of the epochs on smaller images, which is another training.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from core.data.datasets import ImageSet
from core.network.layout import fast_layout
from core.network.registry import build_network
from core.network.spec import NetworkSpec
from core.training.augment import augment
from core.training.losses import log_likelihood, unweighted
from core.training.recipe import default_recipe
from core.training.trainer import fast_precision, make_optimizer, preprocessing_of
from core.training.zoo import SMALL_FIRST

WARM_UP, ROUNDS = 2, 9
SPEC = NetworkSpec("eenet20", 4, "pareto", "pool", (3, 32, 32), 10)


def make_step(layout: torch.memory_format, precision: torch.dtype, side: int | None = None) -> Callable[[], float]:
    """Something that trains EENet-20 one batch further and returns the seconds that took.

    Everything the trainer does for a batch is in it: reading, augmenting, normalising, resizing, forward, backward,
    the optimizer's step.

    Args:
        side: in pixels, of the smaller images of early epochs; None: full size.
    """
    torch.manual_seed(0)
    recipe = default_recipe("cifar10", SPEC)
    network, _ = build_network(SPEC)
    network = network.train().to(memory_format=layout)
    optimizer = make_optimizer(network, recipe)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2_000, *SPEC.input_shape), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, SPEC.num_classes, (len(images),), generator=generator)
    names = tuple(map(str, range(SPEC.num_classes)))
    normalise = preprocessing_of(ImageSet(images.numpy(), labels.numpy(), labels.numpy(), names)).normalise

    def step() -> float:
        started = time.perf_counter()
        index = torch.randint(0, len(images), (recipe.batch_size,), generator=generator)
        x = torch.from_numpy(normalise(augment(images[index], recipe.augmentation, generator).numpy()))
        if side is not None:
            x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True)
        x = x.contiguous(memory_format=layout)
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            outputs = network(x)
        loss = unweighted(log_likelihood(outputs.logits, labels[index]), recipe.early_exit_weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return time.perf_counter() - started

    return step


def run() -> dict[str, Any]:
    """Images per second on this CPU: plain, ours at full size, ours over the schedule the zoo is trained with."""
    network, _ = build_network(SPEC)
    ours = fast_layout(network), fast_precision(torch.device("cpu"))
    steps = {
        "plain": make_step(torch.contiguous_format, torch.float32),
        "ours": make_step(*ours),
        **{str(side): make_step(*ours, side) for _, side in SMALL_FIRST},
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(WARM_UP + ROUNDS):
        for name, step in steps.items():  # in turn, so that other work on the machine meets all alike
            seconds[name].append(step())
    batch = default_recipe("cifar10", SPEC).batch_size
    taken = {name: sorted(values[WARM_UP:])[ROUNDS // 2] / batch for name, values in seconds.items()}
    small = sum(share for share, _ in SMALL_FIRST)
    scheduled = sum(share * taken[str(side)] for share, side in SMALL_FIRST) + (1 - small) * taken["ours"]
    return {
        "benchmark": "training",
        "network": f"eenet20, 4 early exits, batch {batch}, the trainer's whole step",
        "precision": str(ours[1]).removeprefix("torch."),
        "layout": str(ours[0]).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "plain_images_per_second": round(1 / taken["plain"]),
        "ours_images_per_second": round(1 / taken["ours"]),
        "schedule": ", ".join(f"{share:.0%} of the epochs at {side} pixels" for share, side in SMALL_FIRST),
        "ours_over_the_schedule": round(1 / scheduled),
        "speed_up_same_images": round(taken["plain"] / taken["ours"], 2),
        "speed_up": round(taken["plain"] / scheduled, 2),
    }
