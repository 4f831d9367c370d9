"""The site on phones and tablets: one row of navigation, large targets, films at once, in three languages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks._browser import OWN, only

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser

FIRST_FILM = 300  # pixels from the top
TARGET = 44
WIDTHS = (360, 390, 820)
MADE = "of-the-test-of-phones"
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


@pytest.fixture
def page(browser: Any, site: str, language: str) -> Iterator[Any]:
    context = browser.new_context(viewport=size(WIDTHS[0]), base_url=site, locale=language, has_touch=True)
    context.set_default_timeout(20_000)
    opened = context.new_page()
    yield opened
    opened.wait_for_load_state("networkidle")  # the server logs answers that nobody waits for as errors
    context.close()


@pytest.mark.parametrize("language", ["ko", "zh-CN"])
@pytest.mark.parametrize("who", ["guest", "member"])
def test_no_page_scrolls_sideways_or_has_small_targets(open_page, pages, who, language):
    """In Korean and Chinese the pages of everyone's own things; `test_accessibility` opens all in English."""
    found = []
    with open_page(who, viewport=size(WIDTHS[0]), locale=language, has_touch=True) as page:
        for address in only(pages[who], OWN):
            open_on_phone(page, address)
            found += misfits_on(page, address)
    assert not found, "\n".join(found)


def open_on_phone(page: Any, address: str) -> None:
    """Open a page on the narrowest phone: charts follow a later change of width, but not at once."""
    page.set_viewport_size(size(WIDTHS[0]))
    page.goto(address)


def misfits_on(page: Any, address: str) -> list[str]:
    """Return targets that are too small, and the widths at which a page scrolls sideways."""
    found = []
    if address != "/api/docs/":  # Swagger UI's own buttons
        found += [f"{address}: {each}" for each in page.evaluate(TOO_SMALL)]
    for width in at_each_width(page):
        if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
            found.append(f"{address} is {wide} wide at {width}")
    return found


def size(width: int) -> dict[str, int]:
    return {"width": width, "height": 844}


def top_of(page: Any, selector: str) -> float:
    return page.locator(selector).first.bounding_box()["y"]


def at_each_width(page: Any) -> Iterator[int]:
    for width in WIDTHS:
        page.set_viewport_size(size(width))
        yield width


def test_navigation_is_one_row_and_the_first_film_is_seen_at_once(page):
    page.goto("/recommend/")
    for width in at_each_width(page):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        tops = {round(each.bounding_box()["y"]) for each in page.locator(".site-nav > ul > li").all()}
        assert len(tops) == 1, width
        assert top_of(page, "article.card") < FIRST_FILM, width
    # With a history there is a dial instead of a sentence.
    page.goto("/browse/?sort=title")
    form = page.locator("article.card form.rating").first
    form.get_by_role("radio").last.check(force=True)
    expect(form.locator(".saved")).to_be_visible()
    page.goto("/recommend/")
    for width in at_each_width(page):
        assert top_of(page, "article.card") < FIRST_FILM, width


@pytest.fixture
def training(site_shell: Callable[[str], str]) -> Iterator[None]:
    """While a test runs, three models are trained or wait for it."""
    runs = "from movie.training.models import TrainingRun as Run; Run.objects."
    site_shell(f"""{runs}bulk_create([
        Run(model=model, state=state, progress=0.42, message="{MADE}")
        for model, state in (("sasrec", "running"), ("lightgcn", "queued"), ("ngcf", "queued"))
    ])""")
    yield
    site_shell(f'{runs}filter(message="{MADE}").delete()')


def test_the_first_film_is_seen_at_once_while_the_chosen_model_is_trained(page, training):
    page.wait_for_timeout(2_000)  # what is in training is looked up every two seconds
    page.goto("/recommend/")
    page.locator(".who-answers > summary").press("Enter")
    page.locator(".model[value=sasrec]").click()
    expect(page.locator(".who-answers > summary")).to_contain_text("42")
    for width in at_each_width(page):
        assert top_of(page, "article.card") < FIRST_FILM, width
        box = page.locator("#training").bounding_box()
        assert box["y"] + box["height"] == pytest.approx(844, abs=1), width  # at the edge of the window
        assert box["height"] < 64, width  # two lines


def test_models_and_figures_are_behind_one_control_and_nothing_is_smaller_than_a_finger(page):
    page.goto("/recommend/")
    for width in at_each_width(page):
        expect(page.locator(".model").first).to_be_hidden()
        page.locator(".who-answers > summary").press("Enter")
        expect(page.locator(".model").first).to_be_visible()
        assert page.evaluate(TOO_SMALL) == [], width
        page.locator(".who-answers > summary").press("Enter")
        expect(page.locator(".nav-menu a").first).to_be_hidden()
        page.locator(".nav-menu > summary").press("Enter")
        expect(page.locator(".nav-menu a").first).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator(".nav-menu > summary")).to_be_focused()
        expect(page.locator(".masthead .sign-in")).to_be_visible()
