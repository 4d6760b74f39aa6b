"""New exits on a frozen network, for any cost weight, in a second or two and without the dataset.

The exit blocks of all early exits are fitted anew, both branches; the last exit stays, for its classifier is the
backbone's own. As in the project's default recipe the softmax branches come first, from their own cross-entropy, so
that none can starve: a convex problem that does not know the cost weight, solved once for all of them. The confidence
branches then follow with the chosen loss, as in `core.training.confidence`.

Everything is a linear layer over pooled features, so the whole training set fits into one step: L-BFGS instead of a
thousand small steps. Exit type `bnpool` in evaluation is one more scale and shift per channel: it gives the answers of
`pool` at a slightly higher cost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from core.checkpoints import Card
from core.errors import UserError
from core.exit_features import PooledFeatures
from core.network.cost import CostTable
from core.network.counting import count_macs
from core.network.early_exit import EarlyExitNetwork
from core.network.exit_block import answer_features
from core.network.registry import assemble
from core.refit_recipe import RefitRecipe
from core.trace import Trace
from core.training.confidence import StandardizedBranch
from core.training.losses import CONFIDENCE_LOSSES, best_exit

SOFTMAX_DECAY = 1e-4  # half of it times the squared weights, on standardised features: an optimum always exists
CONFIDENCE_DECAY = 1e-4
SOFTMAX_STEPS = 100  # L-BFGS steps at most
CONFIDENCE_STEPS = 80
_STEPS_A_CALL = 5
ONE_THREAD = 1  # products of 10,000 x 32 are too small to share: two threads take twice the time waiting
Report = Callable[[float], None]


def _silent(part: float) -> None:
    """Nobody listens."""


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear layer over an exit's pooled features.

    Args:
        weight: float32 (outputs, inputs).
        bias: float32 (outputs,).
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """(examples, inputs) -> (examples, outputs)."""
        answer: NDArray[np.float32] = inputs @ self.weight.T + self.bias
        return answer


def fit_softmax(
    training: PooledFeatures, steps: int = SOFTMAX_STEPS, tolerance: float = 1e-5, report: Report = _silent
) -> list[Linear]:
    """The softmax branch of every early exit, from its own cross-entropy.

    Args:
        training: pooled features and labels.
        steps: of L-BFGS at most, for each exit.
        tolerance: of the largest gradient.
        report: told the part that is done, 0..1; what it raises ends the fit.
    """
    found = []
    for n, values in enumerate(training.pooled):

        def tell(part: float, n: int = n) -> None:
            report((n + part) / len(training.pooled))

        found.append(softmax_regression(values, training.labels, training.classes, steps, tolerance, tell))
    return found


def softmax_regression(
    inputs: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    steps: int = SOFTMAX_STEPS,
    tolerance: float = 1e-5,
    report: Report = _silent,
) -> Linear:
    """Mean cross-entropy plus half of `SOFTMAX_DECAY` times the squared weights of whitened features, minimised.

    Args:
        inputs: (examples, features).
        labels: (examples,) from 0 to classes - 1.
    """
    n = len(inputs)
    mean = inputs.mean(axis=0, dtype=np.float64)
    centred = inputs - mean
    # whitened: one step size suits all directions, and L-BFGS needs a third of the steps
    variance, directions = np.linalg.eigh(centred.T @ centred / n)
    kept = variance > 1e-7 * max(variance.max(), 1e-30)
    whiten = directions[:, kept] / np.sqrt(variance[kept])  # (features, kept)
    x = np.ascontiguousarray(centred @ whiten)
    target = np.zeros((n, classes))
    target[np.arange(n), labels] = 1
    size = (x.shape[1] + 1, classes)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(size)
        logits = x @ weights[:-1] + weights[-1]
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        total = p.sum(axis=1, keepdims=True)
        value = float(np.log(total).mean() - (target * logits).sum() / n)
        p /= total
        error = (p - target) / n
        gradient = np.vstack([x.T @ error + SOFTMAX_DECAY * weights[:-1], error.sum(axis=0)])
        return value + SOFTMAX_DECAY / 2 * float((weights[:-1] ** 2).sum()), gradient.ravel()

    done = 0

    def step(_: NDArray[np.float64]) -> None:
        nonlocal done
        done += 1
        report(min(1.0, done / steps))

    options = {"maxiter": steps, "maxfun": 20 * steps, "gtol": tolerance, "ftol": 0, "maxcor": 20}
    with threadpool_limits(ONE_THREAD):
        found = minimize(loss, np.zeros(size).ravel(), jac=True, method="L-BFGS-B", callback=step, options=options)
    weights = found.x.reshape(size)
    weight = whiten @ weights[:-1]  # (features, classes)
    report(1.0)
    return Linear(weight.T.astype(np.float32), (weights[-1] - mean @ weight).astype(np.float32))


def fit_confidences(
    training: PooledFeatures,
    softmax: Sequence[Linear],
    recipe: RefitRecipe,
    relative_cost: Sequence[float],
    sees_answer: bool,
    steps: int = CONFIDENCE_STEPS,
    report: Report = _silent,
) -> list[Linear]:
    """The confidence branch of every early exit, with the recipe's loss at its cost weight.

    Args:
        training: pooled features and labels.
        softmax: the fitted softmax branches.
        relative_cost: c_1..c_N.
        sees_answer: whether the branches see the softmax branches' certainty besides the features.
        steps: of L-BFGS at most.
        report: told the part that is done, 0..1; what it raises ends the fit.

    Returns:
        Linear layers to one number; of zeros (h = 1/2 for everybody) where the loss knows no confidences.
    """
    inputs, likelihood = _look(training, softmax, sees_answer)
    learned = [values.shape[1] for values in training.pooled]
    branches = [StandardizedBranch(z, learned=width) for z, width in zip(inputs, learned, strict=True)]
    if recipe.fits_confidences:
        _fit_branches(branches, inputs, likelihood, recipe, relative_cost, steps, report)
    found = []
    for branch in branches:
        weight = (torch.cat([branch.features, branch.answer]) / branch.std).detach()
        bias = branch.bias.detach() - weight @ branch.mean
        found.append(Linear(weight[None].numpy(), bias.numpy()))
    return found


def _look(training: PooledFeatures, softmax: Sequence[Linear], sees_answer: bool) -> tuple[list[Tensor], Tensor]:
    """Inputs of every early exit's confidence branch, and log y_n[true class] (examples, exits)."""
    labels = torch.from_numpy(training.labels)
    inputs, likelihood = [], []
    for values, branch in zip(training.pooled, softmax, strict=True):
        logits = torch.from_numpy(branch(values))
        features = torch.from_numpy(values)
        inputs.append(torch.cat([features, answer_features(logits)], dim=1) if sees_answer else features)
        likelihood.append(_true_class(logits, labels))
    likelihood.append(_true_class(torch.from_numpy(training.last_logits), labels))
    return inputs, torch.stack(likelihood, dim=1)


def _true_class(logits: Tensor, labels: Tensor) -> Tensor:
    return torch.log_softmax(logits, dim=1).gather(1, labels[:, None]).squeeze(1)


def _fit_branches(
    branches: Sequence[StandardizedBranch],
    inputs: Sequence[Tensor],
    likelihood: Tensor,
    recipe: RefitRecipe,
    relative_cost: Sequence[float],
    steps: int,
    report: Report,
) -> None:
    cost = torch.tensor(relative_cost, dtype=torch.float32)
    standard = [(z - branch.mean) / branch.std for z, branch in zip(inputs, branches, strict=True)]
    certain = torch.full_like(likelihood[:, 0], torch.inf)  # the last exit answers anyway
    parameters = [parameter for branch in branches for parameter in branch.parameters()]
    tags = (best_exit(likelihood, cost, recipe.cost_weight),) if recipe.loss == "tagged" else ()
    scale = 1 / (1 + recipe.cost_weight)  # the same tolerances for all cost weights
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=_STEPS_A_CALL, history_size=20, line_search_fn="strong_wolfe", tolerance_change=1e-9
    )

    def value() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        logits = [
            z @ torch.cat([branch.features, branch.answer]) + branch.bias
            for z, branch in zip(standard, branches, strict=True)
        ]
        stacked = torch.stack([*logits, certain], dim=1)
        loss = CONFIDENCE_LOSSES[recipe.loss](likelihood, stacked, cost, recipe.cost_weight, *tags)
        squares = sum((p**2).sum() for branch in branches for p in (branch.features, branch.answer))
        total = scale * loss + CONFIDENCE_DECAY / 2 * squares
        total.backward()
        return total

    with torch.enable_grad(), threadpool_limits(ONE_THREAD):
        for step in range(0, steps, _STEPS_A_CALL):
            optimizer.step(value)
            report(min(1.0, (step + _STEPS_A_CALL) / steps))


def warm_up() -> None:
    """Has torch load what its optimizers load when first used, so that a refit does not wait for it."""
    number = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([number], max_iter=1)

    def value() -> Tensor:
        optimizer.zero_grad()
        loss = ((number - 1) ** 2).sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(value)


def refit_cost(card: Card, exit_type: str) -> CostTable:
    """What the network costs with exits of another type at the same places."""
    if exit_type == card.spec.exit_type:
        return card.cost
    spec = replace(card.spec, exit_type=exit_type)
    network = assemble(spec, card.cost.exit_after).eval()
    macs = [
        count_macs(network.exit_block(n), torch.zeros(1, *shape)) for n, shape in enumerate(network.feature_maps()[:-1])
    ]
    return replace(card.cost, exit_macs=tuple(macs))


def refit_trace(
    features: PooledFeatures,
    softmax: Sequence[Linear],
    confidences: Sequence[Linear],
    sees_answer: bool,
    relative_cost: Sequence[float],
    checkpoint_hash: str,
) -> Trace:
    """What the refitted network answers, without running it: the backbone's part is in the features.

    Args:
        features: of the split to record, `test` say.
        checkpoint_hash: SHA-256 of the refitted weights, or any other name for them.
    """
    logits, scores = [], []
    for values, answer, confidence in zip(features.pooled, softmax, confidences, strict=True):
        answered = answer(values)
        inputs = values
        if sees_answer:
            inputs = np.concatenate([values, answer_features(torch.from_numpy(answered)).numpy()], axis=1)
        logits.append(answered)
        scores.append(confidence(inputs)[:, 0])
    logits.append(features.last_logits)
    scores.append(np.full(features.n, np.inf, np.float32))
    return Trace.from_outputs(
        np.stack(logits, axis=1),
        np.stack(scores, axis=1),
        features.labels,
        features.ids,
        relative_cost,
        checkpoint_hash,
        features.split,
    )


def refitted_network(
    base: EarlyExitNetwork, card: Card, exit_type: str, softmax: Sequence[Linear], confidences: Sequence[Linear]
) -> EarlyExitNetwork:
    """The frozen network with the new exit blocks, in evaluation mode on the CPU.

    Args:
        base: the network the features were made with.
        card: its card.

    Raises:
        UserError: the branches belong to another network.
    """
    made = assemble(replace(card.spec, exit_type=exit_type), card.cost.exit_after).eval()
    early = card.spec.num_early_exits
    own = made.state_dict()
    last = f"exits.{early}."
    kept = {
        name: value.detach().cpu()
        for name, value in base.state_dict().items()
        if not name.startswith("exits.") or name.startswith(last)
    }
    own.update(kept)
    made.load_state_dict(own)
    with torch.no_grad():
        for n, (answer, confidence) in enumerate(zip(softmax, confidences, strict=True)):
            block = made.exit_block(n)
            assert block.confidence is not None
            if exit_type == "bnpool":  # scale and shift are in the linear layers: BatchNorm is left to do nothing
                norm = block.neck.get_submodule("0")
                assert isinstance(norm, nn.BatchNorm2d)
                norm.weight.fill_((1 + norm.eps) ** 0.5)
            for layer, fitted in ((block.classifier, answer), (block.confidence.linear, confidence)):
                assert isinstance(layer, nn.Linear)
                if tuple(layer.weight.shape) != fitted.weight.shape:
                    raise UserError(
                        f"expected features of {layer.in_features} channels at exit {n + 1}, "
                        f"got {fitted.weight.shape[1]}: make the features again"
                    )
                layer.weight.copy_(torch.from_numpy(fitted.weight))
                layer.bias.copy_(torch.from_numpy(fitted.bias))
    return made
