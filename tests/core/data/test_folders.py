"""Anybody's folder or zip of images: layouts, splits, broken files, hostile zips."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from core.data import folders
from core.data.archive import Archive, is_clutter
from core.data.datasets import PARTS, load_images
from core.data.folders import read_folder
from core.errors import UserError


def picture(seed: int, size: tuple[int, int] = (40, 30), file_format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).save(buffer, file_format)
    return buffer.getvalue()


def pets(n: int = 10, prefix: str = "", first: int = 0) -> dict[str, bytes]:
    return {
        f"{prefix}{name}/{i}.png": picture(first + 100 * k + i)
        for k, name in enumerate(("cat", "dog"))
        for i in range(n)
    }


def as_folder(root, files: dict[str, bytes]):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def as_zip(path, files: dict[str, bytes]):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def refusal(source, train: bool = True) -> str:
    with pytest.raises(UserError) as caught:
        read_folder(source, train)
    message = str(caught.value)
    assert "\n" not in message and str(source.parent) not in message
    assert "expected" in message and "got" in message and ": " in message
    return message


def test_folder_and_zip_give_the_same(tmp_path):
    files = pets()
    folder, archive = as_folder(tmp_path / "pets", files), as_zip(tmp_path / "pets.zip", files)
    for part in PARTS:
        first, second = (load_images(str(source), part, tmp_path) for source in (folder, archive))
        assert np.array_equal(first.images, second.images)
        assert np.array_equal(first.labels, second.labels)
        assert np.array_equal(first.ids, second.ids)
        assert first.images.shape[1:] == (3, 32, 32)
        assert first.class_names == second.class_names == ("cat", "dog")
    assert [len(load_images("pets", part, tmp_path)) for part in PARTS] == [13, 3, 4]


def test_grey_and_another_size(tmp_path):
    folder = as_folder(tmp_path / "pets", pets())
    assert load_images(str(folder), "test", tmp_path, channels=1, size=48).images.shape == (4, 1, 48, 48)


def test_the_split_goes_by_content_not_by_name(tmp_path):
    files = pets()
    renamed = {
        f"{name.split('/')[0]}/{hash(name) % 10**9}-{i}.PNG": data for i, (name, data) in enumerate(files.items())
    }
    for part in ("training", "test"):
        first = load_images(str(as_folder(tmp_path / "a", files)), part, tmp_path)
        second = load_images(str(as_folder(tmp_path / "b", renamed)), part, tmp_path)
        assert np.array_equal(first.images, second.images)


def test_no_test_image_is_trained_on(tmp_path):
    files = pets(10)
    copies = {name.replace(".png", f"-copy{k}.png"): data for name, data in files.items() for k in range(3)}
    folder = as_folder(tmp_path / "pets", files | copies)
    train, test = read_folder(folder, True), read_folder(folder, False)
    assert len(train.images) + len(test.images) == 80
    assert not {image.tobytes() for image in train.images} & {image.tobytes() for image in test.images}


@pytest.mark.parametrize(("train_folder", "test_folder"), [("train", "test"), ("Train", "VAL"), ("training", "valid")])
@pytest.mark.parametrize("wrapper", ["", "pets/", "a/b/"])
def test_folders_for_train_and_test(tmp_path, train_folder, test_folder, wrapper):
    files = pets(6, f"{wrapper}{train_folder}/") | pets(2, f"{wrapper}{test_folder}/", first=50)
    for source in (as_folder(tmp_path / "pets", files), as_zip(tmp_path / "pets.zip", files)):
        train, test = read_folder(source, True), read_folder(source, False)
        assert (len(train.images), len(test.images)) == (12, 4)
        assert train.class_names == test.class_names == ("cat", "dog")


def test_train_without_test_is_split(tmp_path):
    folder = as_folder(tmp_path / "pets", pets(10, "train/"))
    assert (len(read_folder(folder, True).images), len(read_folder(folder, False).images)) == (16, 4)


def test_deeper_folders_belong_to_their_class(tmp_path):
    files = pets(5) | {"cat/more/x.png": picture(7)}
    train = read_folder(as_folder(tmp_path / "pets", files), True)
    assert train.class_names == ("cat", "dog")


def test_a_class_may_be_a_link(tmp_path):
    as_folder(tmp_path / "elsewhere", pets(5))
    as_folder(tmp_path / "pets", {"dog/1.png": picture(1)} | {f"dog/{i}.png": picture(i) for i in range(5)})
    (tmp_path / "pets" / "cat").symlink_to(tmp_path / "elsewhere" / "cat")
    assert read_folder(tmp_path / "pets", True).class_names == ("cat", "dog")


def test_broken_images_are_left_out_and_named(tmp_path):
    files = pets(10)
    files |= {"cat/3.png": picture(3)[:200], "dog/4.png": b"", "dog/5.png": b"hello"}
    for source in (as_folder(tmp_path / "pets", files), as_zip(tmp_path / "pets.zip", files)):
        train, test = read_folder(source, True), read_folder(source, False)
        assert len(train.images) + len(test.images) == 17
        assert len(train.images) == len(train.labels)
        problems = sorted(train.problems + test.problems)
        assert [line.split(":")[0] for line in problems] == ["cat/3.png", "dog/4.png", "dog/5.png"]
        assert all("\n" not in line and "expected" in line for line in problems)


def test_a_damaged_member_of_a_zip_is_named(tmp_path):
    path = as_zip(tmp_path / "pets.zip", pets(10))
    data = bytearray(path.read_bytes())
    data[400:420] = bytes(20)  # inside the first image
    path.write_bytes(data)
    problems = {line for train in (True, False) for line in read_folder(path, train).problems}
    assert [line.split(":")[0] for line in problems] == ["cat/0.png"]


def test_other_files_are_counted(tmp_path):
    files = pets(5) | {
        "cat/note.txt": b"x",
        "dog/a.heic": b"x",
        "dog/b.heic": b"x",
        "cat/.hidden.png": b"",
        "cat/Thumbs.db": b"",
    }
    (line,) = read_folder(as_folder(tmp_path / "pets", files), True).problems
    assert ".heic (2), .txt (1)" in line


def test_clutter():
    for name in ("__MACOSX/cat/1.png", "cat/.DS_Store", "cat/._1.png", "cat/Thumbs.db", ".git/x.png"):
        assert is_clutter(name)
    assert not is_clutter("cat/1.png")


def test_progress(tmp_path):
    seen = []
    read_folder(as_folder(tmp_path / "pets", pets(5)), True, report=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 8) for i in range(1, 9)]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no files in sub-folders"),
        ({"cat/note.txt": b"x"}, ".txt (1)"),
        ({f"cat/{i}.png": picture(i) for i in range(9)}, "got one ('cat')"),
        ({f"{i}.png": picture(i) for i in range(9)}, "got no"),
        (pets(3), "at least 5 images of each class, got 3 of 'cat'"),
        (dict.fromkeys(pets(6), b"broken"), "got none to use of any class"),
        (pets(6) | {f"cat/{i}.png": b"" for i in range(6)}, "got none to use of class 'cat'"),
        ({name: picture(1 + name.count("cat")) for name in pets(6)}, "add more different images"),
        (pets(6, "train/") | {"test/bird/1.png": picture(1)}, "'bird' in test alone"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path, files, words):
    folder = tmp_path / "pets"
    folder.mkdir()
    assert words in refusal(as_folder(folder, files))
    if not all("/" not in name for name in files):
        assert words in refusal(as_zip(tmp_path / "pets.zip", files))


def test_images_at_the_top_of_a_zip_have_no_class(tmp_path):
    assert "got none" in refusal(as_zip(tmp_path / "pets.zip", {f"{i}.png": picture(i) for i in range(9)}))


def test_not_a_zip(tmp_path):
    path = tmp_path / "pets.zip"
    for data in (b"", b"hello", as_zip(tmp_path / "whole.zip", pets(5)).read_bytes()[:-60]):
        path.write_bytes(data)
        assert "expected a zip file" in refusal(path)


@pytest.mark.parametrize("name", ["../outside.png", "cat/../../x.png", "/etc/x.png", "C:/x.png", "..\\x.png"])
def test_paths_that_lead_outside(tmp_path, name):
    message = refusal(as_zip(tmp_path / "pets.zip", pets(5) | {name: picture(0)}))
    assert "paths inside the zip" in message


def test_windows_separators(tmp_path):
    path = as_zip(tmp_path / "pets.zip", {name.replace("/", "\\"): data for name, data in pets(5).items()})
    assert read_folder(path, True).class_names == ("cat", "dog")


def test_encrypted_zips(tmp_path):
    path = as_zip(tmp_path / "pets.zip", pets(5))
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(signature, at + 4)
    path.write_bytes(data)
    assert "without a password" in refusal(path)


def test_a_zip_bomb_is_never_unpacked(tmp_path):
    files = pets(5) | {"cat/bomb.png": bytes(40 * 2**20)}
    path = as_zip(tmp_path / "pets.zip", files)
    assert path.stat().st_size < 2**20
    problems = [line for train in (True, False) for line in read_folder(path, train).problems]
    assert any(line.startswith("cat/bomb.png: expected an image file of at most 32 MB") for line in problems)
    with pytest.raises(UserError, match=r"at most 10 MB unpacked, got 40 MB"):
        Archive(path.read_bytes(), "upload.zip", max_total=10 * 2**20)


def test_too_many_files_in_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "MAX_FILES", 5)
    assert "at most 5 files" in refusal(as_folder(tmp_path / "pets", pets(5)))


def test_too_many_files_in_a_zip():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i in range(11):
            archive.writestr(f"{i}.png", b"")
    with pytest.raises(UserError, match=r"^upload\.zip: expected at most 10 files, got 11: "):
        Archive(buffer.getvalue(), "upload.zip", max_files=10)


def test_names_are_not_trusted(tmp_path):
    name = "cat/<b>line\nbreak</b>" + "x" * 200 + ".png"
    problems = read_folder(as_zip(tmp_path / "pets.zip", pets(10) | {name: b"broken"}), True).problems
    problems += read_folder(tmp_path / "pets.zip", False).problems
    assert any(line.startswith("cat/<b>line?break</b>") for line in problems)
    assert all("\n" not in line and len(line) < 250 for line in problems)
