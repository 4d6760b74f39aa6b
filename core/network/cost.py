"""What an exit costs, in multiply-accumulates (MACs; 1 MAC = 2 FLOPs). Readable without torch."""

from dataclasses import dataclass

METHOD = "fvcore, relu 1 per output element, max_pool2d 1 per input element"
ACCOUNTINGS = ("executed", "paper")


@dataclass(frozen=True)
class CostTable:
    """MACs for one image.

    Args:
        block_macs: every backbone block, the stem first.
        exit_macs: every early exit block, both branches.
        final_macs: the backbone's own neck and classifier.
        exit_after: for each early exit the block it follows.
    """

    block_macs: tuple[int, ...]
    exit_macs: tuple[int, ...]
    final_macs: int
    exit_after: tuple[int, ...]

    @property
    def plain_macs(self) -> int:
        """The backbone without early exits: what every relative cost is divided by."""
        return sum(self.block_macs) + self.final_macs

    def macs(self, accounting: str = "executed") -> tuple[int, ...]:
        """MACs of an example that leaves at each exit 1..N.

        Args:
            accounting: `executed` counts every exit block evaluated on the way; `paper` (EENets, section 3.2) counts
                only the block of the exit taken, and takes the last exit for the plain network.
        """
        if accounting not in ACCOUNTINGS:
            raise ValueError(f"accounting is one of {ACCOUNTINGS}, not {accounting!r}")
        executed = accounting == "executed"
        totals, tried = [], 0
        for block, macs in zip(self.exit_after, self.exit_macs, strict=True):
            tried = tried + macs if executed else macs
            totals.append(sum(self.block_macs[: block + 1]) + tried)
        return (*totals, self.plain_macs + (tried if executed else 0))

    def relative(self, accounting: str = "executed") -> tuple[float, ...]:
        """c_1..c_N: MACs of leaving at each exit over the MACs of the plain backbone."""
        return tuple(macs / self.plain_macs for macs in self.macs(accounting))
