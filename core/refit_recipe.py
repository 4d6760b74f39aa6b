"""What is asked of a refit, as data: which loss, which cost weight, which type of exit. Readable without torch."""

import math
from dataclasses import dataclass

from core.errors import UserError

# what trains the confidence branches; with `unweighted` there are none to speak of
REFIT_LOSSES = ("cumulative", "fused", "normalized", "tagged", "unweighted")
REFIT_EXIT_TYPES = ("pool", "bnpool")
LARGEST_COST_WEIGHT = 1e6


@dataclass(frozen=True)
class RefitRecipe:
    """A refit of all early exits on frozen features.

    Args:
        cost_weight: lambda, 0 or more.
        loss: one of `REFIT_LOSSES`.
        exit_type: one of `REFIT_EXIT_TYPES`.

    Raises:
        UserError: a field is not one of these.
    """

    cost_weight: float
    loss: str = "cumulative"
    exit_type: str = "pool"

    def __post_init__(self) -> None:
        check_cost_weight(self.cost_weight)
        for name, value, choices in (
            ("loss", self.loss, REFIT_LOSSES),
            ("exit type", self.exit_type, REFIT_EXIT_TYPES),
        ):
            if value not in choices:
                raise UserError(f"expected a {name} among {', '.join(choices)}, got {value!r}: choose one of these")

    @property
    def fits_confidences(self) -> bool:
        """Whether the loss trains confidence branches."""
        return self.loss != "unweighted"

    @property
    def suffix(self) -> str:
        """What a kept refit's folder is called behind its parent's name: `refit-cumulative-0.7`."""
        words = ["refit", self.loss]
        if self.fits_confidences:
            words.append(f"{self.cost_weight:.12g}")
        if self.exit_type != "pool":
            words.append(self.exit_type)
        return "-".join(words)


def check_cost_weight(value: float) -> float:
    """The same number.

    Raises:
        UserError: it is negative, not finite or too large to compute with.
    """
    if not (math.isfinite(value) and 0 <= value <= LARGEST_COST_WEIGHT):
        raise UserError(f"expected a cost weight from 0 to {LARGEST_COST_WEIGHT:,.0f}, got {value:g}: type another one")
    return value


def read_cost_weight(text: str) -> float:
    """A cost weight that somebody typed.

    Raises:
        UserError: it is no number, or none of the allowed ones.
    """
    try:
        value = float(text)
    except ValueError:
        shown = text if len(text) <= 40 else text[:39] + "…"
        raise UserError(
            f"expected a cost weight from 0 to {LARGEST_COST_WEIGHT:,.0f}, got {shown!r}: give a number"
        ) from None
    return check_cost_weight(value) + 0.0  # -0 is 0
