"""Pre-train on pictures of your own, embed them, and judge the features.

Page *Your own images*. Three functions, `pretrain`, `embed` and `probe`, work on the
folder of a run, which holds its settings (`run.json`), one row per epoch
(`history.json`), checkpoints, and what came out: `encoder.keras`, `features.npz`,
`probe.json`. `python -m sslkit` calls them; so can a notebook.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import filelock
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from sslkit import distribute, evaluate, metrics, recipes, resume
from sslkit.images import Source, check_batch, open_images, read_labels, shrink

WATCHED = 512
"""Pictures on which the meters of collapse are read."""
MINUTES = 10
"""A checkpoint is written after each epoch, and when the last is as old as this."""
ENCODER, RUN, HISTORY = "encoder.keras", "run.json", "history.json"
FEATURES, PROBE, CHECKPOINTS = "features.npz", "probe.json", "checkpoints"
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
FREE = {"data", "bad"}
"""Settings that may be others when a run goes on: they do not change its result."""


class Stopped(RuntimeError):
    """A run that cannot go on. What is finished is kept; a sentence says what to do."""


@dataclass(frozen=True)
class Settings:
    """All that the result of a run depends on, besides the pictures.

    Attributes:
        method: Name in `sslkit.recipes.METHODS`.
        data: Where the pictures are, as for `sslkit.images.open_images`.
        side: Height and width in pixels; chosen from the pictures if `None`.
        channels: 1 or 3; chosen likewise.
        encoder: Name in `sslkit.recipes.ENCODERS`; chosen by the shape if `None`.
        augment: Name in `sslkit.recipes.AUGMENTATIONS`; chosen likewise.
        features: Length of a feature vector, at least 1.
        epochs: Passes over the pictures, at least 1.
        batch: Pictures per step, on all devices together; if `None` 128, or a
            quarter of the pictures if that is less.
        rate: Learning rate at the start, above 0; what suits the method if `None`
            (`sslkit.recipes.compile`).
        seed: Fixes weights, views and the order of the pictures.
        precision: `"float32"`, `"mixed_float16"` (GPU) or `"mixed_bfloat16"`.
        xla: Whether to compile the step with XLA.
        bad: Largest share of unreadable pictures that are skipped, from 0 to below 1.
    """

    method: str
    data: str
    side: int | None = None
    channels: int | None = None
    encoder: str | None = None
    augment: str | None = None
    features: int = 128
    epochs: int = 20
    batch: int | None = None
    rate: float | None = None
    seed: int = 0
    precision: str = "float32"
    xla: bool = False
    bad: float = 0.01

    def open(self, scratch: str | Path) -> Source:
        """Open the pictures."""
        with _room(scratch, "a copy of the pictures"):
            return open_images(self.data, self.side, self.channels, self.bad, scratch)

    def build(self, shape: tuple[int, ...]) -> keras.Model:
        """Make the model, untrained, for pictures of a shape."""
        keras.utils.set_random_seed(self.seed)
        return recipes.build(
            self.method, shape, self.encoder, self.augment, self.features, self.seed
        )


def pretrain(
    settings: Settings,
    run: str | Path,
    resume_run: bool = False,
    strategy: "tf.distribute.Strategy | None" = None,
    progress: bool = True,
) -> Path:
    """Train an encoder without labels, and keep what is needed to go on after a crash.

    Args:
        settings: What to train and on what.
        run: Folder of the run, made if need be.
        resume_run: Whether to go on where an earlier call stopped, if it did. The
            weights are those of a run that never stopped.
        strategy: What `sslkit.distribute.strategy` returned; one device if `None`.
        progress: Whether to show a bar with the remaining time.

    Returns:
        Path of the encoder, a Keras model from float32 pictures `[batch, *shape]` in
        [0, 1] to features `[batch, d]`.

    Raises:
        ValueError: If a setting is out of range, too many pictures are unreadable,
            the folder holds another run, or the pictures have changed since.
        Stopped: If the run was interrupted, another process is at it, the disk is
            full, or a worker was lost.
    """
    run, strategy = Path(run), strategy or tf.distribute.get_strategy()
    _check(settings)
    source = settings.open(run / "scratch")
    batch = _batch(settings, source, strategy.num_replicas_in_sync)
    settings = _complete(settings, source, batch)
    several = strategy.num_replicas_in_sync > 1
    if several and settings.xla:
        raise ValueError(
            "xla must be off on several devices: TensorFlow cannot compile a step in "
            "which they exchange numbers."
        )
    chief = _is_chief(strategy)
    steps = source.count // batch
    with _alone(run, chief), _precision(settings.precision), strategy.scope():
        if chief:
            _claim(run, settings, source, resume_run)
        model = settings.build(source.shape)
        if several:
            distribute.synchronise(model)
        recipes.compile(
            model, settings.rate, steps * settings.epochs, jit_compile=settings.xla
        )
        start = resume.load(run / CHECKPOINTS, model)
        encoder = recipes.encoder(model)
        span = steps, settings.epochs, start
        journal = Journal(run, source, encoder, *span, progress, chief)
        if start < journal.total:
            _fit(model, journal, source, batch, settings.seed, strategy)
        if chief:
            _save_encoder(encoder, run)
            # A run that was killed after its last checkpoint left the older ones.
            resume.tidy(run / CHECKPOINTS)
            _tell(source)
    return run / ENCODER


class Journal(keras.callbacks.Callback):
    """Rows, meters, bar and checkpoints of a run, while `fit` goes through its steps.

    All steps of all epochs are one epoch of `fit`, so that training can begin in the
    middle of one.

    Args:
        run: Folder of the run.
        source: The pictures.
        encoder: What the meters watch.
        steps: Steps per epoch.
        epochs: Epochs in all.
        start: Steps that are done.
        progress: Whether to show the bar.
        chief: Whether this process writes. Of several workers, which compute the
            same, one does.
    """

    def __init__(
        self,
        run: Path,
        source: Source,
        encoder: keras.Model,
        steps: int,
        epochs: int,
        start: int,
        progress: bool,
        chief: bool = True,
    ) -> None:
        """Read the rows of finished epochs; see the class for the arguments."""
        super().__init__()
        self.run, self.source, self.encoder = run, source, encoder
        self.steps, self.total, self.done = steps, steps * epochs, start
        self.progress, self.chief = progress and chief, chief
        rows = history(run) if start else []
        self.rows = [row for row in rows if row["step"] <= start]
        self.watched = source.batch(_spread(source.count))
        self.saved, self.time = start, time.monotonic()
        self.interrupted = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Put the metrics back, which `fit` has just set to zero."""
        resume.load(self.run / CHECKPOINTS, self.model)
        if not self.rows:
            self._row({})

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the step; at the end of an epoch or of the time, save."""
        self.done += 1
        self.bar.update()
        ends = self.done % self.steps == 0
        if ends:
            self._row(logs or {})
            self.model.reset_metrics()
        if ends or self.interrupted or time.monotonic() > self.time + 60 * MINUTES:
            self._save()
        if self.interrupted:
            raise KeyboardInterrupt

    def interrupt(self, *_: Any) -> None:
        """Save after the step at hand, and stop: what a signal calls."""
        self.interrupted = True

    def _row(self, logs: dict[str, Any]) -> None:
        try:
            h = evaluate.embed(self.encoder, self.watched, batch_size=128)
        except ValueError as why:
            raise Stopped(
                f"training went astray before step {self.done:,}: {why} Start a new "
                "run with a lower --rate."
            ) from None
        row = {name: float(np.mean(value)) for name, value in logs.items()}
        row["std"] = metrics.feature_std(h)
        row["rank"] = metrics.effective_rank(h) if h.any() else 0.0
        self.rows.append({"epoch": self.done // self.steps, "step": self.done, **row})
        self.bar.set_postfix({name: f"{value:.3g}" for name, value in row.items()})

    def _save(self) -> None:
        if self.chief:
            with _room(self.run, f"step {self.done:,}", self.saved):
                # Rows first: those of steps that no checkpoint has are left out later.
                _write(self.run / HISTORY, self.rows)
                resume.save(self.run / CHECKPOINTS, self.done, self.model)
            self.saved = self.done
        self.time = time.monotonic()


def history(run: str | Path) -> list[dict[str, float]]:
    """Rows of a run, one before training and one per epoch.

    Args:
        run: Folder of the run.

    Returns:
        `epoch`, `step`, the losses that the method reports, and the meters of
        collapse `std` and `rank`, as in `sslkit.callbacks.CollapseMeter`. Empty if
        nothing was saved yet.
    """
    path = Path(run) / HISTORY
    return json.loads(path.read_text()) if path.exists() else []


def settings_of(run: str | Path) -> Settings:
    """Settings of a run.

    Args:
        run: Folder of the run.

    Returns:
        What it was started with, and what was chosen for it.

    Raises:
        ValueError: If the folder holds no run.
    """
    path = Path(run) / RUN
    if not path.exists():
        raise ValueError(f"{run} holds no run: start one with pretrain.")
    return Settings(**json.loads(path.read_text())["settings"])


def load_encoder(run: str | Path) -> keras.Model:
    """Encoder of a finished run.

    Args:
        run: Folder of the run.

    Returns:
        A model from float32 pictures `[batch, *shape]` in [0, 1] to features.

    Raises:
        ValueError: If the run has not come to its end.
    """
    settings_of(run)
    path = Path(run) / ENCODER
    if not path.exists():
        raise ValueError(f"{run} has no {ENCODER} yet: go on with pretrain --resume.")
    return keras.models.load_model(path)


def embed(
    run: str | Path,
    pictures: str | Path | None = None,
    out: str | Path | None = None,
    labels: str | Path | None = None,
    progress: bool = True,
) -> Path:
    """Apply the encoder of a run to pictures, and store the features.

    Args:
        run: Folder of the run.
        pictures: Where they are, as for `sslkit.images.open_images`; those of the
            run if left out.
        out: File to write; `features.npz` in the folder of the run if left out.
        labels: Table of classes, as for `sslkit.images.read_labels`; otherwise those
            that the pictures bring along.
        progress: Whether to show a bar.

    Returns:
        Path of the file: features `h`, float32 `[n, d]`; `names` and `labels`, text
        `[n]`, `""` where no class is known; `skipped`, the names of unreadable
        pictures; `pictures`, the fingerprint of all.

    Raises:
        ValueError: As `open_images` and `read_labels` do, or if the run has not come
            to its end.
        Stopped: If the disk is full.
    """
    run, encoder = Path(run), load_encoder(run)
    source = _open_for(run, pictures)
    known = _labels(source, labels)
    parts: list[NDArray[np.float32]] = []
    numbers: list[int] = []
    with tqdm(total=source.count, unit="picture", disable=not progress) as bar:
        for chosen, batch in source.in_order():
            parts.append(evaluate.embed(encoder, batch))
            numbers.extend(chosen)
            bar.update(len(chosen))
    path = Path(out) if out else run / FEATURES
    with _room(path.parent, path.name), resume.atomic(path) as file:
        np.savez(
            file,
            h=np.concatenate(parts),
            names=np.array([source.names[i] for i in numbers]),
            labels=np.array([known[i] for i in numbers]),
            skipped=np.array([source.names[i] for i in sorted(source.broken)], str),
            pictures=source.fingerprint(),
        )
    _tell(source)
    return path


def probe(
    run: str | Path,
    pictures: str | Path | None = None,
    labels: str | Path | None = None,
    most: int = 6000,
    shots: Sequence[int] = (1, 5, 10, 16),
) -> dict[str, dict[str, Any]]:
    """Judge the features of a run by labels, beside those of three baselines.

    A random sixth of the labelled pictures is judged, the rest is learnt from. All
    encoders see the same split and the same draws. The baselines are the encoder as
    it was before training, as many principal components, and the pixels themselves,
    the latter two of small copies of the pictures (`sslkit.images.shrink`).

    Args:
        run: Folder of the run.
        pictures: As for `embed`.
        labels: As for `embed`.
        most: Labelled pictures to use at most, drawn at random.
        shots: Labels per class of the few-label probe. Those that a class has not
            enough pictures for are left out.

    Returns:
        By encoder: `knn` and `linear`, accuracies, and `shot1`, `shot5` and so on,
        mean, standard deviation and number of draws. It is in `probe.json`, too.

    Raises:
        ValueError: If there are no labels, or too few of them.
    """
    run, encoder = Path(run), load_encoder(run)
    settings, source = settings_of(run), _open_for(run, pictures)
    known = np.array(_labels(source, labels))
    labelled = np.flatnonzero(known != "")
    rng = np.random.default_rng(settings.seed)
    chosen = rng.permutation(labelled)[:most]
    batches = list(source.in_order(chosen=chosen))
    read = np.concatenate([numbers for numbers, _ in batches] or [chosen])
    y = np.unique(known[read], return_inverse=True)[1]
    learn = len(y) - len(y) // 6
    # The linear probe sets a sixth of the rest aside, to choose its regularisation.
    if most < 12 or len(y) < 12 or len(np.unique(y[: learn - learn // 6])) < 2:
        raise ValueError(
            "probes need 12 labelled pictures, of two classes that are not too rare, "
            f"got {len(y)} of {len(np.unique(y))} classes, drawn from {len(labelled)} "
            f"with most={most}: sort more into subfolders or pass labels."
        )
    x = np.concatenate([batch for _, batch in batches])
    small = shrink(x)
    d = min(settings.features, learn, small[0].size)
    encoders = {
        "trained": (encoder, x),
        "before training": (recipes.encoder(settings.build(source.shape)), x),
        "principal components": (evaluate.pca_encoder(small[:learn], d), small),
        "pixels": (evaluate.raw_pixels, small),
    }
    scores = {
        name: _judge(evaluate.embed(each, seen, 256), y, learn, shots)
        for name, (each, seen) in encoders.items()
    }
    with _room(run, PROBE):
        _write(run / PROBE, scores)
    return scores


def _judge(
    h: NDArray[np.float32], y: NDArray[np.int64], learn: int, shots: Sequence[int]
) -> dict[str, Any]:
    split = evaluate.Features(h[:learn], y[:learn], h[learn:], y[learn:])
    few = [n for n in shots if n <= np.bincount(split.y_train).min()]
    return {
        "knn": evaluate.knn_probe(split, k=min(20, learn)),
        "linear": evaluate.linear_probe(split).accuracy,
        **{
            f"shot{n}": score._asdict()
            for n, score in evaluate.few_label_probe(split, few).items()
        },
    }


def _batch(settings: Settings, source: Source, replicas: int) -> int:
    """Pictures per step: as asked for, or a number that all replicas can share."""
    least = recipes.SMALLEST.get(settings.method, 1) * replicas
    usual = max(least, min(128, source.count // 4) // replicas * replicas)
    batch = usual if settings.batch is None else settings.batch
    check_batch(batch, replicas, source.count)
    if batch < least:
        raise ValueError(
            f"batch must be at least {least} for method={settings.method!r} on "
            f"{replicas} device(s), got {batch}: it cannot train with fewer pictures."
        )
    return int(batch)


def _check(settings: Settings) -> None:
    """Refuse what can be refused before the pictures are looked at."""
    recipes.defaults(settings.method, (28, 28))
    for name, least in (("features", 1), ("epochs", 1), ("seed", 0)):
        value = getattr(settings, name)
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be an integer from {least}, got {value!r}.")
    if settings.rate is not None and not settings.rate > 0:
        raise ValueError(f"rate must be above 0, got {settings.rate!r}.")
    if settings.precision not in PRECISIONS:
        raise ValueError(
            f"precision must be one of {PRECISIONS}, got {settings.precision!r}."
        )


def _complete(settings: Settings, source: Source, batch: int) -> Settings:
    """Put what was chosen in place of `None`."""
    encoder, augment = recipes.defaults(settings.method, source.shape)
    height, width = source.shape[:2]
    return replace(
        settings,
        data=os.path.abspath(settings.data),
        batch=batch,
        side=height if height == width else None,
        channels=1 if len(source.shape) == 2 else 3,
        encoder=settings.encoder or encoder,
        augment=settings.augment or augment,
    )


def _claim(run: Path, settings: Settings, source: Source, resume_run: bool) -> None:
    """Write down what the run is, or check that it is the one to go on with."""
    now: dict[str, Any] = {
        "settings": asdict(settings),
        "shape": list(source.shape),
        "pictures": source.fingerprint(),
    }
    path = run / RUN
    # A run that stopped before it had anything to keep may be started otherwise.
    if resume.checkpoints(run / CHECKPOINTS) or (run / ENCODER).exists():
        _compare(run, now, resume_run)
    with _room(run, RUN):
        _write(path, now)  # Pictures that were moved are looked for where they are.


def _compare(run: Path, now: dict[str, Any], resume_run: bool) -> None:
    if not resume_run:
        raise ValueError(
            f"{run} holds a run already: add --resume to go on with it, or choose "
            "another folder."
        )
    then = json.loads((run / RUN).read_text())
    others = [
        f"{name} was {then['settings'].get(name)!r} and is {value!r}"
        for name, value in now["settings"].items()
        if name not in FREE and then["settings"].get(name) != value
    ]
    if others:
        raise ValueError(
            f"{run} was started with other settings: {', '.join(others)}. Start a "
            "new run for those, in another folder."
        )
    if then["pictures"] != now["pictures"]:
        raise ValueError(
            f"the pictures have changed since {run} was started: they were "
            f"{then['pictures']} and are {now['pictures']}. Put them back, or start a "
            "new run in another folder."
        )


def _is_chief(strategy: tf.distribute.Strategy) -> bool:
    return getattr(strategy.cluster_resolver, "task_id", None) in (None, 0)


def _fit(
    model: keras.Model,
    journal: Journal,
    source: Source,
    batch: int,
    seed: int,
    strategy: tf.distribute.Strategy,
) -> None:
    span = journal.done, journal.total
    of = strategy.num_replicas_in_sync

    def feed(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = of // context.num_input_pipelines
        first = context.input_pipeline_id * local
        replicas = range(first, first + local)
        return source.feed(batch, seed, *span, replicas, of)

    if of > 1:
        batches = strategy.distribute_datasets_from_function(feed)
    else:
        batches = feed(tf.distribute.InputContext())
    shown = {"unit": "step", "disable": not journal.progress}
    bar = tqdm(total=span[1], initial=span[0], **shown)
    try:
        with (
            distribute.explain_lost_worker(),
            _signals(journal.interrupt),
            bar as journal.bar,
        ):
            model.fit(
                batches,
                steps_per_epoch=span[1] - span[0],
                callbacks=[journal],
                verbose=0,
                shuffle=False,
            )
    except KeyboardInterrupt:
        saved = f"step {journal.saved:,} of {journal.total:,} is saved"
        if not journal.chief:
            saved = "the first worker has the last checkpoint"
        raise Stopped(f"interrupted; {saved}: go on with --resume.") from None
    except tf.errors.ResourceExhaustedError:
        raise Stopped(
            f"the memory of the device does not suffice for batches of {batch}: start "
            "a new run with a smaller --batch or --side."
        ) from None
    except tf.errors.OpError:
        if source.failure is None:
            raise
        raise source.failure from None
    except distribute.LostWorker as why:
        raise Stopped(str(why)) from None


def _save_encoder(encoder: keras.Model, run: Path) -> None:
    # Keras writes to a path of its own, so this copies what it wrote.
    unfinished = run / f".unfinished-{ENCODER}"
    with _room(run, ENCODER):
        encoder.save(unfinished)
        with resume.atomic(run / ENCODER) as file:
            file.write(unfinished.read_bytes())
        unfinished.unlink()


def _tell(source: Source) -> None:
    """Report on unreadable pictures, beside what a program prints."""
    if source.broken:
        first = sorted(source.broken)[:3]
        some = "; ".join(f"{source.names[i]} ({source.broken[i]})" for i in first)
        more = "; ..." if len(source.broken) > len(first) else ""
        print(
            f"{len(source.broken):,} of {source.count:,} pictures could not be read "
            f"and were skipped: {some}{more}",
            file=sys.stderr,
        )


def _open_for(run: Path, pictures: str | Path | None) -> Source:
    """Open pictures in the shape that the encoder of a run takes."""
    settings = settings_of(run)
    if pictures is not None:
        settings = replace(settings, data=str(pictures))
    return settings.open(run / "scratch")


def _labels(source: Source, table: str | Path | None) -> Sequence[str]:
    if table is not None:
        return read_labels(table, source.names)
    return source.labels or [""] * source.count


def _spread(count: int) -> NDArray[np.int64]:
    """Numbers of the pictures to watch, evenly over all of them."""
    return np.unique(np.linspace(0, count - 1, min(count, WATCHED)).astype(int))


def _write(path: Path, value: Any) -> None:
    with resume.atomic(path) as file:
        file.write(json.dumps(value, indent=1).encode())


@contextlib.contextmanager
def _room(folder: str | Path, what: str, saved: int = 0) -> Iterator[None]:
    """Say what to do if something cannot be written."""
    try:
        yield
    except OSError as why:
        whole = f" The checkpoint of step {saved:,} is whole." if saved else ""
        raise Stopped(
            f"{what} could not be written to {folder}: {why}.{whole} Make room or "
            "get leave to write there, then do the same again, pretrain with --resume."
        ) from None


@contextlib.contextmanager
def _alone(run: Path, chief: bool) -> Iterator[None]:
    """Keep a second process out of a run, whose checkpoints both would write.

    Of several workers, only the first one writes. The system opens the lock of a
    process that dies.
    """
    if not chief:
        yield
        return
    path = run / CHECKPOINTS / "lock"
    lock = filelock.FileLock(path, timeout=0)
    with _room(run, path.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise Stopped(
                f"another process trains in {run}: wait for its end, or choose another "
                f"--run. If there is none, delete {path}."
            ) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _precision(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextlib.contextmanager
def _signals(handler: Any) -> Iterator[None]:
    """Let the first signal to stop end the step at hand; the next one stops at once."""
    # Python allows it in the main thread only, in which notebooks and scripts run.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def once(*_: Any) -> None:
        # Not as before: a program that a script put into the background ignores SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        handler()

    numbers = signal.SIGINT, signal.SIGTERM
    before = {number: signal.signal(number, once) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
