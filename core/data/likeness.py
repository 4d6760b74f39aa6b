"""Is a picture anything like the ones a network was tested on? Four plain measures, compared with all of them.

They cannot say that a picture is one of its kind, only that it clearly is not.
"""

import numpy as np
from numpy.typing import NDArray

# measure -> what a picture is that has more of it, and less of it
_WORDS = (
    ("brighter", "darker"),
    ("richer in contrast", "flatter"),
    ("busier", "plainer"),
    ("more colourful", "less colourful"),
)
RARE = 0.0005  # share of the known pictures beyond a value that makes it unlike them


def measures(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness, contrast, detail and, in colour, colourfulness of pictures.

    Args:
        images: (n, channels, height, width).

    Returns:
        (n, 3) for grey, (n, 4) for colour, on the scale of pixels 0..255: mean; standard deviation; mean difference
        between neighbours; mean distance of the largest to the smallest channel.
    """
    columns = []
    for part in np.array_split(images, max(1, len(images) // 1_000)):  # in parts, for the memory's sake
        x = part.astype(np.float32)
        across = np.abs(np.diff(x, axis=3)).mean(axis=(1, 2, 3)) if x.shape[3] > 1 else np.zeros(len(x), np.float32)
        down = np.abs(np.diff(x, axis=2)).mean(axis=(1, 2, 3)) if x.shape[2] > 1 else np.zeros(len(x), np.float32)
        values = [x.mean(axis=(1, 2, 3)), x.std(axis=(1, 2, 3)), (across + down) / 2]
        if x.shape[1] > 1:
            values.append((x.max(axis=1) - x.min(axis=1)).mean(axis=(1, 2)))
        columns.append(np.stack(values, axis=1))
    return np.concatenate(columns).astype(np.float32)


def unlike(picture: NDArray[np.uint8], known: NDArray[np.float32]) -> tuple[str, ...]:
    """In what a picture is out of the ordinary, in words; empty where it is within the range of the known ones.

    Args:
        picture: (channels, height, width), as the network sees it.
        known: `measures` of the pictures to compare with, of the same shape.
    """
    found = []
    for value, others, (more, less) in zip(measures(picture[None])[0], known.T, _WORDS, strict=False):
        below, above = float((others < value).mean()), float((others > value).mean())
        if above <= RARE < below:
            found.append(f"{more} than {_share(below)}")
        elif below <= RARE < above:
            found.append(f"{less} than {_share(above)}")
    return tuple(found)


def _share(part: float) -> str:
    return "all" if part == 1 else f"{100 * part:.2f} %"
