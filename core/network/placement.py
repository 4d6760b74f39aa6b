"""Where early exits go: at fractions of the backbone's running MACs (EENets, section 3.1)."""

from collections.abc import Callable, Sequence

from core.errors import UserError

# fraction of the total MACs at which early exit i = 0..K-1 is due
PLACEMENTS: dict[str, Callable[[int, int], float]] = {
    "pareto": lambda i, k: 1 - 0.8 ** (i + 1),
    "fine": lambda i, k: 1 - 0.95 ** (i + 1),
    "linear": lambda i, k: (i + 1) / (k + 1),
    "golden": lambda i, k: 1.618 ** (i - k),
}


def place_exits(block_macs: Sequence[int], total_macs: int, num_early_exits: int, placement: str) -> tuple[int, ...]:
    """The block each early exit follows: the first at which the running MACs reach the exit's fraction.

    Args:
        block_macs: MACs of every block, the stem first. No exit follows the stem or the last block.
        total_macs: MACs of the whole plain network.
        num_early_exits: K >= 0.
        placement: one of `PLACEMENTS`.

    Raises:
        UserError: more exits than fit; the message says how many do.
    """
    fractions = [PLACEMENTS[placement](i, num_early_exits) for i in range(num_early_exits)]
    blocks: list[int] = []
    running = block_macs[0]
    for block in range(1, len(block_macs) - 1):
        running += block_macs[block]
        if len(blocks) < num_early_exits and running >= fractions[len(blocks)] * total_macs:
            blocks.append(block)
    if len(blocks) < num_early_exits:
        raise UserError(
            f"expected at most {len(blocks)} early exits with placement {placement} on this network, "
            f"got {num_early_exits}: ask for fewer exits or another placement"
        )
    return tuple(blocks)
