"""What search engines and social networks are told, and where lost readers arrive."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "_ext"))
import publication  # noqa: E402


@pytest.mark.parametrize(
    ("repository", "book"),
    [
        ("https://github.com/Owner/features", "https://owner.github.io/features/"),
        ("https://gitlab.com/owner/features", "https://owner.gitlab.io/features/"),
        ("https://github.com/owner/owner.github.io", "https://owner.github.io/"),
        ("https://git.example.org/owner/features", None),
        ("https://github.com/owner", None),
        ("file:///srv/features.git", None),
        (None, None),
    ],
)
def test_address_of_the_book(repository, book):
    assert publication.book_address(repository) == book


def configured(monkeypatch, repository):
    monkeypatch.setattr(publication.launch, "address", lambda: repository)
    loaded, config = [], SimpleNamespace(html_title="Course", project="")
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


def test_without_an_address_no_page_claims_one(monkeypatch):
    config, loaded = configured(monkeypatch, None)
    assert not hasattr(config, "html_baseurl") and not hasattr(config, "ogp_site_url")
    assert config.ogp_social_cards == {"enable": False}
    assert config.notfound_urls_prefix == "/"
    assert loaded == []
