"""A checkpoint travels as a zip; a zip that is none changes nothing."""

import io
import shutil
import stat
import zipfile

import pytest

from core.checkpoints import CHECKPOINTS, list_checkpoints, load_card, load_trace
from core.errors import UserError
from core.suitcase import pack, unpack, zip_name

MODEL = "mnist/eenet8"


def listing(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def data():
    return pack(MODEL, CHECKPOINTS)


def test_unzipped_elsewhere_it_is_whole(data, tmp_path):
    assert zip_name(MODEL) == "mnist-eenet8.zip"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(tmp_path)
    (entry,) = list_checkpoints(tmp_path)
    assert (entry.name, entry.problem) == (MODEL, None)
    assert entry.card == load_card(MODEL)
    assert load_trace(MODEL, root=tmp_path).n == 10_000
    shipped = {path.name: path.read_bytes() for path in (CHECKPOINTS / MODEL).iterdir()}
    assert {path.name: path.read_bytes() for path in entry.folder.iterdir()} == shipped


def test_what_is_no_part_of_it_stays_behind(tmp_path):
    folder = tmp_path / MODEL
    shutil.copytree(CHECKPOINTS / MODEL, folder)
    for name in ("notes.txt", ".hidden.json", "state.safetensors"):
        (folder / name).write_text("x")
    with zipfile.ZipFile(io.BytesIO(pack(MODEL, tmp_path))) as archive:
        names = {name.rsplit("/", 1)[1] for name in archive.namelist()}
    assert names == {path.name for path in (CHECKPOINTS / MODEL).iterdir()}


def test_unpacked_it_appears_once(data, tmp_path):
    assert unpack(data, tmp_path) == MODEL
    assert list_checkpoints(tmp_path)[0].card == load_card(MODEL)
    before = listing(tmp_path)
    assert not any(".incoming" in name for name in before)
    with pytest.raises(UserError, match="which is there already"):
        unpack(data, tmp_path)
    assert listing(tmp_path) == before


def card_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(f"{MODEL}/card.json"), archive.read(f"{MODEL}/model.safetensors")


BAD = {
    "no zip": (lambda card, weights: b"hello", "expected a zip of a checkpoint's folder"),
    "empty": (lambda card, weights: zipped(), "expected a zip with 1 to 32 files"),
    "many": (lambda card, weights: zipped(**{f"a/b/{n}.json": b"" for n in range(40)}), "got 40"),
    "outside": (lambda card, weights: zipped(**{"../a/card.json": card}), "expected files DATASET/MODEL/NAME"),
    "root": (lambda card, weights: zipped(**{"/a/card.json": card}), "expected files DATASET/MODEL/NAME"),
    "backslash": (lambda card, weights: zipped(**{"a/b/..\\card.json": card}), "expected files DATASET/MODEL/NAME"),
    "deep": (lambda card, weights: zipped(**{"a/b/c/card.json": card}), "expected files DATASET/MODEL/NAME"),
    "hidden": (lambda card, weights: zipped(**{"a/.b/card.json": card}), "expected files DATASET/MODEL/NAME"),
    "pickle": (lambda card, weights: zipped(**{"a/b/card.json": card, "a/b/model.pt": b"\x80"}), "expected only files"),
    "two": (lambda card, weights: zipped(**{"a/b/card.json": card, "a/c/card.json": card}), "got a/b, a/c"),
    "no weights": (lambda card, weights: zipped(**{"a/b/card.json": card}), "expected model.safetensors in the zip"),
    "no card": (lambda card, weights: zipped(**{"a/b/model.safetensors": weights}), "expected card.json in the zip"),
    "bad card": (lambda c, w: zipped(**{"a/b/card.json": b"{}", "a/b/model.safetensors": w}), "card of b: expected"),
    "pickled weights": (
        lambda card, weights: zipped(**{"a/b/card.json": card, "a/b/model.safetensors": b"PK\x03\x04" + weights}),
        "got a pickle",
    ),
    "bad trace": (
        lambda c, w: zipped(**{"a/b/card.json": c, "a/b/model.safetensors": w, "a/b/trace-test.npz": b"PK"}),
        "expected a trace in trace-test.npz",
    ),
}


@pytest.mark.parametrize(("make", "words"), BAD.values(), ids=BAD)
def test_bad_zips_are_one_line_and_leave_nothing(data, tmp_path, make, words):
    (tmp_path / "mnist").mkdir()
    with pytest.raises(UserError) as caught:
        unpack(make(*card_of(data)), tmp_path)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert listing(tmp_path) == ["mnist"]


def test_links_and_cut_zips_are_refused(data, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("a/b/card.json")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    for bad in (buffer.getvalue(), data[: len(data) // 2]):
        with pytest.raises(UserError, match="expected"):
            unpack(bad, tmp_path)
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 255  # within a file: its checksum tells
    with pytest.raises(UserError, match="expected a zip"):
        unpack(bytes(damaged), tmp_path)
    assert listing(tmp_path) == []


def test_a_zip_that_unpacks_to_too_much_is_refused(data, tmp_path, monkeypatch):
    monkeypatch.setattr("core.suitcase.MAX_BYTES", 2**20)
    with pytest.raises(UserError, match="expected at most 1 MB unpacked"):
        unpack(data, tmp_path)
    assert listing(tmp_path) == []
