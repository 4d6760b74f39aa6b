"""The training loop: resumable after every epoch, the same weights whether it was interrupted or not."""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from core.checkpoints import CHECKPOINTS, load_network
from core.data.datasets import ImageSet
from core.data.preprocess import Preprocessing, is_light
from core.errors import UserError
from core.network.early_exit import EarlyExitNetwork, ExitOutputs
from core.network.layout import fast_layout
from core.network.registry import build_network
from core.training.augment import augment
from core.training.losses import (
    CONFIDENCE_LOSSES,
    best_exit,
    fused,
    log_likelihood,
    tagged,
    unweighted,
)
from core.training.muon import Muon
from core.training.recipe import Recipe, check_parent
from core.training.state import Progress, load_state, save_state, write_history

SURE = 0.9


def fast_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively (10 times slower than float32 where it does not)."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32
    return torch.float32


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 images (n, channels, h, w), in 0..1, four digits."""
    counts = torch.stack([torch.bincount(images[:, c].flatten(), minlength=256) for c in range(images.shape[1])])
    levels = torch.arange(256, dtype=torch.float64) / 255
    shares = counts.double() / counts.sum(dim=1, keepdim=True)  # (channels, 256)
    mean = shares @ levels
    std = (shares @ levels**2 - mean**2).clamp(min=1e-8).sqrt()
    return tuple(round(v, 4) for v in mean.tolist()), tuple(round(v, 4) for v in std.tolist())


def preprocessing_of(data: ImageSet) -> Preprocessing:
    """How the network trained on these images wants its images: their own mean and spread; digits bright on black."""
    _, channels, side, _ = data.images.shape
    mean, std = channel_statistics(torch.from_numpy(data.images))
    digits = channels == 1 and not is_light(data.images[:100].mean(axis=0).astype(np.uint8))
    return Preprocessing(channels=channels, size=side, mean=mean, std=std, invert_if_light=digits)


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer; each group knows its peak rate as `peak`. BatchNorm and biases do not decay."""
    parameters = list(network.parameters())
    filters = [p for p in parameters if p.ndim == 4]
    matrices = [p for p in parameters if p.ndim == 2]
    vectors = [p for p in parameters if p.ndim <= 1]
    if recipe.optimizer == "muon":
        rate = recipe.head_learning_rate
        return Muon(
            [
                {"params": filters, "filters": True, "lr": recipe.learning_rate, "peak": recipe.learning_rate},
                {"params": matrices, "weight_decay": recipe.weight_decay, "lr": rate, "peak": rate},
                {"params": vectors, "lr": rate, "peak": rate},
            ]
        )
    rate = recipe.learning_rate
    groups = [
        {"params": [*filters, *matrices], "weight_decay": recipe.weight_decay, "peak": rate},
        {"params": vectors, "weight_decay": 0.0, "peak": rate},
    ]
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate)
    return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)


def schedule(recipe: Recipe, progress: float) -> float:
    """Share of the peak learning rate at a share 0..1 of the training: up over the first tenth, down a line to 0.

    Adam's rate is constant.
    """
    if recipe.optimizer == "adam":
        return 1.0
    return min(progress / 0.1, (1 - progress) / 0.9)


def training_loss(recipe: Recipe, epoch: int) -> str:
    """Which loss trains the whole network in an epoch (from 0)."""
    if recipe.network.num_early_exits == 0 or recipe.method == "alive":
        return "unweighted"
    if recipe.method == "two-stage":
        return "unweighted" if epoch < math.ceil(recipe.epochs / 2) else "fused"
    return recipe.loss


def batch_loss(
    recipe: Recipe, name: str, outputs: ExitOutputs, labels: Tensor, cost: Tensor, tags: Tensor | None
) -> Tensor:
    """One of the five losses of a batch."""
    likelihood = log_likelihood(outputs.logits, labels)
    if name == "unweighted":
        return unweighted(likelihood, recipe.early_exit_weight)
    confidence = outputs.confidence_logits.float()
    if name == "tagged":
        if tags is None:  # the first epoch has no tags from the one before
            tags = best_exit(likelihood.detach(), cost, recipe.cost_weight)
        return tagged(likelihood, confidence, cost, recipe.cost_weight, tags)
    if name == "fused":
        return fused(likelihood, confidence, cost, recipe.cost_weight)
    return CONFIDENCE_LOSSES[name](likelihood, confidence, cost, recipe.cost_weight)


class EpochMeter:
    """Sums over an epoch that become one line of the history.

    Args:
        num_exits: N.
        by_confidence: examples leave where h >= 1/2; where no confidence is trained, where an answer is at least
            `SURE` likely, which says more than confidences nobody has fitted yet.
    """

    def __init__(self, num_exits: int, by_confidence: bool):
        self.by_confidence = by_confidence
        self.examples = 0
        self.loss = 0.0
        self.right = torch.zeros(num_exits)
        self.left = torch.zeros(num_exits)
        self.cost = 0.0

    def add(self, loss: float, outputs: ExitOutputs, labels: Tensor, cost: Tensor) -> None:
        """Adds a batch: loss, right answers of each exit, and where examples would leave."""
        n = len(labels)
        self.examples += n
        self.loss += n * loss
        self.right += (outputs.logits.argmax(dim=2) == labels[:, None]).sum(dim=0).cpu()
        leaves = outputs.confidence_logits >= 0 if self.by_confidence else outputs.probabilities.amax(dim=2) >= SURE
        leaves[:, -1] = True
        exits = leaves.int().argmax(dim=1)
        self.left += torch.bincount(exits, minlength=len(self.left)).cpu()
        self.cost += float(cost[exits].sum())

    def line(self) -> dict[str, Any]:
        """Means over the epoch; shares sum to 1."""
        n = self.examples
        return {
            "loss": round(self.loss / n, 5),
            "training_accuracy": [round(v, 5) for v in (self.right / n).tolist()],
            "mean_cost": round(self.cost / n, 5),
            "exit_shares": [round(v, 5) for v in (self.left / n).tolist()],
            "leave_when": "confidence >= 0.5" if self.by_confidence else f"probability >= {SURE}",
        }


def start_from(network: EarlyExitNetwork, recipe: Recipe, root: Path) -> None:
    """Takes over the weights of the recipe's parent: all of the same network, of another one the backbone's.

    Raises:
        UserError: no such checkpoint, or it has another backbone.
    """
    parent, card = load_network(str(recipe.parent), root=root)
    check_parent(recipe, card.spec)
    if card.spec == recipe.network:
        network.load_state_dict(parent.state_dict())
        return
    for block, trained in zip(network.blocks(), parent.blocks(), strict=True):
        block.load_state_dict(trained.state_dict())
    last, trained_last = network.exit_block(-1), parent.exit_block(-1)
    last.neck.load_state_dict(trained_last.neck.state_dict())
    last.classifier.load_state_dict(trained_last.classifier.state_dict())


def _batches(order: Tensor, size: int) -> list[Tensor]:
    """Indices in batches; a single last example, of which BatchNorm could learn nothing, joins the batch before."""
    batches = list(order.split(size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _check_smallest(recipe: Recipe) -> None:
    """Raise a UserError where the smallest images of the schedule are too small for the network."""
    if not recipe.resolution:
        return
    side = min(pixels for _, pixels in recipe.resolution)
    shape = (recipe.network.input_shape[0], side, side)
    try:
        build_network(replace(recipe.network, input_shape=shape, num_early_exits=0))
    except UserError as error:
        raise UserError(f"{error}, or train on full size from the first epoch on") from error


def _prepare(recipe: Recipe, device: torch.device, root: Path) -> tuple[EarlyExitNetwork, Tensor, torch.memory_format]:
    """The network at its start, relative costs (exits,), and how tensors lie in memory."""
    _check_smallest(recipe)
    torch.manual_seed(recipe.seed)
    network, costs = build_network(recipe.network)
    if recipe.parent is not None:
        start_from(network, recipe, root)
    layout = fast_layout(network)
    cost = torch.tensor(costs.relative(), dtype=torch.float32, device=device)
    return network.to(device).to(memory_format=layout), cost, layout


def train_network(
    recipe: Recipe,
    data: ImageSet,
    out: Path,
    device: torch.device,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
    root: Path = CHECKPOINTS,
    tell: Callable[[str, int, int], None] = lambda phase, done, total: None,
) -> tuple[EarlyExitNetwork, Progress]:
    """Trains, or goes on training, until the last epoch; the state is in `out` after each.

    The same recipe gives the same weights on the same machine, interrupted or not: an epoch's order and augmentation
    depend on the seed and the epoch's number alone.

    Args:
        data: the part `training` of the dataset.
        report: called with each finished epoch's line of the history.
        root: where the recipe's parent lies.
        tell: called after each step with `training`, the steps done and the steps of all epochs.

    Raises:
        UserError: no such parent, or it has another backbone; a folder of another training; a loss that is not finite.
    """
    network, cost, layout = _prepare(recipe, device, root)
    optimizer = make_optimizer(network, recipe)
    out.mkdir(parents=True, exist_ok=True)
    progress = load_state(out, network, optimizer, recipe.to_json())
    if progress.epoch:
        write_history(out, progress)
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    normalise = preprocessing_of(data).normalise
    precision = fast_precision(device)
    steps = len(_batches(torch.arange(len(labels)), recipe.batch_size))
    while progress.epoch < recipe.epochs:
        epoch, started = progress.epoch, time.perf_counter()
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + epoch)
        order = torch.randperm(len(labels), generator=generator)
        loss_name, side = training_loss(recipe, epoch), recipe.side(epoch)
        new_tags = torch.zeros(len(labels), dtype=torch.int64)
        meter = EpochMeter(network.num_exits, by_confidence=loss_name != "unweighted")
        network.train()
        batches = tqdm(
            _batches(order, recipe.batch_size), desc=f"epoch {epoch + 1}/{recipe.epochs}", file=sys.stderr, disable=None
        )
        for step, index in enumerate(batches):
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * schedule(recipe, (epoch + step / steps) / recipe.epochs)
            x = torch.from_numpy(normalise(augment(images[index], recipe.augmentation, generator).numpy())).to(device)
            if side is not None:
                x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True)
            x = x.contiguous(memory_format=layout)
            y = labels[index].to(device)
            with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                outputs = network(x)
            tags = None if progress.tags is None else progress.tags[index].to(device)
            loss = batch_loss(recipe, loss_name, outputs, y, cost, tags)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                meter.add(loss.item(), outputs, y, cost)
                if loss_name == "tagged":
                    likelihood = log_likelihood(outputs.logits, y)
                    new_tags[index] = best_exit(likelihood, cost, recipe.cost_weight).cpu()
            tell("training", epoch * steps + step + 1, recipe.epochs * steps)
        if not math.isfinite(meter.loss):
            raise UserError(
                f"expected a finite loss, got {meter.loss / meter.examples} in epoch {epoch + 1}: "
                "lower the learning rate"
            )
        if loss_name == "tagged":
            progress.tags = new_tags
        line = {"epoch": epoch + 1, "loss_name": loss_name, **meter.line()}
        line["seconds"] = round(time.perf_counter() - started, 2)
        progress.epoch += 1
        progress.history.append(line)
        save_state(out, network, optimizer, recipe.to_json(), progress)
        report(line)
    return network.eval(), progress
