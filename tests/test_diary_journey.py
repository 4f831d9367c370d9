"""The diary, the watchlist button of a film, Undo after a deletion, and Tonight in a real browser."""

from __future__ import annotations

import re

import pytest

from tests.test_journey import PHONE, rate, visit  # noqa: F401 - the fixture

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser


def open_film(page, title):
    page.goto(f"/search/?q={title.replace(' ', '+')}")
    page.get_by_role("link", name=title, exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)


def test_the_watchlist_button_answers_in_place_and_is_taken_back(visit):  # noqa: F811
    with visit(PHONE) as (page, _watch):
        open_film(page, "Western 3")
        address = page.url
        page.get_by_role("button", name="Add to watchlist").click()
        undo = page.get_by_role("button", name="Undo the change of the watchlist for Western 3")
        expect(undo).to_be_focused()
        expect(page.locator("#announcer")).to_have_text("Western 3 is on your watchlist.")
        assert page.url == address and page.locator(".film-yours").count() == 1
        undo.press("Enter")
        expect(page.locator(".film-actions")).to_contain_text("Taken off the watchlist")
        page.reload()
        expect(page.get_by_role("button", name="Add to watchlist")).to_be_visible()


def test_one_undo_stands_at_a_time(visit):  # noqa: F811
    """Else the Undo of the stars would take the change of the watchlist back."""
    with visit() as (page, _watch):
        open_film(page, "Western 5")
        stars = page.locator(".rating-large")
        stars.get_by_label("five stars").check(force=True)
        expect(stars.get_by_role("button", name="Undo the rating")).to_be_visible()
        page.get_by_role("button", name="Add to watchlist").click()
        expect(page.locator(".on-watchlist")).to_be_visible()
        expect(page.get_by_role("button", name="Undo the rating")).to_have_count(0)
        expect(stars.locator(":checked")).to_have_value("5")


def test_a_film_is_written_in_the_diary_by_keyboard_and_found_in_the_history(visit):  # noqa: F811
    with visit() as (page, _watch):
        open_film(page, "Western 7")
        page.get_by_text("Seen it? Write it in your diary").press("Enter")
        page.get_by_label("Watched on").fill("2024-05-03")
        page.get_by_role("button", name="Add to the diary").press("Enter")
        expect(page.locator("#announcer")).to_have_text("Western 7 is in your diary.")
        expect(page.locator(".diary-days li")).to_have_count(1)
        page.get_by_role("button", name=re.compile("Remove Western 7")).press("Enter")
        expect(page.locator(".diary-removed")).to_contain_text("May 3, 2024")
        page.locator(".diary-removed").get_by_role("button", name="Undo").press("Enter")
        expect(page.locator(".diary-days li")).to_have_count(1)
        page.goto("/history/?show=watched")
        expect(page.locator(".history-row")).to_contain_text("watched May 3, 2024")


@pytest.mark.parametrize("java_script", [True, False])
def test_a_deleted_film_comes_back(visit, java_script):  # noqa: F811
    with visit() as (page, _watch):
        page.goto("/browse/?in=Western&sort=title")
        rate(page, "Western 1", "five stars")
        storage = page.context.storage_state()
    with visit(java_script_enabled=java_script, storage_state=storage) as (page, _watch):
        page.goto("/history/")
        page.get_by_role("button", name="Delete Western 1 from your history").click()
        expect(page.locator("main")).to_contain_text("Western 1 is deleted from your history.")
        page.get_by_role("button", name="Undo").click()
        expect(page.locator(".history-row")).to_contain_text("Western 1")
        if java_script:
            expect(page.locator("#announcer")).to_have_text("Western 1 is in your history again.")
        page.goto("/history/")
        expect(page.locator(".history-row :checked")).to_have_value("5")


def test_tonight_by_links_alone(visit):  # noqa: F811
    """The films of this site have no running times: the page says so, in the language of the visitor."""
    with visit(PHONE, java_script_enabled=False) as (page, _watch):
        page.goto("/recommend/")
        page.get_by_role("link", name=re.compile("^Tonight")).click()
        page.get_by_role("link", name="90 minutes").click()
        assert page.url.endswith("/tonight/?minutes=90")
        expect(page.locator("main")).to_contain_text("No film here has a known running time yet")
        page.get_by_label("Other length, in minutes").fill("75")
        page.get_by_role("button", name="Show films").click()
        assert page.url.endswith("/tonight/?minutes=75")


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_a_list_and_a_programme_print_on_one_page_each(visit, paper):  # noqa: F811
    with visit() as (page, _watch):
        page.goto("/browse/?in=Western&sort=title")
        rate(page, "Western 1", "five stars")
        open_film(page, "Western 3")
        page.get_by_role("link", name="Add to a programme").click()
        page.get_by_label("Title").fill("Nights")
        page.get_by_role("button", name="Make the programme").click()
        programme = page.url
        for address in ("/recommend/", programme):
            page.goto(address)
            printed = page.pdf(format=paper, prefer_css_page_size=False)
            assert len(re.findall(rb"/Type\s*/Page[^s]", printed)) == 1, address
