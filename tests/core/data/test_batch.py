"""Many files at once: every file ends as a picture or as one named line, whatever the zip is like."""

import io
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from core.data.archive import Archive
from core.data.batch import Files, class_of
from core.data.decode import decode_image
from core.data.preprocess import Preprocessing
from core.errors import UserError

SEEN = Preprocessing(channels=3, size=8, mean=(0.5,) * 3, std=(0.25,) * 3)


def png(seed: int, size: tuple[int, int] = (8, 8)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def read_all(files: Files, start: int = 0) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    pictures, problems = {}, {failure.name: failure.problem for failure in files.failures}
    for chunk in files.prepare(SEEN, start):
        assert chunk.pictures.shape == (len(chunk.places), *SEEN.input_shape)
        pictures |= {
            files.files[place].name: picture for place, picture in zip(chunk.places, chunk.pictures, strict=True)
        }
        problems |= {failure.name: failure.problem for failure in chunk.failures}
    assert not [problem for problem in problems.values() if "\n" in problem]
    return pictures, problems


def test_ninety_seven_of_a_hundred_and_three_named_failures() -> None:
    data = {f"a/b/{i:03}.png": png(i) for i in range(100)}
    data |= {"a/b/007.png": b"", "a/b/050.png": png(50)[:60], "a/b/099.png": b"\0\0\0\x18ftypheic\0\0\0\0"}
    pictures, problems = read_all(Files.open([("hundred.zip", zipped(data))]))
    assert len(pictures) == 97 and sorted(problems) == ["a/b/007.png", "a/b/050.png", "a/b/099.png"]
    assert "empty file" in problems["a/b/007.png"] and "damaged or cut-off" in problems["a/b/050.png"]
    assert "HEIC" in problems["a/b/099.png"] and "save it as PNG or JPEG" in problems["a/b/099.png"]
    for name, picture in pictures.items():
        assert np.array_equal(picture, SEEN.prepare(decode_image(data[name])).picture)


def test_files_and_zips_together_keep_their_order() -> None:
    uploads = [
        ("one.png", png(1)),
        ("two.zip", zipped({"b.png": png(3), "a.png": png(2)})),
        ("three.png", png(4, (20, 9))),
    ]
    files = Files.open(uploads)
    assert [file.name for file in files.files] == ["one.png", "a.png", "b.png", "three.png"]
    pictures, problems = read_all(files)
    assert len(pictures) == 4 and not problems
    assert files.read(0) == uploads[0][1] and files.read(1) == png(2)


def test_going_on_from_the_middle_gives_the_rest() -> None:
    files = Files.open([("many.zip", zipped({f"{i:03}.png": png(i) for i in range(150)}))])
    steps = files.prepare(SEEN)
    first = next(steps)
    steps.close()
    rest, _ = read_all(files, first.stop)
    assert len(first.places) + len(rest) == 150


def test_a_zip_of_another_kind_is_one_line_and_the_others_go_on() -> None:
    encrypted = bytearray(zipped({"a.png": png(1)}))
    place = encrypted.rindex(b"PK\x01\x02")
    encrypted[place + 8] |= 1
    uploads = [
        ("outside.zip", zipped({"../../etc/a.png": png(1)})),
        ("drive.zip", zipped({"C:\\a.png": png(1)})),
        ("locked.zip", bytes(encrypted)),
        ("cut.zip", zipped({"a.png": png(1)})[:50]),
        ("good.png", png(2)),
    ]
    pictures, problems = read_all(Files.open(uploads))
    assert list(pictures) == ["good.png"]
    assert sorted(problems) == ["cut.zip", "drive.zip", "locked.zip", "outside.zip"]
    assert "inside the zip" in problems["outside.zip"] and "encrypted" in problems["locked.zip"]


def test_ten_thousand_and_one_files_are_refused_before_any_is_read() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i in range(10_001):
            archive.writestr(f"{i}.png", b"")
    files = Files.open([("big.zip", buffer.getvalue())])
    assert not files.files and "at most 10,000 files, got 10,001" in files.failures[0].problem
    half = zipped({f"{i}.png": b"" for i in range(3)})
    with pytest.raises(UserError, match="at most 5 files, got 6"):
        Files.open([("a.zip", half), ("b.zip", half)], max_files=5)


def test_bombs_are_refused_by_what_they_claim_and_by_what_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipped({"zeros.png": bytes(40 * 2**20)})
    assert len(bomb) < 100_000
    _, problems = read_all(Files.open([("bomb.zip", bomb)]))
    assert "at most 32 MB" in problems["zeros.png"]
    files = Files.open([("bomb.zip", bomb)], max_total=2**20)
    assert "at most 1 MB unpacked, got 40 MB" in files.failures[0].problem
    # a zip that says its file is small is read no further than it says
    lying = bytearray(zipped({"zeros.png": bytes(10_000_000)}))
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        lying[lying.index(mark) + offset : lying.index(mark) + offset + 4] = struct.pack("<I", 100)
    _, problems = read_all(Files.open([("lying.zip", bytes(lying))]))
    assert len(problems) == 1


def test_a_zip_in_a_zip_is_a_failure_by_name() -> None:
    _, problems = read_all(Files.open([("outer.zip", zipped({"inner.zip": zipped({"a.png": png(1)})}))]))
    assert "got zip" in problems["inner.zip"]


def test_clutter_is_left_out_and_markup_is_text() -> None:
    name = "<img src=x onerror=alert(1)>/**bold**.png"
    data = {"__MACOSX/._a.png": b"x", ".DS_Store": b"x", "Thumbs.db": b"x", name: png(1), "folder/": b""}
    files = Files.open([("odd.zip", zipped(data))])
    assert [file.name for file in files.files] == [name]
    assert read_all(files)[0].keys() == {name}


def test_an_empty_zip_holds_nothing() -> None:
    assert read_all(Files.open([("empty.zip", zipped({}))])) == ({}, {})


def test_windows_paths_are_folders() -> None:
    with Archive(zipped({"cat\\1.png": png(1)})) as archive:
        assert archive.names == ["cat/1.png"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("cat/1.png", 0), ("pets/Dog/1.png", 1), ("cat/dog/x/1.png", 1), ("cat.png", None), ("cats/1.png", None)],
)
def test_folders_named_after_classes(name: str, expected: int | None) -> None:
    assert class_of(name, ("cat", "dog")) == expected
