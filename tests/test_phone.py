"""The site on phones and tablets: one row of navigation, large targets, films at once, in three languages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser

FIRST_FILM = 300  # pixels from the top
TARGET = 44
TOO_SMALL = f"""
() => [...document.querySelectorAll(
    ".masthead :is(a, button, summary, input), .card-menu > summary, .stars, .model, .dial-step"
  )]
  .filter((each) => each.checkVisibility())
  .map((each) => [each.outerHTML.slice(0, 80), each.getBoundingClientRect()])
  .filter(([_, box]) => box.height && box.height < {TARGET})
  .map(([name, box]) => `${{name}}: ${{box.height}}`)
"""


@pytest.fixture(params=["en", "ko", "zh-CN"])
def language(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[360, 390, 820])
def page(browser: Any, site: str, language: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    size = {"width": request.param, "height": 844}
    context = browser.new_context(viewport=size, base_url=site, locale=language, has_touch=True)
    context.set_default_timeout(20_000)
    opened = context.new_page()
    yield opened
    opened.wait_for_load_state("networkidle")  # the server logs answers that nobody waits for as errors
    context.close()


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
