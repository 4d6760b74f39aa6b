"""Anybody's images: a folder or a zip with one sub-folder per class, as torchvision's ImageFolder has it.

With `train/` and `test/` (or `val/`) on top these are the splits. Without, a fifth of each class is the test split,
picked by the content of the files, so that it is the same on every machine and whatever the files are called.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

import numpy as np

from core.data.archive import MAX_FILES, Archive, is_clutter
from core.data.decode import MAX_BYTES, decode_image, printable
from core.data.preprocess import centred_square
from core.errors import UserError

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "testing", "val", "valid", "validation")  # the first that is there
TEST_SHARE = 5  # one in five
FEWEST = 5  # images of a class
_LAYOUT = "one sub-folder of images per class"


class FolderImages(NamedTuple):
    """One split of a folder, in the order of the files' names."""

    images: np.ndarray  # uint8 (n, channels, size, size)
    labels: np.ndarray  # int64 (n,)
    class_names: tuple[str, ...]
    problems: tuple[str, ...]  # one line for each image left out


class _Files(Protocol):
    """A folder or a zip."""

    @property
    def names(self) -> list[str]: ...

    def read(self, name: str) -> bytes: ...


class _Folder:
    """The files below a folder, with `/` in their names."""

    def __init__(self, root: Path):
        self._root = root
        # a class may be a link to a folder elsewhere, hence the two steps
        found = (path for top in root.iterdir() if top.is_dir() for path in top.rglob("*") if path.is_file())
        names = [path.relative_to(root).as_posix() for path in islice(found, MAX_FILES + 1)]
        if len(names) > MAX_FILES:
            raise UserError(
                f"{printable(root.name)}: expected at most {MAX_FILES:,} files, got more: choose the folder of classes"
            )
        self.names = sorted(name for name in names if not is_clutter(name))

    def read(self, name: str) -> bytes:
        path = self._root / name
        try:
            if path.stat().st_size > MAX_BYTES:
                raise UserError(
                    f"{printable(name)}: expected an image file of at most {MAX_BYTES / 2**20:.0f} MB, got more: "
                    "save it smaller"
                )
            return path.read_bytes()
        except OSError as error:
            raise UserError(
                f"{printable(name)}: expected a readable file, got {error.strerror}: allow reading it"
            ) from error


def read_folder(
    source: Path,
    train: bool,
    channels: int = 3,
    size: int = 32,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> FolderImages:
    """One split of a folder or zip of images, each cut to its centred square and resized.

    Images that cannot be read are left out and named in `problems`.

    Args:
        source: a folder, or a zip of one.
        train: the train split, else the test split.
        channels, size: of the images returned.
        report: called with the number of images done and their total.

    Raises:
        UserError: no folder of classes, fewer than two classes, a class with too few images, or different classes in
            train and test.
    """
    what = printable(source.name)
    with _open(source) as files:
        splits, classes, problems = _survey(what, files)
        contents = _Contents(files, problems)
        chosen = splits.train if train else splits.test
        if not splits.test:
            chosen = _split_by_content(splits.train, contents, splits.depth, train)
        images, labels = [], []
        for done, name in enumerate(chosen, 1):
            data = contents.read(name)
            if data is not None:
                try:
                    images.append(centred_square(decode_image(data, name), channels, size)[0])
                    labels.append(classes.index(_class_of(name, splits.depth)))
                except UserError as error:
                    problems.append(str(error))
            report(done, len(chosen))
    empty = [name for label, name in enumerate(classes) if label not in set(labels)]
    if not images or (train and empty):
        which = "any class" if not images else f"class {printable(empty[0])!r}"
        cause = problems[0] if problems else "add more different images"
        raise UserError(f"{what}: expected images of each class, got none to use of {which}: {cause}")
    return FolderImages(np.stack(images), np.array(labels, dtype=np.int64), classes, tuple(problems))


def folder_classes(source: Path) -> tuple[tuple[str, ...], int]:
    """Class names of a folder or zip of images and the number of files in its train split, from file names alone.

    Raises:
        UserError: as `read_folder`, as far as names tell.
    """
    with _open(source) as files:
        splits, classes, _ = _survey(printable(source.name), files)
    count = len(splits.train)
    return classes, count if splits.test else count - -(-count // TEST_SHARE)


def _open(source: Path) -> AbstractContextManager[_Files]:
    return nullcontext(_Folder(source)) if source.is_dir() else Archive(source, source.name)


def _survey(what: str, files: _Files) -> "tuple[_Split, tuple[str, ...], list[str]]":
    """Splits, class names, and a line about files that are no images."""
    names, problems = _images_among(what, files.names)
    splits = _splits(names, _wrappers(names))
    classes = tuple(sorted({_class_of(name, splits.depth) for name in splits.train}))
    _check_classes(what, classes, splits)
    return splits, classes, problems


class _Split(NamedTuple):
    """Names of the images of each split, and where in a name the class stands."""

    train: list[str]
    test: list[str]  # empty where the folder has no splits
    depth: int


class _Contents:
    """Reads files, noting once what cannot be read."""

    def __init__(self, files: _Files, problems: list[str]):
        self._files = files
        self._problems = problems
        self._failed: set[str] = set()

    def read(self, name: str) -> bytes | None:
        if name in self._failed:
            return None
        try:
            return self._files.read(name)
        except UserError as error:
            self._failed.add(name)
            self._problems.append(str(error))
            return None


def _images_among(what: str, names: list[str]) -> tuple[list[str], list[str]]:
    """Names that end like an image, and a line about the others."""
    images = [name for name in names if name.lower().endswith(ENDINGS)]
    endings = Counter(PurePosixPath(name).suffix.lower() or "none" for name in names)
    others = ", ".join(f"{ending} ({n})" for ending, n in endings.most_common() if ending not in ENDINGS)
    if not images:
        raise UserError(
            f"{what}: expected {_LAYOUT} ({', '.join(ENDINGS)}), "
            f"got {f'files ending in {printable(others)}' if others else 'no files in sub-folders'}: "
            "put each class's images into a folder of its name"
        )
    line = f"{what}: expected files ending in {', '.join(ENDINGS)}, left out {printable(others, 120)}: convert images"
    return images, [line] if others else []


def _wrappers(names: list[str]) -> int:
    """How many folders stand above the classes or splits in every name: a zip often wraps all in one."""
    below = 0
    while all(name.count("/") > below + 1 for name in names) and len({name.split("/")[below] for name in names}) == 1:
        below += 1
    return below


def _class_of(name: str, depth: int) -> str:
    return name.split("/")[depth]


def _splits(names: list[str], below: int) -> _Split:
    """Train and test folders where both are there, else everything as train."""
    tops = {name.split("/")[below].lower() for name in names if name.count("/") > below + 1}
    train = next((folder for folder in TRAIN_FOLDERS if folder in tops), None)
    test = next((folder for folder in TEST_FOLDERS if folder in tops), None)
    if train is None or test is None:
        return _Split([name for name in names if name.count("/") > below], [], below)
    inside: dict[str, list[str]] = defaultdict(list)
    for name in names:
        if name.count("/") > below + 1:
            inside[name.split("/")[below].lower()].append(name)
    return _Split(inside[train], inside[test], below + 1)


def _check_classes(what: str, classes: tuple[str, ...], splits: _Split) -> None:
    if len(classes) < 2:
        found = f"one ({printable(classes[0])!r})" if classes else "none"
        raise UserError(f"{what}: expected two classes or more, {_LAYOUT}, got {found}: add a folder for each class")
    counts = Counter(_class_of(name, splits.depth) for name in splits.train)
    few = min(classes, key=lambda name: counts[name])
    if counts[few] < FEWEST:
        raise UserError(
            f"{what}: expected at least {FEWEST} images of each class, got {counts[few]} of {printable(few)!r}: "
            "add images or take the folder out"
        )
    unknown = sorted({_class_of(name, splits.depth) for name in splits.test} - set(classes))
    if unknown:
        raise UserError(
            f"{what}: expected the classes of train in test too, got {printable(unknown[0])!r} in test alone: "
            "name the folders alike"
        )


def _split_by_content(names: list[str], contents: _Contents, depth: int, train: bool) -> list[str]:
    """Train or test part of each class: sorted by the SHA-1 of the files, the first fifth is the test split.

    Copies of a file have the same hash and go to the same side, so that no test image is trained on.
    """
    by_class: dict[str, list[tuple[bytes, str]]] = defaultdict(list)
    for name in names:
        data = contents.read(name)
        if data is not None:
            by_class[_class_of(name, depth)].append((hashlib.sha1(data, usedforsecurity=False).digest(), name))
    chosen: list[str] = []
    for members in by_class.values():
        members.sort()
        cut = -(-len(members) // TEST_SHARE)
        while cut < len(members) and members[cut][0] == members[cut - 1][0]:
            cut += 1
        chosen += [name for _, name in (members[cut:] if train else members[:cut])]
    return sorted(chosen)
