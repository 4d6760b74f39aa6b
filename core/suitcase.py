"""A checkpoint as one zip, to carry it to another machine, and the way back in, which trusts nothing."""

import io
import os
import re
import shutil
import stat
import zipfile
from pathlib import Path

from core.checkpoints import (
    CARD_FILE,
    WEIGHTS_FILE,
    check_safetensors,
    checkpoint_folder,
    load_trace,
    read_card,
    trace_path,
)
from core.errors import UserError
from core.trace import SPLITS

SUFFIXES = (".json", ".jsonl", ".npz", ".safetensors")  # what a finished checkpoint consists of
MAX_FILES = 32
MAX_BYTES = 2**30  # unpacked
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")


def pack(name: str, root: Path) -> bytes:
    """The files of a checkpoint as a zip that is unpacked into `checkpoints/`.

    Raises:
        UserError: no such checkpoint.
    """
    folder = checkpoint_folder(name, root)
    buffer = io.BytesIO()
    # traces are compressed already, and weights hardly can be
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix in SUFFIXES and not path.name.startswith((".", "state.")):
                archive.write(path, f"{name}/{path.name}")
    return buffer.getvalue()


def zip_name(name: str) -> str:
    """What the zip of a checkpoint is called: `cifar10-eenet20.zip`."""
    return name.replace("/", "-") + ".zip"


def unpack(data: bytes, root: Path) -> str:
    """Adds the checkpoint in a zip to `root`, after everything in it has been read where it harms nobody.

    Args:
        data: a zip of one folder DATASET/MODEL with card, weights, and as it likes traces and history.

    Returns:
        The name of the new checkpoint.

    Raises:
        UserError: it is no such zip, something in it is broken, or a checkpoint of that name is there already.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            name, members = _members(archive)
            if root.joinpath(name).exists():
                raise UserError(f"expected a new name, got {name}, which is there already: move that folder away first")
            held = root / f".incoming-{os.getpid()}-{os.urandom(4).hex()}"
            try:
                _unpack_into(held / name, archive, members)
                _check(name, held)
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (held / name).rename(root / name)
            finally:
                shutil.rmtree(held, ignore_errors=True)
    except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError) as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"expected a zip of a checkpoint's folder, got something else ({problem}): download it again"
        ) from None
    except OSError as error:
        raise UserError(
            f"expected to write into {root.name}/, got {error.strerror or error}: make room, or allow it"
        ) from None
    return name


def _members(archive: zipfile.ZipFile) -> tuple[str, list[zipfile.ZipInfo]]:
    """The checkpoint's name and its files.

    Raises:
        UserError: the zip holds anything else.
    """
    files = [info for info in archive.infolist() if not info.is_dir()]
    if not 0 < len(files) <= MAX_FILES:
        raise UserError(
            f"expected a zip with 1 to {MAX_FILES} files of one checkpoint, got {len(files)}: zip its folder"
        )
    names = set()
    for info in files:
        shown = " ".join(repr(info.filename).split())[:80]
        *folders, file = info.filename.split("/")
        if len(folders) != 2 or not all(_NAME.fullmatch(part) for part in (*folders, file)):
            raise UserError(f"expected files DATASET/MODEL/NAME in the zip, got {shown}: zip it as the page does")
        if stat.S_ISLNK(info.external_attr >> 16) or not file.endswith(SUFFIXES):
            raise UserError(
                f"expected only files of {', '.join(SUFFIXES)} in the zip, got {shown}: leave out everything else"
            )
        names.add("/".join(folders))
    if len(names) > 1:
        raise UserError(f"expected one checkpoint in the zip, got {', '.join(sorted(names)[:4])}: zip them one by one")
    size = sum(info.file_size for info in files)
    if size > MAX_BYTES:
        raise UserError(f"expected at most {MAX_BYTES >> 20} MB unpacked, got {size >> 20} MB: copy the folder by hand")
    return names.pop(), files


def _unpack_into(folder: Path, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> None:
    folder.mkdir(parents=True)
    for info in members:
        left = info.file_size  # what the zip announces, which _members has checked
        with archive.open(info) as packed, (folder / info.filename.split("/")[-1]).open("xb") as file:
            while chunk := packed.read(min(2**20, left + 1)):
                left -= len(chunk)
                if left < 0:
                    raise UserError("expected files as large as the zip announces, got more: zip the folder again")
                file.write(chunk)


def _check(name: str, root: Path) -> None:
    """Raises UserError unless the checkpoint is whole: card, weights, and whatever traces there are."""
    folder = root / name
    for needed in (CARD_FILE, WEIGHTS_FILE):
        if not (folder / needed).is_file():
            found = ", ".join(sorted(path.name for path in folder.iterdir())[:4])
            raise UserError(f"expected {needed} in the zip, got only {found}: zip the whole folder")
    read_card(folder)
    check_safetensors(folder / WEIGHTS_FILE)
    for split in SPLITS:
        if trace_path(folder, split).exists():
            load_trace(name, split, root, small=True)
