"""The site on phones and tablets: one row of navigation, large targets, films at once, in three languages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks._browser import OWN, WHO, only

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser

FIRST_FILM = 300  # pixels from the top
TARGET = 44
WIDTHS = (360, 390, 820)
TOO_SMALL = f"""
() => [...document.querySelectorAll(`.masthead :is(a, button, summary, input), .stars,
    main :is(button, summary, select, input:not([type=hidden], [type=radio], [type=checkbox]))`)]
  .filter((each) => each.checkVisibility({{ opacityProperty: true, visibilityProperty: true }}))
  .map((each) => [each.outerHTML.slice(0, 80), each.getBoundingClientRect()])
  .filter(([_, box]) => box.height && box.height < {TARGET} - 0.5)
  .map(([name, box]) => `${{name}}: ${{box.height}}`)
"""


@pytest.fixture(params=["en", "ko", "zh-CN"])
def language(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=WIDTHS)
def page(browser: Any, site: str, language: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    context = browser.new_context(
        viewport=_size(request.param), base_url=site, locale=language, has_touch=True
    )
    context.set_default_timeout(20_000)
    opened = context.new_page()
    yield opened
    opened.wait_for_load_state("networkidle")  # the server logs answers that nobody waits for as errors
    context.close()


@pytest.mark.parametrize("who", WHO)
def test_no_page_scrolls_sideways_or_has_small_targets(open_page, pages, who, language):
    """Every page in English; in Korean and Chinese those of everyone's own things."""
    found = []
    with open_page(who, viewport=_size(WIDTHS[0]), locale=language, has_touch=True) as page:
        for address in only(pages[who], [] if language == "en" else OWN):
            page.set_viewport_size(_size(WIDTHS[0]))  # charts follow a later change, but not at once
            page.goto(address)
            if address != "/api/docs/":  # Swagger UI's own buttons
                found += [f"{address}: {each}" for each in page.evaluate(TOO_SMALL)]
            for width in WIDTHS:
                page.set_viewport_size(_size(width))
                if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
                    found.append(f"{address} is {wide} wide at {width}")
    assert not found, "\n".join(found)


def _size(width: int) -> dict[str, int]:
    return {"width": width, "height": 844}


def top_of(page: Any, selector: str) -> float:
    return page.locator(selector).first.bounding_box()["y"]


def test_navigation_is_one_row_and_the_first_film_is_seen_at_once(page):
    page.goto("/recommend/")
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tops = {round(each.bounding_box()["y"]) for each in page.locator(".site-nav > ul > li").all()}
    assert len(tops) == 1
    assert top_of(page, "article.card") < FIRST_FILM
    # With a history there is a dial instead of a sentence.
    page.goto("/browse/?sort=title")
    form = page.locator("article.card form.rating").first
    form.get_by_role("radio").last.check(force=True)
    expect(form.locator(".saved")).to_be_visible()
    page.goto("/recommend/")
    assert top_of(page, "article.card") < FIRST_FILM


def test_nothing_to_touch_is_smaller_than_a_finger(page):
    page.goto("/recommend/")
    page.locator(".who-answers > summary").click()
    assert page.evaluate(TOO_SMALL) == []


def test_models_and_figures_are_behind_one_control(page):
    page.goto("/recommend/")
    expect(page.locator(".model").first).to_be_hidden()
    page.locator(".who-answers > summary").press("Enter")
    expect(page.locator(".model").first).to_be_visible()
    expect(page.locator(".nav-menu a").first).to_be_hidden()
    page.locator(".nav-menu > summary").press("Enter")
    expect(page.locator(".nav-menu a").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".nav-menu > summary")).to_be_focused()
    expect(page.locator(".masthead .sign-in")).to_be_visible()
