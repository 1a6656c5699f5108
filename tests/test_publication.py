"""What search engines and social networks are told, and where lost readers arrive."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "_ext"))

application = pytest.importorskip("sphinx.application")
docutils = pytest.importorskip("sphinx.util.docutils")

import publication  # noqa: E402


@pytest.mark.parametrize(
    ("repository", "book"),
    [
        ("https://github.com/Owner/features", "https://owner.github.io/features/"),
        ("https://gitlab.com/owner/features", "https://owner.gitlab.io/features/"),
        ("https://gitlab.com/group/sub/name", "https://group.gitlab.io/sub/name/"),
        ("https://github.com/owner/owner.github.io", "https://owner.github.io/"),
        ("https://GitHub.com/Owner/Owner.github.io/", "https://owner.github.io/"),
        ("https://git.example.org/owner/features", None),
        ("https://github.com/owner", None),
        ("file:///srv/features.git", None),
        (None, None),
    ],
)
def test_address_of_the_book(repository, book):
    assert publication.book_address(repository) == book


def configured(monkeypatch, repository, title="Course"):
    monkeypatch.setattr(publication.launch, "address", lambda: repository)
    loaded, config = [], SimpleNamespace(html_title=title, project="Name")
    publication.configure(SimpleNamespace(setup_extension=loaded.append), config)
    return config, loaded


def test_with_an_address_pages_name_theirs(monkeypatch):
    config, loaded = configured(monkeypatch, "https://github.com/owner/features")
    address = "https://owner.github.io/features/"
    assert config.html_baseurl == config.ogp_site_url == address
    assert config.notfound_urls_prefix == "/features/"
    assert config.ogp_site_name == "Course"
    cards = config.ogp_social_cards
    assert cards["site_url"] == "owner.github.io/features"
    for name in ("image", "image_mini"):
        assert (ROOT / cards[name]).read_bytes().startswith(b"\x89PNG")
    assert loaded == ["sphinx_sitemap"]


def test_a_book_without_a_title_has_a_name(monkeypatch):
    config, _ = configured(monkeypatch, "https://github.com/owner/features", "")
    assert config.ogp_site_name == "Name"


def test_without_an_address_no_page_claims_one(monkeypatch):
    config, loaded = configured(monkeypatch, None)
    assert not hasattr(config, "html_baseurl") and not hasattr(config, "ogp_site_url")
    assert config.ogp_social_cards == {"enable": False}
    assert config.notfound_urls_prefix == "/"
    assert loaded == []


class Head(HTMLParser):
    """What the head of a page says, by the names under which it says it."""

    def __init__(self, page):
        super().__init__()
        self.said, self.files = {}, []
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag, pairs):
        pairs = dict(pairs)
        name = pairs.get("property") or pairs.get("name") or pairs.get("rel")
        self.said[name] = pairs.get("content") or pairs.get("href")
        if tag == "link" and name == "stylesheet":
            self.files.append(pairs["href"])


def built(folder, monkeypatch, repository):
    """A book of two pages, as Sphinx makes it."""
    monkeypatch.setenv("SSLKIT_REPOSITORY", repository)
    source, site = folder / "source", folder / "site"
    (source / "part").mkdir(parents=True)
    (source / "_static").mkdir()
    logo = ROOT / "_static" / "logo.png"
    (source / "_static" / "logo.png").write_bytes(logo.read_bytes())
    (source / "index.md").write_text("# Home\n\n```{toctree}\npart/page\n```\n")
    (source / "part" / "page.md").write_text("# Page\n\nWhat it is about.\n")
    settings = {
        "extensions": ["myst_parser", "publication"],
        "html_theme": "basic",
        "html_static_path": ["_static"],
    }
    with docutils.patch_docutils(), docutils.docutils_namespace():
        application.Sphinx(
            *(source, None, site, folder / "trees", "html", settings),
            status=None,
            warning=None,
        ).build()
    return site


def test_a_book_with_an_address(tmp_path, monkeypatch):
    site = built(tmp_path, monkeypatch, "https://github.com/owner/features")
    address = "https://owner.github.io/features/"
    said = Head(site / "part" / "page.html").said
    assert said["description"] == said["og:description"] == "What it is about."
    assert said["canonical"] == said["og:url"] == f"{address}part/page.html"
    card = site / said["og:image"].removeprefix(address)
    assert card.read_bytes().startswith(b"\x89PNG")
    places = [place.text for place in ElementTree.parse(site / "sitemap.xml").iter()]
    assert sorted(filter(None, places)) == [
        f"{address}{page}.html" for page in ("genindex", "index", "part/page")
    ]
    lost = site / "404.html"
    assert "<h1>There is no such page</h1>" in lost.read_text("utf-8")
    files = Head(lost).files
    assert files and all(file.startswith("/features/_static/") for file in files)


def test_a_book_without_an_address(tmp_path, monkeypatch):
    site = built(tmp_path, monkeypatch, "")
    said = Head(site / "part" / "page.html").said
    assert said["description"] == "What it is about."
    assert "canonical" not in said and "og:image" not in said
    assert not (site / "sitemap.xml").exists()
    lost = site / "404.html"
    assert "<h1>There is no such page</h1>" in lost.read_text("utf-8")
    assert all(file.startswith("/_static/") for file in Head(lost).files)
