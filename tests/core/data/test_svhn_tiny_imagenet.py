"""SVHN and Tiny-ImageNet in tiny files of the official formats."""

import io
import urllib.error
import zipfile

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from core.data import datasets
from core.data.datasets import load_images
from core.errors import UserError
from core.network.spec import NetworkSpec
from core.training.recipe import default_recipe


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def unreachable(*arguments, **options):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(datasets.urllib.request, "urlopen", unreachable)


@pytest.fixture
def svhn(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (32, 32, 3, 20), dtype=np.uint8)
    labels = (np.arange(20) % 10 + 1).astype(np.uint8)[:, None]  # 1..10, 10 is the digit 0
    for name in ("train_32x32.mat", "test_32x32.mat"):
        savemat(tmp_path / name, {"X": images, "y": labels})
    return tmp_path, images, labels[:, 0]


def test_svhn_is_read_and_ten_is_the_digit_zero(svhn):
    folder, images, labels = svhn
    test = load_images("svhn", "test", folder)
    assert test.images.shape == (20, 3, 32, 32) and test.images.dtype == np.uint8
    assert test.class_names == tuple("0123456789")
    known = {images[..., i].transpose(2, 0, 1).tobytes(): labels[i] % 10 for i in range(20)}
    assert [known[image.tobytes()] for image in test.images] == test.labels.tolist()
    assert len(load_images("svhn", "training", folder)) == 16
    assert len(load_images("svhn", "calibration", folder)) == 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no matlab", "damaged or different file"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8)}, "damaged or different file"),
        ({"X": np.zeros((28, 28, 3, 2), np.uint8), "y": np.ones((2, 1))}, "expected 32 x 32 colour images"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.zeros((2, 1))}, "labels 1 to 10"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.ones((3, 1))}, "expected 32 x 32 colour images"),
    ],
)
def test_other_svhn_files_get_one_line(tmp_path, content, words):
    path = tmp_path / "test_32x32.mat"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        savemat(path, content)
    with pytest.raises(UserError, match=words) as caught:
        load_images("svhn", "test", tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_files_say_where_to_put_them(tmp_path):
    with pytest.raises(UserError, match=r"put train_32x32\.mat into"):
        load_images("svhn", "training", tmp_path)
    with pytest.raises(UserError, match=r"tiny-imagenet-200\.zip.*download it from"):
        load_images("tiny-imagenet", "test", tmp_path)


def jpeg(seed: int, side: int = 64) -> bytes:
    buffer = io.BytesIO()
    values = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(values).save(buffer, "JPEG")
    return buffer.getvalue()


def tiny_imagenet(path, **changes):
    """A Tiny-ImageNet of three classes, two of them called crane."""
    files = {
        "wnids.txt": "n02\nn01\nn03\n",
        "words.txt": "n01\tcrane\nn02\tgoldfish, Carassius auratus\nn03\tcrane, lifting device\nn09\tother\n",
        "val/val_annotations.txt": "val_0.JPEG\tn01\t0\t0\t9\t9\nval_1.JPEG\tn02\t0\t0\t9\t9\n",
        "val/images/val_0.JPEG": jpeg(100),
        "val/images/val_1.JPEG": jpeg(101),
        "test/images/test_0.JPEG": jpeg(200),
    }
    files |= {f"train/{wnid}/images/{wnid}_{i}.JPEG": jpeg(10 * n + i) for n, wnid in enumerate(("n01", "n02", "n03"))
              for i in range(2)}  # fmt: skip
    files |= {f"train/{wnid}/{wnid}_boxes.txt": "x\t0\t0\t9\t9\n" for wnid in ("n01", "n02", "n03")}
    with zipfile.ZipFile(path / "tiny-imagenet-200.zip", "w") as archive:
        for name, content in (files | changes).items():
            if content is not None:
                archive.writestr(f"tiny-imagenet-200/{name}", content)


def test_tiny_imagenet_is_read(tmp_path):
    tiny_imagenet(tmp_path)
    training, calibration = (load_images("tiny-imagenet", part, tmp_path) for part in ("training", "calibration"))
    assert training.class_names == ("goldfish", "crane (n01)", "crane (n03)")
    assert sorted([*training.labels, *calibration.labels]) == [0, 0, 1, 1, 2, 2]
    test = load_images("tiny-imagenet", "test", tmp_path)
    assert test.images.shape == (2, 3, 64, 64)
    first = np.asarray(Image.open(io.BytesIO(jpeg(100)))).transpose(2, 0, 1)
    (row,) = [i for i, image in enumerate(test.images) if np.array_equal(image, first)]
    assert test.class_names[test.labels[row]] == "crane (n01)"


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("test", {"val/val_annotations.txt": None}, "expected tiny-imagenet-200/val/val_annotations.txt"),
        ("test", {"val/val_annotations.txt": "val_0.JPEG\tn77\t0\n"}, "a class of wnids.txt"),
        ("test", {"val/val_annotations.txt": "gone.JPEG\tn01\t0\n"}, "an image and a class"),
        ("test", {"val/images/val_0.JPEG": jpeg(3, 32)}, "expected 64 x 64 images"),
        ("training", {"wnids.txt": ""}, "expected class ids"),
        ("training", {"wnids.txt": "n55\n"}, "expected images"),
    ],
)
def test_another_zip_gets_one_line(tmp_path, part, changes, words):
    tiny_imagenet(tmp_path, **changes)
    with pytest.raises(UserError, match=words) as caught:
        load_images("tiny-imagenet", part, tmp_path)
    assert "\n" not in str(caught.value)


def test_house_numbers_are_not_mirrored():
    spec = NetworkSpec("eenet20", 2, "pareto", "pool", (3, 32, 32), 10)
    assert default_recipe("svhn", spec).augmentation == "shift"
    assert default_recipe("cifar10", spec).augmentation == "crop-flip"
