"""Spoken digits: the four sources, the splits, and the stand-in."""

import functools
import hashlib
import io
import os
import tarfile
import types
import wave

import numpy as np
import pytest
import scipy.io.wavfile
import scipy.signal

from sslkit import data, download, speech

needs_speech = pytest.mark.skipif(
    not os.path.isfile(os.path.join(os.environ.get("SSLKIT_DATA", ""), speech._FILE)),
    reason="needs the recordings",
)


def pack_wav(samples):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, speech.RATE, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


@functools.cache
def recordings():
    """Eleven recordings of two digits by two speakers; one is longer than a second."""
    rng = np.random.default_rng(0)
    return {
        f"{digit}_{speaker}_{index}.wav": pack_wav(
            rng.integers(-999, 999, 9000 if index == 10 else 50 + index)
        )
        for digit in (0, 7)
        for speaker in ("ann", "bob")
        for index in range(11)
    }


def pack_tar(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in {"README.md": b"?", **files}.items():
            folder = "digits-1.0.10/recordings/" if name.endswith(".wav") else ""
            member = tarfile.TarInfo(folder + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def place(monkeypatch, tmp_path):
    """Folders for data and cache, the registry of the recordings above, no network."""
    entry = {
        "name": "FSDD",
        "sha256": speech.checksum(recordings()),
        "url": "https://example.org/tags/v1.0.10.tar.gz",
    }
    monkeypatch.setattr(data, "_registry", lambda: {"fsdd": entry})
    monkeypatch.setattr(data, "_loaded", [])
    for variable, name in (("SSLKIT_DATA", "data"), ("SSLKIT_CACHE", "cache")):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / name))
    calls = types.SimpleNamespace(content=None, asked=[])

    def fetch(base_url, digests, folder):
        calls.asked.append((base_url, digests))
        if calls.content is None:
            raise OSError("no answer (ConnectionError). And a path.")
        path = folder / next(iter(digests))
        path.write_bytes(calls.content)
        return {path.name: path}

    monkeypatch.setattr(download, "fetch", fetch)
    return types.SimpleNamespace(
        data=tmp_path / "data", cache=tmp_path / "cache", calls=calls
    )


def test_archive_in_the_folder_gives_the_recordings_in_order(place, capsys):
    (place.data / speech._FILE).write_bytes(pack_tar(recordings()))
    digits = speech.load_fsdd()
    assert capsys.readouterr().out == (
        "FSDD: 24 training and 20 test recordings, from the folder in SSLKIT_DATA\n"
    )
    assert digits.source == "folder" and place.calls.asked == []
    for row, name in enumerate(sorted(recordings())):
        rate, samples = scipy.io.wavfile.read(io.BytesIO(recordings()[name]))
        length = min(len(samples), 8000)
        assert rate == 8000 and digits.lengths[row] == len(samples)
        assert np.array_equal(digits.waves[row, :length], samples[:length])
        assert not digits.waves[row, length:].any()
        said = f"{digits.y[row]}_{digits.speaker[row]}_{digits.index[row]}.wav"
        assert said == name
    assert data.loaded()[0]["train"] == 24 and data.loaded()[0]["sha256"]
    assert repr(digits).startswith("<FSDD: 44 recordings of 2 speakers, source folder")


@pytest.mark.parametrize("inside", ["", "free-spoken-digit-dataset-1.0.10"])
def test_unpacked_recordings_are_found(place, inside):
    folder = place.data / inside / "recordings"
    folder.mkdir(parents=True)
    for name, content in recordings().items():
        (folder / name).write_bytes(content)
    assert speech.load_fsdd("folder").waves.shape == (44, 8000)


def test_folder_that_is_not_set_or_empty_is_named(place, monkeypatch):
    with pytest.raises(FileNotFoundError, match="holds neither"):
        speech.load_fsdd("folder")
    monkeypatch.delenv("SSLKIT_DATA")
    with pytest.raises(ValueError, match="SSLKIT_DATA is not set"):
        speech.load_fsdd("folder")
    with pytest.raises(ValueError, match="source must be one of"):
        speech.load_fsdd("disk")


@pytest.mark.parametrize("content", [b"not an archive", None])
def test_damaged_folder_is_an_error_and_not_passed_over(place, content):
    changed = {**recordings(), "0_ann_0.wav": pack_wav(np.zeros(9))}
    (place.data / speech._FILE).write_bytes(content or pack_tar(changed))
    with pytest.raises(ValueError, match="cannot be read|must have SHA-256"):
        speech.load_fsdd()


def test_download_goes_into_the_cache_and_is_used_from_there(place, capsys):
    place.calls.content = pack_tar(recordings())
    first = speech.load_fsdd()
    out = capsys.readouterr().out
    assert "downloaded from example.org into the cache; the folder in" in out
    assert place.calls.asked == [
        ("https://example.org/tags/", {"v1.0.10.tar.gz": None})
    ]
    assert sorted(path.name for path in place.cache.glob("*.gz")) == [speech._FILE]
    for source in ("auto", "cache", "download"):
        again = speech.load_fsdd(source)
        assert again.source == "cache" and np.array_equal(again.waves, first.waves)
    assert len(place.calls.asked) == 1


def test_damaged_cache_is_replaced(place):
    (place.cache / speech._FILE).write_bytes(b"half an archive")
    with pytest.raises(ValueError, match="load_fsdd.'download'. replaces it"):
        speech.load_fsdd("cache")
    place.calls.content = pack_tar(recordings())
    assert speech.load_fsdd("download").source == "download"
    assert speech.load_fsdd("cache").source == "cache"


def test_download_of_other_recordings_is_refused_and_not_kept(place):
    place.calls.content = pack_tar({"0_ann_0.wav": pack_wav(np.zeros(9))})
    with pytest.raises(OSError, match=r"example\.org: the 1 recordings in .* must"):
        speech.load_fsdd("download")
    assert not (place.cache / speech._FILE).exists()
    with pytest.raises(FileNotFoundError, match="fetches it"):
        speech.load_fsdd("cache")


def test_without_folder_and_network_the_stand_in_says_what_it_is(place, capsys):
    digits = speech.load_fsdd()
    out = capsys.readouterr().out
    assert digits.source == "sample" and out.startswith("Synthetic spoken digits: 600")
    assert "figures mean nothing" in out and "no answer" in out
    assert "SSLKIT_DATA holds none" in out and out.count("\n") == 1


def test_locked_cache_names_the_spoken_digits(place, monkeypatch):
    monkeypatch.setenv("SSLKIT_CACHE", str(place.data / "file" / "below"))
    (place.data / "file").write_text("")
    with pytest.raises(OSError, match=f"The spoken digits could .* put {speech._FILE}"):
        speech.load_fsdd("download")


def test_checksum_is_its_rule():
    one, two = hashlib.sha256(b"1").digest(), hashlib.sha256(b"2").digest()
    expected = hashlib.sha256(b"a\0" + one + b"b\0" + two).hexdigest()
    assert speech.checksum({"b": b"2", "a": b"1"}) == expected


# -------------------------------------------------------------------------- splits


def test_official_split_and_its_validation():
    digits = speech.synthesise()
    assert set(digits.index) == set(range(15))
    for on, judged_indices in (("test", {0, 1, 2, 3, 4}), ("val", {5, 6, 7, 8, 9})):
        train, judged = digits.official(on)
        assert set(digits.index[judged]) == judged_indices
        assert set(digits.index[train]) == set(range(max(judged_indices) + 1, 15))
        assert set(digits.speaker[train]) == set(digits.speaker[judged])
        assert set(np.bincount(digits.y[judged])) == {30}
    with pytest.raises(ValueError, match="on must be"):
        digits.official("train")


def test_each_speaker_is_left_out_once_and_wholly():
    digits = speech.synthesise(11)
    left_out = []
    for name, train, judged in digits.speaker_out():
        left_out.append(name)
        assert set(digits.speaker[judged]) == {name}
        assert name not in digits.speaker[train]
        assert (train ^ judged).all()
    assert left_out == sorted(set(digits.speaker)) and len(left_out) == 6


# ------------------------------------------------------------------------ stand-in


def test_stand_in_repeats_and_differs_where_it_should():
    digits, again = speech.synthesise(11, seed=3), speech.synthesise(11, seed=3)
    assert np.array_equal(digits.waves, again.waves) and digits.sha256 == again.sha256
    assert digits.sha256 != speech.synthesise(11, seed=4).sha256
    assert len(np.unique(digits.waves, axis=0)) == 660
    for row in (0, 300, 659):
        assert digits.waves[row, : digits.lengths[row]].any()
        assert not digits.waves[row, digits.lengths[row] :].any()
    with pytest.raises(ValueError, match="recordings must be at least 11"):
        speech.synthesise(10)


def test_tones_of_the_stand_in_lie_at_the_formants():
    """A word of one sound throughout: three tones with side bands at the pitch."""
    formants = np.array([500.0, 1500.0, 2500.0])
    word = speech._word(np.tile(formants, (3, 1)), 100.0, 0.5)
    hertz, power = scipy.signal.periodogram(word, speech.RATE)
    for formant, strength in zip(formants, (1, 0.5, 0.25), strict=True):
        near = np.abs(hertz - formant) < 150
        assert abs(np.average(hertz[near], weights=power[near]) - formant) < 2
        share = power[near].sum() / power.sum()
        assert share == pytest.approx(strength**2 / 1.3125, rel=0.02)


@needs_speech
def test_real_recordings_are_what_the_registry_says():
    digits = speech.load_fsdd("folder")
    assert digits.sha256.startswith("a2e8a660")
    assert digits.waves.shape == (3000, 8000) and len(digits.speakers) == 6
    train, judged = digits.official("test")
    assert train.sum() == 2700 and judged.sum() == 300
    assert np.all(np.bincount(digits.y) == 300)
    assert int((digits.lengths > 8000).sum()) == 20
