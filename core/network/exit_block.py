"""What sits at an exit: a softmax branch and a confidence branch with separate parameters."""

import torch
from torch import Tensor, nn

ANSWER_FEATURES = 4
GRID = 2  # cells along each side


def answer_features(logits: Tensor) -> Tensor:
    """How sure the softmax branch is, as four numbers that a linear branch can weigh.

    They are log p1, log(1 - p1), log p2 and the entropy, p1 >= p2 the two largest probabilities. A linear branch on
    pooled features cannot express "the largest of several", which is what these add. No gradient flows back.

    Args:
        logits: (batch, classes), two classes or more.

    Returns:
        (batch, 4) float32, logarithms cut at -15.
    """
    log_p = torch.log_softmax(logits.detach().float(), dim=1)
    ordered = log_p.sort(dim=1, descending=True).values
    first, rest = ordered[:, 0], ordered[:, 1:]
    entropy = -(log_p.exp() * log_p).sum(dim=1)
    columns = [first, rest.logsumexp(dim=1), rest[:, 0], entropy]
    return torch.stack(columns, dim=1).clamp(min=-15.0)  # (batch, 4)


class ConfidenceBranch(nn.Module):
    """A linear layer to one number, the logit of the confidence h.

    Args:
        features: length of the feature vector.
        sees_answer: whether the softmax branch's certainty is an input too (ours; the paper's sees features only).
    """

    def __init__(self, features: int, sees_answer: bool):
        super().__init__()
        self.sees_answer = sees_answer
        self.linear = nn.Linear(features + (ANSWER_FEATURES if sees_answer else 0), 1)

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """(batch, features), (batch, classes) -> (batch,)."""
        if self.sees_answer:
            features = torch.cat([features, answer_features(logits).to(features.dtype)], dim=1)
        return self.linear(features).squeeze(1)


class ExitBlock(nn.Module):
    """Neck, softmax branch, confidence branch.

    Args:
        neck: feature map (batch, channels, h, w) -> (batch, features).
        classifier: (batch, features) -> logits (batch, classes).
        confidence: the confidence branch, or None where the network must answer anyway and none was trained.
    """

    def __init__(self, neck: nn.Module, classifier: nn.Module, confidence: ConfidenceBranch | None):
        super().__init__()
        self.neck = neck
        self.classifier = classifier
        self.confidence = confidence

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (batch, classes) and the confidence's logit (batch,); +inf (h = 1) without a confidence branch."""
        features = self.neck(x)
        logits = self.classifier(features)
        if self.confidence is None:
            return logits, torch.full_like(logits[:, 0], torch.inf)
        return logits, self.confidence(features, logits)


class NormalizedPool(nn.Sequential):
    """BatchNorm, average over space, flatten: (batch, channels, h, w) -> (batch, channels).

    While training, statistics are those of the feature map. Afterwards BatchNorm is one scale and shift per channel,
    the same before and behind the average and there h x w times cheaper: the network then averages first.
    """

    def forward(self, x: Tensor) -> Tensor:
        norm, pool, flatten = self
        return flatten(pool(norm(x)) if self.training else norm(pool(x)))


def early_exit_block(
    exit_type: str, feature_map: tuple[int, int, int], num_classes: int, sees_answer: bool
) -> ExitBlock:
    """The exit block for a feature map of shape (channels, h, w).

    Args:
        exit_type: `plain` flattens, `pool` averages over space, `bnpool` normalises first (EENets, section 3); `grid`
            (ours) averages over each quarter of the image, so that the answer knows a little about where.
    """
    channels, height, width = feature_map
    if exit_type == "plain":
        neck: nn.Module = nn.Flatten()
        features = channels * height * width
    elif exit_type == "pool":
        neck = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        features = channels
    elif exit_type == "grid":
        neck = nn.Sequential(nn.AdaptiveAvgPool2d(GRID), nn.Flatten())
        features = channels * GRID**2
    else:
        neck = NormalizedPool(nn.BatchNorm2d(channels), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        features = channels
    return ExitBlock(neck, nn.Linear(features, num_classes), ConfidenceBranch(features, sees_answer))
