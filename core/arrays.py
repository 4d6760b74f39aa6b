"""Named arrays in one compressed .npz without pickle: written whole or not at all, read with a limit on its size."""

import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError

T = TypeVar("T")
# what reading a damaged file or one of another kind raises
_DAMAGE = (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile, zlib.error)


def write_arrays(path: Path, meta: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> None:
    """Writes arrays and plain values; equal contents give equal files.

    Args:
        meta: JSON values, stored as the array `meta`.
        arrays: none of them of Python objects.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(part, "w") as archive:
            for name, array in {"meta": np.array(json.dumps(dict(meta))), **arrays}.items():
                member = zipfile.ZipInfo(f"{name}.npy")  # its date is fixed
                member.compress_type = zipfile.ZIP_DEFLATED
                with archive.open(member, "w") as file:
                    np.lib.format.write_array(file, np.asarray(array, order="C"), allow_pickle=False)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def open_arrays(path: Path, format_: int, most_bytes: int) -> Iterator[tuple[dict[str, Any], Mapping[str, NDArray]]]:
    """The meta and the arrays of a file, each array read when it is asked for.

    Args:
        format_: what its meta must say under `format`.
        most_bytes: when unpacked.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another format, or more bytes. Damaged arrays raise all kinds of errors when read: see `read_file`.
    """
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > most_bytes:
            raise ValueError(f"more than {most_bytes // 2**20} MiB when unpacked")
    with np.load(path, allow_pickle=False) as arrays:
        meta = json.loads(str(arrays["meta"]))
        if not isinstance(meta, dict) or meta.get("format") != format_:
            raise ValueError("another format")
        yield meta, arrays


def read_file(read: Callable[[Path], T], path: Path, what: str, remedy: str) -> T:
    """What `read` makes of a file that `write_arrays` wrote.

    Args:
        what: is expected there, `a trace`.
        remedy: what to do where it is not.

    Raises:
        UserError: no such file, or not a whole one of this kind.
    """
    try:
        return read(path)
    except FileNotFoundError:
        raise UserError(f"expected {what} at {path}, got no such file: {remedy}") from None
    except _DAMAGE as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"expected {what} in {path.name}, got something else ({problem}): {remedy}") from None
