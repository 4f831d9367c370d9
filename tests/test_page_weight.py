"""The home page stays light: elements and bytes, for a newcomer and for somebody with a history."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from benchmarks._command import CouldNotMeasure
from benchmarks.page_weight import MOST_BYTES, MOST_ELEMENTS, weigh

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("who", ["guest", "member"])
def test_the_home_page_is_light(browser: Any, site: str, populated: dict[str, Any], who: str) -> None:
    weight = weigh(browser, site, "/", populated, who)
    assert weight.elements <= MOST_ELEMENTS
    assert weight.opened <= weight.scrolled <= MOST_BYTES
    assert weight.lcp > 0  # how soon is measured by the benchmark, on a quiet machine


def test_a_page_that_paints_nothing_is_no_measurement(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><html lang=en><title>Nothing</title></html>")
    (tmp_path / "favicon.ico").touch()
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)
    ) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            with pytest.raises(CouldNotMeasure, match="/ has no largest contentful paint for a guest"):
                weigh(browser, f"http://127.0.0.1:{server.server_port}", "/", {"cookies": {}}, "guest")
        finally:
            server.shutdown()
