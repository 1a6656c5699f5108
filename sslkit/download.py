"""Fetching a file once, whole and intact (used by `sslkit.data` and `sslkit.speech`).

pooch checks the SHA-256, tries again and moves the file into place; filelock keeps two
notebooks from doing so at the same time. What neither has is going on where a transfer
was cut off, which is `_resume`.
"""

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import filelock

with warnings.catch_warnings():
    # In a notebook, pooch has tqdm look for ipywidgets and warn on stderr that there
    # are none. No progress bar is drawn with them here.
    warnings.simplefilter("ignore")
    import pooch

TIMEOUT = (5.0, 30.0)
"""Seconds to wait for a connection and for the next bytes of a download."""

LOCK_SECONDS = 600.0
"""Seconds to wait for another process that is downloading."""


def cache_folder() -> Path:
    """The folder that `SSLKIT_CACHE` names, else the operating system's for caches.

    Returns:
        A path, which need not exist.
    """
    own = os.environ.get("SSLKIT_CACHE")
    return Path(own).expanduser() if own else Path(pooch.os_cache("sslkit"))


@contextlib.contextmanager
def only_process_in(
    folder: Path, what: str = "MNIST", file: str = "mnist.npz"
) -> Iterator[None]:
    """Hold the lock of a folder, so that two notebooks do not both download.

    Args:
        folder: Made if it does not exist.
        what: What is to be downloaded, for the message of an error.
        file: The file that can be put into a folder instead, for the same.

    Raises:
        OSError: If the folder cannot be written, or the lock is not free within
            `LOCK_SECONDS`.
    """
    lock = filelock.FileLock(folder / "download.lock", timeout=LOCK_SECONDS)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        busy = isinstance(error, filelock.Timeout)
        why = "another process is using it" if busy else reason(error)
        raise OSError(
            f"{what[:1].upper()}{what[1:]} could not be downloaded (cache folder: "
            f"{why}). Name a folder that can be written in SSLKIT_CACHE, or put {file} "
            "into a folder and name the folder in SSLKIT_DATA."
        ) from error
    try:
        yield
    finally:
        lock.release()


def fetch(
    base_url: str, digests: Mapping[str, str | None], folder: Path
) -> dict[str, Path]:
    """Bring files of one server into a folder, unless they lie there intact.

    Args:
        base_url: Address before the names, with the slash at its end.
        digests: SHA-256 of each file, in hexadecimal digits, by name; `None` for a
            file that is not the same each time, and whose contents the caller checks.
        folder: Where they go.

    Returns:
        Paths by name.

    Raises:
        OSError: If the server does not answer, or a web page came instead.
        ValueError: If a file has another checksum.
    """
    store = pooch.create(
        path=folder,
        base_url=base_url,
        registry={
            name: digest and f"sha256:{digest}" for name, digest in digests.items()
        },
        retry_if_failed=2,
    )
    with _quiet_pooch():
        return {name: Path(store.fetch(name, downloader=_resume)) for name in digests}


def reason(error: Exception) -> str:
    """Say what went wrong, without the path that the system's own errors hold.

    Args:
        error: What was raised.

    Returns:
        Its first sentence.

    Example:
        >>> reason(ValueError("Too long. Cut it."))
        'Too long'
    """
    return getattr(error, "strerror", None) or str(error).partition(". ")[0]


def _resume(url: str, output_file: str, _: pooch.Pooch) -> None:
    """Download a file for pooch, from where an earlier attempt was cut off.

    What arrives is kept in a `.part` file. Only a complete one is handed to pooch,
    which deletes it if the checksum is wrong, so that the next attempt starts afresh.
    Pooch tries again after errors of `requests`, and not after other ones.
    """
    import requests
    from tqdm import tqdm

    name = url.rpartition("/")[2]
    part = Path(output_file).with_name(f"{name}.part")
    have = part.stat().st_size if part.exists() else 0
    # A server that compresses on the way would change the length and the bytes.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    except requests.RequestException as error:
        raise OSError(f"no answer ({type(error).__name__})") from error
    with response:
        status = response.status_code
        if status == 416:  # The server's file ends before the part does.
            part.unlink()
            raise requests.HTTPError(f"{name} has no byte {have}")
        if status >= 500:
            raise requests.HTTPError(f"HTTP status {status} for {name}")
        if status not in (200, 206):
            raise OSError(f"HTTP status {status} for {name}")
        have = have if status == 206 else 0
        size = have + int(response.headers.get("Content-Length", 0))
        with (
            part.open("ab" if have else "wb") as file,
            # `disable=None` shows the bar on a terminal and keeps it out of notebooks.
            tqdm(
                desc=name,
                total=size,
                initial=have,
                unit="B",
                unit_scale=True,
                leave=False,
                disable=None,
            ) as bar,
            # A transfer that breaks off shows in the length.
            contextlib.suppress(requests.RequestException),
        ):
            for chunk in response.iter_content(2**16):
                file.write(chunk)
                bar.update(len(chunk))
    if part.stat().st_size < size:
        raise requests.ConnectionError(f"the transfer of {name} broke off")
    with part.open("rb") as file:
        if file.read(64).lstrip().startswith(b"<"):
            part.unlink()
            raise OSError(f"an HTML page came instead of {name}")
    os.replace(part, output_file)


@contextlib.contextmanager
def _quiet_pooch() -> Iterator[None]:
    """Keep pooch's log, with paths of this machine, out of stored outputs."""
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)
