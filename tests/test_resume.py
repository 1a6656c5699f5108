"""A file is whole or old, and a model that was loaded goes on as if never stopped."""

import os
import signal
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

from sslkit import recipes, resume
from sslkit.resume import atomic

# ----------------------------------------------------------------------- whole files


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    return path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_appears_when_it_is_complete(old):
    with atomic(old) as file:
        file.write(b"new")
        file.flush()
        assert old.read_bytes() == b"old"
        file.seek(0)
        assert file.read() == b"new"
    assert contents(old.parent) == {"file.bin": b"new"}


def test_folders_are_made(tmp_path):
    with atomic(tmp_path / "a" / "b" / "file.bin") as file:
        file.write(b"new")
    assert contents(tmp_path / "a" / "b") == {"file.bin": b"new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_while_writing_leaves_the_old_file(old, error):
    with pytest.raises(error), atomic(old) as file:
        file.write(b"ne")
        raise error
    assert contents(old.parent) == {"file.bin": b"old"}


@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_an_error_of_the_system_leaves_the_old_file(old, monkeypatch, stage):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, stage, fail)
    with pytest.raises(OSError, match="No space left"), atomic(old) as file:
        file.write(b"new")
    assert contents(old.parent) == {"file.bin": b"old"}


def test_contents_are_forced_to_the_disk_before_the_name(old, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        whole = getattr(os, name)

        def record(*arguments, name=name, whole=whole):
            calls.append(name)
            return whole(*arguments)

        monkeypatch.setattr(os, name, record)
    with atomic(old) as file:
        file.write(b"new")
    assert calls == ["fsync", "replace"]


def killed(folder, when):
    """Kill a process at a stage of writing, and return what is in the folder."""
    program = f"""
        import os, signal
        from sslkit.resume import atomic
        def die(*_):
            os.kill(os.getpid(), signal.SIGKILL)
        if {when!r} != "body":
            setattr(os, {when!r}, die)
        with atomic({str(folder / "file.bin")!r}) as file:
            file.write(b"new" * 100_000)
            if {when!r} == "body":
                die()
    """
    child = subprocess.run([sys.executable, "-c", textwrap.dedent(program)])
    assert child.returncode == -signal.SIGKILL
    return contents(folder)


@pytest.mark.skipif(os.name == "nt", reason="processes end otherwise on Windows")
def test_a_process_that_is_killed_leaves_the_old_file(old):
    for when in ("body", "fsync", "replace"):
        found = killed(old.parent, when)
        assert found.pop("file.bin") == b"old"
        assert all(name.startswith(".file.bin.") for name in found)
    # Three unfinished files lie about, and disturb nobody.
    assert len(found) == 3
    with atomic(old) as file:
        file.write(b"new")
    assert old.read_bytes() == b"new"


def test_two_may_write_the_same_file(old):
    with atomic(old) as one, atomic(old) as two:
        one.write(b"one")
        two.write(b"second")
    assert contents(old.parent) == {"file.bin": b"one"}


# ----------------------------------------------------------------------- checkpoints


def build(method="simclr", seed=0, precision="float32", features=4):
    """A small model that draws random numbers in every step."""
    keras.utils.set_random_seed(seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    encoder = None if method in recipes.OWN_NETWORKS else "dense"
    model = recipes.build(
        *(method, (16, 16), encoder), features=features, seed=seed, width=0.05
    )
    # At this rate the loss scale of float16 is halved in some steps.
    recipes.compile(model, 1e-2, steps=20, run_eagerly=True)
    keras.config.set_dtype_policy(before)
    return model


PICTURES = np.random.default_rng(0).random((4, 12, 16, 16), "float32")


def train(model, *steps):
    """Batch by batch, and what `fit` reports."""
    for step in steps:
        reported = model.train_on_batch(PICTURES[step], return_dict=True)
    return {name: float(np.mean(value)) for name, value in reported.items()}


def state(model):
    return [np.asarray(value) for value in resume.variables(model)]


def assert_equal(one, two):
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


CASES = [
    *(("simclr", "float32"), ("moco", "float32"), ("byol", "float32")),
    *(("gan", "float32"), ("aae", "float32"), ("vae", "mixed_float16")),
    ("gan", "mixed_float16"),
]


@pytest.mark.parametrize(("method", "precision"), CASES)
def test_a_loaded_model_goes_on_as_the_saved_one(tmp_path, method, precision):
    whole = build(method, precision=precision)
    train(whole, 0, 1)
    resume.save(tmp_path, 2, whole)
    reported = train(whole, 2, 3)
    # Another seed: nothing of it is left.
    other = build(method, seed=5, precision=precision)
    train(other, 3)
    assert resume.load(tmp_path, other) == 2
    assert train(other, 2, 3) == reported
    assert_equal(state(whole), state(other))


def test_a_loaded_model_draws_the_same_views(tmp_path):
    whole, other = build(), build(seed=5)
    train(whole, 0)
    resume.save(tmp_path, 1, whole)
    resume.load(tmp_path, other)
    for _ in range(2):
        np.testing.assert_array_equal(
            whole.views(PICTURES[0]), other.views(PICTURES[0])
        )


def test_all_that_changes_in_training_is_saved():
    for method, precision in CASES:
        model = build(method, precision=precision)
        train(model, 0)
        found = {id(value) for value in resume.variables(model)}
        assert len(found) == len(resume.variables(model))  # None of them twice.
        named = [*model.weights, *model.metrics_variables]
        for name in getattr(model, "optimizers", ("optimizer",)):
            named += getattr(model, name).variables
        for layer in [model, *model._flatten_layers()]:
            named += [g.state for g in getattr(layer, "_seed_generators", [])]
        assert {id(value) for value in named} <= found


def test_only_the_last_checkpoints_are_kept(tmp_path):
    model = build("autoencoder")
    (tmp_path / ".step-000000001.npz.0a1b2c3d.part").write_bytes(b"of a killed process")
    (tmp_path / "notes.txt").write_text("mine")
    for step in (1, 2, 9, 10, 1_000_000):
        assert resume.save(tmp_path, step, model).exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("notes.txt", "step-000000010.npz", "step-001000000.npz"),
    ]
    assert resume.load(tmp_path, model) == 1_000_000


def test_without_a_checkpoint_the_model_stays_as_it_is(tmp_path):
    model = build("autoencoder")
    before = state(model)
    assert resume.load(tmp_path / "nowhere", model) == 0
    assert resume.checkpoints(tmp_path / "nowhere") == []
    assert_equal(before, state(model))


def test_instead_of_a_damaged_checkpoint_the_one_before_is_loaded(tmp_path):
    model, other = build("autoencoder"), build("autoencoder", seed=1)
    resume.save(tmp_path, 1, model)
    first = state(model)
    train(model, 0)
    last = resume.save(tmp_path, 2, model)
    whole = last.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [
        whole[:n] for n in (0, 1, len(whole) - 1, *rng.integers(len(whole), size=9))
    ]
    damaged += [whole[:n] + bytes(200) + whole[n + 200 :] for n in (2000, 9000)]
    damaged += [b"not at all an archive", bytes(len(whole))]
    for content in damaged:
        last.write_bytes(content)
        train(other, 1)
        assert resume.load(tmp_path, other) == 1
        assert_equal(first, state(other))
    last.write_bytes(whole)
    assert resume.load(tmp_path, other) == 2


def test_if_all_checkpoints_are_damaged_it_says_so(tmp_path):
    model = build("autoencoder")
    for step in (1, 2):
        resume.save(tmp_path, step, model).write_bytes(b"x")
    message = r"no checkpoint in .* can be read: step-000000002.npz \(.*start anew"
    with pytest.raises(ValueError, match=message):
        resume.load(tmp_path, model)


@pytest.mark.parametrize("other", [("autoencoder", 5), ("gan", 4), ("simclr", 4)])
def test_a_checkpoint_of_another_model_is_refused(tmp_path, other):
    resume.save(tmp_path, 1, build("autoencoder"))
    model = build(other[0], features=other[1])
    before = state(model)
    with pytest.raises(ValueError, match="is a checkpoint of another model"):
        resume.load(tmp_path, model)
    assert_equal(before, state(model))


def test_a_full_disk_leaves_the_older_checkpoints(tmp_path, monkeypatch):
    model = build("autoencoder")
    for step in (1, 2):
        resume.save(tmp_path, step, model)
    before = contents(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        resume.save(tmp_path, 3, model)
    assert contents(tmp_path) == before


def test_what_killed_processes_left_is_removed(tmp_path):
    names = [f"step-{i:09d}.npz" for i in (2, 4, 10, 8)] + [".step-000000012.npz.part"]
    for name in [*names, "lock"]:
        (tmp_path / name).touch()
    resume.tidy(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"step-000000008.npz", "step-000000010.npz", "lock"}
