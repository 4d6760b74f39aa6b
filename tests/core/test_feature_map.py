"""The feature map: components and neighbours worked out another way, stored without loss, refused when damaged."""

import json
import zipfile

import numpy as np
import pytest

from core.errors import UserError
from core.feature_map import FeatureMap, load_feature_map, nearest, principal_plane, turned_onto
from tests.core.test_trace import npy, rewrite


def made(n=40, channels=(3, 5, 8), k=6, seed=0, split="test"):
    rng = np.random.default_rng(seed)
    features = [rng.normal(0, 1 + exit_, (n, width)) for exit_, width in enumerate(channels)]
    return FeatureMap.from_features(features, np.arange(n), "0" * 64, split, k)


def test_components_of_a_tiny_example_by_hand():
    # along (3, 4) / 5 lie +-10 and +-5, across it +-1 once: variances 250 : 2
    along, across = np.array([3.0, 4.0]) / 5, np.array([-4.0, 3.0]) / 5
    places = np.array([[10, 0], [-10, 0], [5, 0], [-5, 0], [0, 1], [0, -1]])
    features = 7 + places[:, :1] * along + places[:, 1:] * across
    plane, share = principal_plane(features)
    assert share == pytest.approx([250 / 252, 2 / 252])
    # signs: the largest loading is positive, 4/5 of `along` as it is, -4/5 of `across` turned round
    assert plane == pytest.approx(places * [1, -1], abs=1e-12)


def test_components_are_the_eigenvectors_of_the_covariance():
    features = np.random.default_rng(1).normal(size=(60, 7)) @ np.diag([5, 3, 1, 1, 1, 1, 1])
    plane, share = principal_plane(features)
    values, vectors = np.linalg.eigh(np.cov(features.T))
    assert share == pytest.approx(values[::-1][:2] / values.sum())
    for axis in range(2):
        vector = vectors[:, -1 - axis]
        vector = vector * np.sign(vector[np.abs(vector).argmax()])
        assert plane[:, axis] == pytest.approx((features - features.mean(axis=0)) @ vector)


def test_one_channel_one_example_and_no_variance():
    plane, share = principal_plane(np.arange(4.0)[:, None])
    assert share.tolist() == [1, 0] and plane.tolist() == [[-1.5, 0], [-0.5, 0], [0.5, 0], [1.5, 0]]
    plane, share = principal_plane(np.full((3, 4), 2.0))
    assert share.tolist() == [0, 0] and not plane.any()
    alone = made(n=1, channels=(3, 2))
    assert alone.neighbours.shape == (1, 2, 0) and not alone.coordinates.any()


def test_a_turned_and_mirrored_plane_comes_back():
    points = np.random.default_rng(2).normal(size=(30, 2)) * [3, 1]
    for turn in (np.array([[0.6, -0.8], [0.8, 0.6]]), np.array([[0.6, 0.8], [0.8, -0.6]])):
        assert turned_onto(2 * points @ turn, points) == pytest.approx(2 * points)


def test_each_plane_lies_as_near_as_it_can_to_the_one_before():
    found = made(n=200, channels=(4, 4, 4)).coordinates.astype(float)
    for n in range(1, 3):
        best = np.trace(found[:, n].T @ found[:, n - 1])
        for angle in np.linspace(0, 2 * np.pi, 40):
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            for mirror in (np.eye(2), np.diag([1, -1])):
                assert np.trace((found[:, n] @ turn @ mirror).T @ found[:, n - 1]) <= best * (1 + 1e-3)


@pytest.mark.parametrize("k", [1, 4, 50])
def test_neighbours_are_those_of_a_plain_loop(k):
    features = np.random.default_rng(3).normal(size=(23, 5)) + 100
    found = nearest(features, k)
    assert found.dtype == np.int32 and found.shape == (23, min(k, 22))
    for row in range(23):
        distances = [(float(np.linalg.norm(features[row] - features[other])), other) for other in range(23)]
        distances.remove((0.0, row))
        assert found[row].tolist() == [other for _, other in sorted(distances)[:k]]


def test_neighbours_of_more_than_one_block_and_of_twins():
    features = np.repeat(np.random.default_rng(4).integers(0, 1000, (600, 3)), 2, axis=0).astype(float)
    found = nearest(features, 3)
    rows = np.arange(len(features))
    nearest_distance = np.linalg.norm(features[rows] - features[found[:, 0]], axis=1)
    assert not nearest_distance.any() and (found != rows[:, None]).all()
    for row in (0, 499, 500, 1199):
        distances = np.sort(np.delete(np.linalg.norm(features - features[row], axis=1), row))[:3]
        assert np.linalg.norm(features[row] - features[found[row]], axis=1) == pytest.approx(distances)


@pytest.mark.parametrize("n", [1, 2, 40, 300])
def test_round_trip(tmp_path, n):
    found = made(n, split="calibration")
    found.save(tmp_path / "a.npz")
    loaded = FeatureMap.load(tmp_path / "a.npz")
    for name in ("coordinates", "neighbours", "explained", "ids"):
        mine, other = getattr(found, name), getattr(loaded, name)
        assert mine.dtype == other.dtype and np.array_equal(mine, other), name
    assert (loaded.checkpoint_hash, loaded.split) == ("0" * 64, "calibration")
    loaded.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_coordinates_are_finer_than_a_screen():
    features = np.random.default_rng(5).normal(size=(500, 3))
    kept = FeatureMap.from_features([features], np.arange(500), "0" * 64, "test").coordinates[:, 0]
    exact, _ = principal_plane(features)
    assert np.abs(kept - exact).max() <= np.abs(exact).max() / 4000


def test_ids_need_not_rise(tmp_path):
    ids = np.random.default_rng(6).permutation(1000)[:40]
    features = np.random.default_rng(7).normal(size=(40, 3))
    FeatureMap.from_features([features], ids, "0" * 64, "test").save(tmp_path / "a.npz")
    assert np.array_equal(FeatureMap.load(tmp_path / "a.npz").ids, ids)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([], "features"),
        ([np.zeros((4, 3))], "for 5 ids"),
        ([np.zeros((5, 3)), np.zeros((5, 0))], "for 5 ids"),
        ([np.zeros(5)], "for 5 ids"),
        ([np.full((5, 3), np.nan)], "NaN or infinity"),
    ],
)
def test_bad_features(features, message):
    with pytest.raises(UserError, match=message) as raised:
        FeatureMap.from_features(features, np.arange(5), "0" * 64, "test")
    assert "\n" not in str(raised.value)


META = {"format": 1, "checkpoint_hash": "0" * 64, "split": "test", "examples": 20, "exits": 3, "neighbours": 6}


def meta(**changes):
    return npy(np.array(json.dumps(META | changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"meta": None},
        {"meta": npy(np.array("{"))},
        {"meta": npy(np.array("[]"))},
        {"meta": meta(format=99)},
        {"meta": meta(split="train")},
        {"meta": meta(examples=21)},
        {"meta": meta(examples="many")},
        {"meta": meta(exits=2)},
        {"meta": meta(neighbours=5)},
        {"meta": npy(np.array(json.dumps({"format": 1})))},
        {"meta": npy(np.array([object()]))},
        {"steps": None},
        {"steps": npy(np.array([object()]))},
        {"steps": npy(np.zeros((2, 3, 2, 19), np.uint8))},
        {"steps": npy(np.zeros((2, 3, 3, 20), np.uint8))},
        {"steps": npy(np.zeros((3, 3, 2, 20), np.uint8))},
        {"steps": npy(np.zeros((2, 3), np.uint8))},
        {"step_size": None},
        {"step_size": npy(np.ones(2))},
        {"step_size": npy(np.array([1, np.nan, 1]))},
        {"step_size": npy(np.array([1, 0.0, 1]))},
        {"step_size": npy(np.array([1, 1e300, 1]))},
        {"neighbours": None},
        {"neighbours": npy(np.zeros((2, 3, 6, 20), np.uint8))},  # row 0 would be its own neighbour
        {"neighbours": npy(np.full((2, 3, 6, 20), 255, np.uint8))},
        {"neighbours": npy(np.zeros((2, 3, 6, 20), np.float32))},
        {"explained": None},
        {"explained": npy(np.array([[0.5, 0.2]] * 2))},
        {"explained": npy(np.array([[0.5, np.nan]] * 3))},
        {"explained": npy(np.array([[1.5, 0.2]] * 3))},
        {"explained": npy(np.array(["a"]))},
        {"id_steps": None},
        {"id_steps": npy(np.zeros(3, np.int32))},
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path, changes):
    path = tmp_path / "map-test.npz"
    made(20).save(path)
    rewrite(path, **changes)
    with pytest.raises(UserError, match=r"expected .*core map") as raised:
        FeatureMap.load(path)
    assert "\n" not in str(raised.value)


def test_no_file_half_a_file_and_another_file(tmp_path):
    path = tmp_path / "map-test.npz"
    with pytest.raises(UserError, match="no such file"):
        FeatureMap.load(path)
    made(20).save(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no map", whole[:200] + b"\xff" * 50 + whole[250:]):
        path.write_bytes(content)
        with pytest.raises(UserError, match="got something else"):
            FeatureMap.load(path)


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "map-test.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.npy", bytes(100_000))
    monkeypatch.setattr("core.feature_map.MAX_FILE_BYTES", 50_000)
    with pytest.raises(UserError, match="unpacked"):
        FeatureMap.load(path)


def test_no_such_checkpoint():
    with pytest.raises(UserError, match="expected a checkpoint"):
        load_feature_map("no/network")
