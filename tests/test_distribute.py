"""Training on several devices is training on one, with the whole batch."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from sslkit import distribute, networks
from sslkit.contrastive import SimCLR, digit_views

SCRIPT = Path(__file__).with_name("distributed.py")
METHODS = (
    *("autoencoder", "denoising", "sparse", "contractive", "vae", "aae", "gan"),
    *("wgan", "rotation", "jigsaw", "mae", "simclr", "moco", "simsiam", "byol"),
    *("barlow", "vicreg", "swav", "dino", "iic", "heads", "skip-gram"),
    *("masked words", "masked sound"),
)
ADDRESS = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", '


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop(processes):
    for process in processes:
        process.kill()
        process.communicate()


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("distribute")


@pytest.fixture(scope="module")
def workers(folder):
    """Two workers that have trained two models, and go on with one of them."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    processes = [
        start(
            *("worker", folder, i),
            TF_CONFIG=json.dumps(
                {"cluster": cluster, "task": {"type": "worker", "index": i}}
            ),
        )
        for i in range(2)
    ]
    yield processes
    stop(processes)


@pytest.fixture(scope="module")
def found(folder, workers):
    """What a process with two devices has found out, while the workers train."""
    process = start("mirrored", folder)
    try:
        _, errors = process.communicate(timeout=300)
    finally:
        stop([process])
    assert process.returncode == 0, errors
    return json.loads((folder / "mirrored.json").read_text())


# ------------------------------------------------------------- two devices as one


def test_two_devices_are_two_replicas_and_no_method_is_left_out(found):
    assert found["replicas"] == 2
    assert set(found["methods"]) == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_replicas_take_the_step_of_one_device_with_the_whole_batch(found, name):
    method = found["methods"][name]
    assert method["moved"] > 0.005  # five hundred times what is let pass
    assert method["weights"] < 1e-5  # statistics, queues and teachers among them


@pytest.mark.parametrize("name", METHODS)
def test_replicas_report_what_one_device_reports(found, name):
    method = found["methods"][name]
    assert method["names"]
    assert method["reported"] < 1e-5


def test_a_matrix_gets_the_gradient_that_its_formula_says(found):
    given = found["contrast"]
    x = np.reshape(given["x"], (16, 5))
    z = x @ np.array(given["matrix"])
    length = np.linalg.norm(z, axis=1, keepdims=True)
    u = z / length
    s = u @ u.T / 0.3
    np.fill_diagonal(s, -np.inf)
    e = np.exp(s - s.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    other = np.roll(np.arange(16), 8)
    assert given["loss"] == pytest.approx(-np.log(p[np.arange(16), other]).mean())
    # By a cosine: a softmax less the right answer. By a vector: across it, only.
    g = (p - np.eye(16)[other]) / (16 * 0.3)
    by_u = (g + g.T) @ u
    by_z = (by_u - np.sum(by_u * u, axis=1, keepdims=True) * u) / length
    np.testing.assert_allclose(given["gradient"], x.T @ by_z, rtol=1e-4, atol=1e-6)


def test_weighted_shares_add_up_to_the_weighted_mean(found):
    assert found["weighted"]["total"] == pytest.approx(found["weighted"]["expected"])


def test_half_precision_scales_the_loss_of_every_player_on_every_replica(found):
    assert found["half"]["scaled"]
    assert found["half"]["weights"] < 1e-3


# ----------------------------------------------------------------- random numbers


def test_replicas_draw_different_numbers_and_the_first_those_of_one_device(found):
    one = np.array(found["draws"]["one"])
    numbers = np.array(found["draws"]["replicas"]["numbers"])  # draw, replica, number
    np.testing.assert_array_equal(numbers[:, 0], one)
    assert not np.isclose(numbers[:, 1], one).any()
    assert len(np.unique(numbers)) == numbers.size


def test_the_state_of_the_numbers_stays_the_same_on_all_replicas(found):
    first, second = found["draws"]["state"]
    assert first == second == [5, 2]


@pytest.mark.parametrize("name", ["dropout", "gaussian_noise"])
def test_layers_of_keras_draw_anew_on_every_replica_when_asked(found, name):
    ((first, second),) = found["draws"]["replicas"][name]
    assert first != second


def test_one_device_draws_what_it_always_drew():
    ours, theirs = distribute.SeedGenerator(3), keras.random.SeedGenerator(3)
    for ordered in (True, False, True):
        np.testing.assert_array_equal(ours.next(ordered), theirs.next(ordered))


def test_numbers_of_many_replicas_never_meet():
    # Keras takes the remainder by this number before it draws.
    seeds = np.arange(10_000) * distribute.SeedGenerator.STEP % (2**31 - 2)
    assert len(np.unique(seeds)) == 10_000


# ------------------------------------------------------------------- two workers


def arrays(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize("name", ["simclr", "gan"])
def test_two_workers_train_as_one_device_does(found, workers, folder, name):
    paths = [folder / f"{name}-{i}.npz" for i in range(2)]
    wait_for(lambda: beats(folder) or any(each.poll() for each in workers), 120)
    if not all(path.exists() for path in paths):
        stop(workers)
        raise AssertionError("the workers have not finished")
    first, second = (arrays(path) for path in paths)
    one = arrays(folder / f"{name}-one.npz")
    assert set(first) == set(second) == set(one)
    for each, value in one.items():
        np.testing.assert_allclose(first[each], second[each], atol=1e-7, err_msg=each)
        np.testing.assert_allclose(first[each], value, 1e-5, 1e-5, err_msg=each)


def test_a_worker_that_is_killed_ends_the_other_with_one_sentence(workers, folder):
    wait_for(lambda: beats(folder) or any(each.poll() for each in workers), 120)
    assert all(each.poll() is None for each in workers)
    workers[1].send_signal(signal.SIGKILL)
    _, errors = workers[0].communicate(timeout=90)
    assert workers[0].returncode == 1
    assert "LostWorker: a worker was lost" in errors
    assert "start all workers again with --resume" in errors


def beats(folder):
    """Whether both workers are at the training that ends with a loss."""
    return all((folder / f"beat-{i}").exists() for i in range(2))


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)


def test_other_errors_than_that_of_a_lost_worker_are_left_alone():
    with (
        pytest.raises(tf.errors.InvalidArgumentError),
        distribute.explain_lost_worker(),
    ):
        raise tf.errors.InvalidArgumentError(None, None, "shapes differ")


# -------------------------------------------------------------- nothing on one device


def test_one_device_gathers_and_shares_without_doing_anything():
    a, b = tf.ones((2, 3)), tf.ones((2, 1))
    assert distribute.gather(a) is a
    found = distribute.gather(a, b)
    assert found[0] is a and found[1] is b
    loss = tf.constant(2.0)
    assert distribute.share(loss) is loss
    assert distribute.share(loss, tf.constant(4.0)) is loss


def test_outside_of_replicas_nothing_is_gathered_either():
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        assert distribute.gather(3.0) == 3.0
        assert distribute.share(3.0) == 3.0


# ------------------------------------------------------------------- synchronise


def simclr():
    encoder = keras.Sequential(
        [
            keras.Input((28, 28)),
            keras.layers.Flatten(),
            keras.Sequential([keras.layers.BatchNormalization()]),
            keras.layers.Dense(4),
        ]
    )
    projector = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    return SimCLR(encoder, projector, digit_views())


def normalisations(model):
    layers = [model, *model._flatten_layers()]
    return [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]


def test_all_normalisations_are_synchronised_and_saved_so(tmp_path):
    model = simclr()
    assert not any(layer.synchronized for layer in normalisations(model))
    assert distribute.synchronise(model) is model
    model(np.zeros((4, 28, 28), "float32"))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        assert [layer.synchronized for layer in normalisations(each)] == [True] * 2


def test_a_synchronised_normalisation_computes_on_one_device_as_any_other():
    x = np.random.default_rng(0).normal(3, 2, (16, 5)).astype("float32")
    outputs = []
    for change in (lambda model: model, distribute.synchronise):
        model = change(keras.Sequential([keras.layers.BatchNormalization()]))
        outputs.append([model(x, training=True), *model.get_weights()])
    for a, b in zip(*outputs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_a_model_without_normalisation_is_left_as_it_is():
    model = networks.dense_encoder(4)
    assert distribute.synchronise(model) is model


# ---------------------------------------------------------------------- strategy


@pytest.fixture
def choice(monkeypatch):
    """Return what `strategy` chooses on a computer of so many GPUs."""

    def choose(name, gpus=0, config=None):
        monkeypatch.delenv("TF_CONFIG", raising=False)
        if config is not None:
            monkeypatch.setenv("TF_CONFIG", config)
        devices = {
            "GPU": [tf.config.LogicalDevice(f"GPU:{i}", "GPU") for i in range(gpus)]
        }
        devices["CPU"] = [tf.config.LogicalDevice("CPU:0", "CPU")]
        for kind in ("get_visible_devices", "list_logical_devices"):
            monkeypatch.setattr(tf.config, kind, devices.__getitem__)
        monkeypatch.setattr(tf.distribute, "MirroredStrategy", list)
        monkeypatch.setattr(distribute, "_Workers", lambda: "workers")
        return distribute.strategy(name)

    return choose


@pytest.mark.parametrize(
    ("name", "gpus", "config", "expected"),
    [
        ("auto", 2, None, ["GPU:0", "GPU:1"]),
        ("auto", 2, ADDRESS + '"index": 1}}', "workers"),
        ("auto", 0, ADDRESS + '"index": 1}}', "workers"),
        ("workers", 0, ADDRESS + '"index": 0}}', "workers"),
        ("workers", 0, ADDRESS.replace(', "b:1"', "") + '"index": 0}}', "workers"),
        ("mirrored", 0, None, ["CPU:0"]),
        ("mirrored", 1, None, ["GPU:0"]),
        ("mirrored", 2, "nonsense", ["GPU:0", "GPU:1"]),
    ],
)
def test_the_strategy_fits_the_computer(choice, name, gpus, config, expected):
    assert choice(name, gpus, config) == expected


@pytest.mark.parametrize(
    ("name", "gpus", "config"),
    [
        ("auto", 0, None),
        ("auto", 1, None),
        ("auto", 1, ADDRESS.replace(', "b:1"', "") + '"index": 0}}'),
        ("one", 2, ADDRESS + '"index": 0}}'),
    ],
)
def test_one_device_is_no_strategy(choice, name, gpus, config):
    one = choice(name, gpus, config)
    assert one is tf.distribute.get_strategy() and one.num_replicas_in_sync == 1
    with one.scope():
        assert ops.convert_to_numpy(keras.Variable(1.0)) == 1


def test_a_chief_counts_as_a_worker(choice):
    config = '{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": %s}'
    for task in ('{"type": "chief", "index": 0}', '{"type": "worker", "index": 0}'):
        assert choice("auto", 0, config % task) == "workers"


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("both", None, "name must be one of"),
        ("workers", None, "environment has no TF_CONFIG: set it"),
        ("workers", "{cluster", "TF_CONFIG must be JSON, got '{cluster': pass"),
        ("auto", "[]", "TF_CONFIG must have cluster and task, got"),
        ("auto", '{"cluster": {"worker": ["a:1"]}}', "must have cluster and task"),
        ("auto", '{"cluster": [], "task": {}}', "must have cluster and task"),
        ("auto", ADDRESS + '"index": 2}}', "task of TF_CONFIG must be in cluster"),
        ("auto", ADDRESS + '"index": "0"}}', "task of TF_CONFIG must be in cluster"),
        ("auto", '{"cluster": {"worker": ["a:1"]}, "task": {}}', "must be in cluster"),
    ],
)
def test_what_strategy_refuses_it_explains(choice, name, config, message):
    with pytest.raises(ValueError, match=message):
        choice(name, 0, config)
