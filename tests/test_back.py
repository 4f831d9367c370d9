"""Back shows what was done since: on a page that was frozen, on one fetched anew, and without a script."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import CHROMIUM_FLAGS

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", params=["frozen", "fetched"])
def chromium(chromium_path: str, request: pytest.FixtureRequest) -> Iterator[tuple[Any, bool]]:
    """Chromium with and without its back/forward cache, which Playwright turns off."""
    frozen = request.param == "frozen"
    with playwright.sync_playwright() as driver:
        flags = [*CHROMIUM_FLAGS, *(["--enable-features=BackForwardCache"] if frozen else [])]
        leave_out = ["--disable-back-forward-cache"] if frozen else []
        opened = driver.chromium.launch(
            executable_path=chromium_path, args=flags, ignore_default_args=leave_out
        )
        yield opened, frozen
        opened.close()


@pytest.fixture(params=[True, False], ids=["script", "no script"])
def script(chromium: tuple[Any, bool], request: pytest.FixtureRequest) -> bool:
    if chromium[1] and not request.param:
        pytest.skip("only a script notices that the page was frozen")
    return request.param


@pytest.fixture
def page(chromium: tuple[Any, bool], site: str, script: bool) -> Iterator[Any]:
    context = chromium[0].new_context(base_url=site, locale="en", java_script_enabled=script)
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


def back(page: Any) -> None:
    page.wait_for_load_state("networkidle")  # while one page replaces another there is no way back
    page.go_back(wait_until="commit")  # a frozen page is not loaded again


def card(page: Any, title: str) -> Any:
    return page.locator("article.card").filter(has=page.get_by_role("link", name=title, exact=True)).first


def rate(page: Any, form: Any, stars: str, *, script: bool) -> None:
    form.get_by_role("radio", name=stars, exact=True).check(force=True)
    if script:
        expect(form.locator(".rating-note")).to_contain_text("Saved")
    else:
        form.get_by_role("button", name="Rate").click()
        expect(page.get_by_text("Saved: ").first).to_be_attached()


def test_back_to_a_list_shows_the_rating_that_was_given_there(page, script):
    page.goto("/browse/?in=Western&sort=title")
    rate(page, card(page, "Western 2"), "four stars", script=script)
    page.goto("/papers/")
    back(page)
    expect(card(page, "Western 2").get_by_role("radio", name="four stars", exact=True)).to_be_checked()


def test_back_to_a_list_shows_the_rating_that_was_given_on_the_films_page(page, script):
    page.goto("/browse/?in=Western&sort=title")
    address = card(page, "Western 3").locator(".card-title a").get_attribute("data-href")
    page.goto(address)
    rate(page, page.locator("main form.rating").first, "two stars", script=script)
    while "/browse/" not in page.url:  # without a script the redirect after the form is a page of its own
        back(page)
    expect(card(page, "Western 3").get_by_role("radio", name="two stars", exact=True)).to_be_checked()


def test_back_to_a_films_page_shows_the_rating_that_was_cleared_or_changed_elsewhere(page, script):
    page.goto("/browse/?in=Western&sort=title")
    address = card(page, "Western 4").locator(".card-title a").get_attribute("data-href")
    page.goto(address)
    page.goto("/browse/?in=Western&sort=title")
    rate(page, card(page, "Western 4"), "five stars", script=script)
    while "/browse/" in page.url:
        back(page)
    form = page.locator("main form.rating").first
    expect(form.get_by_role("radio", name="five stars", exact=True)).to_be_checked()


def test_back_to_the_watchlist_shows_what_was_put_there(page, script):
    page.goto("/history/?show=watchlist")
    expect(page.locator("main")).not_to_contain_text("Western 5")
    page.goto("/browse/?in=Western&sort=title")
    film = card(page, "Western 5")
    film.get_by_label("More for Western 5").click()
    film.get_by_role("button", name="Add to watchlist").click()
    if script:
        expect(film.locator("button", has_text="Take off the watchlist")).to_be_attached()
    else:
        expect(page.get_by_text("Western 5 is on your watchlist").first).to_be_attached()
    while "/history/" not in page.url:
        back(page)
    expect(page.locator("main")).to_contain_text("Western 5")
