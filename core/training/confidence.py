"""Confidence branches fitted on a frozen network: no exit can starve, for no softmax branch depends on the outcome."""

import sys
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from tqdm import tqdm

from core.network.early_exit import EarlyExitNetwork
from core.network.exit_block import ANSWER_FEATURES, ConfidenceBranch, answer_features
from core.training.losses import CONFIDENCE_LOSSES, best_exit, log_likelihood

STEPS = 300
BATCH = 512
LEARNING_RATE = 0.02


class StandardizedBranch(nn.Module):
    """A confidence branch over standardised inputs, so that one step size suits features of every scale and number.

    Starts at 0 (h = 1/2 for everybody) and is folded into the real branch at the end.

    Args:
        inputs: (examples, features) a first batch, for mean and standard deviation.
        learned: how many of the columns, the first ones, are the exit's features; the rest is the answer's certainty.
    """

    def __init__(self, inputs: Tensor, learned: int):
        super().__init__()
        self.mean, self.std = inputs.mean(dim=0), inputs.std(dim=0) + 1e-3
        self.features = nn.Parameter(inputs.new_zeros(learned))
        self.answer = nn.Parameter(inputs.new_zeros(inputs.shape[1] - learned))
        self.bias = nn.Parameter(inputs.new_zeros(1))

    def forward(self, inputs: Tensor) -> Tensor:
        """(examples, features) -> logits (examples,)."""
        return ((inputs - self.mean) / self.std) @ torch.cat([self.features, self.answer]) + self.bias

    def parameter_groups(self) -> list[dict[str, object]]:
        """Thousands of flattened features together must not step further than a few dozen pooled ones do."""
        many = min(1.0, 64 / max(1, len(self.features)))
        return [
            {"params": [self.features], "lr": LEARNING_RATE * many},
            {"params": [self.answer, self.bias], "lr": LEARNING_RATE},
        ]

    @torch.no_grad()
    def fold_into(self, branch: ConfidenceBranch) -> None:
        """Writes the same function of the raw inputs into a branch."""
        weight = torch.cat([self.features, self.answer]) / self.std
        branch.linear.weight.copy_(weight[None])
        branch.linear.bias.copy_(self.bias - weight @ self.mean)


@torch.no_grad()
def _look(network: EarlyExitNetwork, x: Tensor, labels: Tensor) -> tuple[list[Tensor], Tensor]:
    """Inputs of every exit's confidence branch and log y_n[true class], from the frozen network."""
    inputs, logits = [], []
    for n, segment in enumerate(network.segments):
        exit_block = network.exit_block(n)
        x = segment(x)
        features = exit_block.neck(x)
        answer = exit_block.classifier(features)
        branch = exit_block.confidence
        sees_answer = branch is not None and branch.sees_answer
        inputs.append(torch.cat([features, answer_features(answer)], dim=1) if sees_answer else features)
        logits.append(answer)
    return inputs, log_likelihood(torch.stack(logits, dim=1), labels)


def fit_confidence(
    network: EarlyExitNetwork,
    batches: Callable[[], Iterator[tuple[Tensor, Tensor]]],
    cost: Tensor,
    loss: str,
    cost_weight: float,
    steps: int = STEPS,
    tell: Callable[[str, int, int], None] = lambda phase, done, total: None,
) -> None:
    """Fits all confidence branches with one of `CONFIDENCE_LOSSES`; nothing else of the network changes.

    The linear branch that sees features alone stays behind the largest probability; shown the answer's certainty too
    (`answer_features`), it overtakes it with the paper's own cumulative loss (README, "Numbers").

    Args:
        network: in evaluation mode.
        batches: gives an endless stream of images (batch, channels, h, w) and labels (batch,) on the network's device.
        cost: (exits,) float32.
        tell: called after each step with `confidences`, steps done and their total.
    """
    stream = batches()
    x, labels = next(stream)
    inputs, _ = _look(network, x, labels)
    branches: dict[int, StandardizedBranch] = {}
    for n, z in enumerate(inputs):
        branch = network.exit_block(n).confidence
        if branch is not None:
            branches[n] = StandardizedBranch(z, learned=z.shape[1] - (ANSWER_FEATURES if branch.sees_answer else 0))
    groups = [group for fitted in branches.values() for group in fitted.parameter_groups()]
    optimizer = torch.optim.Adam(groups)
    peaks = [group["lr"] for group in optimizer.param_groups]
    for step in tqdm(range(steps), desc="confidences", file=sys.stderr, disable=None):
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * (1 - step / steps)
        x, labels = next(stream)
        inputs, likelihood = _look(network, x, labels)
        certain = torch.full_like(likelihood[:, 0], torch.inf)
        logits = [branches[n](z) if n in branches else certain for n, z in enumerate(inputs)]
        arguments = (likelihood, torch.stack(logits, dim=1), cost, cost_weight)
        if loss == "tagged":
            value = CONFIDENCE_LOSSES[loss](*arguments, best_exit(likelihood, cost, cost_weight))
        else:
            value = CONFIDENCE_LOSSES[loss](*arguments)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        tell("confidences", step + 1, steps)
    for n, fitted in branches.items():
        branch = network.exit_block(n).confidence
        assert branch is not None
        fitted.fold_into(branch)
