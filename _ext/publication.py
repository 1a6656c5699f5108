"""What search engines, social networks and lost readers find.

Every page tells what it is about, in the words of its introduction. When the public
address of the repository is known (`launch.address`), so is that of the book, for the
pages of a repository have one place: then every page names its own, with a card
for social networks, and a sitemap lists them all.
"""

from typing import Any
from urllib.parse import urlsplit

import launch
from sphinx.application import Sphinx
from sphinx.config import Config

NOT_FOUND = """
<h1>There is no such page</h1>
<p>It may have another name now. The contents beside this page list all there are (on a
phone: the button at the top left), and the search finds words in them.</p>
"""
# Hosts of repositories, and the host of the pages of an owner's repositories.
PAGES = {"github.com": "github.io", "gitlab.com": "gitlab.io"}


def book_address(repository: str | None) -> str | None:
    """Public address of the book of a repository.

    Args:
        repository: Address such as `https://github.com/owner/name`, or `None`.

    Returns:
        Address such as `https://owner.github.io/name/`; `None` if the host is none that
        publishes pages, or there is no repository.
    """
    if repository is None:
        return None
    parts = urlsplit(repository)
    owner, _, name = parts.path.strip("/").partition("/")
    if parts.hostname not in PAGES or not name:
        return None
    host = f"{owner}.{PAGES[parts.hostname]}".lower()
    # An owner's main page has the name of its host, and stands at the top.
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def configure(app: Sphinx, config: Config) -> None:
    config.notfound_context = {"title": "No such page", "body": NOT_FOUND}
    address = book_address(launch.address())
    if address is None:
        # A page without an address would look for its missing parts at the top.
        config.notfound_urls_prefix = "/"
        config.ogp_social_cards = {"enable": False}
        return
    config.html_baseurl = config.ogp_site_url = address
    config.sitemap_url_scheme = "{link}"
    # Nobody looks for these.
    config.sitemap_excludes = ["404.html", "search.html"]
    config.notfound_urls_prefix = urlsplit(address).path
    config.ogp_site_name = config.html_title or config.project
    # The drawing of the cards reads no SVG, so there is a copy of the logo for it.
    config.ogp_social_cards = {
        "image": "_static/logo.png",
        "image_mini": "_static/logo.png",
        "line_color": "#d55e00",
        "site_url": address.removeprefix("https://").rstrip("/"),
    }
    # Without an address it could only complain.
    app.setup_extension("sphinx_sitemap")


def setup(app: Sphinx) -> dict[str, Any]:
    app.setup_extension("sphinxext.opengraph")
    app.setup_extension("notfound.extension")
    app.connect("config-inited", configure, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
