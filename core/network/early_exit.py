"""The early-exit network: a chain of blocks with exit blocks after some of them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.network.chain import Chain
from core.network.exit_block import ConfidenceBranch, ExitBlock, early_exit_block


class ExitOutputs(NamedTuple):
    """What every exit says about a batch, before softmax and sigmoid."""

    logits: Tensor  # (batch, exits, classes)
    confidence_logits: Tensor  # (batch, exits); +inf where the last exit has no confidence branch

    @property
    def probabilities(self) -> Tensor:
        """(batch, exits, classes) float32."""
        return torch.softmax(self.logits.float(), dim=2)

    @property
    def confidence(self) -> Tensor:
        """h in 0..1, (batch, exits) float32."""
        return torch.sigmoid(self.confidence_logits.float())


class EarlyExitNetwork(nn.Module):
    """N = K + 1 exits on a chain of blocks; K = 0 is the plain network.

    `segments[n]` are the blocks between exit n and the exit before it, `exits[n]` the exit block behind them: the
    network is segment, exit, segment, exit, ..., and `forward`, the executor and the cost table all walk it this way.

    Args:
        chain: the backbone.
        exit_after: for each early exit the index of the block it follows, rising.
        exit_type: one of `EXIT_TYPES`, for the early exits; the last exit keeps the backbone's own classifier.
        input_shape: (channels, height, width); heads of type `plain` depend on it.
        sees_answer: whether confidence branches see the softmax branch's certainty.
    """

    def __init__(
        self,
        chain: Chain,
        exit_after: Sequence[int],
        exit_type: str,
        input_shape: tuple[int, int, int],
        num_classes: int,
        sees_answer: bool,
    ):
        super().__init__()
        self.exit_after = tuple(exit_after)
        self.input_shape = tuple(input_shape)
        self.num_classes = num_classes
        cuts = [0, *(block + 1 for block in self.exit_after), len(chain.blocks)]
        self.segments = nn.ModuleList(nn.Sequential(*chain.blocks[start:stop]) for start, stop in pairwise(cuts))
        last_confidence = (
            None if chain.features is None or not self.exit_after else ConfidenceBranch(chain.features, sees_answer)
        )
        heads = [
            early_exit_block(exit_type, shape, num_classes, sees_answer)
            for shape in self.feature_maps()[: len(self.exit_after)]
        ]
        self.exits = nn.ModuleList([*heads, ExitBlock(chain.neck, chain.classifier, last_confidence)])

    def exit_block(self, n: int) -> ExitBlock:
        """The exit block of exit n + 1."""
        block = self.exits[n]
        assert isinstance(block, ExitBlock)
        return block

    @property
    def num_exits(self) -> int:
        """N, the last exit counted."""
        return len(self.exits)

    def blocks(self) -> list[nn.Module]:
        """The backbone's blocks in order, the stem first, whatever exits stand between them."""
        return [block for segment in self.segments for block in segment.children()]

    @property
    def num_blocks(self) -> int:
        """Blocks of the backbone, the stem counted."""
        return len(self.blocks())

    def feature_maps(self) -> list[tuple[int, int, int]]:
        """Shape (channels, h, w) of the feature map at each exit."""
        was_training = self.training
        self.eval()  # so that BatchNorm takes the blank image without learning from it
        with torch.no_grad():
            x = torch.zeros(1, *self.input_shape)
            shapes = []
            for segment in self.segments:
                x = segment(x)
                shapes.append((x.shape[1], x.shape[2], x.shape[3]))
        self.train(was_training)
        return shapes

    def forward(self, x: Tensor) -> ExitOutputs:
        """All exits' answers for a batch (batch, channels, h, w)."""
        logits, confidence_logits = [], []
        for segment, exit_block in zip(self.segments, self.exits, strict=True):
            x = segment(x)
            answer, confidence = exit_block(x)
            logits.append(answer)
            confidence_logits.append(confidence)
        return ExitOutputs(torch.stack(logits, dim=1), torch.stack(confidence_logits, dim=1))
