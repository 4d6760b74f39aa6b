"""How a trace's arrays are written to its file: bytes that compress, and rounded scores for the files of a zoo."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from core.analysis.rules import Scores, as_scores

_COMPACT_BITS = 8  # of a score's distance below 1: about 0.4 % of it
_CODE_BITS = 11  # that two bytes of a file have room for, as many as float16
_SHARES = 64  # steps of a share
_ONE = np.float32(1).view(np.int32)


def _from_predicted(predicted: NDArray[np.int16], classes: int, back: bool = False) -> NDArray[np.int64]:
    """Indices (examples, exits, classes) that count the classes from the predicted one on, or back from there."""
    offsets = -predicted[..., None].astype(np.int64) if back else predicted[..., None].astype(np.int64)
    return (np.arange(classes) + offsets) % classes


def pack_table(table: NDArray[np.float16], predicted: NDArray[np.int16]) -> tuple[NDArray, NDArray]:
    """The class table as its distinct values and byte planes of their ranks (2, exits, classes, examples).

    Classes are counted from the predicted one on, so that the large values lie together and compress.
    """
    values, ranks = np.unique(table, return_inverse=True)
    order = _from_predicted(predicted, table.shape[2])
    ranks = np.take_along_axis(ranks.reshape(table.shape).astype(np.uint16), order, axis=2)
    return values, _pack_bytes(ranks.transpose(1, 2, 0))


def unpack_table(values: NDArray, planes: NDArray, predicted: NDArray[np.int16], classes: int) -> NDArray[np.float16]:
    """The inverse of `pack_table`."""
    ranks = _unpack_bytes(planes, "<u2").transpose(2, 0, 1)
    if values.dtype != np.float16 or values.ndim != 1 or np.isnan(values).any():
        raise ValueError("the class table is not float16")
    if ranks.shape != (*predicted.shape, classes) or (ranks.size and ranks.max() >= len(values)):
        raise ValueError("the class table does not fit")
    return np.take_along_axis(values[ranks], _from_predicted(predicted, classes, back=True), axis=2)


def _pack_bytes(array: NDArray) -> NDArray[np.uint8]:
    """Split numbers into planes of equal bytes, (bytes, ...): high bytes alike lie together and compress."""
    array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
    planes = array.view(np.uint8).reshape(*array.shape, array.dtype.itemsize)
    return np.ascontiguousarray(np.moveaxis(planes, -1, 0))


def _unpack_bytes(planes: NDArray[np.uint8], dtype: str) -> NDArray:
    """The inverse of `_pack_bytes`."""
    if planes.dtype != np.uint8 or planes.shape[0] != np.dtype(dtype).itemsize:
        raise ValueError("byte planes of another type")
    joined = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    return joined.view(dtype)[..., 0].astype(np.dtype(dtype).newbyteorder("="))


def _distance(scores: NDArray[np.float32]) -> NDArray[np.int32]:
    """How far float32 in 0..1 lies below 1, in float steps."""
    return _ONE - (scores + np.float32(0)).view(np.int32)  # + 0 turns -0 into 0


def _spare_bits(distance: NDArray[np.int32], bits: int) -> NDArray[np.int32]:
    """How many of its last bits a number has beyond its first `bits`."""
    return np.maximum(np.frexp(distance.astype(np.float64))[1] - bits, 0).astype(np.int32)


def round_scores(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores whose distance below 1 has at most `_COMPACT_BITS` significant bits, rounded up; order is kept."""
    distance = _distance(scores)
    spare = _spare_bits(distance, _COMPACT_BITS)
    return (_ONE - (distance >> spare << spare)).view(np.float32)


def pack_scores(scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """float32 in 0..1 (examples, exits) as byte planes (bytes, exits, examples) of its distance below 1 in float steps.

    Four bytes, or two where the scores are those of a compact trace: the bits that count, and how often to double them.
    """
    distance = _distance(scores.T)
    spare = _spare_bits(distance, _CODE_BITS)
    digits = distance >> spare
    if (digits << spare == distance).all():
        return _pack_bytes((digits + (spare << (_CODE_BITS - 1))).astype(np.uint16))
    return _pack_bytes(distance)


def unpack_scores(planes: NDArray[np.uint8], name: str) -> NDArray[np.float32]:
    """The inverse of `pack_scores`, (examples, exits)."""
    if planes.shape[0] == 2:
        code = _unpack_bytes(planes, "<u2").astype(np.int32)
        spare = np.maximum((code >> (_CODE_BITS - 1)) - 1, 0)
        if (spare > 31 - _CODE_BITS).any():
            raise ValueError(f"{name} is outside 0..1")
        distance = (code - (spare << (_CODE_BITS - 1))) << spare
    else:
        distance = _unpack_bytes(planes, "<i4")
    scores = np.ascontiguousarray((_ONE - distance).T).view(np.float32)
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(f"{name} is outside 0..1")
    return scores


def code_open_shares(scores: Mapping[str, Scores], classes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Margin and entropy told by what the largest probability p leaves open: two shares in steps of 1/64.

    Args:
        scores: `probability`, `margin` and `entropy`, each (examples, exits).

    Returns:
        The second largest probability's share of 1 - p; how evenly 1 - p is spread, its entropy over log(classes - 1).
    """
    p, margin, entropy = (scores[name].astype(np.float64) for name in ("probability", "margin", "entropy"))
    rest = 1 - p  # above 0: scores are cut below 1
    second = (p - margin) / rest
    spread = np.zeros_like(p)
    if classes > 2:
        spread = ((1 - entropy) * np.log(classes) - _two_way_entropy(p)) / (rest * np.log(classes - 1))
    return _as_share_codes(second), _as_share_codes(spread)


def decode_open_shares(
    p: Scores, second: NDArray[np.uint8], spread: NDArray[np.uint8], classes: int
) -> tuple[Scores, Scores]:
    """Margin and entropy from the largest probability and the codes of `code_open_shares`: within (1 - p) / 128 of what
    they were, where p was not rounded."""
    if (
        second.shape != p.shape
        or spread.shape != p.shape
        or max(second.max(initial=0), spread.max(initial=0)) > _SHARES
    ):
        raise ValueError("shares outside 0..1")
    if classes < 2:
        return p, p  # as the rules define them
    exact = p.astype(np.float64)
    rest = 1 - exact
    margin = exact - second / _SHARES * rest
    bits = _two_way_entropy(exact) + spread / _SHARES * rest * np.log(max(classes - 1, 1))
    return as_scores(margin), as_scores(1 - bits / np.log(classes))


def _as_share_codes(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.rint(np.clip(shares, 0, 1) * _SHARES).astype(np.uint8)


def _two_way_entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy of being the likeliest class or not, in nats; 0 < p < 1."""
    return -p * np.log(p) - (1 - p) * np.log1p(-p)
