"""The dial from well-known to unexpected films in a browser: it moves the list, is remembered, and its cards
answer like all others. With a script and without; by the mouse and by the keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.test_journey import PHONE, card, listed, visit  # noqa: F401 - the fixture

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_the_dial_moves_the_list_and_is_remembered(visit: Callable[..., Any], script: bool) -> None:  # noqa: F811
    with visit(PHONE, java_script_enabled=script) as (page, _watch):
        page.goto("/browse/?in=Western&sort=title")
        for title in ("Western 1", "Western 10"):
            form = card(page, title).locator("form.rating")
            form.get_by_role("radio", name="five stars", exact=True).check(force=True)
            if script:
                expect(form.locator(".saved")).to_be_visible()
            else:
                form.get_by_role("button", name="Rate", exact=True).click()
        page.goto("/recommend/")
        page.locator(".who-answers > summary").click()
        page.get_by_role("button", name="For you", exact=True).click()
        balanced = listed(page)
        step = page.get_by_role("button", name="Unexpected films", exact=True)
        step.focus()
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(r"\?familiarity=-1$"))
        expect(step).to_have_attribute("aria-pressed", "true")
        moved = listed(page)
        assert moved != balanced
        page.goto("/recommend/")
        expect(step).to_have_attribute("aria-pressed", "true")
        assert listed(page) == moved

        # What the dial found can be hidden like any other film, and says why by the same reason.
        first = moved[0]
        reason = card(page, first).locator(".reason").inner_text()
        assert reason.startswith("Because you rated Western 1")
        page.goto("/")
        expect(page.get_by_role("button", name="Unexpected films", exact=True)).to_have_attribute(
            "aria-pressed", "true"
        )
        page.goto("/recommend/")
        card(page, first).get_by_label(f"More for {first}").click()
        card(page, first).get_by_role("button", name="Not interested").click()
        expect(page.get_by_text(f"{first} will not be shown again").first).to_be_attached()
        page.goto("/recommend/?familiarity=0")
        assert first not in listed(page)
