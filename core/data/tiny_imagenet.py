"""Tiny-ImageNet: 200 classes of 64 x 64 photographs, from the official zip. Its validation part serves as test."""

from pathlib import Path

import numpy as np

from core.data.archive import Archive
from core.data.decode import decode_image, printable
from core.errors import UserError

FILE = "tiny-imagenet-200.zip"
ADDRESS = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
SIDE = 64
_TOP = "tiny-imagenet-200/"


def read_tiny_imagenet(path: Path, train: bool) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Images, labels and class names of the official zip.

    Training labels are the folders `train/WNID/images/`; those of the validation images stand in
    `val/val_annotations.txt`, one line an image: file name, WNID, box. Class names are the first word of each WNID's
    line in `words.txt`, or the WNID where there is none.

    Args:
        path: of the zip.
        train: the training part, else the validation part.

    Returns:
        (n, 3, 64, 64) uint8, (n,) int64, class names in the order of `wnids.txt`.

    Raises:
        UserError: another zip, a missing list, an image without a label or of another size.
    """
    with Archive(path, path.name) as files:
        wnids = _text(files, "wnids.txt").split()
        if not wnids:
            raise UserError(f"expected class ids in wnids.txt of {path.name}, got none: use the official zip")
        number = {wnid: n for n, wnid in enumerate(wnids)}
        names = _words(files, wnids)
        labels = _train_labels(files, number) if train else _validation_labels(files, number)
        if not labels:
            raise UserError(f"expected images in {path.name}, got none: use the official zip")
        images = np.empty((len(labels), 3, SIDE, SIDE), dtype=np.uint8)
        for row, name in zip(images, labels, strict=True):
            picture = decode_image(files.read(name), name).convert("RGB")
            if picture.size != (SIDE, SIDE):
                raise UserError(
                    f"expected {SIDE} x {SIDE} images, got {picture.size} in {printable(name)}: use the official zip"
                )
            row[:] = np.asarray(picture).transpose(2, 0, 1)
    return images, np.array(list(labels.values()), dtype=np.int64), names


def _text(files: Archive, name: str) -> str:
    if _TOP + name not in files.names:
        raise UserError(f"expected {_TOP}{name} in the zip, got no such file: use the official {FILE}")
    return files.read(_TOP + name).decode("utf-8", errors="replace")


def _words(files: Archive, wnids: list[str]) -> tuple[str, ...]:
    """`n01443537 <tab> goldfish, Carassius auratus` -> goldfish; classes of the same name keep their WNID behind it."""
    meaning = {}
    for line in _text(files, "words.txt").splitlines():
        wnid, _, words = line.partition("\t")
        meaning[wnid] = words.split(",")[0].strip()
    first = [meaning.get(wnid) or wnid for wnid in wnids]
    return tuple(
        name if first.count(name) == 1 else f"{name} ({wnid})" for name, wnid in zip(first, wnids, strict=True)
    )


def _train_labels(files: Archive, number: dict[str, int]) -> dict[str, int]:
    labels = {}
    for name in files.names:
        parts = name.removeprefix(_TOP).split("/")
        if len(parts) == 4 and parts[0] == "train" and parts[2] == "images" and parts[1] in number:
            labels[name] = number[parts[1]]
    return labels


def _validation_labels(files: Archive, number: dict[str, int]) -> dict[str, int]:
    known = set(files.names)
    labels = {}
    for line in _text(files, "val/val_annotations.txt").splitlines():
        fields = line.split("\t")
        if len(fields) < 2:
            continue
        name = f"{_TOP}val/images/{fields[0]}"
        if fields[1] not in number or name not in known:
            raise UserError(
                f"expected an image and a class of wnids.txt in every line of val_annotations.txt, "
                f"got {printable(line)!r}: use the official {FILE}"
            )
        labels[name] = number[fields[1]]
    return labels
