"""Shared code of benchmarks and tests in a browser: Chromium, and the pages that each visitor opens."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WHO = ("guest", "member", "staff")
# Pages that show somebody's own things: a member opens them too.
OWN = ("/", "/browse/", "/recommend/", "/history/", "/watchlist/", "/taste/", "/together/", "/programmes/")


def pages_by_visitor(browser: Any, site: str, populated: dict[str, Any]) -> dict[str, list[str]]:
    """Return the addresses of each visitor: those that answer them, and nobody before, with a page; and OWN.

    `populated` has the addresses of the site and the session cookies; see `tests.populated_site`.
    """
    found: dict[str, list[str]] = {}
    waiting = list(populated["addresses"])
    for who in WHO:
        context = browser.new_context(base_url=site)
        sign_in(context, site, populated, who)
        pages = [address for address in waiting if _is_page(context.request, address)]
        context.close()
        waiting = [address for address in waiting if address not in pages]
        found[who] = pages if who == "guest" else list(dict.fromkeys([*OWN, *pages]))
    return found


def sign_in(context: Any, site: str, populated: dict[str, Any], who: str) -> None:
    """Give a browser context the session of a member or of staff."""
    if who in populated["cookies"]:
        context.add_cookies([{"name": "sessionid", "value": populated["cookies"][who], "url": site}])


def _is_page(request: Any, address: str) -> bool:
    """Return whether an address answers with a whole page, not with a redirect, a file or a part for htmx."""
    answer = request.get(address, max_redirects=0)
    is_html = answer.status == 200 and answer.headers["content-type"].startswith("text/html")
    return is_html and "<html" in answer.text()


def only(addresses: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """Return the chosen ones of some addresses; all where none are chosen."""
    return [address for address in addresses if not chosen or address in chosen]
