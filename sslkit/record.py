"""How a notebook was run and what it found (first and last cells of every notebook).

A notebook opens with `record.start`, which chooses the scale and seeds every random
number generator, and states its headline figures with `Run.result`. Whoever executes
the notebook reads `provenance` at the end; `_ext/run_notebooks.py` stores it in the
notebook and in `data/results.json`.
"""

import contextlib
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sslkit import data

SCALES = ("quick", "full")
"""`quick`: the 5,000-image sample, seconds. `full`: all of MNIST, minutes."""

UNITS = {
    "fraction": (100, ".2f", " %"),
    "squared error per image": (1, ".2f", ""),
    "squared error per pixel": (1, ".5f", ""),
    "nats per image": (1, ".2f", ""),
    "area under the curve": (1, ".3f", ""),
    "Fréchet distance": (1, ".2f", ""),
    "digits": (1, ".0f", ""),
    "directions": (1, ".1f", ""),
    "parameters": (1, ",.0f", ""),
    "labels per class": (1, ",.0f", ""),
}
"""Units a result may have: by what it is multiplied, its format and its suffix."""

PROBES = {
    "knn": "20 nearest neighbours",
    "linear": "linear probe",
    "shot1": "1 label per class",
    "shot5": "5 labels per class",
    "shot10": "10 labels per class",
    "shot16": "16 labels per class",
    "cluster": "k-means clusters",
    "rank": "effective rank",
}
"""What `sslkit.evaluate.protocol` measures, in words."""

T = TypeVar("T")


@dataclass
class Stopwatch:
    """Time spent in a `with run.timer()` block.

    Attributes:
        cpu_seconds: Processor time of all threads together.
        seconds: Time on the clock.
    """

    cpu_seconds: float = 0.0
    seconds: float = 0.0


@dataclass
class Run:
    """One execution of a notebook.

    Attributes:
        scale: `"quick"` or `"full"`.
        seed: Seed that Python, NumPy and Keras were given.
        results: What `result` was told, by id.
    """

    scale: str
    seed: int
    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Argument for `sslkit.data.load_mnist`: the sample when the scale is quick."""
        return "sample" if self.scale == "quick" else "auto"

    def choose(self, quick: T, full: T) -> T:
        """Return the argument named like the scale.

        Args:
            quick: Setting for a run of seconds.
            full: Setting for the figures of the book.

        Returns:
            One of the two, as it is.

        Example:
            >>> Run("quick", seed=0).choose(quick=5, full=50)
            5
        """
        return quick if self.scale == "quick" else full

    @contextlib.contextmanager
    def timer(self) -> Iterator[Stopwatch]:
        """Measure a block: `with run.timer() as watch: ...; watch.cpu_seconds`."""
        watch = Stopwatch()
        cpu, clock = time.process_time(), time.perf_counter()
        yield watch
        watch.cpu_seconds = time.process_time() - cpu
        watch.seconds = time.perf_counter() - clock

    def result(
        self,
        id: str,
        value: float,
        *,
        what: str,
        unit: str,
        spread: float | None = None,
        n: int = 1,
        cpu_seconds: float | None = None,
    ) -> None:
        """State a headline figure: print it, and keep it for `provenance`.

        Args:
            id: Name of the figure, `method.measure`, such as `"ae64.knn"`.
            value: The figure, or its mean over `n` seeds or draws.
            what: A few words that say what was measured.
            unit: A key of `UNITS`.
            spread: Standard deviation over the `n` seeds or draws. `None` when
                nothing was repeated.
            n: Number of seeds or draws.
            cpu_seconds: Processor time that making the encoder took, by training or
                fitting.

        Raises:
            ValueError: If the id was used before, the unit is unknown, the value is
                not finite, or a spread comes without repetitions or the reverse.

        Example:
            >>> run = Run("quick", seed=0)
            >>> run.result("raw.knn", 0.97124, what="kNN on pixels", unit="fraction")
            raw.knn = 97.12 % (kNN on pixels; 1 run)
        """
        value = float(value)
        if id in self.results:
            raise ValueError(f"id {id!r} was recorded already: give each its own name.")
        if unit not in UNITS:
            raise ValueError(f"unit must be one of {tuple(UNITS)}, got {unit!r}.")
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"value of {id!r} must be finite, got {value}.")
        if (spread is None) != (n == 1):
            raise ValueError(
                f"spread={spread} and n={n} of {id!r} disagree: a spread needs at "
                "least two runs, and two runs need a spread."
            )
        self.results[id] = {
            "value": value,
            "spread": None if spread is None else float(spread),
            "n": n,
            "unit": unit,
            "what": what,
            "cpu_seconds": None if cpu_seconds is None else round(cpu_seconds, 1),
        }
        runs = f"{n} run" + "s" * (n > 1)
        print(f"{id} = {format_value(value, unit, spread)} ({what}; {runs})")

    def encoder(
        self,
        name: str,
        scores: Mapping[str, Any],
        *,
        what: str,
        parameters: int,
        cpu_seconds: float,
    ) -> None:
        """State all figures of an encoder: its row on the page *Comparison*.

        Args:
            name: First part of the ids, such as `"vae"`.
            scores: Answer of `sslkit.evaluate.protocol`, on the test set.
            what: Name of the encoder as readers see it, without a comma.
            parameters: Number of parameters of the encoder.
            cpu_seconds: Processor time that making it took.

        Raises:
            ValueError: If `what` holds a comma, or as `result` does.
        """
        if "," in what:
            raise ValueError(f"what must hold no comma, got {what!r}.")
        for key, asked in PROBES.items():
            # A mean over seeds or draws has a spread (`evaluate.Spread`).
            score = scores[key]
            value, sd, n = score if isinstance(score, tuple) else (score, None, 1)
            self.result(
                f"{name}.{key}",
                value,
                what=f"{what}, {asked}",
                unit="directions" if key == "rank" else "fraction",
                spread=sd,
                n=n,
                cpu_seconds=cpu_seconds,
            )
        self.result(
            f"{name}.parameters",
            parameters,
            what=f"{what}, parameters of the encoder",
            unit="parameters",
        )


_current: Run | None = None


def start(seed: int = 0) -> Run:
    """Open a notebook: choose the scale, seed everything, say so in one line.

    The environment variable `SSLKIT_SCALE` is `quick` (also when it is not set) or
    `full`.

    Args:
        seed: Non-negative integer for `keras.utils.set_random_seed`, which seeds
            Python, NumPy and the backend.

    Returns:
        The `Run` that the notebook asks for settings and tells its results.

    Raises:
        ValueError: If `SSLKIT_SCALE` holds anything else, or `seed` is negative.
    """
    global _current
    scale = os.environ.get("SSLKIT_SCALE", "quick")
    if scale not in SCALES:
        raise ValueError(
            f"SSLKIT_SCALE must be one of {SCALES}, got {scale!r}: set it before the "
            "kernel starts, or remove it for the quick scale."
        )
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be a non-negative integer, got {seed!r}.")
    import_keras_quietly().utils.set_random_seed(seed)
    _current = Run(scale, seed)
    hint = {
        "quick": "quick, seconds on a sample (the book shows SSLKIT_SCALE=full)",
        "full": "full, the figures of the book",
    }
    print(f"Scale: {hint[scale]}. Seed: {seed}.")
    return _current


def provenance() -> dict[str, Any]:
    """Describe this process's run: scale, seed, data, versions, memory, results.

    Returns:
        A dictionary that `json.dumps` takes. `peak_mb` is the largest resident
        memory so far in megabytes, `None` where the system does not tell (Windows).

    Raises:
        ValueError: If `start` was not called in this process.
    """
    if _current is None:
        raise ValueError("no run to describe: call sslkit.record.start first.")
    packages = ("keras", "tensorflow", "numpy", "scikit-learn", "sslkit")
    return {
        "scale": _current.scale,
        "seed": _current.seed,
        "data": data.loaded(),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
        "cpu": f"{os.cpu_count()} cores, {platform.machine()}",
        "peak_mb": _peak_megabytes(),
        "results": _current.results,
    }


def format_value(value: float, unit: str, spread: float | None = None) -> str:
    """Write a figure with its spread the way the book does.

    Args:
        value: The figure.
        unit: A key of `UNITS`.
        spread: Standard deviation, or `None`.

    Returns:
        Text such as `"97.12 ± 0.04 %"`.

    Example:
        >>> format_value(0.97124, "fraction", 0.0004)
        '97.12 ± 0.04 %'
        >>> format_value(13.8663, "squared error per image")
        '13.87'
    """
    scaling, layout, suffix = UNITS[unit]
    text = f"{scaling * value:{layout}}"
    if spread is not None:
        text += f" ± {scaling * spread:{layout}}"
    return text + suffix


def _peak_megabytes() -> int | None:
    try:
        import resource
    except ImportError:  # Windows has no such module.
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kilobytes, macOS bytes.
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3))


def import_keras_quietly() -> Any:
    """Import Keras without TensorFlow's start-up notices, which notebooks would store.

    Returns:
        The module `keras`.

    Raises:
        ImportError: If it cannot be imported.
    """
    # TensorFlow 2.21 writes start-up notices to file descriptor 2 before it reads
    # TF_CPP_MIN_LOG_LEVEL, so only the descriptor itself can be silenced. A failing
    # import still raises.
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        import keras

        return keras
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
