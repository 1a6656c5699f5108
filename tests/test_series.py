"""Synthetic sensor windows and their views, against their formulas."""

import keras
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sslkit import series


@pytest.fixture(scope="module")
def quiet():
    """Windows without sensor noise, long enough to tell frequencies apart."""
    return series.wearable(subjects=6, windows=6, seed=1, length=256, noise=0.0)


def test_wearable_is_ordered_complete_and_repeatable():
    one, same = (series.wearable(3, 4, seed=5) for _ in range(2))
    other = series.wearable(3, 4, seed=6)
    assert one.x.shape == (3 * 6 * 4, 64, 3) and one.x.dtype == np.float32
    assert np.array_equal(one.x, same.x) and not np.allclose(one.x, other.x)
    pairs, counts = np.unique(
        np.stack([one.subject, one.y]), axis=1, return_counts=True
    )
    assert pairs.shape == (2, 18) and set(counts) == {4}
    assert np.all(np.diff(one.subject) >= 0)


def test_consecutive_windows_share_half_of_their_samples():
    x = series.wearable(1, 5, seed=0).x[:5]
    assert np.array_equal(x[:-1, 32:], x[1:, :32])


def test_frequencies_are_those_of_the_activities(quiet):
    centred = quiet.x - quiet.x.mean(axis=1, keepdims=True)
    power = (np.abs(np.fft.rfft(centred, axis=1)) ** 2).sum(axis=2)
    hertz = np.fft.rfftfreq(256, 1 / 25)
    for name, wanted in [("walk", 1.8), ("march", 1.8), ("run", 2.7), ("cycle", 1.3)]:
        mine = power[quiet.y == series.ACTIVITIES.index(name)].mean(axis=0)
        assert abs(hertz[mine.argmax()] / wanted - 1) < 0.25, name


def test_march_is_walk_with_more_strength(quiet):
    size = np.linalg.norm(quiet.x - quiet.x.mean(axis=1, keepdims=True), axis=(1, 2))
    rest, walk, march = (size[quiet.y == k].mean() for k in (0, 1, 2))
    assert rest < 0.5 * walk
    assert 2 < march / walk < 3


def test_sensors_sit_at_all_angles():
    x = series.wearable(40, 2, seed=2, noise=0.0)
    runs = x.x[x.y == series.ACTIVITIES.index("run")]
    axes = [np.linalg.svd(window, full_matrices=False)[2][0] for window in runs]
    spread = np.mean([np.outer(axis, axis) for axis in axes], axis=0)
    assert np.linalg.eigvalsh(spread).max() < 0.6  # 1 if all axes were the same


@pytest.mark.parametrize(
    "arguments",
    [
        {"subjects": 0},
        {"windows": 1.5},
        {"length": 6},
        {"length": 65},
        {"rate": 0},
        {"noise": -1},
    ],
)
def test_wearable_refuses(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        series.wearable(**{"subjects": 1, "windows": 1, **arguments})


def test_rotations_are_those_of_scipy():
    q = np.random.default_rng(0).normal(size=(20, 4))
    wanted = Rotation.from_quat(q, scalar_first=True).as_matrix()
    assert np.allclose(np.asarray(series._rotations(q)), wanted, atol=1e-6)


def test_without_training_views_change_nothing():
    x = np.random.default_rng(0).normal(size=(2, 64, 3)).astype("float32")
    assert np.array_equal(series.SensorViews(48)(x), x)


def test_views_crop_a_stretch_of_time_and_all_starts_occur():
    time = np.broadcast_to(np.arange(10.0)[:, None], (400, 10, 3)).astype("float32")
    views = series.SensorViews(7, rotate=False, scale=1, noise=0)
    cut = np.asarray(views(time, training=True))
    assert np.allclose(np.diff(cut, axis=1), 1, atol=1e-5)
    assert set(cut[:, 0, 0].round().astype(int)) == {0, 1, 2, 3}


def test_rotation_keeps_lengths_and_angles_and_differs_by_example():
    x = np.random.default_rng(1).normal(size=(3, 8, 3)).astype("float32")
    turned = np.asarray(
        series.SensorViews(8, scale=1, noise=0)(np.repeat(x[:1], 3, 0), training=True)
    )
    gram = x[0] @ x[0].T
    assert np.allclose(turned @ turned.transpose(0, 2, 1), gram, atol=1e-4)
    assert np.linalg.det(np.linalg.lstsq(x[0], turned[0])[0]) > 0.99
    assert not np.allclose(turned[0], turned[1], atol=0.1)


def test_rotation_is_uniform_over_directions():
    x = np.tile(np.array([[[1.0, 0, 0]]], "float32"), (20000, 1, 1))
    to = np.asarray(series.SensorViews(1, scale=1, noise=0)(x, training=True))[:, 0]
    assert np.allclose(to.mean(axis=0), 0, atol=0.02)
    assert np.allclose(to.T @ to / len(to), np.eye(3) / 3, atol=0.02)


def test_scale_and_noise_have_the_stated_distribution():
    ones = np.ones((20000, 1, 3), "float32")
    scaled = series.SensorViews(1, rotate=False, scale=2.0, noise=0)
    logs = np.log2(np.asarray(scaled(ones, training=True)))
    assert np.allclose(np.ptp(logs, axis=2), 0, atol=1e-5)  # one factor a window
    assert -1 <= logs.min() < -0.99 and 0.99 < logs.max() <= 1.0001
    assert abs(logs.std() - 1 / np.sqrt(3)) < 0.02
    noisy = series.SensorViews(1, rotate=False, scale=1, noise=0.3)
    assert abs(np.std(noisy(ones, training=True)) - 0.3) < 0.01


def test_views_survive_saving(tmp_path):
    model = keras.Sequential([keras.Input((16, 3)), series.SensorViews(9, scale=3.0)])
    model.save(tmp_path / "views.keras")
    loaded = keras.models.load_model(tmp_path / "views.keras")
    assert loaded.layers[0].get_config() == model.layers[0].get_config()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"crop": 0}, "crop"),
        ({"crop": 4, "scale": 0.5}, "scale"),
        ({"crop": 4, "noise": -0.1}, "noise"),
    ],
)
def test_views_refuse(arguments, name):
    with pytest.raises(ValueError, match=name):
        series.SensorViews(**arguments)


def test_views_refuse_a_crop_that_is_too_long():
    with pytest.raises(ValueError, match="crop=9 is longer"):
        series.SensorViews(9)(np.zeros((2, 8, 3), "float32"), training=True)


def test_encoder_takes_windows_of_any_length_and_ignores_when_they_begin():
    encoder = series.series_encoder(8)
    wave = np.sin(np.arange(96) * 2 * np.pi / 8)  # its period divides the stride
    x = np.repeat(wave[None, :, None], 3, axis=2).astype("float32")
    assert encoder(x[:, :64]).shape == (1, 8)
    assert np.allclose(encoder(x[:, 8:88]), encoder(x[:, :80]), atol=1e-5)


@pytest.mark.parametrize("arguments", [{"features": 0}, {"channels": 2.0}])
def test_encoder_refuses(arguments):
    with pytest.raises(ValueError, match="positive integer"):
        series.series_encoder(**arguments)
