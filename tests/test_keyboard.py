"""A first visit by the keyboard alone: nothing is clicked, and the focus is never lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.test_journey import visit  # noqa: F401 - the fixture

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser

MOST_TABS = 60
FOCUSED = "(selector) => document.activeElement.matches(selector)"


def tab_to(page: Any, selector: str) -> None:
    """Press Tab until the focus is on an element of the selector, which is then seen."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED, selector):
            expect(page.locator("*:focus")).to_be_in_viewport()
            return
    raise AssertionError(f"{MOST_TABS} tabs do not lead to {selector}")


def test_a_first_visit_by_the_keyboard_alone(visit: Callable[..., Any]) -> None:  # noqa: F811
    with visit() as (page, watch):
        page.goto("/")
        tab_to(page, ".skip-link")
        page.keyboard.press("Enter")
        assert page.evaluate(FOCUSED, "main")

        # Two films, each by the arrow keys.
        for n_rated in (1, 2):
            tab_to(page, "article.card .stars input")
            page.keyboard.press("ArrowLeft")  # from the first star around to the fifth
            expect(page.locator("*:focus")).to_have_accessible_name("five stars")
            expect(page.locator(".rating-note .saved")).to_have_count(n_rated)
        expect(page.get_by_role("heading", name="Your programme is ready")).to_be_visible()

        # The reason of a film of the new row, and back to where it was asked for.
        page.goto("/recommend/")
        tab_to(page, ".why-link")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        expect(page.get_by_role("dialog").locator(".why-headline")).to_contain_text("Because you rated")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        assert page.evaluate(FOCUSED, ".why-link")

        # The menu of a card, the watchlist, and Undo where the focus is put.
        tab_to(page, ".card-menu > summary")
        page.keyboard.press("Enter")
        tab_to(page, ".menu-panel button[formaction*=watchlist]")
        page.keyboard.press("Enter")
        expect(page.locator(".card-ribbon")).to_contain_text("On your watchlist")
        expect(page.locator(".card-ribbon button")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator(".card-ribbon")).to_have_count(0)
        assert page.evaluate("document.activeElement.closest('article.card') !== null")
        assert watch.sent(r"^POST /movies/\d+/watchlist/") == 1
        assert watch.sent(r"^POST /movies/\d+/undo/") == 1
