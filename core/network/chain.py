"""A backbone as an ordered chain of blocks: all that the rest of the code knows about an architecture."""

from dataclasses import dataclass

from torch import nn


@dataclass
class Chain:
    """A classifier cut into the pieces an early-exit network is built from.

    Args:
        blocks: block 0 is the stem; an early exit may follow any block but the stem and the last.
        neck: turns the last block's feature map into vectors (batch, features).
        classifier: turns these vectors into logits (batch, classes).
        features: length of the vectors, or None for a last exit without a confidence branch.
    """

    blocks: list[nn.Module]
    neck: nn.Module
    classifier: nn.Module
    features: int | None
