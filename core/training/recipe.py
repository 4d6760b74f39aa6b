"""What a training does, as data: everything that decides the weights, and nothing else. Readable without torch."""

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from core.errors import UserError
from core.network.spec import NetworkSpec, backbone

LOSSES = ("fused", "cumulative", "normalized", "tagged", "unweighted")
METHODS = ("alive", "end-to-end", "two-stage")
AUGMENTATIONS = ("none", "shift", "crop-flip")
SMALLEST_SIDE = 4  # pixels
LARGEST_BATCH = 65_536


@dataclass(frozen=True)
class Recipe:
    """A training from the first epoch to the fitted confidences.

    Args:
        dataset: `mnist`, `cifar10` or a path to a folder or zip of one folder per class.
        network: what is trained.
        loss: one of `LOSSES`.
        cost_weight: lambda >= 0.
        epochs: passes over the training images.
        method: `alive` (the default): the softmax branches of all exits learn from their own cross-entropy, so that
            none can starve, and the confidence branches are then fitted with `loss` on the frozen network.
            `end-to-end`: the paper's way, `loss` alone trains everything.
            `two-stage`: `unweighted` for half of the epochs, then `fused`.
        early_exit_weight: weight of each early exit's cross-entropy in `unweighted` (1 in the paper).
        optimizer: `muon` (see `core.training.muon`) or `sgd` (Nesterov momentum 0.9), both with a one-cycle learning
            rate, or `adam` (constant learning rate).
        learning_rate: its peak; for `muon` the share of their length by which filters turn in a step.
        head_learning_rate: the peak for what is no filter under `muon`: BatchNorm, linear layers, biases.
        weight_decay: on convolution and linear weights, not on BatchNorm and biases.
        augmentation: `none`, `shift` (up to 2 pixels, digits) or `crop-flip` (4 pixels and mirroring, photos).
        resolution: pairs (share of epochs, side in pixels); early epochs on smaller images cost less. Empty: full size.
        seed: of the weights, the order of the examples and their augmentation.
        parent: name of a checkpoint whose weights the training starts from; None: fresh weights. Of another network
            with the same backbone, the plain counterpart for one, the backbone is taken and the exit blocks are fresh.
    """

    dataset: str
    network: NetworkSpec
    loss: str = "cumulative"
    cost_weight: float = 1.0
    epochs: int = 30
    method: str = "alive"
    early_exit_weight: float = 0.25
    batch_size: int = 128
    optimizer: str = "muon"
    learning_rate: float = 0.03
    head_learning_rate: float = 0.1
    weight_decay: float = 5e-4
    augmentation: str = "crop-flip"
    resolution: tuple[tuple[float, int], ...] = ()
    seed: int = 0
    parent: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "resolution", tuple((float(s), int(p)) for s, p in self.resolution))
        for name, choices in (
            ("loss", LOSSES),
            ("method", METHODS),
            ("augmentation", AUGMENTATIONS),
            ("optimizer", ("muon", "sgd", "adam")),
        ):
            if getattr(self, name) not in choices:
                raise UserError(f"expected {name} among {', '.join(choices)}, got {getattr(self, name)!r}")
        if not (math.isfinite(self.cost_weight) and self.cost_weight >= 0):
            raise UserError(f"expected a cost weight of 0 or more, got {self.cost_weight}")
        if not (math.isfinite(self.early_exit_weight) and self.early_exit_weight >= 0):
            raise UserError(f"expected a weight of the early exits of 0 or more, got {self.early_exit_weight}")
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"expected {name} of 1 or more, got {getattr(self, name)}")
        if self.batch_size > LARGEST_BATCH:
            raise UserError(f"expected batch_size of at most {LARGEST_BATCH}, got {self.batch_size}")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"expected a seed from 0 to {2**31 - 1}, got {self.seed}")
        self._check_resolution()
        for rate in (self.learning_rate, self.head_learning_rate):
            if not (math.isfinite(rate) and rate > 0):
                raise UserError(f"expected a learning rate above 0, got {rate}")
        if self.resolution and self.network.exit_type == "plain" and self.network.num_early_exits:
            raise UserError(
                "expected exit type pool, bnpool or grid with smaller images, got plain: its heads have one size"
            )

    def _check_resolution(self) -> None:
        largest = max(self.network.input_shape[1:])
        for share, side in self.resolution:
            if not 0 < share <= 1 or not SMALLEST_SIDE <= side <= largest:
                raise UserError(
                    f"expected smaller images as shares in 0..1 and sides of {SMALLEST_SIDE} to {largest} pixels, "
                    f"got {share:g}:{side}"
                )
        if sum(share for share, _ in self.resolution) > 1 + 1e-9:
            raise UserError(f"expected shares of the epochs of at most 1 together, got {self.resolution}")

    def side(self, epoch: int) -> int | None:
        """Side in pixels of the training images in an epoch (from 0), None for full size."""
        passed = 0.0
        for share, pixels in self.resolution:
            passed += share
            if epoch < passed * self.epochs:
                return pixels
        return None

    def to_json(self) -> dict[str, Any]:
        """Plain values for the card and the resumable state."""
        values = asdict(self)
        return values | {
            "network": self.network.to_json(),
            "resolution": [list(pair) for pair in self.resolution],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Recipe":
        """Inverse of `to_json`."""
        known = {field.name for field in fields(cls)}
        if set(values) - known:
            raise UserError(f"expected recipe fields among {sorted(known)}, got {sorted(set(values) - known)}")
        return cls(**values | {"network": NetworkSpec.from_json(values["network"])})


def default_recipe(dataset: str, network: NetworkSpec, **changes: Any) -> Recipe:
    """The recipe that trains well: every exit alive, one-cycle Muon; digits are shifted, photos cropped."""
    base = Recipe(
        dataset,
        network,
        # digits are not the same mirrored
        augmentation="shift" if network.input_shape[0] == 1 or dataset == "svhn" else "crop-flip",
        # flattened heads have thousands of inputs: at 0.2 they diverge
        head_learning_rate=0.05 if network.exit_type == "plain" and network.num_early_exits else 0.1,
    )
    return replace(base, **changes)


def paper_recipe(dataset: str, network: NetworkSpec, **changes: Any) -> Recipe:
    """The paper's: its loss alone, end to end, confidences from features, Adam 1e-3, batches of 32."""
    papers: dict[str, Any] = {
        "method": "end-to-end",
        "early_exit_weight": 1.0,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "weight_decay": 1e-4,
        "batch_size": 32,
    }
    return default_recipe(dataset, replace(network, confidence_input="features"), **papers | changes)


PRESETS = {"default": default_recipe, "paper": paper_recipe}


def check_parent(recipe: Recipe, parent: NetworkSpec) -> None:
    """Raises UserError where the parent's backbone is another than that of the network to train."""
    if backbone(parent) != backbone(recipe.network):
        raise UserError(
            f"expected a parent with the backbone of the network to train, got {recipe.parent}, which has another one "
            f"({parent} for {recipe.network}): choose the same model, input shape, classes, stem and width"
        )
