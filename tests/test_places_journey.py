"""Watchlist, taste and watching together in a real browser: with and without JavaScript, phone and desk."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.test_journey import PHONE, card, listed, rate, visit  # noqa: F401 - the fixture

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser

STARS = "five stars"


def save(page: Any, title: str) -> None:
    """By the menu of a card."""
    card(page, title).get_by_label(f"More for {title}").click()
    card(page, title).get_by_role("button", name="Add to watchlist").click()
    expect(card(page, title).locator(".card-ribbon")).to_contain_text("On your watchlist")


def has_no_sideways_scroll(page: Any) -> bool:
    wide, window = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    return bool(wide <= window)


def test_a_watchlist_by_fit_and_off_it_again(visit):  # noqa: F811
    with visit() as (page, _watch):
        page.goto("/browse/?in=Western&sort=title")
        rate(page, "Western 1", STARS)
        rate(page, "Western 10", STARS)
        save(page, "Western 12")
        page.goto("/browse/?in=Horror&sort=title")
        save(page, "Horror 1")
        save(page, "Horror 10")

        page.get_by_role("link", name="My history").click()
        page.get_by_role("link", name="Watchlist", exact=True).first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Watchlist")
        assert listed(page)[0] == "Western 12" and len(listed(page)) == 3
        page.get_by_role("link", name="Newest").click()
        expect(page.get_by_role("link", name="Newest")).to_have_attribute("aria-current", "page")
        assert listed(page) == ["Western 12", "Horror 10", "Horror 1"]

        card(page, "Horror 1").get_by_label("More for Horror 1").click()
        card(page, "Horror 1").get_by_role("button", name="Take off the watchlist").click()
        expect(card(page, "Horror 1").locator(".ribbon")).to_have_count(0)
        page.reload()
        assert listed(page) == ["Western 12", "Horror 10"]


def test_taste_leads_to_its_films_without_javascript_on_a_phone(visit):  # noqa: F811
    with visit() as (page, _watch):
        page.goto("/browse/?in=Western&sort=title")
        rate(page, "Western 1", STARS)
        rate(page, "Western 11", "one star")
        storage = page.context.storage_state()
    with visit(PHONE, java_script_enabled=False, storage_state=storage) as (page, _watch):
        page.goto("/taste/")
        expect(page.locator(".lede")).to_contain_text("2 films rated, 3.0★ on average.")
        expect(page.locator("img.taste-card")).to_be_visible()
        page.get_by_role("link", name=re.compile("^1 films with five stars")).click()
        expect(page.locator(".history-row")).to_have_count(1)
        expect(page.locator(".history-row")).to_contain_text("Western 1")
        page.get_by_role("link", name=re.compile("Remove the filter")).click()
        expect(page.locator(".history-row")).to_have_count(2)


@pytest.mark.parametrize("java_script", [True, False])
def test_two_guests_find_one_list_by_a_link(visit, java_script):  # noqa: F811
    with visit() as (ann, _watch), visit(PHONE) as (ben, _watch_ben):
        for page, genre in ((ann, "Western"), (ben, "Comedy")):
            page.goto(f"/browse/?in={genre}&sort=title")
            rate(page, f"{genre} 1", STARS)
            rate(page, f"{genre} 10", STARS)
        bens = ben.context.storage_state()

        ann.goto("/together/")
        ann.get_by_label("Your name, as the others see it").press_sequentially("Ann")
        ann.keyboard.press("Tab")
        ann.keyboard.press("Enter")
        ann.wait_for_url(re.compile(r"/together/.+/"))
        link = ann.get_by_label("The link to send").input_value()

        with visit(PHONE, java_script_enabled=java_script, storage_state=bens) as (page, _watch_page):
            page.goto(link)
            expect(page.locator("main")).to_contain_text("They see no stars, no dates")
            expect(page.locator(".history-row")).to_have_count(0)
            page.get_by_label("Your name, as the others see it").fill("Ben")
            page.get_by_role("button", name="Join").click()
            rows = page.locator(".history-row")
            expect(rows).to_have_count(12)
            expect(rows.first).to_contain_text(re.compile(r"Ann: because of Western 1(0)?\s"))
            expect(rows.first).to_contain_text(re.compile(r"Ben: because of Comedy 1(0)?\s"))
            if java_script:
                assert has_no_sideways_scroll(page)

            ann.goto(link)
            same = [ann.locator(".history-row .card-title").nth(n).inner_text() for n in range(12)]
            assert same == [rows.locator(".card-title").nth(n).inner_text() for n in range(12)]

            page.get_by_role("button", name="Leave this group").click()
            expect(page.locator(".messages")).to_contain_text("You have left the group")
        ann.reload()
        expect(ann.locator("main")).not_to_contain_text("Ben")
