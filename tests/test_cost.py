"""Tables of speed and cost: every number from the file or from sslkit.scale."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "_ext"))

pytest.importorskip("jupyter_book")

import cost  # noqa: E402
import yaml  # noqa: E402
from docutils import nodes  # noqa: E402

PAGE = (ROOT / "chapters" / "beyond" / "cluster.md").read_text("utf-8")
ROW = {
    "device": "slow",
    "method": "SimCLR",
    "encoder": "batchnorm",
    "shape": [28, 28],
    "precision": "float32",
    "xla": False,
    "batch": 256,
    "images_per_s": 1000.0,
    "parameters": 1000,
    "memory_mb": 1234,
    "memory_of": "process",
    "to_98_s": None,
    "versions": {"python": "3.11.7", "keras": "3.15.1", "tensorflow": "2.21.0"},
    "date": "2026-11-28",
}
ROWS = [
    ROW,
    {**ROW, "xla": True, "images_per_s": 5000.0},
    {**ROW, "device": "fast", "images_per_s": 2000.0, "to_98_s": 74.4},
    {**ROW, "method": "DCGAN", "shape": [64, 64, 3], "precision": "mixed_float16"},
]
OPTIONS = {
    "images": "36_000 1_000_000_000",
    "devices": "1 4",
    "epochs": "100",
    "batch": "256",
    "projections": "64",
    "efficiency": "0.5",
    "price": "3",
    "size": "784",
    "mean-time": "10_000",
}


def cells(text):
    return [
        [cell.strip().replace("\xa0", " ") for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def run(kind, root, rows, arguments=(), **options):
    """Run a directive as Sphinx does, and return its text and the files it watches."""
    (root / "data").mkdir(exist_ok=True)
    if rows is not None:
        (root / "data" / "throughput.json").write_text(json.dumps(rows))
    watched = []
    self = SimpleNamespace(
        env=SimpleNamespace(srcdir=str(root), note_dependency=watched.append),
        arguments=list(arguments),
        options=options,
        parse_text_to_nodes=lambda text: [nodes.Text(text)],
        error=lambda text: RuntimeError(text),
    )
    return "\n".join(node.astext() for node in kind.run(self)), watched


def test_speeds_are_grouped_by_device_with_the_fastest_first():
    heads, _, *rows = cells(cost.throughput(ROWS))
    assert [row[:2] for row in rows] == [
        ["slow", "DCGAN"],
        ["slow", "SimCLR"],
        ["slow", "SimCLR"],
        ["fast", "SimCLR"],
    ]
    assert dict(zip(heads, rows[-1], strict=True)) == {
        "device": "fast",
        "method": "SimCLR",
        "images": "28 x 28",
        "parameters": "1,000",
        "precision": "float32",
        "images per second": "2,000",
        "peak memory, MB": "1,234",
        "time to 98 %": "74 s",
        "measured": "2026-11-28, TensorFlow 2.21.0",
    }
    assert rows[2][4] == "float32, XLA" and rows[0][2] == "64 x 64 x 3"


def test_costs_start_from_the_fastest_row_that_several_devices_can_have():
    assert cost.fastest(ROWS, "SimCLR")["device"] == "fast"
    with pytest.raises(ValueError, match=r"method 'simclr': name DCGAN; SimCLR\."):
        cost.fastest(ROWS, "simclr")


def test_costs_by_hand():
    text = cost.table(ROW, cost.parse(OPTIONS))
    assumed = text.partition("\n\n")[0].replace("\xa0", " ")
    assert "1,000 images per second with SimCLR (float32, 1,000 parameters" in assumed
    assert "images of 28 x 28) on one device: slow." in assumed
    for part in ("100 epochs", "reach 50 % of", "costs 3 an hour", "10,000 hours"):
        assert part in assumed
    assert "784 B on disk" in assumed and "256 images per step" in assumed
    heads, _, *rows = cells(text)
    assert [row[:2] for row in rows] == [
        ["36,000", "1"],
        ["36,000", "4"],
        ["1,000,000,000", "1"],
        ["1,000,000,000", "4"],
    ]
    # 3,600,000 images at 1,000 a second; four devices are as fast as two.
    assert rows[0][2:] == [
        *("1.0 h", "1.0", "3.0", "28 MB", "784 kB", "nothing", "nothing", "0.0001"),
        "0.0 s",
    ]
    # Each sends 3/4 of 4 * (2 * 1,000 + 3 * 2 * 256 * 64) bytes, in 6.4 ms.
    assert rows[1][2:] == [
        *("30 min", "2.0", "6.0", "28 MB", "1.6 MB", "301 kB", "47 MB", "0.0002"),
        "0.1 s",
    ]
    # 1e11 images: 27,778 h, and 2.8 failures of five minutes each.
    assert rows[2][2:5] == ["1,157 days", "27,778", "83,334"]
    assert rows[2][-2:] == ["2.8", "13 min 53 s"]
    assert heads[-1] == "time lost to them"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e10, "25 GB"), (4e15, "4.0 PB")],
)
def test_amounts(number, text):
    assert cost.amount(number) == text


@pytest.mark.parametrize(
    ("hours", "text"),
    [(0.01, "36 s"), (0.5, "30 min"), (71.9, "71.9 h"), (100, "4.2 days")],
)
def test_times(hours, text):
    assert cost.time(hours) == text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": ""}, "the option 'epochs' must be a number, got ''"),
        ({"price": "cheap"}, "the option 'price' must be a number, got 'cheap'"),
        ({"images": "many"}, "'images' must be a number or several, got 'many'"),
        ({"batch": "1 2"}, "the option 'batch' must be a number, got '1 2'"),
        ({"efficiency": "90"}, "efficiency must be a share"),
        ({"devices": "3"}, "batch must be a multiple of the 3 devices"),
    ],
)
def test_a_wrong_option_breaks_the_build_with_a_sentence(tmp_path, changes, message):
    with pytest.raises(RuntimeError, match=message):
        run(cost.Cost, tmp_path, ROWS, ["SimCLR"], **(OPTIONS | changes))


def test_directives_watch_the_file_and_show_what_is_in_it(tmp_path):
    text, watched = run(cost.Throughput, tmp_path, ROWS)
    assert "| fast | SimCLR |" in text
    assert watched == [str(tmp_path / "data" / "throughput.json")]
    text, watched = run(cost.Cost, tmp_path, ROWS, ["SimCLR"], **OPTIONS)
    assert text.startswith("Measured: 2,000 images per second") and "| 36,000 |" in text
    assert watched == [str(tmp_path / "data" / "throughput.json")]


@pytest.mark.parametrize("rows", [None, []])
def test_before_anything_is_measured(tmp_path, rows):
    for kind in (cost.Throughput, cost.Cost):
        assert run(kind, tmp_path, rows, ["SimCLR"])[0] == cost.NOTHING


def test_the_page_names_what_was_measured():
    rows = json.loads((ROOT / cost.FILE).read_text("utf-8"))
    assert all(row.keys() == ROW.keys() for row in rows)
    ((method, text),) = re.findall(r"```\{cost\} (.+)\n((?::.+\n)+)", PAGE)
    options = dict(re.findall(r":([\w-]+): (.+)", text))
    assert len(cells(cost.table(cost.fastest(rows, method), cost.parse(options)))) > 3


def test_the_book_knows_the_directives():
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["sphinx"]
    assert config["local_extensions"]["cost"] == "_ext"
    assert "cost" in config["config"]["extensions"]
