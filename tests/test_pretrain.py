"""A run that was stopped ends as one that was not, and what goes wrong is said."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import crash
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sslkit import evaluate, images, pretrain, recipes, resume
from sslkit.__main__ import main
from sslkit.pretrain import Settings, Stopped

COUNT, SIDE = 24, 16


def draw(folder, count=COUNT, classes=("bright", "dark")):
    """Pictures of two classes that anybody can tell apart."""
    rng = np.random.default_rng(0)
    for i in range(count):
        k = i % 2
        pixels = rng.integers(128 * (1 - k), 128 * (2 - k), (SIDE, SIDE), np.uint8)
        path = folder / classes[k] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def folder(shared, tmp_path):
    return shutil.copytree(shared, tmp_path / "pictures")


def settings(folder, **changes):
    small = {"encoder": "dense", "features": 4, "epochs": 2, "batch": 8, "side": SIDE}
    return Settings(**{"method": "autoencoder", "data": str(folder)} | small | changes)


def train(folder, run, resume_run=False, **changes):
    return pretrain.pretrain(settings(folder, **changes), run, resume_run, None, False)


@pytest.fixture(scope="module")
def finished(shared, tmp_path_factory):
    """A run that nobody changes."""
    run = tmp_path_factory.mktemp("runs") / "finished"
    train(shared, run, method="simclr", seed=3)
    return run


def weights(run):
    return [np.asarray(w) for w in pretrain.load_encoder(run).weights]


def assert_equal(one, two):
    """That two runs have the same rows, encoders and checkpoints, to the last bit."""
    assert (one / "history.json").read_bytes() == (two / "history.json").read_bytes()
    for a, b in zip(weights(one), weights(two), strict=True):
        np.testing.assert_array_equal(a, b)
    last = [resume.checkpoints(run / "checkpoints")[-1] for run in (one, two)]
    assert last[0].name == last[1].name
    with np.load(last[0]) as a, np.load(last[1]) as b:
        assert a.files == b.files
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name])


# -------------------------------------------------------------------------- one run


def test_a_run_holds_what_it_says(shared, finished):
    names = {path.name for path in finished.iterdir()}
    assert {"run.json", "history.json", "checkpoints", "encoder.keras"} <= names
    assert not [name for name in names if name.startswith((".", "tmp"))]
    steps = [path.name for path in (finished / "checkpoints").glob("*.npz")]
    assert sorted(steps) == ["step-000000003.npz", "step-000000006.npz"]
    rows = pretrain.history(finished)
    assert [(row["epoch"], row["step"]) for row in rows] == [(0, 0), (1, 3), (2, 6)]
    assert list(rows[0]) == ["epoch", "step", "std", "rank"]
    assert all({"loss", "std", "rank"} < set(row) for row in rows[1:])
    found = pretrain.settings_of(finished)
    assert found == replace(
        settings(shared, method="simclr", seed=3), channels=1, augment="digit"
    )


def test_the_encoder_is_the_model_of_the_settings(shared, finished):
    """Trained without any of this, on the same batches."""
    source = images.open_images(shared, SIDE)
    keras.utils.set_random_seed(3)
    model = recipes.build("simclr", (SIDE, SIDE), "dense", "digit", 4, 3)
    encoder = recipes.encoder(model)
    x = np.stack([source.read(i) for i in range(COUNT)])
    before = evaluate.embed(encoder, x)
    recipes.compile(model, 1e-3, 6)
    losses = []
    for epoch in range(2):
        order = source.order(epoch, 3)
        seen = [x[order[i : i + 8]].astype("float32") / 255 for i in (0, 8, 16)]
        losses.append(np.mean([model.train_on_batch(batch) for batch in seen]))
    rows = pretrain.history(finished)
    np.testing.assert_allclose([row["loss"] for row in rows[1:]], losses, rtol=1e-5)
    loaded = pretrain.load_encoder(finished)
    after = evaluate.embed(loaded, x)
    np.testing.assert_allclose(after, evaluate.embed(encoder, x), rtol=1e-4, atol=1e-5)
    for row, h in ((rows[0], before), (rows[-1], after)):
        spread = (h / np.linalg.norm(h, axis=1, keepdims=True)).std(axis=0).mean()
        assert row["std"] == pytest.approx(spread, rel=1e-4)


def test_going_on_after_the_end_changes_nothing(
    shared, finished, tmp_path, monkeypatch
):
    run, forced = shutil.copytree(finished, tmp_path / "run"), []
    (run / "encoder.keras").unlink()
    monkeypatch.setattr(os, "fsync", forced.append)
    train(shared, run, True, method="simclr", seed=3)
    assert len(forced) == 2  # To the disk: run.json and the encoder.
    assert_equal(finished, run)


def test_another_seed_is_another_run(shared, finished, tmp_path):
    train(shared, tmp_path / "run", method="simclr", seed=4)
    pairs = zip(weights(tmp_path / "run"), weights(finished), strict=True)
    assert any((a != b).any() for a, b in pairs)


def test_collapsed_features_have_rank_zero(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(
        evaluate, "embed", lambda encoder, x, **_: np.zeros((len(x), 4), "float32")
    )
    train(folder, tmp_path / "run", epochs=1)
    assert pretrain.history(tmp_path / "run")[0]["rank"] == 0.0


def test_training_that_goes_astray_says_so(folder, tmp_path):
    with pytest.raises(Stopped, match="astray before step 3: .*NaN.*lower --rate"):
        train(folder, tmp_path / "run", rate=1e20, method="simclr")
    train(folder, tmp_path / "run")  # Nothing was finished: the folder is free.


# ------------------------------------------------------------- stopped and resumed


class Interrupting(pretrain.Journal):
    """Sends a signal to the process after a step."""

    step, number = 4, signal.SIGINT

    def on_train_batch_end(self, batch, logs=None):
        if self.done + 1 == self.step:
            os.kill(os.getpid(), self.number)
        super().on_train_batch_end(batch, logs)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_in_the_middle_of_an_epoch_and_nothing_is_lost(
    shared, finished, tmp_path, monkeypatch, number
):
    run = tmp_path / "run"
    monkeypatch.setattr(Interrupting, "number", number)
    monkeypatch.setattr(pretrain, "Journal", Interrupting)
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Stopped, match="step 4 of 6 is saved: go on with --resume"):
        train(shared, run, method="simclr", seed=3)
    after = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    assert after == before
    assert not (run / "encoder.keras").exists()
    assert len(pretrain.history(run)) == 2
    monkeypatch.undo()
    train(shared, run, True, method="simclr", seed=3)
    assert_equal(finished, run)


@pytest.mark.parametrize("before", [signal.default_int_handler, signal.SIG_IGN])
def test_a_second_signal_does_not_wait(shared, tmp_path, monkeypatch, before):
    """Even if the shell has told the program to ignore it, as in the background."""

    class Impatient(pretrain.Journal):
        def on_train_batch_begin(self, batch, logs=None):
            if self.done == 4:
                for _ in range(2):  # In this thread, and so without delay.
                    signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(pretrain, "Journal", Impatient)
    old = signal.signal(signal.SIGINT, before)
    try:
        with pytest.raises(Stopped, match="; step 3 of 6 is saved"):
            train(shared, tmp_path / "run")
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, old)


def test_long_epochs_are_saved_by_the_clock(shared, finished, tmp_path, monkeypatch):
    """Killed after a checkpoint within an epoch: its loss is that of all its steps."""

    class Dying(pretrain.Journal):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            if self.done == 5:
                raise MemoryError

    run = tmp_path / "run"
    monkeypatch.setattr(pretrain, "MINUTES", 0)
    monkeypatch.setattr(pretrain, "Journal", Dying)
    with pytest.raises(MemoryError):
        train(shared, run, method="simclr", seed=3)
    monkeypatch.undo()
    steps = [path.stem for path in resume.checkpoints(run / "checkpoints")]
    assert steps == ["step-000000004", "step-000000005"]
    train(shared, run, True, method="simclr", seed=3)
    shutil.rmtree(run / "scratch", ignore_errors=True)
    assert_equal(finished, run)


def test_rows_and_checkpoints_fit_together_after_a_crash_between_them(
    shared, finished, tmp_path, monkeypatch
):
    run, save = tmp_path / "run", resume.save

    def crash_at_the_end(folder, step, model):
        if step == 6:
            raise MemoryError
        return save(folder, step, model)

    monkeypatch.setattr(resume, "save", crash_at_the_end)
    with pytest.raises(MemoryError):
        train(shared, run, method="simclr", seed=3)
    # The row of step 6 is there already, its checkpoint is not.
    assert [row["step"] for row in pretrain.history(run)] == [0, 3, 6]
    monkeypatch.undo()
    train(shared, run, True, method="simclr", seed=3)
    assert_equal(finished, run)


def test_a_damaged_checkpoint_costs_an_epoch_and_no_more(finished, shared, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    last = resume.checkpoints(run / "checkpoints")[-1]
    last.write_bytes(last.read_bytes()[:5000])
    (run / "encoder.keras").unlink()
    train(shared, run, True, method="simclr", seed=3)
    assert_equal(finished, run)


def test_rows_of_a_run_that_saved_no_step_are_not_taken_over(folder, tmp_path):
    run = tmp_path / "run"
    train(folder, run, epochs=1, seed=1)
    rows = pretrain.history(run)
    shutil.rmtree(run / "checkpoints")
    (run / "encoder.keras").unlink()
    train(folder, run, True, epochs=1, seed=2)
    assert pretrain.history(run)[0] != rows[0]


# ------------------------------------------------------------------ what goes wrong


@pytest.fixture(scope="module")
def started(shared, tmp_path_factory):
    """Pictures and a run of one epoch on them, to be copied."""
    place = tmp_path_factory.mktemp("started")
    shutil.copytree(shared, place / "pictures")
    train(place / "pictures", place / "run", epochs=1)
    return place


@pytest.fixture
def copy(started, tmp_path):
    place = shutil.copytree(started, tmp_path / "copy")
    # Its pictures are in another place than those of the run it was copied from.
    return place / "pictures", place / "run"


def test_a_run_is_not_overwritten(copy):
    with pytest.raises(ValueError, match="holds a run already: add --resume"):
        train(*copy, epochs=1)


def test_two_processes_do_not_share_a_run(shared, finished, tmp_path, monkeypatch):
    run, seen = tmp_path / "run", []

    def meanwhile(journal, batch, logs=None):
        with pytest.raises(Stopped, match="another process trains in"):
            train(shared, run, True, method="simclr", seed=3)
        seen.append(batch)

    with monkeypatch.context() as patch:
        patch.setattr(pretrain.Journal, "on_train_batch_begin", meanwhile)
        train(shared, run, method="simclr", seed=3)
    assert seen
    assert_equal(run, finished)
    train(shared, run, True, method="simclr", seed=3)  # The lock is open again.


def test_other_settings_are_another_run(copy):
    message = "other settings: epochs was 1 and is 2, rate was None and is 0.01. Start"
    with pytest.raises(ValueError, match=message):
        train(*copy, True, epochs=2, rate=0.01)


def test_pictures_may_be_moved_and_more_of_them_unreadable(copy):
    pictures, run = copy
    train(pictures, run, True, epochs=1, bad=0.5)
    assert pretrain.settings_of(run).data == str(pictures)


def test_other_pictures_are_another_run(copy):
    pictures, run = copy
    (pictures / "dark" / "01.png").unlink()
    with pytest.raises(ValueError, match="changed.* were 24 files.* are 23 files.*Put"):
        train(pictures, run, True, epochs=1)


def test_a_run_that_has_nothing_may_be_started_otherwise(folder, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(ValueError, match="encoder must be one of .*did you mean 'den"):
        train(folder, run, encoder="densee")
    train(folder, run)
    assert pretrain.settings_of(run).encoder == "dense"


def test_a_relative_path_is_kept_as_a_whole_one(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train("pictures", "run", epochs=1)
    monkeypatch.chdir("/")
    assert pretrain.settings_of(tmp_path / "run").data == str(folder)
    assert pretrain.embed(tmp_path / "run", progress=False).exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "simklr"}, "method must be one of .*did you mean 'simclr'"),
        ({"epochs": 0}, "epochs must be an integer from 1, got 0"),
        ({"features": -1}, "features must be an integer from 1"),
        ({"seed": -1}, "seed must be an integer from 0"),
        ({"rate": float("nan")}, "rate must be above 0, got nan"),
        ({"precision": "float64"}, "precision must be one of"),
        ({"batch": 25}, "batch must be an integer from 1 to the 24 pictures"),
        ({"method": "vicreg", "batch": 1}, "batch must be at least 2 for .*'vicreg'"),
        ({"data": "nowhere"}, "no file or folder nowhere"),
    ],
)
def test_settings_out_of_range_are_refused_and_leave_nothing(
    folder, tmp_path, changes, message
):
    with pytest.raises(ValueError, match=message):
        train(folder, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_names_and_numbers_are_checked_before_the_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain, "open_images", lambda *_: pytest.fail("opened"))
    for changes in ({"method": "simklr"}, {"epochs": 0}, {"precision": "half"}):
        with pytest.raises(ValueError, match="must be"):
            train(tmp_path, tmp_path / "run", **changes)


def test_unreadable_pictures_are_named_at_the_end(folder, tmp_path, capsys):
    for i in (3, 7, 9, 11):
        (folder / "dark" / f"{i:02d}.png").write_bytes(b"")
    train(folder, tmp_path / "run", bad=0.2)
    told = capsys.readouterr().err
    assert "4 of 24 pictures could not be read and were skipped: dark/03.png (" in told
    assert told.count(".png (") == 3 and told.rstrip().endswith("; ...")
    pretrain.embed(tmp_path / "run", progress=False)
    assert "4 of 24 pictures" in capsys.readouterr().err


def test_too_many_unreadable_pictures_end_a_run_and_more_may_be_allowed(
    folder, tmp_path, monkeypatch
):
    class Vanishing(pretrain.Journal):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            if self.done == 9:
                shutil.move(folder, tmp_path / "away")  # The disk is pulled out.

    run = tmp_path / "run"
    monkeypatch.setattr(pretrain, "WATCHED", 4)
    monkeypatch.setattr(pretrain, "Journal", Vanishing)
    with pytest.raises(ValueError, match="of 24 pictures cannot be read.*Allow more"):
        train(folder, run, epochs=12)
    monkeypatch.undo()
    monkeypatch.setattr(pretrain, "WATCHED", 4)
    shutil.move(tmp_path / "away", folder)
    train(folder, run, True, epochs=12)
    train(folder, tmp_path / "whole", epochs=12)
    assert_equal(tmp_path / "whole", run)


def test_a_full_disk_is_said_and_the_last_checkpoint_is_whole(
    shared, finished, tmp_path, monkeypatch
):
    run, fsync, left = tmp_path / "run", os.fsync, [5]

    def full(number):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        fsync(number)

    monkeypatch.setattr(os, "fsync", full)
    message = "step 6 could not be written .*No space .*checkpoint of step 3 is whole"
    with pytest.raises(Stopped, match=message):
        # run.json, then rows and checkpoint of an epoch, then rows of the next.
        left[0] = 4
        train(shared, run, method="simclr", seed=3)
    monkeypatch.undo()
    train(shared, run, True, method="simclr", seed=3)
    assert_equal(finished, run)


def test_a_disk_that_is_full_at_once_is_said(tmp_path, shared, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    np.savez(tmp_path / "x.npz", x=np.zeros((8, 16, 16), np.uint8))
    monkeypatch.setattr(os, "fsync", full)
    for data, what in ((shared, "run.json"), (tmp_path / "x.npz", "a copy of the .*")):
        with pytest.raises(Stopped, match=f"{what} could not be written to .*No space"):
            train(data, tmp_path / "run")


def test_too_little_memory_on_the_device_is_said(folder, tmp_path, monkeypatch):
    class Greedy(pretrain.Journal):
        def on_train_batch_end(self, batch, logs=None):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    monkeypatch.setattr(pretrain, "Journal", Greedy)
    with pytest.raises(Stopped, match="memory .* batches of 8: .* smaller --batch"):
        train(folder, tmp_path / "run")


def test_a_lost_worker_is_said(folder, tmp_path, monkeypatch):
    class Lonely(pretrain.Journal):
        error = tf.errors.UnavailableError(None, None, "Socket closed")

        def on_train_batch_end(self, batch, logs=None):
            raise self.error

    monkeypatch.setattr(pretrain, "Journal", Lonely)
    with pytest.raises(Stopped, match="a worker was lost"):
        train(folder, tmp_path / "run")
    # What nobody expects is not hidden.
    monkeypatch.setattr(Lonely, "error", RuntimeError("unknown"))
    with pytest.raises(RuntimeError, match="unknown") as raised:
        train(folder, tmp_path / "run")
    assert not isinstance(raised.value, Stopped)


def test_precision_is_put_back(folder, tmp_path):
    train(folder, tmp_path / "run", epochs=1, precision="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"
    assert np.isfinite(weights(tmp_path / "run")[0]).all()


def test_runs_may_be_started_outside_of_the_main_thread(folder, tmp_path):
    import threading

    thread = threading.Thread(target=train, args=(folder, tmp_path / "run"))
    thread.start()
    thread.join()
    assert (tmp_path / "run" / "encoder.keras").exists()


# --------------------------------------------------------------------------- features


def test_features_are_those_of_the_encoder(shared, finished, tmp_path):
    path = pretrain.embed(finished, out=tmp_path / "h.npz", progress=False)
    source = images.open_images(shared, SIDE)
    with np.load(path) as file:
        assert set(file.files) == {"h", "names", "labels", "skipped", "pictures"}
        assert list(file["names"]) == source.names
        assert list(file["labels"]) == ["bright"] * 12 + ["dark"] * 12
        assert file["skipped"].shape == (0,) and file["skipped"].dtype.kind == "U"
        assert file["h"].dtype == np.float32
        x = np.stack([source.read(i) for i in range(COUNT)])
        truth = pretrain.load_encoder(finished)(x.astype("float32") / 255)
        np.testing.assert_allclose(file["h"], truth, rtol=1e-4, atol=1e-6)
    assert not (finished / "features.npz").exists()


def test_features_of_other_pictures_have_their_names(finished, folder, tmp_path):
    (folder / "dark" / "05.png").write_bytes(b"")
    save = Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save
    save(folder / "bright" / "new.png")
    (tmp_path / "labels.csv").write_text("bright/new.png,black\n")
    with pytest.raises(ValueError, match="1 of 25 pictures cannot be read"):
        pretrain.embed(finished, folder, tmp_path / "h.npz", progress=False)
    assert not (tmp_path / "h.npz").exists()
    for i in range(100):  # One in a hundred may be unreadable.
        save(folder / "bright" / f"more {i}.png")
    path = pretrain.embed(
        *(finished, folder, tmp_path / "h.npz", tmp_path / "labels.csv"), False
    )
    with np.load(path) as file:
        assert file["h"].shape == (124, 4)
        assert list(file["skipped"]) == ["dark/05.png"]
        assert dict(zip(file["names"], file["labels"], strict=True)) == {
            name: "black" if name == "bright/new.png" else "" for name in file["names"]
        }


def test_a_run_without_encoder_has_no_features(finished, tmp_path):
    with pytest.raises(ValueError, match="holds no run: start one with pretrain"):
        pretrain.embed(tmp_path)
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "encoder.keras").unlink()
    with pytest.raises(ValueError, match="no encoder.keras yet: go on with pretrain"):
        pretrain.embed(run)


# ----------------------------------------------------------------------------- probes


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    place = tmp_path_factory.mktemp("judged")
    draw(place / "pictures", 72)
    train(place / "pictures", place / "run", epochs=1, features=3, seed=2)
    return place


def test_probes_are_those_of_the_course_on_one_split(judged, monkeypatch):
    pca_encoder, fitted = evaluate.pca_encoder, []
    monkeypatch.setattr(
        evaluate, "pca_encoder", lambda x, d: (fitted.append(x), pca_encoder(x, d))[1]
    )
    scores = pretrain.probe(judged / "run", most=60, shots=(1, 5, 40))
    monkeypatch.undo()
    assert json.loads((judged / "run" / "probe.json").read_text()) == scores
    source = images.open_images(judged / "pictures", SIDE)
    order = np.random.default_rng(2).permutation(72)[:60]
    x = np.stack([source.read(i) for i in order])
    np.testing.assert_array_equal(fitted[0], x[:50])  # Not on those that are judged.
    y = (order >= 36).astype(int)  # Sorted by name: bright, then dark.
    keras.utils.set_random_seed(2)
    untrained = recipes.build("autoencoder", (SIDE, SIDE), "dense", features=3, seed=2)
    encoders = {
        "trained": pretrain.load_encoder(judged / "run"),
        "before training": recipes.encoder(untrained),
        "principal components": evaluate.pca_encoder(x[:50], 3),
        "pixels": evaluate.raw_pixels,
    }
    assert list(scores) == list(encoders)
    for name, encoder in encoders.items():
        h = evaluate.embed(encoder, x)
        split = evaluate.Features(h[:50], y[:50], h[50:], y[50:])
        score = scores[name]
        assert list(score) == ["knn", "linear", "shot1", "shot5"]  # No 40 in a class.
        assert score["knn"] == evaluate.knn_probe(split)
        assert score["linear"] == evaluate.linear_probe(split).accuracy
        few = evaluate.few_label_probe(split, (1, 5))
        for n in (1, 5):
            assert score[f"shot{n}"] == few[n]._asdict()
    # Dark and bright: nobody could miss it.
    assert scores["pixels"]["linear"] == 1


def test_the_encoder_before_training_is_the_one_training_began_with(judged):
    rows = pretrain.history(judged / "run")
    source = images.open_images(judged / "pictures", SIDE)
    settings_ = pretrain.settings_of(judged / "run")
    h = evaluate.embed(
        recipes.encoder(settings_.build(source.shape)),
        np.stack([source.read(i) for i in range(72)]),
    )
    spread = (h / np.linalg.norm(h, axis=1, keepdims=True)).std(axis=0).mean()
    assert rows[0]["std"] == pytest.approx(spread, rel=1e-4)


def test_a_table_of_labels_may_name_some_pictures(judged, tmp_path):
    rows = [f"{('bright', 'dark')[i % 2]}/{i:02d}.png,{i % 2}" for i in range(20)]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    scores = pretrain.probe(judged / "run", labels=tmp_path / "labels.csv", shots=(1,))
    assert scores["pixels"]["knn"] in (0, 1 / 3, 2 / 3, 1)  # Three of 20 are judged.


@pytest.mark.parametrize(
    ("rows", "most", "message"),
    [
        (0, 6000, "need 12 labelled pictures, .* got 0 of 0 classes, drawn from 0"),
        (11, 6000, "got 11 of 2 classes"),
        (72, 11, "got 11 of 2 classes, drawn from 72 with most=11"),
        (72, -60, "with most=-60"),
    ],
)
def test_too_few_labels_are_refused(judged, tmp_path, rows, most, message):
    known = [f"{('bright', 'dark')[i % 2]}/{i:02d}.png,{i % 2}" for i in range(rows)]
    (tmp_path / "labels.csv").write_text("\n".join(known))
    with pytest.raises(ValueError, match=message):
        pretrain.probe(judged / "run", labels=tmp_path / "labels.csv", most=most)


def test_one_class_cannot_be_told_from_others(judged, tmp_path):
    known = [f"{('bright', 'dark')[i % 2]}/{i:02d}.png,all" for i in range(72)]
    (tmp_path / "labels.csv").write_text("\n".join(known))
    with pytest.raises(ValueError, match="got 72 of 1 classes"):
        pretrain.probe(judged / "run", labels=tmp_path / "labels.csv")


def test_a_class_of_one_picture_is_refused_or_may_be_probed(
    judged, tmp_path, monkeypatch
):
    pixels = evaluate.raw_pixels
    monkeypatch.setattr(evaluate, "embed", lambda encoder, x, *_: pixels(x))
    for i in (0, 4, 9):  # Learnt from or set aside, by the draw.
        known = [f"{('bright', 'dark')[j % 2]}/{j:02d}.png,{j == i}" for j in range(12)]
        (tmp_path / "labels.csv").write_text("\n".join(known))
        try:
            pretrain.probe(judged / "run", labels=tmp_path / "labels.csv")
        except ValueError as why:
            assert "of two classes that are not too rare" in str(why)


def test_unreadable_pictures_are_no_part_of_a_probe(judged, tmp_path):
    place = shutil.copytree(judged, tmp_path / "copy")
    run = place / "run"
    stored = json.loads((run / "run.json").read_text())
    stored["settings"] |= {"data": str(place / "pictures"), "bad": 0.2}
    (run / "run.json").write_text(json.dumps(stored))
    for i in (0, 4, 8):
        (place / "pictures" / "bright" / f"{i:02d}.png").write_bytes(b"")
    assert pretrain.probe(run, shots=(1,))["pixels"]["linear"] == 1


# ------------------------------------------------------------------- killed processes


@pytest.fixture(scope="module")
def words(shared):
    """A run of nine epochs of two steps, which draws views at random."""
    options = "--side 16 --encoder dense --features 4 --epochs 9 --batch 12 --quiet"
    return lambda run: [
        *("pretrain", "simclr", str(shared), "--run", str(run)),
        *options.split(),
        "--resume",
    ]


@pytest.fixture(scope="module")
def whole(words, tmp_path_factory):
    """The run that nobody killed."""
    run = tmp_path_factory.mktemp("crash") / "whole"
    assert crash.finish(crash.start(words(run), run)) == 0
    return run


posix = pytest.mark.skipif(os.name == "nt", reason="no signals on Windows")


def kill_and_resume(words, whole, run, kills):
    """Kill a run at each of some events, each time after it has gone on."""
    codes = []
    for at, delay in kills:
        process = crash.start(words(run), run, at, delay=delay)
        codes.append(crash.finish(process))
    assert set(codes) <= {-signal.SIGKILL, 0}
    assert crash.finish(crash.start(words(run), run)) == 0, crash.log(run)
    assert_equal(whole, run)
    assert len(resume.checkpoints(run / "checkpoints")) == resume.KEPT
    # Of checkpoints, not even the unfinished ones are left.
    names = [path.name for path in (run / "checkpoints").iterdir()]
    assert all(name.startswith("step-") for name in names if name != "lock")
    return codes


@posix
@pytest.mark.parametrize(("share", "delay"), [(0.3, 0.0), (0.7, 0.005)])
def test_a_run_that_is_killed_ends_as_if_it_was_not(
    words, whole, tmp_path, share, delay
):
    at = int(share * crash.events(whole))
    codes = kill_and_resume(words, whole, tmp_path / "run", [(at, delay)])
    assert codes == [-signal.SIGKILL]


TRIALS = 20


@posix
@pytest.mark.crash
@pytest.mark.parametrize("trial", range(TRIALS))
def test_killed_anywhere(words, whole, tmp_path, trial):
    """Over all of a run; half of them just before a file is touched, and some again."""
    rng, events = np.random.default_rng(trial), crash.events(whole)
    kills = [(int(events * (trial + rng.random()) / TRIALS), 0.0)]
    while rng.random() < 0.4:
        kills.append((int(rng.integers(events // 2)), 0.0))
    kills = [(at, rng.uniform(0, 0.05) * (trial % 2)) for at, _ in kills]
    assert -signal.SIGKILL in kill_and_resume(words, whole, tmp_path / "run", kills)


@posix
@pytest.mark.crash
def test_workers_end_when_one_is_killed_and_go_on_together(words, tmp_path):
    """Over loopback: no worker can train alone, and none may wait for ever."""
    run, ports = tmp_path / "run", []
    for _ in range(2):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            ports.append(f"127.0.0.1:{one.getsockname()[1]}")

    def start(index, epochs):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": ports}, "task": task})
        asked = [word if word != "9" else epochs for word in words(run)]
        return subprocess.Popen(
            [sys.executable, "-m", "sslkit", *asked],
            env={**os.environ, "TF_CONFIG": config},
            stderr=subprocess.PIPE,
            text=True,
        )

    first, second = start(0, "400"), start(1, "400")
    while not resume.checkpoints(run / "checkpoints"):
        assert first.poll() is None and second.poll() is None
        time.sleep(0.02)
    second.kill()
    said = first.communicate(timeout=60)[1]
    assert first.returncode == 1
    assert (
        "a worker was lost" in said and "--resume" in said and "Traceback" not in said
    )
    second.communicate()
    pair = start(0, "400"), start(1, "400")
    for worker in pair:
        said = worker.communicate(timeout=300)[1]
        assert worker.returncode == 0, said
    assert (run / "encoder.keras").exists()
    assert pretrain.history(run)[-1]["epoch"] == 400


@posix
def test_a_process_that_may_write_no_more_says_so(words, whole, tmp_path):
    run, events = tmp_path / "run", crash.events(whole)
    code = crash.finish(crash.start(words(run), run, int(0.6 * events), "full"))
    assert code == 1
    said = crash.log(run)
    assert "could not be written to" in said and "File too large" in said
    assert "is whole. Make room" in said and "Traceback" not in said
    assert crash.finish(crash.start(words(run), run)) == 0, crash.log(run)
    assert_equal(whole, run)


@posix
def test_an_encoder_that_cannot_be_written_is_written_later(shared, finished, tmp_path):
    """Keras writes it, not `resume.atomic`."""
    import resource

    run = shutil.copytree(finished, tmp_path / "run")
    (run / "encoder.keras").unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(Stopped, match="encoder.keras could not be written"):
            train(shared, run, True, method="simclr", seed=3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (run / "encoder.keras").exists()
    train(shared, run, True, method="simclr", seed=3)
    assert_equal(finished, run)
    assert not list(run.glob(".*"))


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_is_asked_to_stop_saves_and_says_so(words, tmp_path, number):
    run = tmp_path / "run"
    asked = [word if word != "9" else "100000" for word in words(run)]
    process = crash.start(asked, run)
    while not resume.checkpoints(run / "checkpoints"):
        assert process.is_alive(), crash.log(run)
        time.sleep(0.02)
    os.kill(process.pid, number)
    assert crash.finish(process) == 1
    said = crash.log(run)
    assert "sslkit: interrupted; step" in said
    assert "go on with --resume" in said and "Traceback" not in said
    last = resume.checkpoints(run / "checkpoints")[-1]
    step = int(last.stem.partition("-")[2])
    assert f"step {step:,} of" in said


def test_the_command_goes_on_where_a_function_stopped(
    finished, shared, tmp_path, capsys
):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "encoder.keras").unlink()
    words = ["pretrain", "simclr", str(shared), "--run", str(run), "--resume"]
    options = "--side 16 --encoder dense --features 4 --epochs 2 --batch 8 --seed 3"
    assert main([*words, *options.split()]) == 0
    assert capsys.readouterr().out == f"encoder: {run / 'encoder.keras'}\n"
    assert_equal(finished, run)
