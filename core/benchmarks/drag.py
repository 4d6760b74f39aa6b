"""Dragging the threshold of a network with 8 exits over 10,000 examples: frames, work in each, messages, in Chromium.

No shipped network has so many exits: the network here is untrained and its recorded answers are made up
(`core.benchmarks.sweep.synthetic_trace`).
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from core.analysis.rules import sigmoid
from core.benchmarks.page import CHROMIUM, drag, server
from core.benchmarks.sweep import synthetic_trace
from core.checkpoints import Card, checkpoint_hash, save_checkpoint, trace_path
from core.data.preprocess import Preprocessing
from core.network.registry import build_network
from core.network.spec import NetworkSpec
from core.trace import Trace

EXAMPLES, EXITS, CLASSES = 10_000, 8, 10


def write_checkpoint(root: Path) -> None:
    """A checkpoint of 8 exits whose test trace is made up."""
    spec = NetworkSpec("eenet56", EXITS - 1, "linear", "pool", (3, 32, 32), CLASSES)
    network, costs = build_network(spec)
    preprocessing = Preprocessing(channels=3, size=32, mean=(0.5,) * 3, std=(0.25,) * 3)
    names = tuple(f"class {n}" for n in range(CLASSES))
    folder = root / "synthetic" / "eenet56"
    save_checkpoint(folder, network, Card("EENet-56", "synthetic", spec, preprocessing, names, costs))
    scores, correct, _ = synthetic_trace(EXAMPLES, EXITS)
    odds = np.log(scores.astype(np.float64)) - np.log1p(-scores.astype(np.float64))  # (examples, exits)
    labels = np.arange(EXAMPLES) % CLASSES
    answers = np.where(correct, labels[:, None], (labels[:, None] + 1) % CLASSES)
    logits = np.zeros((EXAMPLES, EXITS, CLASSES))
    np.put_along_axis(logits, answers[..., None], np.maximum(odds, 0.1)[..., None] + 3, axis=2)
    ids = np.arange(EXAMPLES)
    Trace.from_outputs(logits, odds, labels, ids, costs.relative(), checkpoint_hash(folder), "test").small().save(
        trace_path(folder, "test")
    )
    assert np.allclose(sigmoid(odds), scores, atol=1e-6)


def run() -> dict[str, Any]:
    """Frames, work and messages of one long drag.

    Raises:
        UserError: the dashboard does not start.
    """
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder))
        with server(EENET_CHECKPOINTS=folder) as (address, _), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1440, "height": 900}, bypass_csp=True)
            messages: list[int] = []
            page.on("websocket", lambda socket: socket.on("framesent", lambda _: messages.append(1)))
            page.goto(f"{address}/?rule=confidence&t=0.5")
            page.locator('.explorer[data-ready="true"]').wait_for(timeout=60_000)
            page.wait_for_timeout(3_000)
            measured = drag(page, messages)
            browser.close()
    return {"benchmark": "drag", "examples": EXAMPLES, "exits": EXITS, **measured}
