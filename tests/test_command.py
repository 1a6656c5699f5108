"""The command line says what it does, and what is wrong, in a sentence."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sslkit import __main__ as command
from sslkit import evaluate, pretrain, recipes
from sslkit.__main__ import main

SMALL = ["--side", "16", "--encoder", "dense", "--features", "3", "--epochs", "2"]
SMALL += ["--batch", "8"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Pictures of two classes, one of them unreadable, and a run on them."""
    place = tmp_path_factory.mktemp("command")
    for i in range(36):
        pixels = np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8)
        path = place / "pictures" / ("cat", "dog")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    path.write_bytes(b"no picture")
    words = ["pretrain", "autoencoder", str(place / "pictures")]
    words += ["--run", str(place / "run"), "--bad", "0.03"]
    assert main([*words, *SMALL]) == 0
    return place


def said(capsys, *words):
    """Exit code, and what was printed and complained about."""
    code = main([str(word) for word in words])
    return code, *capsys.readouterr()


def test_progress_shows_time_and_meters(place, capsys):
    run = place / "other"
    words = ("pretrain", "simclr", place / "pictures", "--run", run, "--bad", "0.03")
    code, out, err = said(capsys, *words, *SMALL)
    assert code == 0 and out == f"encoder: {run / 'encoder.keras'}\n"
    assert re.search(r"8/8 \[\d+:\d+<\d+:\d+", err)
    assert re.search(r"loss=[\d.]+, std=[\d.]+, rank=[\d.]+", err)
    # The bar is closed before anything else is said.
    assert "\n1 of 36 pictures could not be read and were skipped: dog/35.png" in err


def test_quiet_is_quiet(place, capsys):
    words = ("pretrain", "simclr", place / "pictures", "--run", place / "quiet")
    code, out, err = said(capsys, *words, *SMALL, "--bad", "0.03", "--quiet")
    assert code == 0 and err.startswith("1 of 36 pictures") and err.count("\n") == 1


def test_embed_probe_and_report(place, capsys):
    run = place / "run"
    code, out, err = said(capsys, "report", run, "--quiet")
    assert (code, out) == (0, f"report: {run / 'report.html'}\n")
    with np.load(run / "features.npz") as file:  # Made on the way.
        assert file["h"].shape == (35, 3)
    assert "Probes" not in (run / "report.html").read_text()
    code, out, err = said(capsys, "embed", run, "--out", place / "h.npz")
    assert (code, out) == (0, f"features: {place / 'h.npz'}\n")
    assert "36/36" in err or "35/36" in err
    code, out, err = said(capsys, "probe", run, "--most", 30)
    scores = json.loads((run / "probe.json").read_text())
    lines = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()]
    assert code == 0
    assert lines[0] == ["accuracy, %", "knn", "linear", "shot1", "shot5", "shot10"]
    assert [line[0] for line in lines[1:]] == list(scores)
    for line, score in zip(lines[1:], scores.values(), strict=True):
        assert line[1] == f"{100 * score['knn']:.1f}"
        few = score["shot5"]
        assert line[4] == f"{100 * few['mean']:.1f} ± {100 * few['sd']:.1f}"
    code, out, err = said(capsys, "report", run)
    assert code == 0 and "Probes" in (run / "report.html").read_text()


def test_labels_come_from_a_table(place, capsys):
    run, table = place / "run", place / "labels.csv"
    rows = [f"{('cat', 'dog')[i % 2]}/{i}.png,{'ab'[i % 2]}" for i in range(20)]
    table.write_text("\n".join(rows))
    words = ("embed", run, "--labels", table, "--out", place / "labelled.npz")
    assert said(capsys, *words)[0] == 0
    with np.load(place / "labelled.npz") as file:
        assert sorted(set(file["labels"])) == ["", "a", "b"]
    assert said(capsys, "probe", run, "--labels", table)[0] == 0
    code, _, err = said(capsys, "probe", run, "--labels", place / "nowhere.csv")
    assert code == 1 and err.startswith("sslkit: labels ")


def test_the_encoder_can_be_used_without_us(place):
    import keras

    model = keras.models.load_model(place / "run" / "encoder.keras")
    x = np.random.default_rng(0).integers(0, 256, (5, 16, 16), np.uint8)
    assert evaluate.embed(model, x).shape == (5, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("pretrain simklr {0}/pictures --run {0}/x", "did you mean 'simclr'?"),
        ("pretrain simclr {0}/nowhere --run {0}/x", "no file or folder"),
        ("pretrain simclr {0} --run {0}/x --encoder conf", "did you mean 'conv'?"),
        ("pretrain simclr {0} --run {0}/x --augment foto", "did you mean 'photo'?"),
        ("pretrain simclr {0} --run {0}/x --strategy all", "name must be one of"),
        ("pretrain simclr {0} --run {0}/x --precision half", "precision must be one"),
        ("pretrain simclr {0} --run {0}/x --bad 2", "bad must be a share"),
        ("pretrain simclr {0} --run {0}/x --side 3", "side must be an integer from 8"),
        ("pretrain mae {0} --run {0}/x --encoder conv", "must be left out for method"),
        ("pretrain gan {0} --run {0}/x --side 26", "can be halved"),
        ("pretrain autoencoder {0}/pictures --run {0}/run", "add --resume"),
        ("embed {0}/nowhere", "holds no run: start one with pretrain"),
        ("embed {0}/run --out {0}/pictures", "could not be written"),
        ("probe {0}/nowhere", "holds no run"),
        ("probe {0}/run --most 2", "need 12 labelled pictures"),
        ("report {0}/nowhere", "holds no run"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(place, capsys, words, message):
    words = [word.format(place) for word in words.split()]
    if words[0] == "pretrain" and "--bad" not in words:
        words += ["--bad", "0.5"]
    code, out, err = said(capsys, *words)
    err = err.rpartition("\r")[2].partition("\n")[2] if "\r" in err else err  # No bar.
    assert code == 1 and out == ""
    assert err.startswith("sslkit: ") and message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["pretend"],
        ["pretrain", "simclr"],
        ["pretrain", "simclr", "x"],
        ["pretrain", "simclr", "x", "--run", "y", "--epochs", "many"],
        ["pretrain", "simclr", "x", "--run", "y", "--channels", "2"],
        ["report"],
        ["probe", "x", "--most", "1.5"],
    ],
)
def test_words_that_are_not_understood_end_with_two(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: python -m sslkit" in capsys.readouterr().err


def test_a_full_disk_is_no_traceback(place, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for words in (("report", place / "run"), ("embed", place / "run")):
        code, out, err = said(capsys, *words, "--quiet")
        assert code == 1 and "No space left on device" in err


def test_interrupting_what_is_not_saved_is_no_traceback(place, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrain, "embed", interrupt)
    code, out, err = said(capsys, "embed", place / "run")
    assert (code, err) == (1, "sslkit: interrupted.\n")


def test_help_names_every_method_encoder_and_augmentation():
    assert command.METHODS.split() == list(recipes.METHODS)
    top = command.parser()
    shown = top._subparsers._group_actions[0].choices
    assert (
        set(shown)
        == set(command.COMMANDS)
        == {
            *("pretrain", "embed", "probe", "report"),
        }
    )
    text = re.sub(r"\s+", " ", shown["pretrain"].format_help())
    for name in (*recipes.METHODS, *recipes.ENCODERS, *recipes.AUGMENTATIONS):
        assert re.search(rf"\b{name}\b", text), name
    for name in pretrain.PRECISIONS:
        assert name in text


def test_settings_and_options_are_the_same():
    options = vars(command.parser().parse_args(["pretrain", "m", "d", "--run", "r"]))
    ours = {"command", "run", "resume", "strategy", "quiet"}
    defaults = pretrain.Settings("m", "d")
    assert {k: v for k, v in options.items() if k not in ours} == defaults.__dict__


@pytest.mark.parametrize("words", [["--help"], ["pretrain", "--help"], ["probe", "-h"]])
def test_help_needs_no_keras(words):
    code = (
        "import sys\nfrom sslkit.__main__ import main\n"
        f"try: main({words!r})\n"
        "except SystemExit as ended: code = ended.code\n"
        "heavy = {'keras', 'tensorflow', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert "usage: python -m sslkit" in child.stdout and child.stderr == ""


def test_the_package_is_a_program(place):
    words = [sys.executable, "-m", "sslkit"]
    child = subprocess.run([*words, "--help"], capture_output=True, text=True)
    assert child.returncode == 0 and "--resume" in child.stdout
    child = subprocess.run([*words, "report", place], capture_output=True, text=True)
    assert child.returncode == 1
    assert child.stderr.startswith("sslkit: ") and child.stderr.count("\n") == 1
