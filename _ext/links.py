"""Ask every external address of the book whether it is still there.

    python _ext/links.py

Sphinx's own `linkcheck` collects the addresses and asks each once, as `_config.yml`
says. It takes every refusal for a broken link; but publishers refuse robots (403), and
servers that are busy (429, 503) or slow may answer tomorrow. So only addresses that are
gone end this with an error: pages that do not exist (404, 410), and servers that have
no name any more. The others are listed for somebody to look at.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "_build" / "linkcheck" / "output.json"
BUILD = ["build", str(ROOT), "--builder", "custom", "--custom-builder", "linkcheck"]
# A name that cannot be resolved for the moment may be our own network's fault.
GONE = re.compile(
    r"^4(?:04|10) |NameResolutionError(?!.*Temporary)|Name or service not known"
)


def read(text: str) -> list[dict[str, Any]]:
    """Read what `linkcheck` wrote, a line of JSON for each external address.

    Args:
        text: Content of its `output.json`.

    Returns:
        Its entries with `uri`, `status`, `info`, `filename` and `lineno`.

    Raises:
        ValueError: If there is no external address: then nothing was asked.
    """
    entries = [json.loads(line) for line in text.splitlines()]
    external = [entry for entry in entries if entry["uri"].startswith("http")]
    if not external:
        raise ValueError(f"No address in {OUTPUT.name}: the build before has failed.")
    return external


def judge(entries: Iterable[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Tell addresses that are gone from those that somebody should look at.

    Args:
        entries: What `read` returned.

    Returns:
        Lines about the first, and lines about the second.
    """
    gone: set[str] = set()
    unsure: set[str] = set()
    for entry in entries:
        if entry["status"] in ("broken", "timeout"):
            line = f"{entry['uri']} ({entry['filename']}): {entry['info']}"
            (gone if GONE.search(entry["info"]) else unsure).add(line)
    return sorted(gone), sorted(unsure)


def main() -> int:
    OUTPUT.unlink(missing_ok=True)
    # Its exit status counts refusals as errors, and is not asked.
    command = shutil.which("jupyter-book", path=str(Path(sys.executable).parent))
    if command is None:
        raise FileNotFoundError("jupyter-book is missing beside Python: make env.")
    subprocess.run([command, *BUILD], check=False)
    entries = read(OUTPUT.read_text("utf-8"))
    gone, unsure = judge(entries)
    print(f"\n{len(entries)} addresses, {len(gone)} gone, {len(unsure)} unsure")
    for line in unsure:
        print(f"unsure: {line}")
    for line in gone:
        print(f"gone:   {line}")
    return bool(gone)


if __name__ == "__main__":
    sys.exit(main())
