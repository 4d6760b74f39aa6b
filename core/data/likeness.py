"""Is a picture anything like the ones a network was tested on? Two views, both compared with test images.

Four plain measures of the picture's pixels say *in what* it differs. A distance in the network's own feature space
says *whether* it does. It is the Mahalanobis distance of the pooled features of every exit (Lee et al. 2018, "A simple
unified framework for detecting out-of-distribution samples", here without classes). Why not the energy score: on
MNIST, photographs and noise make the logits larger, not smaller, so their energy calls them typical; and the trace
keeps log-probabilities, from which energy cannot be had. The distance finds them all.

Neither can say that a picture is one of its kind, only that it clearly is not.
"""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Reference:
    """Test images in a network's feature space.

    Args:
        mean, scale: of each feature, (features,).
        precision: inverse of the regularised scatter of the standardised features, (features, features).
        distances: of the test images themselves, rising, (n,); each measured with itself left out, so that a new
            picture is compared fairly.
        available: how many test images there are; `n` of them, evenly spread, were taken.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    precision: NDArray[np.float64]
    distances: NDArray[np.float64]
    available: int

    @property
    def n(self) -> int:
        """How many test images a picture is compared with."""
        return len(self.distances)

    @classmethod
    def fit(cls, features: NDArray[np.float32], available: int | None = None, ridge: float = 0.01) -> "Reference":
        """From the features of test images.

        Args:
            features: (n, features), n of 2 or more.
            available: as above; None for n.
            ridge: added to each standardised feature's variance, so that few images suffice.
        """
        values = features.astype(np.float64)
        n, size = values.shape
        mean, scale = values.mean(axis=0), values.std(axis=0) + 1e-6
        z = (values - mean) / scale
        precision = np.linalg.inv(z.T @ z + ridge * n * np.eye(size))
        q = np.einsum("ij,jk,ik->i", z, precision, z)
        # what leaving image i out of mean and scatter would give (Sherman and Morrison), exactly but for the scale
        wide = n / (n - 1)
        alone = wide**2 * q / np.maximum(1 - wide * q, 1e-12)
        return cls(mean, scale, precision, np.sort(alone), len(values) if available is None else available)

    def distance(self, features: NDArray[np.float32]) -> float:
        """Squared Mahalanobis distance of one picture's features (features,), on the scale of `distances`."""
        z = (features.astype(np.float64) - self.mean) / self.scale
        return float(z @ self.precision @ z)

    def share_nearer(self, features: NDArray[np.float32]) -> float:
        """The share of the test images that are less unusual than a picture, 0..1."""
        return float(np.searchsorted(self.distances, self.distance(features), side="left") / self.n)


def evenly(examples: int, most: int) -> NDArray[np.int64]:
    """Rows of at most that many examples, evenly spread over all."""
    return np.linspace(0, examples - 1, min(examples, most)).round().astype(np.int64)
