import importlib
import json
import os
import time

import numpy as np
import pytest

import sslkit
from sslkit import data, evaluate, record
from sslkit.evaluate import Spread
from sslkit.record import Run


@pytest.fixture
def no_run(monkeypatch):
    monkeypatch.setattr(record, "_current", None)
    monkeypatch.delenv("SSLKIT_SCALE", raising=False)


def test_notices_of_tensorflow_are_silenced_unless_the_user_chose(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    importlib.reload(sslkit)
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    importlib.reload(sslkit)
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"


def test_the_scale_is_quick_for_someone_who_just_opens_a_notebook(no_run, capsys):
    run = record.start()
    assert (run.scale, run.source, run.choose(quick=1, full=2)) == (
        "quick",
        "sample",
        1,
    )
    assert capsys.readouterr().out.count("\n") == 1


def test_full_scale_uses_all_of_mnist(no_run, monkeypatch):
    monkeypatch.setenv("SSLKIT_SCALE", "full")
    run = record.start()
    assert (run.scale, run.source, run.choose(quick=1, full=2)) == ("full", "auto", 2)


def test_an_unknown_scale_is_refused(no_run, monkeypatch):
    monkeypatch.setenv("SSLKIT_SCALE", "medium")
    with pytest.raises(ValueError, match="SSLKIT_SCALE must be one of .*'medium'"):
        record.start()


@pytest.mark.parametrize("seed", [-1, 1.5, "0"])
def test_an_unusable_seed_is_refused(no_run, seed):
    with pytest.raises(ValueError, match="seed must be a non-negative integer"):
        record.start(seed)


def test_start_seeds_numpy_and_keras(no_run):
    import keras

    def draw(seed=5):
        record.start(seed)
        # As networks draw their weights.
        return np.random.random(), float(keras.initializers.RandomNormal()((1,))[0])

    first = draw()
    np.random.random(3)
    assert draw() == first
    assert all(a != b for a, b in zip(draw(6), first, strict=True))


def test_start_leaves_the_error_stream_as_it_was(no_run, capfd):
    import os

    record.start()
    os.write(2, b"still here")
    assert "still here" in capfd.readouterr().err


def test_provenance_says_what_was_run_and_survives_json(no_run):
    run = record.start(seed=3)
    data.load_mnist("sample")
    run.result("a.b", 0.5, what="a test", unit="fraction")
    made = json.loads(json.dumps(record.provenance()))
    assert (made["scale"], made["seed"]) == ("quick", 3)
    assert made["results"]["a.b"]["value"] == 0.5
    assert any(entry["source"] == "sample" for entry in made["data"])
    assert set(made["versions"]) >= {"python", "keras", "tensorflow", "sslkit"}
    assert made["peak_mb"] > 50


def test_provenance_needs_a_run(no_run):
    with pytest.raises(ValueError, match="call sslkit.record.start first"):
        record.provenance()


def test_stopwatch_counts_work_as_cpu_time_and_sleep_as_clock_time():
    run = Run("quick", 0)
    with run.timer() as idle:
        time.sleep(0.2)
    with run.timer() as busy:
        sum(i * i for i in range(1_000_000))
    assert idle.seconds >= 0.2 > idle.cpu_seconds
    assert busy.cpu_seconds > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "percent"}, "unit must be one of"),
        ({"value": float("nan")}, "must be finite"),
        ({"value": float("-inf")}, "must be finite"),
        ({"spread": 0.1}, "a spread needs at least two runs"),
        ({"n": 3}, "a spread needs at least two runs"),
    ],
)
def test_a_result_that_cannot_be_right_is_refused(changes, message):
    arguments = {"value": 0.5, "what": "a test", "unit": "fraction", **changes}
    with pytest.raises(ValueError, match=message):
        Run("quick", 0).result("a.b", **arguments)


def test_an_id_is_used_once():
    run = Run("quick", 0)
    run.result("a.b", 0.5, what="a test", unit="fraction")
    with pytest.raises(ValueError, match="'a.b' was recorded already"):
        run.result("a.b", 0.6, what="a test", unit="fraction")


@pytest.mark.parametrize(
    ("value", "unit", "spread", "text"),
    [
        (0.97125, "fraction", None, "97.12 %"),
        (0.5, "fraction", 0.0123, "50.00 ± 1.23 %"),
        (13.8663, "squared error per image", None, "13.87"),
        (0.0037496, "squared error per pixel", 0.00001, "0.00375 ± 0.00001"),
        (-91.2345, "nats per image", 0.5, "-91.23 ± 0.50"),
        (0.51239, "area under the curve", None, "0.512"),
        (3.14159, "Fréchet distance", None, "3.14"),
        (9, "digits", None, "9"),
        (12.3456, "directions", None, "12.3"),
        (1234567, "parameters", None, "1,234,567"),
        (1234.5, "labels per class", None, "1,234"),
    ],
)
def test_figures_are_written_in_their_unit(value, unit, spread, text):
    assert record.format_value(value, unit, spread) == text


@pytest.fixture
def scores():
    """As `evaluate.protocol` answers, with one encoder."""
    once = {name: 0.9 for name in ("knn", "linear", "rank")}
    return once | {
        name: Spread(0.5, 0.1, 10) for name in record.PROBES if name not in once
    }


def test_an_encoder_states_the_whole_row_of_the_comparison(scores, capsys):
    run = Run("quick", 0)
    run.encoder("vae", scores, what="VAE-30", parameters=1234, cpu_seconds=5.04)
    row = {f"vae.{name}" for name in record.PROBES} | {"vae.parameters"}
    assert set(run.results) == row
    assert capsys.readouterr().out.count("\n") == len(row)
    for name, asked in record.PROBES.items():
        entry = run.results[f"vae.{name}"]
        assert entry["what"] == f"VAE-30, {asked}"
        assert entry["unit"] == ("directions" if name == "rank" else "fraction")
        assert entry["cpu_seconds"] == 5.0
    assert run.results["vae.parameters"]["value"] == 1234
    assert run.results["vae.parameters"]["unit"] == "parameters"
    knn, shot = run.results["vae.knn"], run.results["vae.shot10"]
    assert (knn["value"], knn["spread"], knn["n"]) == (0.9, None, 1)
    assert (shot["value"], shot["spread"], shot["n"]) == (0.5, 0.1, 10)


def test_the_row_is_what_the_protocol_measures(make_dataset):
    dataset = make_dataset(n_train=120, classes=3)
    scores = evaluate.protocol(lambda x: x.reshape(len(x), -1)[:, ::50], dataset)
    assert set(scores) == set(record.PROBES)
    run = Run("quick", 0)
    run.encoder("a", scores, what="pixels", parameters=0, cpu_seconds=0.0)
    assert run.results["a.shot5"]["n"] == 10


def test_the_name_of_an_encoder_holds_no_comma(scores):
    with pytest.raises(ValueError, match="what must hold no comma, got 'VAE, 30'"):
        Run("quick", 0).encoder(
            "vae", scores, what="VAE, 30", parameters=1, cpu_seconds=1.0
        )
