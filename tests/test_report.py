"""The report is one page that asks for nothing, whatever the pictures are called."""

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from sslkit import images, pretrain, report

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects what is in them."""

    def __init__(self, path):
        super().__init__()
        self.open, self.ids, self.pictures, self.text = [], [], [], ""
        self.addresses, self.tables, self.elements = [], [], []
        self.feed(path.read_text("utf-8"))
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append(tag)
        if tag == "img":
            self.pictures.append(attributes)
        for name in ("src", "href", "data", "action", "srcset"):
            if name in attributes:
                self.addresses.append(attributes[name])
        if tag == "tr":
            self.tables.append([])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1].append(data)


def make_run(place, pictures, features=None, method="simclr", losses=("loss",)):
    """The folder of a finished run, without having trained one."""
    run = place / "run"
    settings = pretrain.Settings(method, str(pictures), side=16, channels=1)
    source = settings.open(run / "scratch")
    pretrain._write(
        run / "run.json",
        {
            "settings": settings.__dict__,
            "shape": list(source.shape),
            "pictures": source.fingerprint(),
        },
    )
    rows = [{"epoch": 0, "step": 0, "std": 0.1, "rank": 3.0}]
    for epoch in (1, 2):
        more = {name: 1.5 / epoch for name in losses}
        rows.append({"epoch": epoch, "step": 9 * epoch, **more, "std": 0.2, "rank": 4})
    pretrain._write(run / "history.json", rows)
    if features is None:
        features = np.random.default_rng(0).normal(size=(source.count, 8))
    np.savez(
        run / "features.npz",
        h=features.astype("float32"),
        names=np.array(source.names),
        labels=np.array([""] * source.count),
        skipped=np.array([], str),
        pictures=source.fingerprint(),
    )
    return run


def draw(folder, count, name="{}.png", shape=(16, 16)):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels).save(folder / name.format(i))
    return folder


FEW = [{"mean": mean, "sd": sd, "n": 10} for mean, sd in ((0.5, 0.1), (0.25, 0))]
PROBE = {
    "trained": {"knn": 0.875, "linear": 0.9, "shot1": FEW[0]},
    "pixels": {"knn": 0.5, "linear": 0.25, "shot1": FEW[1]},
}


@pytest.fixture(autouse=True)
def small_figures(monkeypatch, request):
    """Figures of few pixels, and no curves where they are not what is looked at."""
    if "run" not in request.fixturenames:
        monkeypatch.setattr(report.plot, "DPI", 40)
        monkeypatch.setattr(report, "_curves", lambda rows, chance: [])


def check(page):
    """What must hold of every page."""
    assert all(each.startswith("data:image/png") for each in page.addresses)
    assert all(len(picture["alt"]) > 20 for picture in page.pictures)
    for picture in page.pictures:
        png = base64.b64decode(picture["src"].partition(",")[2])
        image = Image.open(io.BytesIO(png))
        image.load()
        assert 96 * image.width == pytest.approx(
            report.plot.DPI * int(picture["width"]), rel=0.02
        )
    assert not {"script", "iframe", "object", "embed", "link"} & set(page.elements)
    assert page.elements.count("h1") == 1
    return page


def page_of(run):
    path = report.write(run)
    assert path == run / "report.html"
    # Base64 may hold any word.
    rest = re.sub(r"data:image/png;base64,[^\"]+", "", path.read_text("utf-8"))
    assert "http" not in rest and "url(" not in rest and "@import" not in rest
    return check(Page(path))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("report")
    return make_run(place, draw(place / "pictures", 12))


def test_the_loss_is_drawn_beside_that_of_a_collapse(run, monkeypatch):
    drawn, curves = [], report.plot.curves
    monkeypatch.setattr(
        report.plot, "curves", lambda *a, **k: (drawn.append(k), curves(*a, **k))[1]
    )
    rows = [{"epoch": e, "step": e, "std": 0.1, "rank": 2.0} for e in (0, 1)]
    rows[1] |= {"loss": 2.0, "accuracy": 0.5}
    list(report._curves(rows, 5.5))
    list(report._curves(rows, None))
    given = [each.get("levels") or {} for each in drawn]
    assert given == [{"if all features were equal": 5.5}] + 7 * [{}]


def test_the_page_has_curves_neighbours_map_and_settings(run):
    page = page_of(run)
    for heading in ("Training", "Nearest neighbours", "Map", "Settings"):
        assert heading in page.text
    assert "Probes" not in page.text and "Unreadable" not in page.text
    # Loss, spread, rank, neighbours, map.
    alts = [picture["alt"] for picture in page.pictures]
    assert len(alts) == 5
    assert alts[0] == "Line: loss over epochs, from 1.5 to 0.75."
    assert alts[2] == "Line: effective rank of features over epochs, from 3 to 4."
    assert "simclr on 12 pictures" in page.text
    rows = {row[0]: row[1] for row in page.tables}
    assert rows["method"] == "simclr" and rows["shape"] == "[16, 16]"
    assert rows["pictures"].startswith("12 files, ")


def test_every_loss_has_a_curve(run, tmp_path):
    losses = ("generator_loss", "discriminator_loss", "accuracy")
    copy = make_run(tmp_path, run.parent / "pictures", method="gan", losses=losses)
    alts = [picture["alt"] for picture in page_of(copy).pictures]
    for name in losses:
        assert any(alt.startswith(f"Line: {name} over") for alt in alts)


def test_probes_are_in_a_table_when_there_are_any(run):
    pretrain._write(run / "probe.json", PROBE)
    page = page_of(run)
    (run / "probe.json").unlink()
    assert page.tables[0][1:] == ["nearest neighbours", "linear, all labels"] + [
        "linear, 1 a class"
    ]
    assert page.tables[1] == ["trained", "87.5", "90.0", "50.0 ± 10.0"]
    assert page.tables[2] == ["pixels", "50.0", "25.0", "25.0 ± 0.0"]


def test_neighbours_are_those_by_the_angle(run, monkeypatch):
    shown = {}

    def record(rows):
        shown.update(rows)
        return whole(rows)

    whole = report.plot.image_rows
    monkeypatch.setattr(report.plot, "image_rows", record)
    report.write(run)
    with np.load(run / "features.npz") as file:
        h = file["h"]
    source = images.open_images(run.parent / "pictures", 16, 1)
    queries = [0, 1, 3, 4, 6, 7, 9, 11]
    cosine = h @ h.T / np.outer(*[np.linalg.norm(h, axis=1)] * 2)
    assert len(shown) == 8
    for query, row in zip(queries, shown.values(), strict=True):
        near = [i for i in np.argsort(-cosine[query]) if i != query][:7]
        expected = np.stack([source.read(i) for i in [query, *near]]) / 255
        np.testing.assert_allclose(row, expected, atol=1e-6)


def test_the_map_keeps_neighbours_together(tmp_path, monkeypatch):
    """Three groups of directions of any length are three groups of places."""
    rng, places = np.random.default_rng(0), []
    group = np.arange(30) % 3
    h = np.eye(3)[group] + 0.02 * rng.normal(size=(30, 3))
    h *= rng.uniform(0.1, 10, (30, 1))
    run = make_run(tmp_path, draw(tmp_path / "pictures", 30), h)
    whole = report.plot.picture_map
    monkeypatch.setattr(
        report.plot, "picture_map", lambda p, x: (places.append((p, x)), whole(p, x))[1]
    )
    report.write(run)
    ((found, pictures),) = places
    near = NearestNeighbors(n_neighbors=2).fit(found).kneighbors(found)[1][:, 1]
    assert (group[near] == group).all()
    source = images.open_images(tmp_path / "pictures", 16, 1)
    np.testing.assert_allclose(pictures[4], source.read(4) / 255, atol=1e-6)


def test_the_map_has_small_copies_of_large_pictures(tmp_path, monkeypatch):
    place = draw(tmp_path / "pictures", 12, shape=(224, 224, 3))
    source = images.open_images(place)
    sizes, whole = [], report.plot.picture_map

    def record(places, pictures):
        sizes.append(pictures[0].size)
        return whole(places, pictures)

    monkeypatch.setattr(report.plot, "picture_map", record)
    h = np.random.default_rng(0).normal(size=(12, 4))
    list(report._map(h, report.Pictures(source, np.array(source.names))))
    assert sizes and max(sizes) <= 4096


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11])
def test_few_pictures_have_a_page_as_well(tmp_path, count):
    page = page_of(make_run(tmp_path, draw(tmp_path / "pictures", count)))
    assert ("only one picture" in page.text) == (count == 1)
    assert ("too few pictures for a map" in page.text) == (count < 10)


@pytest.mark.parametrize(
    "h",
    [
        np.ones((12, 8)),
        np.zeros((12, 8)),
        np.arange(1, 13)[:, None],
        np.outer(np.arange(-6, 6), np.ones(8)),
        np.outer(np.arange(12), [1, 0]),
        np.repeat(np.eye(2), 6, axis=0),
    ],
)
def test_collapsed_features_have_a_page_as_well(tmp_path, h):
    page = page_of(make_run(tmp_path, draw(tmp_path / "pictures", 12), h))
    lengths = np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-9)
    nothing = not np.ptp(h / lengths, axis=0).any()
    assert ("nothing to map" in page.text) == nothing


def test_names_do_not_become_markup(tmp_path):
    evil = '<b> & "quotes" \' <script>alert(1)<'
    place = tmp_path / 'a & "b" <i>'
    run = make_run(place, draw(place / "pictures", 12, evil + "{}.png"))
    run = run.rename(place / 'run <&> "x"')
    with np.load(run / "features.npz") as file:
        stored = dict(file)
    stored["skipped"] = np.array([evil, "plain.png"])
    np.savez(run / "features.npz", **stored)
    pretrain._write(run / "probe.json", {"<u>": {"knn": 0.5, "linear": 0.5}})
    page = page_of(run)
    assert 'simclr, run <&> "x"' in page.text
    assert "2 were skipped" in page.text and evil in page.text
    assert str(place / "pictures") in page.text
    assert page.tables[1][0] == "<u>"
    assert not {"b", "i", "u", "script"} & set(page.elements)


def test_names_that_are_no_text_have_question_marks(tmp_path):
    place = tmp_path / "pictures"
    draw(place, 2)
    (place / "0.png").rename(place / "M\udcfcller.png")
    run = make_run(tmp_path, place)
    with np.load(run / "features.npz") as file:
        stored = dict(file)
    stored["skipped"] = np.array(["M\udcfcller.png"])
    np.savez(run / "features.npz", **stored)
    assert "M?ller.png" in page_of(run).text


def test_a_long_list_of_unreadable_pictures_is_cut(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    with np.load(copy / "features.npz") as file:
        stored = dict(file)
    stored["skipped"] = np.array([f"{i}.png" for i in range(1000)])
    np.savez(copy / "features.npz", **stored)
    page = page_of(copy)
    assert "1000 were skipped" in page.text and page.elements.count("li") == 50


def test_features_of_other_pictures_are_refused(run, tmp_path):
    place = shutil.copytree(run.parent, tmp_path / "copy")
    stored = json.loads((place / "run" / "run.json").read_text())
    stored["settings"]["data"] = str(place / "pictures")
    (place / "run" / "run.json").write_text(json.dumps(stored))
    page_of(place / "run")
    (place / "pictures" / "3.png").unlink()
    with pytest.raises(
        ValueError, match="is of other pictures .* changed since: embed"
    ):
        report.write(place / "run")


def test_a_run_without_features_is_refused(run, tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        report.write(tmp_path)
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "features.npz").unlink()
    with pytest.raises(ValueError, match="no features.npz yet: embed its pictures"):
        report.write(copy)
