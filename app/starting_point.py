"""Where the handles stand when nothing is said: a point on the calibration split that has something to show."""

import numpy as np

from core.analysis.sweep import Sweep

MOST_AT_ONE_EXIT = 0.97  # above this share nothing is seen of the other exits


def starting_threshold(calibration: Sweep, default: float) -> float:
    """A shared threshold to start with.

    The network's own default, unless it sends nearly everybody to one exit; then the cheapest threshold that is at
    least as accurate as the full network; then, should that be no better, the one that spreads the images most evenly.

    Args:
        calibration: the rule's curve on the calibration split (thresholds are chosen there, never on test).
        default: the threshold of the card or the rule, 0..1.
    """
    shares = calibration.exit_shares  # (rows, exits)
    spread = shares.max(axis=1)
    row = calibration.row(default)
    if spread[row] <= MOST_AT_ONE_EXIT:
        return default
    as_good = np.flatnonzero(calibration.accuracy >= calibration.accuracy[0])
    row = int(as_good[np.argmin(calibration.relative_cost[as_good])])
    if spread[row] > MOST_AT_ONE_EXIT:
        row = int(np.argmin(spread))
    return _inside(calibration, row)


def _inside(calibration: Sweep, row: int) -> float:
    """The number with the fewest digits in a row of the curve: threshold[row + 1] < T <= threshold[row]."""
    high = calibration.threshold[row]
    low = calibration.threshold[row + 1] if row + 1 < len(calibration) else np.float32(0)
    for digits in range(2, 10):
        value = np.floor(float(high) * 10**digits + 1e-9) / 10**digits
        if low < np.float32(value) <= high:
            return float(round(value, digits))
    return float(high)
