"""The first five minutes in a browser: two ratings and the row slides in; a file comes and is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser

LETTERBOXD = (
    "Date,Name,Year,Letterboxd URI,Rating\n"
    "2021-02-03,Western 2,{year},https://boxd.it/a,3.5\n"
    "2021-02-04,Nowhere at All,2015,https://boxd.it/b,5\n"
)


@pytest.fixture(params=[True, False], ids=["script", "no script"])
def script(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture
def page(browser: Any, site: str, script: bool) -> Iterator[Any]:
    context = browser.new_context(
        base_url=site, locale="en", java_script_enabled=script, viewport={"width": 390, "height": 844}
    )
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


def test_a_file_is_brought_seen_confirmed_and_taken_back(page):
    page.goto("/browse/?in=Western&sort=title")
    film = page.locator("article.card").filter(has=page.get_by_role("link", name="Western 2", exact=True))
    year = film.first.locator(".card-year").inner_text().strip()
    page.goto("/history/")
    content = LETTERBOXD.format(year=year).encode()
    page.get_by_label("Choose your file").set_input_files(
        {"name": "ratings.csv", "mimeType": "text/csv", "buffer": content}
    )
    page.get_by_role("button", name="Preview the import").press("Enter")
    expect(page.get_by_text("From Letterboxd, 1 film of this site.")).to_be_visible()
    expect(page.get_by_text("Nowhere at All")).to_be_visible()
    page.get_by_role("button", name="Import 1 entry").press("Enter")
    expect(page.get_by_text("1 entry is new.")).to_be_visible()
    page.goto("/history/")
    expect(page.get_by_role("link", name="Western 2", exact=True)).to_be_visible()
    page.get_by_role("button", name="Undo this import").press("Enter")
    expect(page.get_by_text("Nothing here yet.")).to_be_visible()


def test_after_the_second_rating_the_programme_is_there(page, script):
    page.goto("/")
    expect(page.get_by_text("0 of 2 films rated").first).to_be_visible()
    for number in range(2):
        form = page.locator("article.card").nth(number).locator("form.rating")
        form.get_by_role("radio", name="four stars", exact=True).check(force=True)
        if not script:
            form.get_by_role("button", name="Rate").press("Enter")
    if script:
        expect(page.get_by_role("heading", name="Your programme is ready")).to_be_visible()
        expect(page.locator("#programme article.card").first).to_be_visible()
    else:
        expect(page.get_by_role("heading", name="For you", exact=True)).to_be_visible()
