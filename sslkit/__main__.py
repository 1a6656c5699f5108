"""The command line: `python -m sslkit pretrain|embed|probe|report` (*Your own images*).

A thin layer over `sslkit.pretrain` and `sslkit.report`: each command calls one function
and prints what came out. Those modules are imported when a command runs, since Keras
takes seconds, and help and misspellings need none of it.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

METHODS = (
    "autoencoder denoising vae aae gan wgan mae rotation jigsaw simclr moco simsiam "
    "byol barlow vicreg swav dino iic"
)
EXAMPLES = """examples:
  python -m sslkit pretrain simclr photos --run runs/photos
  python -m sslkit pretrain simclr photos --run runs/photos --resume
  python -m sslkit probe runs/photos --labels some_labels.csv
  python -m sslkit report runs/photos

The chapter "Your own images" of the course goes through them.
"""


def parser() -> argparse.ArgumentParser:
    """Describe commands and options."""
    top = argparse.ArgumentParser(
        prog="python -m sslkit",
        description="Learn features from your own pictures, without labels.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    _pretrain(commands.add_parser("pretrain", help="train an encoder without labels"))
    _embed(commands.add_parser("embed", help="turn pictures into features"))
    _probe(commands.add_parser("probe", help="judge the features by a few labels"))
    _report(commands.add_parser("report", help="write one page about a run"))
    return top


def main(words: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        words: Words after `python -m sslkit`; those of the command line if `None`.

    Returns:
        What the shell gets: 0, or 1 after an error, which is printed in a sentence.
    """
    options = vars(parser().parse_args(words))
    command = COMMANDS[options.pop("command")]
    from sslkit.record import import_keras_quietly

    import_keras_quietly()
    from sslkit.pretrain import Stopped

    try:
        command(**options)
    except (ValueError, OSError, Stopped) as why:
        print(f"sslkit: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sslkit: interrupted.", file=sys.stderr)
        return 1
    return 0


def pretrain(
    run: str, resume: bool, strategy: str, quiet: bool, **settings: Any
) -> None:
    """Train, or go on training."""
    from sslkit import distribute, pretrain

    # First of all: TensorFlow connects workers before it does anything else.
    where = distribute.strategy(strategy)
    path = pretrain.pretrain(
        pretrain.Settings(**settings), run, resume, where, progress=not quiet
    )
    print(f"encoder: {path}")


def embed(
    run: str, data: str | None, out: str | None, labels: str | None, quiet: bool
) -> None:
    """Store features."""
    from sslkit import pretrain

    path = pretrain.embed(run, data, out, labels, progress=not quiet)
    print(f"features: {path}")


def probe(run: str, data: str | None, labels: str | None, most: int) -> None:
    """Print a table of accuracies."""
    from sslkit import pretrain

    scores = pretrain.probe(run, data, labels, most)
    columns = list(next(iter(scores.values())))
    print("accuracy, %".ljust(21), *(name.rjust(12) for name in columns))
    for name, score in scores.items():
        cells = (_percent(score[column]).rjust(12) for column in columns)
        print(name.ljust(21), *cells)


def report(run: str, quiet: bool) -> None:
    """Write the page, after the features if they are not there yet."""
    from sslkit import pretrain, report

    if not (Path(run) / pretrain.FEATURES).exists():
        pretrain.embed(run, progress=not quiet)
    print(f"report: {report.write(run)}")


COMMANDS: dict[str, Callable[..., None]] = {
    "pretrain": pretrain,
    "embed": embed,
    "probe": probe,
    "report": report,
}


def _pretrain(command: argparse.ArgumentParser) -> None:
    command.description = f"Train an encoder without labels. Methods: {METHODS}."
    add = command.add_argument
    add("method", help="name of the method")
    add("data", help="folder of pictures, .npz file, or data set of tf.data or TFDS")
    add("--run", required=True, help="folder for all that comes out")
    add("--resume", action="store_true", help="go on where the run stopped, if it did")
    add("--side", type=int, help="height and width in pixels (by the pictures)")
    add("--channels", type=int, choices=(1, 3), help="grey or colour (by the pictures)")
    add("--encoder", help="dense, conv, batchnorm, residual (by size and colours)")
    add("--augment", help="photo, digit, crop, none (by size and colours)")
    add("--features", type=int, default=128, help="numbers per picture (%(default)s)")
    add("--epochs", type=int, default=20, help="passes over the data (%(default)s)")
    add("--batch", type=int, help="pictures per step on all devices together (128)")
    add("--rate", type=float, help="learning rate at the start (by the method)")
    add("--seed", type=int, default=0, help="of weights, views, order (%(default)s)")
    add(
        "--precision",
        default="float32",
        help="float32, mixed_float16, mixed_bfloat16 (%(default)s)",
    )
    add("--xla", action="store_true", help="compile the step with XLA")
    add(
        "--bad",
        type=float,
        default=0.01,
        help="share of unreadable pictures to skip (%(default)s)",
    )
    add(
        "--strategy",
        default="auto",
        help="one, mirrored (all GPUs), workers (TF_CONFIG), auto (%(default)s)",
    )
    _quiet(command)


def _embed(command: argparse.ArgumentParser) -> None:
    command.description = "Apply the encoder of a run to pictures, store the features."
    _run(command)
    command.add_argument("--out", help="file to write (features.npz in the run)")
    _quiet(command)


def _probe(command: argparse.ArgumentParser) -> None:
    command.description = "Judge features by labels, beside three baselines."
    _run(command)
    command.add_argument(
        "--most", type=int, default=6000, help="labelled pictures used (%(default)s)"
    )


def _report(command: argparse.ArgumentParser) -> None:
    command.description = "Write report.html into the folder of a run."
    command.add_argument("run", help="folder of a run")
    _quiet(command)


def _run(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", help="folder of a run")
    command.add_argument("data", nargs="?", help="other pictures than those of the run")
    command.add_argument("--labels", help="CSV table: name of a picture, class")


def _quiet(command: argparse.ArgumentParser) -> None:
    command.add_argument("--quiet", action="store_true", help="no progress bar")


def _percent(value: Any) -> str:
    if isinstance(value, dict):
        return f"{100 * value['mean']:.1f} ± {100 * value['sd']:.1f}"
    return f"{100 * value:.1f}"


if __name__ == "__main__":
    sys.exit(main())
