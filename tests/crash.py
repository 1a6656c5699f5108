"""Runs of the command in processes of their own, which something happens to.

A process that has imported Keras is forked for each run (`forkserver`), which saves
the seconds of the import.
"""

import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["sslkit.pretrain", "sslkit.__main__"])

WATCHED = ("open", "os.rename", "os.remove", "os.mkdir")
"""What Python does to files, and tells of before it does it."""


def start(words, run, at=None, what="kill", delay=0.0):
    """Run the command, and let something happen when it is about to touch a file.

    Args:
        words: Words of the command.
        run: Folder of the run.
        at: Number of the event, counted from 0 over all events of files in the folder.
        what: `"kill"`, or `"full"`: no file can become longer than 4 kB from then on.
        delay: Seconds after the event.

    Returns:
        The process. What it prints is in `run.log` beside the folder.
    """
    process = context.Process(target=_child, args=(words, str(run), at, what, delay))
    process.start()
    return process


def finish(process, timeout=300):
    """Wait for the end of a process, and return its exit code."""
    process.join(timeout)
    assert process.exitcode is not None, "a run does not end"
    return process.exitcode


def log(run):
    """What the last process on a folder has printed."""
    return Path(f"{run}.log").read_text()


def events(run):
    """Number of events of the last process that came to its end."""
    return int(log(run).rpartition("events: ")[2])


def _child(words, run, at, what, delay):
    with open(f"{run}.log", "wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    count = 0

    def happen():
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    def hook(event, arguments):
        nonlocal count
        if event in WATCHED and str(arguments[0]).startswith(run + os.sep):
            count += 1
            if at is not None and count == at + 1:
                threading.Timer(delay, happen).start() if delay else happen()

    sys.addaudithook(hook)
    from sslkit.__main__ import main

    code = main(words)
    print("events:", count, flush=True)
    sys.exit(code)
