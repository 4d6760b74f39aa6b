"""Running a network over pictures made harder, for `core.analysis.robustness`."""

from collections.abc import Callable, Sequence

import numpy as np

from core.analysis.robustness import RULES, CorruptedAnswers
from core.analysis.rules import exit_scores
from core.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from core.data.datasets import ImageSet
from core.data.preprocess import Preprocessing
from core.network.early_exit import EarlyExitNetwork
from core.network.tracing import run_network


def record_corrupted(
    network: EarlyExitNetwork,
    images: ImageSet,
    preprocessing: Preprocessing,
    relative_cost: Sequence[float],
    checkpoint_hash: str,
    batch_size: int = 500,
    report: Callable[[str, int], None] = lambda name, severity: None,
) -> CorruptedAnswers:
    """Every exit's answer about every picture, under every corruption at every severity.

    Args:
        network: in evaluation mode, on the device to use.
        images: test images of the network's size.
        relative_cost: executed accounting, see `CostTable.relative`.
        checkpoint_hash: SHA-256 of the weights.
        report: called with each corruption and severity that is done.
    """
    shape = (len(CORRUPTIONS), SEVERITIES, len(images), network.num_exits)
    scores = {rule: np.empty(shape, np.float32) for rule in RULES}
    correct = np.empty(shape, np.bool_)
    for c, name in enumerate(CORRUPTIONS):
        for severity in range(1, SEVERITIES + 1):
            harder = corrupt(images.images, name, severity)
            logits, confidence_logits = run_network(network, harder, preprocessing, batch_size)
            for rule in RULES:
                scores[rule][c, severity - 1] = exit_scores(rule, logits, confidence_logits)
            correct[c, severity - 1] = logits.argmax(axis=2) == images.labels[:, None]
            report(name, severity)
    return CorruptedAnswers(
        tuple(CORRUPTIONS), scores, correct, images.ids.astype(np.int64), np.array(relative_cost), checkpoint_hash
    )
