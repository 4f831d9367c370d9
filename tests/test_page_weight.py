"""The home page stays light: elements and bytes, for a newcomer and for somebody with a history."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.page_weight import MOST_BYTES, MOST_ELEMENTS, weigh

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("who", ["guest", "member"])
def test_the_home_page_is_light(browser: Any, site: str, populated: dict[str, Any], who: str) -> None:
    weight = weigh(browser, site, "/", populated, who)
    assert weight.elements <= MOST_ELEMENTS
    assert weight.opened <= weight.scrolled <= MOST_BYTES
    assert weight.lcp > 0  # how soon is measured by the benchmark, on a quiet machine
