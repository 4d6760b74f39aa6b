"""Many uploaded files, zips among them, to what a network sees: decoded by several threads, never all at once."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from core.data.archive import Archive
from core.data.decode import decode_image, printable
from core.data.preprocess import Preprocessing
from core.errors import UserError

MAX_FILES = 10_000
MAX_TOTAL = 2 * 2**30  # bytes, unpacked, of all zips
WORKERS = 2
_CHUNK = 32  # files a thread takes at a time
_AHEAD = 6  # chunks that may be decoded before they are asked for


@dataclass(frozen=True)
class Failure:
    """A file that gave no picture.

    Args:
        name: of the file, with its folders.
        problem: one line: what was expected, what came, what to do.
    """

    name: str
    problem: str


@dataclass(frozen=True)
class File:
    """One file among many: an upload of its own, or one inside an uploaded zip.

    Args:
        name: as it is shown, folders inside a zip included.
        upload: place of the upload it belongs to.
        member: path inside the zip; None for an upload of its own.
    """

    name: str
    upload: int
    member: str | None = None


@dataclass
class Files:
    """What a visitor brought: uploads, opened, in order. Zips are read file by file and never unpacked.

    Args:
        files: every file that may hold a picture.
        failures: zips that cannot be opened.
    """

    files: list[File]
    failures: list[Failure]
    _data: list[bytes] = field(repr=False)
    _zips: dict[int, Archive] = field(repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)  # a zip has one place to read from

    @classmethod
    def open(
        cls, uploads: Sequence[tuple[str, bytes]], max_files: int = MAX_FILES, max_total: int = MAX_TOTAL
    ) -> "Files":
        """Look into uploads without decoding anything.

        Args:
            uploads: name and contents; a zip is told by its content, whatever it is called.
            max_files: in all uploads together.
            max_total: bytes that all zips may hold unpacked.

        Raises:
            UserError: more files than that.
        """
        files: list[File] = []
        failures: list[Failure] = []
        zips: dict[int, Archive] = {}
        for place, (name, data) in enumerate(uploads):
            if not is_zip(data):
                files.append(File(printable(name, 120), place))
                continue
            try:
                archive = Archive(data, name, max_files=max_files, max_total=max_total)
            except UserError as error:
                failures.append(Failure(printable(name, 120), str(error)))
                continue
            zips[place] = archive
            files.extend(File(printable(member, 120), place, member) for member in archive.names)
        if len(files) > max_files:
            raise UserError(f"expected at most {max_files:,} files, got {len(files):,}: bring them in several parts")
        return cls(files, failures, [data for _, data in uploads], zips)

    def read(self, place: int) -> bytes:
        """Contents of a file, by its place in `files`.

        Raises:
            UserError: it is damaged or too large.
        """
        file = self.files[place]
        if file.member is None:
            return self._data[file.upload]
        with self._lock:
            return self._zips[file.upload].read(file.member)

    def prepare(
        self, preprocessing: Preprocessing, start: int = 0, workers: int = WORKERS
    ) -> Generator["Chunk", None, None]:
        """Decode the files from a place on, some chunks ahead of what is asked for; close it to stop the threads.

        Args:
            preprocessing: of the network.
            start: place of the first file.
            workers: threads.
        """
        pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        starts = iter(range(start, len(self.files), _CHUNK))
        waiting: deque[Future[Chunk]] = deque()
        try:
            for _ in range(_AHEAD):
                self._submit(pool, waiting, preprocessing, next(starts, None))
            while waiting:
                chunk = waiting.popleft().result()
                self._submit(pool, waiting, preprocessing, next(starts, None))
                yield chunk
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _submit(
        self, pool: ThreadPoolExecutor, waiting: "deque[Future[Chunk]]", preprocessing: Preprocessing, start: int | None
    ) -> None:
        if start is not None:
            waiting.append(pool.submit(self._chunk, preprocessing, start))

    def _chunk(self, preprocessing: Preprocessing, start: int) -> "Chunk":
        stop = min(start + _CHUNK, len(self.files))
        pictures: list[NDArray[np.uint8]] = []
        places: list[int] = []
        failures: list[Failure] = []
        for place in range(start, stop):
            name = self.files[place].name.rsplit("/", 1)[-1]
            try:
                picture = preprocessing.prepare(decode_image(self.read(place), name)).picture
            except UserError as error:
                # the name stands beside the line already
                failures.append(Failure(self.files[place].name, str(error).removeprefix(f"{printable(name)}: ")))
                continue
            pictures.append(picture)
            places.append(place)
        empty = np.empty((0, *preprocessing.input_shape), np.uint8)
        return Chunk(stop, tuple(places), np.stack(pictures) if pictures else empty, tuple(failures))


@dataclass(frozen=True)
class Chunk:
    """Some files, decoded.

    Args:
        stop: place of the first file that is not among them.
        places: of the files that gave a picture, rising.
        pictures: what the network sees of those, uint8 (n, channels, h, w).
        failures: one for each of the others.
    """

    stop: int
    places: tuple[int, ...]
    pictures: NDArray[np.uint8]
    failures: tuple[Failure, ...]


def is_zip(data: bytes) -> bool:
    """Whether an upload claims to be a zip, an empty one included."""
    return data.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def class_of(name: str, class_names: Sequence[str]) -> int | None:
    """The class that a file's folder is named after, whatever the case; None where it is none."""
    folders = name.split("/")[:-1]
    known = {word.casefold(): n for n, word in enumerate(class_names)}
    return next((known[f.casefold()] for f in reversed(folders) if f.casefold() in known), None)
