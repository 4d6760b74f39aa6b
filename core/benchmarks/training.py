"""Training speed: images per second of a training step, ours against plain contiguous float32."""

import time
from typing import Any

import torch
from torch import nn

from core.network.layout import fast_layout
from core.network.registry import build_network
from core.network.spec import NetworkSpec
from core.training.losses import log_likelihood, unweighted
from core.training.trainer import fast_precision

BATCH = 128
WARM_UP, STEPS = 2, 8


def images_per_second(layout: torch.memory_format, precision: torch.dtype, side: int = 32) -> float:
    """Forward, backward and update of EENet-20 with 4 early exits on random images of a side, in the median step."""
    torch.manual_seed(0)
    network: nn.Module
    network, _ = build_network(NetworkSpec("eenet20", 4, "pareto", "pool", (3, 32, 32), 10))
    network = network.train().to(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    x = torch.randn(BATCH, 3, side, side).contiguous(memory_format=layout)
    labels = torch.randint(0, 10, (BATCH,))
    seconds = []
    for _ in range(WARM_UP + STEPS):
        started = time.perf_counter()
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            outputs = network(x)
        loss = unweighted(log_likelihood(outputs.logits, labels), 0.25)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - started)
    return BATCH / sorted(seconds[WARM_UP:])[STEPS // 2]


def run() -> dict[str, Any]:
    """Images per second on this CPU: plain, ours, and ours averaged over the shipped resolution schedule."""
    network, _ = build_network(NetworkSpec("eenet20", 4, "pareto", "pool", (3, 32, 32), 10))
    ours = fast_layout(network), fast_precision(torch.device("cpu"))
    plain = images_per_second(torch.contiguous_format, torch.float32)
    full_size = images_per_second(*ours)
    schedule = {0.3: 16, 0.25: 20, 0.2: 24}
    slowness = sum(share / images_per_second(*ours, side) for share, side in schedule.items())
    scheduled = 1 / (slowness + (1 - sum(schedule)) / full_size)
    return {
        "benchmark": "training",
        "network": "eenet20, 4 early exits, batch 128",
        "precision": str(ours[1]).removeprefix("torch."),
        "plain_images_per_second": round(plain),
        "ours_images_per_second": round(full_size),
        "ours_with_small_images_first": round(scheduled),
        "speed_up": round(scheduled / plain, 2),
    }
