"""Spoken digits, checked to the last bit (chapter *Audio*).

The Free Spoken Digit Dataset: six speakers say each digit fifty times. Recordings
stay int16 in memory, each padded with zeros or cut to one second at 8 kHz, and become
float32 in [-1, 1) in `sslkit.audio`. Where there is neither a copy nor a network, tones
that imitate spoken digits take their place, so that every cell still runs.

Addresses, checksum, licence and citation are in `data/registry.json`, explained in
`data/README.md`. Whatever container the recordings come from, they themselves are
compared with the checksum there.
"""

import hashlib
import io
import os
import tarfile
import wave
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from sslkit import data, download

RATE = 8000
"""Samples per second, and the length of a clip in samples."""

# Name of the archive in the folder of SSLKIT_DATA and in the cache.
_FILE = "free-spoken-digit-dataset-v1.0.10.tar.gz"

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, repr=False)
class SpokenDigits:
    """Recordings of spoken digits, and who said what.

    Attributes:
        name: `"FSDD"` or `"Synthetic spoken digits"`.
        waves: int16 `[n, 8000]`: one second at 8 kHz, zeros after the end.
        lengths: Samples of each recording before padding or cutting, int64 `[n]`.
        y: Digits 0 to 9, int64 `[n]`.
        speaker: Names of the speakers, `[n]`.
        index: Number of the recording among those of its speaker and digit, `[n]`.
        source: `"folder"`, `"cache"`, `"download"` or `"sample"`.
        sha256: SHA-256 of the recordings, as 64 hexadecimal digits.
    """

    name: str
    waves: NDArray[np.int16]
    lengths: NDArray[np.int64]
    y: NDArray[np.int64]
    speaker: NDArray[np.str_]
    index: NDArray[np.int64]
    source: str
    sha256: str

    def __repr__(self) -> str:
        """Name, sizes, source and first digits of the checksum, on one line."""
        return (
            f"<{self.name}: {len(self.y):,} recordings of {len(self.speakers)} "
            f"speakers, source {self.source}, SHA-256 {self.sha256[:8]}>"
        )

    @property
    def speakers(self) -> list[str]:
        """Names of the speakers, in alphabetical order."""
        return [str(name) for name in np.unique(self.speaker)]

    def official(self, on: str = "val") -> tuple[Mask, Mask]:
        """Split by the number of the recording: all speakers are on both sides.

        Args:
            on: `"test"` judges on the recordings 0 to 4 of each speaker and digit,
                as the authors of the data set say, and trains on all others. `"val"`
                judges on the recordings 5 to 9 and trains on those from 10: it is
                what every choice is made with.

        Returns:
            Which recordings are for training and which for judging, bool `[n]` each.

        Raises:
            ValueError: If `on` is neither.

        Example:
            >>> digits = load_fsdd("sample")
            Synthetic spoken digits: 600 training and 300 test recordings, ...
            >>> [int(side.sum()) for side in digits.official("val")]
            [300, 300]
        """
        if on not in ("val", "test"):
            raise ValueError(f"on must be 'val' or 'test', got {on!r}.")
        first = 5 if on == "val" else 0
        judged = (self.index >= first) & (self.index < first + 5)
        return self.index >= first + 5, judged

    def speaker_out(self) -> Iterator[tuple[str, Mask, Mask]]:
        """Split by speaker: each is judged once, by what the others taught.

        Yields:
            Name of the speaker left out, which recordings are for training (those of
            all others) and which for judging (all of theirs), bool `[n]` each.

        Example:
            >>> digits = load_fsdd("sample")
            Synthetic spoken digits: 600 training and 300 test recordings, ...
            >>> for name, train, judged in digits.speaker_out():
            ...     assert set(digits.speaker[judged]) == {name}
            ...     assert name not in digits.speaker[train]
        """
        for name in self.speakers:
            judged = self.speaker == name
            yield name, ~judged, judged


def load_fsdd(source: str = "auto") -> SpokenDigits:
    """Load the spoken digits, or a synthetic stand-in, and print one line that says so.

    Args:
        source: `"folder"`: the archive, or the unpacked `recordings`, in the folder
            that the environment variable `SSLKIT_DATA` names. `"cache"`: the archive
            in the cache folder, which is the operating system's or the one that
            `SSLKIT_CACHE` names. `"download"`: the same, after fetching the archive
            if it is missing or damaged. `"sample"`: `synthesise()`, tones in the
            place of speech. `"auto"`: the first of them that works; a damaged copy
            in the folder of `SSLKIT_DATA` is an error, a missing one is not.

    Returns:
        `SpokenDigits`, 3,000 recordings; 900 for the stand-in.

    Raises:
        ValueError: If `source` is unknown, `"folder"` is asked for and `SSLKIT_DATA`
            is not set, or the recordings do not have the checksum of
            `data/registry.json`.
        OSError: If a file is missing or the download fails; not with `"auto"`.

    Example:
        >>> digits = load_fsdd("sample")
        Synthetic spoken digits: 600 training and 300 test recordings, ...
        >>> digits.waves.shape, digits.waves.dtype
        ((900, 8000), dtype('int16'))
    """
    if source not in data.SOURCES:
        raise ValueError(f"source must be one of {data.SOURCES}, got {source!r}.")
    load = {
        "auto": _first_that_works,
        "folder": _from_folder,
        "cache": _from_cache,
        "download": _from_download,
        "sample": _from_sample,
    }[source]
    digits, origin = load()
    train, test = (int(side.sum()) for side in digits.official("test"))
    data.note(digits.name, digits.source, digits.sha256, train, test)
    print(f"{digits.name}: {train:,} training and {test:,} test recordings, {origin}")
    return digits


def checksum(recordings: Mapping[str, bytes]) -> str:
    """SHA-256 over names and contents, whatever archive or folder they lie in.

    Args:
        recordings: Contents of the files by name.

    Returns:
        64 hexadecimal digits: of the names in alphabetical order, each followed by a
        zero byte and the SHA-256 of its file.

    Example:
        >>> checksum({"b.wav": b"2", "a.wav": b"1"}) == checksum(
        ...     {"a.wav": b"1", "b.wav": b"2"}
        ... )
        True
    """
    digest = hashlib.sha256()
    for name in sorted(recordings):
        digest.update(name.encode() + b"\0")
        digest.update(hashlib.sha256(recordings[name]).digest())
    return digest.hexdigest()


def synthesise(recordings: int = 15, seed: int = 0) -> SpokenDigits:
    """Make tones in the place of speech: ten digits, six speakers.

    A digit is a fixed sequence of three sounds, and a sound is two or three tones at
    the frequencies of its formants, which beat at the pitch of the speaker. Speakers
    differ in pitch, in a factor on all formants, in tempo and in noise; recordings of
    one speaker differ a little in all of these. Enough to try code on. Figures on it
    say nothing about speech.

    Args:
        recordings: Recordings of each speaker and digit, at least 11, so that all
            splits have two sides.
        seed: Fixes every number.

    Returns:
        `SpokenDigits` with `source="sample"`.

    Raises:
        ValueError: If `recordings` is below 11.

    Example:
        >>> synthesise(11)
        <Synthetic spoken digits: 660 recordings of 6 speakers, source sample, ...>
    """
    if recordings < 11:
        raise ValueError(f"recordings must be at least 11, got {recordings}.")
    rng = data._random(seed)
    grid = [(s, d, i) for s in range(6) for d in range(10) for i in range(recordings)]
    waves, lengths = np.zeros((len(grid), RATE), np.int16), []
    for row, (s, d, _) in enumerate(grid):
        pitch, size, seconds, noise, loudness = _VOICES[s]
        wave = _word(
            _SOUNDS[_WORDS[d]] * size * rng.uniform(0.97, 1.03),
            pitch * rng.uniform(0.95, 1.05),
            seconds * rng.uniform(0.9, 1.1),
        )
        wave = wave * loudness * rng.uniform(0.7, 1.3)
        wave += noise * rng.normal(size=len(wave))
        waves[row, : len(wave)] = np.round(np.clip(wave, -1, 1) * 32767)
        lengths.append(len(wave))
    s, y, index = np.array(grid).T
    return SpokenDigits(
        name="Synthetic spoken digits",
        waves=waves,
        lengths=np.array(lengths),
        y=y,
        speaker=np.array([f"synthetic {letter}" for letter in "abcdef"])[s],
        index=index,
        source="sample",
        sha256=hashlib.sha256(waves.tobytes()).hexdigest(),
    )


def _word(formants: NDArray[Any], pitch: float, seconds: float) -> NDArray[Any]:
    """Tones that glide from one sound, a row of formants `[3, 3]`, to the next."""
    time = np.arange(round(seconds * RATE)) / RATE
    where = np.clip(3 * time / seconds - 0.5, 0, 2)
    hertz = np.stack([np.interp(where, np.arange(3), tone) for tone in formants.T])
    tones = np.sin(2 * np.pi * np.cumsum(hertz, axis=1) / RATE)
    beat = 0.5 + 0.5 * np.cos(2 * np.pi * pitch * time)
    swell = np.sqrt(np.sin(np.pi * time / seconds))
    word: NDArray[Any] = beat * swell * (np.array([1.0, 0.5, 0.25]) @ tones)
    return word


_VOICES = (
    (85, 0.85, 0.50, 1e-3, 0.30),
    (100, 1.00, 0.40, 4e-3, 0.10),
    (115, 0.92, 0.60, 2e-3, 0.20),
    (130, 1.08, 0.35, 1e-3, 0.30),
    (150, 1.16, 0.45, 8e-3, 0.05),
    (175, 1.24, 0.55, 4e-3, 0.15),
)
"""Pitch in hertz, factor on all formants, seconds, noise and loudness of a speaker."""

_SOUNDS = np.array(
    [
        [300, 2300, 3000],
        [650, 1700, 2500],
        [750, 1100, 2500],
        [500, 900, 2400],
        [320, 800, 2200],
        [500, 1400, 1600],
    ]
)
"""Formants of six sounds in hertz, near those of the vowels in English words."""

_WORDS = np.array(
    [
        [0, 5, 3],
        [4, 2, 1],
        [0, 4, 4],
        [5, 0, 0],
        [3, 3, 5],
        [2, 2, 0],
        [0, 1, 0],
        [1, 2, 1],
        [1, 0, 4],
        [1, 2, 0],
    ]
)
"""The three sounds of each digit."""


# ----------------------------------------------------------------- the four sources


def _first_that_works() -> tuple[SpokenDigits, str]:
    missing = ""
    if os.environ.get("SSLKIT_DATA"):
        try:
            return _from_folder()
        except FileNotFoundError:
            missing = "; the folder in SSLKIT_DATA holds none"
    try:
        # This looks into the cache first.
        digits, origin = _from_download()
    except OSError as error:
        digits, origin = _from_sample()
        return digits, f"{origin}{missing}. {error}"
    return digits, origin + missing


def _from_folder() -> tuple[SpokenDigits, str]:
    folder = os.environ.get("SSLKIT_DATA")
    if not folder:
        raise ValueError(
            "source is 'folder', but SSLKIT_DATA is not set: let it name the folder "
            f"that holds {_FILE}."
        )
    base = Path(folder).expanduser()
    places = [base / _FILE, base / "recordings", *base.glob("free-spoken-digit*/")]
    for place in places:
        inside = place / "recordings"
        found = inside if inside.is_dir() else place
        if found.is_file() or found.name == "recordings" and found.is_dir():
            recordings = _read(found, "put an intact copy there")
            return _digits(recordings, "folder"), "from the folder in SSLKIT_DATA"
    raise FileNotFoundError(
        f"{base} holds neither {_FILE} nor a folder 'recordings': put one of them "
        "there (data/README.md says how)."
    )


def _from_cache() -> tuple[SpokenDigits, str]:
    path = download.cache_folder() / _FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: load_fsdd('download') fetches it."
        )
    recordings = _read(path, "load_fsdd('download') replaces it")
    return _digits(recordings, "cache"), "from the cache"


def _from_download() -> tuple[SpokenDigits, str]:
    folder, address = download.cache_folder(), _entry()["url"]
    host, name = urlsplit(address).hostname, address.rpartition("/")[2]
    with download.only_process_in(folder, "the spoken digits", _FILE):
        try:
            # Intact already, perhaps because another process has just fetched it.
            return _from_cache()
        except FileNotFoundError:
            pass
        except ValueError:
            (folder / _FILE).unlink()
        try:
            # The server packs the archive anew now and then, so that its checksum
            # is not known; that of the recordings is.
            base = address.removesuffix(name)
            path = download.fetch(base, {name: None}, folder)[name]
            os.replace(path, folder / _FILE)
            recordings = _read(folder / _FILE, "load again")
        except (OSError, ValueError) as error:
            (folder / _FILE).unlink(missing_ok=True)
            raise OSError(
                f"The spoken digits could not be downloaded ({host}: "
                f"{download.reason(error)}). Load again when the network works, or "
                f"put {_FILE} into a folder and name the folder in SSLKIT_DATA."
            ) from error
    return _digits(recordings, "download"), f"downloaded from {host} into the cache"


def _from_sample() -> tuple[SpokenDigits, str]:
    return synthesise(), "tones in the place of speech (figures mean nothing)"


# ------------------------------------------------------------- reading and checking


def _entry() -> dict[str, Any]:
    entry: dict[str, Any] = data._registry()["fsdd"]
    return entry


def _read(path: Path, fix: str) -> dict[str, bytes]:
    """Read the recordings of an archive or a folder, and compare their checksum."""
    if path.is_dir():
        recordings = {file.name: file.read_bytes() for file in path.glob("*.wav")}
    else:
        try:
            with tarfile.open(path) as archive:
                recordings = {
                    Path(member.name).name: archive.extractfile(member).read()  # type: ignore[union-attr]
                    for member in archive
                    if member.isfile() and member.name.endswith(".wav")
                }
        # A damaged archive raises errors of tarfile, zlib or gzip, not of a kind.
        except Exception as error:
            raise ValueError(
                f"{path.name} cannot be read as an archive ({type(error).__name__}): "
                f"{fix}."
            ) from error
    found, wanted = checksum(recordings), _entry()["sha256"]
    if found != wanted:
        raise ValueError(
            f"the {len(recordings):,} recordings in {path.name} must have SHA-256 "
            f"{wanted[:12]}..., found {found[:12]}...: {fix}."
        )
    return recordings


def _digits(recordings: Mapping[str, bytes], source: str) -> SpokenDigits:
    """Unpack recordings named `digit_speaker_index.wav` that `_read` has checked."""
    names = sorted(recordings)
    parts = [name.removesuffix(".wav").split("_") for name in names]
    waves = np.zeros((len(names), RATE), np.int16)
    lengths = np.zeros(len(names), np.int64)
    for row, name in enumerate(names):
        with wave.open(io.BytesIO(recordings[name])) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        lengths[row] = len(samples)
        waves[row, : len(samples)] = samples[:RATE]
    return SpokenDigits(
        name=_entry()["name"],
        waves=waves,
        lengths=lengths,
        y=np.array([int(digit) for digit, _, _ in parts]),
        speaker=np.array([speaker for _, speaker, _ in parts]),
        index=np.array([int(index) for _, _, index in parts]),
        source=source,
        sha256=_entry()["sha256"],
    )
