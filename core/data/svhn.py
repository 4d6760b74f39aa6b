"""SVHN, house numbers seen from the street: MATLAB files with one array of images and one of labels."""

from pathlib import Path

import numpy as np

from core.errors import UserError

SVHN_CLASSES = tuple(str(digit) for digit in range(10))
FILES = {True: "train_32x32.mat", False: "test_32x32.mat"}


def read_svhn(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of an official file.

    Args:
        path: `train_32x32.mat` or `test_32x32.mat`: X (32, 32, 3, n) uint8 and y (n, 1), where 10 is the digit 0.

    Returns:
        (n, 3, 32, 32) uint8 and (n,) int64 in 0..9.

    Raises:
        UserError: no such file.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(str(path), variable_names=("X", "y"))
        images, labels = content["X"], content["y"].reshape(-1)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, MatReadError) as error:
        raise UserError(
            f"expected SVHN's official {path.name}, got a damaged or different file ({type(error).__name__}): "
            "replace it by the official one"
        ) from error
    shaped = images.ndim == 4 and images.shape[:3] == (32, 32, 3) and images.dtype == np.uint8
    if not shaped or images.shape[3:] != labels.shape or not len(labels) or labels.min() < 1 or labels.max() > 10:
        raise UserError(
            f"expected 32 x 32 colour images with labels 1 to 10 in {path.name}, got {images.shape} and "
            f"{labels.shape}: replace it by the official file"
        )
    return np.ascontiguousarray(images.transpose(3, 2, 0, 1)), labels.astype(np.int64) % 10
