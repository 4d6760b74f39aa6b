"""The five losses of EENets (Demir & Akbas 2024, section 3.3), in float32 and log space.

All take the same three things, so that nothing but these numbers decides a loss:

    log_likelihood     (batch, exits)  log y_n[true class], the softmax branches' log probability of the truth
    confidence_logits  (batch, exits)  the logits of h_n; the last exit's matters to `normalized` and `tagged` only
    cost               (exits,)        relative cost c_n of leaving at each exit

Exits run from 1 to N along the last axis; the last one has no choice but to answer.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """log y_n[true class] for logits (batch, exits, classes) and labels (batch,): (batch, exits) float32."""
    log_probabilities = torch.log_softmax(logits.float(), dim=2)
    index = labels.view(-1, 1, 1).expand(-1, logits.shape[1], 1)
    return log_probabilities.gather(2, index).squeeze(2)


def cumulate(log_likelihood: Tensor, confidence_logits: Tensor, cost: Tensor) -> tuple[Tensor, Tensor]:
    """log Y_n[true class] and C_n, what the network says and spends from exit n on, both (batch, exits).

    Y_N = y_N, C_N = c_N, then backwards Y_n = h_n y_n + (1 - h_n) Y_{n+1} and C_n alike (EENets, equations 2 and 3).
    """
    log_h, log_pass = F.logsigmoid(confidence_logits), F.logsigmoid(-confidence_logits)
    log_y = [log_likelihood[:, -1]]
    spent = [cost[-1].expand(len(log_likelihood))]
    for n in range(log_likelihood.shape[1] - 2, -1, -1):
        h = log_h[:, n].exp()
        log_y.append(torch.logaddexp(log_h[:, n] + log_likelihood[:, n], log_pass[:, n] + log_y[-1]))
        spent.append(h * cost[n] + (1 - h) * spent[-1])
    return torch.stack(log_y[::-1], dim=1), torch.stack(spent[::-1], dim=1)


def unweighted(log_likelihood: Tensor, early_exit_weight: float = 1.0) -> Tensor:
    """v0: sum over exits of NLL(y_n), the early ones times `early_exit_weight` (1 in the paper)."""
    nll = -log_likelihood.mean(dim=0)
    return early_exit_weight * nll[:-1].sum() + nll[-1]


def fused(log_likelihood: Tensor, confidence_logits: Tensor, cost: Tensor, cost_weight: float) -> Tensor:
    """v1: NLL(Y_1) + lambda mean(C_1)."""
    log_y, spent = cumulate(log_likelihood, confidence_logits, cost)
    return -log_y[:, 0].mean() + cost_weight * spent[:, 0].mean()


def cumulative(log_likelihood: Tensor, confidence_logits: Tensor, cost: Tensor, cost_weight: float) -> Tensor:
    """v2, the paper's: sum over n = 1..N of NLL(Y_n) + lambda mean(C_n)."""
    log_y, spent = cumulate(log_likelihood, confidence_logits, cost)
    return (cost_weight * spent - log_y).mean(dim=0).sum()


def normalized(log_likelihood: Tensor, confidence_logits: Tensor, cost: Tensor, cost_weight: float) -> Tensor:
    """v3: sum over n of w_n (NLL(y_n) + lambda c_n), w_n the exits' shares of the batch-mean confidence."""
    mean_h = torch.sigmoid(confidence_logits).mean(dim=0)
    weights = mean_h / mean_h.sum()
    return (weights * (cost_weight * cost - log_likelihood.mean(dim=0))).sum()


def best_exit(log_likelihood: Tensor, cost: Tensor, cost_weight: float) -> Tensor:
    """The tag of each example, argmin_n NLL(y_n) + lambda c_n: (batch,) int64 from 0, the earliest of equals."""
    return (cost_weight * cost - log_likelihood).argmin(dim=1)


def tagged(log_likelihood: Tensor, confidence_logits: Tensor, cost: Tensor, cost_weight: float, tags: Tensor) -> Tensor:
    """v4: NLL at each example's tagged exit + lambda mean cost of these exits + sum over n of the BCE of h_n.

    The target of h_n is "tag = n"; positives weigh 1 - rho_n and negatives rho_n, rho_n the batch share tagged n.

    Args:
        tags: (batch,) int64, exits from 0; see `best_exit`.
    """
    nll = -log_likelihood.gather(1, tags[:, None]).mean()
    target = F.one_hot(tags, log_likelihood.shape[1]).float()  # (batch, exits)
    rho = target.mean(dim=0)
    weight = torch.where(target.bool(), 1 - rho, rho)
    trained = confidence_logits.isfinite()  # a last exit without a confidence branch says h = 1, always
    logits = torch.where(trained, confidence_logits, torch.zeros_like(confidence_logits))
    bce = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="none")
    return nll + cost_weight * cost[tags].mean() + (bce * trained).mean(dim=0).sum()


# the losses that train confidences, by the names of the command line; `tagged` takes its tags besides
CONFIDENCE_LOSSES: dict[str, Callable[..., Tensor]] = {
    "fused": fused,
    "cumulative": cumulative,
    "normalized": normalized,
    "tagged": tagged,
}
LOSSES = (*CONFIDENCE_LOSSES, "unweighted")
