"""Zip files from strangers: read into memory, file by file, never unpacked to disk."""

import io
import re
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from types import TracebackType

from core.data.decode import MAX_BYTES, printable
from core.errors import UserError

MAX_FILES = 200_000
MAX_TOTAL = 16 * 2**30  # bytes, unpacked
# what the standard library raises on damaged members; RuntimeError: encrypted, or packed in a way it does not know
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)


class Archive:
    """The files in a zip, as a context manager.

    Args:
        source: a path, or the bytes of an upload.
        name: what to call it in messages.
        max_files, max_total: more files, or more bytes when unpacked, are refused.

    Raises:
        UserError: no zip, damaged, encrypted, too much in it, or a path that leads outside.
    """

    def __init__(
        self, source: Path | bytes, name: str = "the zip", max_files: int = MAX_FILES, max_total: int = MAX_TOTAL
    ):
        self._what = printable(name)
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source)
        except _DAMAGE as error:
            raise UserError(
                f"{self._what}: expected a zip file, got a damaged or different one: pack it again"
            ) from error
        try:
            members = [member for member in self._zip.infolist() if _path(member) and not _path(member).endswith("/")]
            self._check(members, max_files, max_total)
        except UserError:
            self._zip.close()
            raise
        self._members = {_path(member): member for member in members if not is_clutter(_path(member))}

    def _check(self, members: list[zipfile.ZipInfo], max_files: int, max_total: int) -> None:
        if len(members) > max_files:
            raise UserError(
                f"{self._what}: expected at most {max_files:,} files, got {len(members):,}: split it into several"
            )
        total = sum(member.file_size for member in members)
        if total > max_total:
            raise UserError(
                f"{self._what}: expected at most {max_total / 2**20:,.0f} MB unpacked, "
                f"got {total / 2**20:,.0f} MB: split it into several"
            )
        for member in members:
            path = PurePosixPath(_path(member))
            if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", _path(member)):
                raise UserError(
                    f"{self._what}: expected paths inside the zip, got {printable(member.filename)!r}: pack it again"
                )
            if member.flag_bits & 1:
                raise UserError(f"{self._what}: expected an open zip, got an encrypted one: pack it without a password")

    @property
    def names(self) -> list[str]:
        """Paths of the files, sorted, without what operating systems add."""
        return sorted(self._members)

    def read(self, name: str) -> bytes:
        """Contents of one file; never more than `decode.MAX_BYTES`, whatever the zip claims.

        Raises:
            UserError: the file is damaged or too large.
        """
        try:
            with self._zip.open(self._members[name]) as file:
                data = file.read(MAX_BYTES + 1)
        except _DAMAGE as error:
            raise UserError(f"{printable(name)}: expected a whole file, got a damaged one: pack it again") from error
        if len(data) > MAX_BYTES:
            raise UserError(
                f"{printable(name)}: expected an image file of at most {MAX_BYTES / 2**20:.0f} MB, got more: "
                "save it smaller"
            )
        return data

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()


def _path(member: zipfile.ZipInfo) -> str:
    """Name of a file with `/` between folders; some Windows programs write the other one."""
    return member.filename.replace("\\", "/")


def is_clutter(name: str) -> bool:
    """Files that operating systems add: hidden ones, `__MACOSX`, `Thumbs.db`."""
    *folders, file = name.split("/")
    return (
        "__MACOSX" in folders
        or file.lower() in ("thumbs.db", "desktop.ini")
        or any(part.startswith(".") for part in (*folders, file))
    )
