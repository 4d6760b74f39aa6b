"""Early-exit inference: after each exit the examples that leave are taken out of the batch and only the rest go on."""

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.analysis.rules import check_temperatures, exit_scores, get_rule, sigmoid
from core.analysis.sweep import check_thresholds
from core.errors import UserError
from core.network.cost import CostTable
from core.network.early_exit import EarlyExitNetwork


@dataclass(frozen=True)
class Policy:
    """When an example leaves.

    Args:
        rule: a name in `core.analysis.rules.RULES`.
        thresholds: in 0..1, one for each of the K early exits or one for all; 1 never leaves.
        temperatures: one for each of the N exits, for rules that look at probabilities; None for 1.
    """

    rule: str
    thresholds: tuple[float, ...]
    temperatures: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Execution:
    """What became of n examples.

    Args:
        exits: int64 (n,), the column 0..N-1 at which each left.
        probabilities: float32 (n, classes) at that exit, without temperature.
        scores: float32 (n, N) of the rule, NaN at exits that were not executed.
        seconds: wall-clock time from the first batch to the last answer.
    """

    exits: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    scores: NDArray[np.float32]
    seconds: float

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The top class of each example, (n,)."""
        return self.probabilities.argmax(axis=1)


@dataclass(frozen=True)
class Verdict:
    """What one exit says about one image.

    Args:
        exit: column 0..N-1.
        probabilities: float32 (classes,).
        confidence: h; 1 at a last exit without a confidence branch.
        score: the rule's score, which the threshold is compared with.
        threshold: of this exit; None at the last, which takes whatever is left.
        leaves: whether an image that comes here leaves here.
        executed: whether early-exit inference came here; the others were asked for on request.
        macs: executed when an image leaves here, all exit blocks on the way counted.
        relative_cost: the same over the MACs of the plain network.
        seconds: measured from the image's start to this exit's answer.
    """

    exit: int
    probabilities: NDArray[np.float32]
    confidence: float
    score: float
    threshold: float | None
    leaves: bool
    executed: bool
    macs: int
    relative_cost: float
    seconds: float


@dataclass(frozen=True)
class Story:
    """One image's way through the network.

    Args:
        verdicts: exit 1 first, up to the exit taken, or up to the last on request.
        exit: the column 0..N-1 at which the image leaves.
    """

    verdicts: tuple[Verdict, ...]
    exit: int

    @property
    def taken(self) -> Verdict:
        """The verdict of the exit at which the image leaves."""
        return self.verdicts[self.exit]


def execute(
    network: EarlyExitNetwork,
    images: NDArray[np.float32] | Tensor,
    policy: Policy,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    autocast: bool = False,
) -> Execution:
    """Runs examples until each has left. A pure call: the network is only read, nothing is kept.

    The answers are those of running each image alone, up to the last bits that a device's kernels choose by batch size.

    Args:
        network: in evaluation mode.
        images: preprocessed, (n, channels, h, w).
        policy: the exit rule and its thresholds.
        batch_size: how many examples start together.
        device: where to run; None for where the network is. Elsewhere a copy of the network runs.
        autocast: bfloat16 in convolutions and linear layers.

    Raises:
        UserError: images of another shape, an unknown rule, bad thresholds or temperatures, a batch size below 1.
    """
    network, where = _placed(network, device)
    images = _checked(network, images)
    if batch_size < 1:
        raise UserError(f"expected a batch size of 1 or more, got {batch_size}: use 256")
    n, num_exits = len(images), network.num_exits
    judge = _Judge(policy, num_exits)
    exits = np.full(n, num_exits - 1, np.int64)
    probabilities = np.empty((n, network.num_classes), np.float32)
    scores = np.full((n, num_exits), np.nan, np.float32)
    started = time.perf_counter()
    with torch.inference_mode(), torch.autocast(where.type, torch.bfloat16, enabled=autocast):
        for start in range(0, n, batch_size):
            rows = np.arange(start, min(start + batch_size, n))  # the examples still in the batch
            x = images[start : start + batch_size].to(where)
            seen = judge.nothing_seen()
            for column, (segment, exit_block) in enumerate(zip(network.segments, network.exits, strict=True)):
                x = segment(x)
                logits, confidence_logits = exit_block(x)
                seen = seen.with_exit(_numpy(logits), _numpy(confidence_logits))
                score = judge.score(seen, column)
                scores[rows, column] = score
                leaves = judge.leaves(score, column)
                exits[rows[leaves]] = column
                probabilities[rows[leaves]] = _softmax(seen.logits[leaves, -1])
                if leaves.all():
                    break
                if leaves.any():
                    rows, seen = rows[~leaves], seen.only(~leaves)
                    x = x[torch.from_numpy(np.flatnonzero(~leaves)).to(where)]
    return Execution(exits, probabilities, scores, time.perf_counter() - started)


def run_exit_by_exit(
    network: EarlyExitNetwork,
    image: NDArray[np.float32] | Tensor,
    policy: Policy,
    cost: CostTable,
    beyond: bool = False,
    device: torch.device | str | None = None,
) -> Story:
    """Runs one image and keeps what every exit said.

    Args:
        image: preprocessed, (1, channels, h, w).
        cost: the network's cost table.
        beyond: go on after the exit taken, to hear what the later exits would have said.

    Raises:
        UserError: as `execute`.
    """
    network, where = _placed(network, device)
    image = _checked(network, image)
    if len(image) != 1:
        raise UserError(f"expected one image, got {len(image)}: use execute for many")
    for _ in _walk(network, image, where):  # once unmeasured: a first run pays for allocations and kernel choice
        pass
    judge = _Judge(policy, network.num_exits)
    seen = judge.nothing_seen()
    macs, relative = cost.macs(), cost.relative()
    verdicts: list[Verdict] = []
    taken: int | None = None
    for column, (logits, confidence_logits, seconds) in enumerate(_walk(network, image, where)):
        seen = seen.with_exit(logits, confidence_logits)
        score = judge.score(seen, column)
        leaves = bool(judge.leaves(score, column)[0])
        verdicts.append(
            Verdict(
                exit=column,
                probabilities=_softmax(logits)[0],
                confidence=float(sigmoid(confidence_logits)[0]),
                score=float(score[0]),
                threshold=None if column == network.num_exits - 1 else float(judge.thresholds[column]),
                leaves=leaves,
                executed=taken is None,
                macs=macs[column],
                relative_cost=relative[column],
                seconds=seconds,
            )
        )
        if leaves and taken is None:
            taken = column
            if not beyond:
                break
    return Story(tuple(verdicts), len(verdicts) - 1 if taken is None else taken)


def _walk(
    network: EarlyExitNetwork, image: Tensor, where: torch.device
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], float]]:
    """Logits, confidence logit and seconds so far of each exit in turn; a later exit runs only when it is asked for."""
    started = time.perf_counter()
    spent = 0.0
    x = image.to(where)
    for segment, exit_block in zip(network.segments, network.exits, strict=True):
        with torch.inference_mode():
            x = segment(x)
            logits, confidence_logits = exit_block(x)
        answer = _numpy(logits), _numpy(confidence_logits)  # the copy waits for the device
        spent += time.perf_counter() - started
        yield *answer, spent
        started = time.perf_counter()  # what the caller did in between does not count


@dataclass(frozen=True)
class _Seen:
    """What the exits so far said about the examples still in the batch: as far back as the rule looks."""

    logits: NDArray[np.float32]  # (examples, exits seen, classes)
    confidence_logits: NDArray[np.float32]  # (examples, exits seen)
    keeps_all: bool

    def with_exit(self, logits: NDArray[np.float32], confidence_logits: NDArray[np.float32]) -> "_Seen":
        logits, confidence_logits = logits[:, None], confidence_logits[:, None]
        if self.keeps_all and self.logits.size:
            logits = np.concatenate([self.logits, logits], axis=1)
            confidence_logits = np.concatenate([self.confidence_logits, confidence_logits], axis=1)
        return _Seen(logits, confidence_logits, self.keeps_all)

    def only(self, rows: NDArray[np.bool_]) -> "_Seen":
        return _Seen(self.logits[rows], self.confidence_logits[rows], self.keeps_all)


class _Judge:
    """A policy checked against a network's number of exits."""

    def __init__(self, policy: Policy, num_exits: int):
        self.rule = get_rule(policy.rule)
        self.thresholds = check_thresholds(policy.thresholds, num_exits)  # (K,)
        self.temperatures = check_temperatures(policy.temperatures, num_exits)  # (N,) or None

    def nothing_seen(self) -> _Seen:
        return _Seen(np.empty((0, 0, 0), np.float32), np.empty((0, 0), np.float32), self.rule.needs == "predictions")

    def score(self, seen: _Seen, column: int) -> NDArray[np.float32]:
        """The rule's score at an exit, (examples,)."""
        heard = seen.logits.shape[1]
        temperatures = (
            None if self.temperatures is None else self.temperatures[column + 1 - heard : column + 1].tolist()
        )
        return exit_scores(self.rule.name, seen.logits, seen.confidence_logits, temperatures)[:, -1]

    def leaves(self, score: NDArray[np.float32], column: int) -> NDArray[np.bool_]:
        """Whether each example leaves at an exit, (examples,); all do at the last."""
        if column == len(self.thresholds):
            return np.ones(len(score), np.bool_)
        return score >= self.thresholds[column]


def _placed(network: EarlyExitNetwork, device: torch.device | str | None) -> tuple[EarlyExitNetwork, torch.device]:
    """The network where it shall run; a copy where it is elsewhere, since the caller's is shared."""
    if network.training:
        raise ValueError("the network is in training mode: call network.eval() first")
    home = next(network.parameters()).device
    where = home if device is None else torch.device(device)
    if where.type == home.type and where.index in (None, home.index):
        return network, home
    return copy.deepcopy(network).to(where), where


def _checked(network: EarlyExitNetwork, images: NDArray[np.float32] | Tensor) -> Tensor:
    """Images as a float32 tensor of the network's shape."""
    tensor = torch.as_tensor(images)
    if tensor.ndim != 4 or tuple(tensor.shape[1:]) != network.input_shape or not tensor.is_floating_point():
        wanted = ", ".join(str(size) for size in network.input_shape)
        raise UserError(
            f"expected preprocessed images (n, {wanted}) of floating point numbers, "
            f"got {tuple(tensor.shape)} of {tensor.dtype}: apply the checkpoint's preprocessing first"
        )
    return tensor.float()


def _numpy(values: Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy()


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """(examples, classes) -> probabilities float32."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
