"""The main path of a visitor in a real browser, with and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation",
  (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


@dataclass
class Watch:
    """What should never happen on any page."""

    site: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def over(self, context: Any) -> None:
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("request", self._request)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.complaints.append(f"script error: {error.error}"))
        context.on("response", self._response)

    def _request(self, request: Any) -> None:
        self.requests.append(f"{request.method} {request.url.removeprefix(self.site)}")
        if not request.url.startswith((self.site, "data:")):
            self.complaints.append(f"asked somebody else: {request.url}")

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text}")

    def _response(self, response: Any) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status} for {response.url}")

    def sent(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, request)) for request in self.requests)


@pytest.fixture
def visit(browser: Any, site: str) -> Callable[..., Any]:
    """`with visit(...) as (page, watch)`: a new guest. Anything wrong on a page fails the test."""

    @contextmanager
    def new_guest(viewport: dict[str, int] = DESK, **options: Any) -> Iterator[tuple[Any, Watch]]:
        context = browser.new_context(viewport=viewport, base_url=site, locale="en", **options)
        context.set_default_timeout(20_000)
        watch = Watch(site)
        watch.over(context)
        try:
            yield context.new_page(), watch
            assert watch.complaints == []
        finally:
            context.close()

    return new_guest


def card(page: Any, title: str) -> Any:
    return page.locator("article.card").filter(has=page.get_by_role("link", name=title, exact=True)).first


def listed(page: Any) -> list[str]:
    return page.locator("article.card .card-title a").all_inner_texts()


def rate(page: Any, title: str, stars: str) -> None:
    """With the mouse."""
    card(page, title).get_by_role("radio", name=stars, exact=True).click()
    expect(card(page, title).locator(".rating-note")).to_contain_text("Saved")


def test_a_guest_becomes_a_member_and_keeps_what_they_did(visit):
    with visit() as (page, watch):
        page.goto("/")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Rate two films")
        page.goto("/recommend/")
        before = listed(page)
        assert len(before) == 24

        # One film with the keyboard alone, and one write for it.
        page.goto("/browse/?in=Western&sort=title")
        one = card(page, "Western 1")
        one.get_by_role("radio", name="half a star", exact=True).focus()
        for _ in range(9):
            page.keyboard.press("ArrowRight")
        expect(one.get_by_role("radio", name="five stars", exact=True)).to_be_checked()
        expect(one.locator(".rating-note")).to_contain_text("Saved")
        assert watch.sent(r"^POST /movies/\d+/rate/") == 1
        # Another with the mouse.
        rate(page, "Western 4", "four and a half stars")
        assert watch.sent(r"^POST /movies/\d+/rate/") == 2

        # The list is another one, knows the taste, says why, and leaves out what was rated.
        page.goto("/recommend/")
        after = listed(page)
        assert after != before
        assert sum(title.startswith("Western") for title in after[:8]) >= 6
        assert not {"Western 1", "Western 4"} & set(after)
        first = after[0]
        expect(card(page, first).locator(".reason")).to_contain_text(re.compile("Western (1|4)"))
        expect(page.locator(".answered-by").first).to_contain_text("Answered by")

        # Dismissed, taken back, dismissed for good.
        for final in (False, True):
            card(page, first).get_by_label(f"More for {first}").click()
            card(page, first).get_by_role("button", name="Not interested").click()
            gone = page.locator(".card-dismissed")
            expect(gone).to_contain_text(f"{first} will not be shown again")
            if not final:
                gone.get_by_role("button", name="Undo").click()
                expect(card(page, first).get_by_role("radio")).to_have_count(10)
        page.reload()
        assert first not in listed(page)

        # A film's page, by a link that counts the click.
        page.goto("/")
        expect(page.get_by_role("heading", name="For you")).to_be_visible()
        page.locator("article.card .card-title a").first.click()
        page.wait_for_url(re.compile(r"/movies/\d+/"))
        assert watch.sent(r"^POST /movies/\d+/click/") == 1
        expect(page.locator(".film-why .why-headline")).to_contain_text(re.compile("Western (1|4)"))

        # The account takes the guest's history over.
        page.goto("/history/")
        expect(page.locator("main")).to_contain_text("Western 1")
        page.goto("/accounts/signup/")
        page.get_by_label(re.compile("^Username")).fill("cinephile")
        page.locator("input[name=password1]").fill("forty-two-reels-of-film")
        page.locator("input[name=password2]").fill("forty-two-reels-of-film")
        page.locator("main").get_by_role("button", name="Make an account").click()
        page.wait_for_url(re.compile(r"/$"))
        page.goto("/history/")
        for title in ("Western 1", "Western 4", first):
            expect(page.locator("main").get_by_role("link", name=title, exact=True).first).to_be_visible()

        # And lets go of it.
        page.get_by_text("Delete everything", exact=True).click()
        page.get_by_role("button", name="Yes, delete everything").click()
        expect(page.locator("main")).to_contain_text("Nothing here yet")
        page.goto("/recommend/")
        assert listed(page) == before


def test_a_rating_is_changed_taken_back_and_cleared_in_its_place(visit):
    with visit() as (page, _watch):
        page.goto("/browse/?in=Horror&sort=title")
        own = card(page, "Horror 2")
        rate(page, "Horror 2", "three stars")
        rate(page, "Horror 2", "four stars")
        own.get_by_role("button", name="Undo the rating of Horror 2").click()
        expect(own.get_by_role("radio", name="three stars", exact=True)).to_be_checked()
        own.get_by_role("button", name="Clear the rating of Horror 2").click()
        expect(own.get_by_role("radio", checked=True)).to_have_count(0)
        page.reload()
        expect(card(page, "Horror 2").get_by_role("radio", checked=True)).to_have_count(0)


def test_the_main_path_without_javascript(visit):
    with visit(java_script_enabled=False) as (page, _watch):
        page.goto("/")
        page.get_by_role("link", name="Browse", exact=True).click()
        page.locator("details.genres > summary").click()
        comedy = page.get_by_role("group", name="Comedy")
        comedy.get_by_role("radio", name="with", exact=True).check(force=True)
        page.get_by_label("Sort by").select_option("title")
        page.get_by_role("button", name="Show films").click()
        page.wait_for_url("**/browse/?in=Comedy&sort=title")
        assert all(title.startswith("Comedy") for title in listed(page))

        card(page, "Comedy 1").get_by_role("radio", name="five stars", exact=True).check(force=True)
        card(page, "Comedy 1").get_by_role("button", name="Rate", exact=True).click()
        expect(page.locator(".messages")).to_contain_text("five stars for Comedy 1")
        page.wait_for_url("**/browse/?in=Comedy&sort=title")

        card(page, "Comedy 2").get_by_label("More for Comedy 2").click()
        card(page, "Comedy 2").get_by_role("button", name="Not interested").click()
        expect(page.locator(".messages")).to_contain_text("Comedy 2 will not be shown again")

        page.get_by_role("searchbox").fill("서부")
        page.get_by_role("button", name="Search").click()
        assert listed(page) == ["Western 1"]
        card(page, "Western 1").get_by_role("link", name="Western 1", exact=True).click()
        page.wait_for_url(re.compile(r"/movies/\d+/"))
        page.get_by_role("link", name="Ada Lens").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Ada Lens")

        page.goto("/recommend/")
        recommended = listed(page)
        assert not {"Comedy 1", "Comedy 2"} & set(recommended)
        # One was liked, one was looked at: the list begins with these two tastes.
        assert {title.split()[0] for title in recommended[:6]} == {"Comedy", "Western"}
        page.goto("/history/")
        for title in ("Comedy 1", "Comedy 2", "Western 1"):
            expect(page.locator("main")).to_contain_text(title)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_a_guest_follows_a_reason_to_a_person_and_on_to_another_film(visit, scripts):
    with visit(java_script_enabled=scripts) as (page, watch):
        page.goto("/search/?q=western")
        first = card(page, "Western 1")
        first.get_by_role("radio", name="five stars", exact=True).check(force=True)
        if scripts:
            expect(first.locator(".rating-note")).to_contain_text("Saved")
        else:
            first.get_by_role("button", name="Rate", exact=True).click()
        page.goto("/recommend/")
        title = next(title for title in listed(page) if title in ("Western 3", "Western 5"))
        card(page, title).get_by_role("link", name=f"Why? {title}").click()
        if scripts:
            answer = page.get_by_role("dialog")
            expect(answer).to_be_visible()
            assert watch.sent(r"^GET /movies/\d+/why/\?model=") == 1
            page.keyboard.press("Escape")
            expect(answer).to_be_hidden()
            expect(card(page, title).locator(".why-link")).to_be_focused()
            page.keyboard.press("Enter")
            expect(answer).to_be_visible()
        else:
            page.wait_for_url(re.compile(r"/movies/\d+/why/"))
            answer = page.locator("main")
        reason = answer.locator(".why-reason").filter(has_text="Ada Lens").first
        expect(reason.locator(".why-said")).to_have_text(
            "Directed by Ada Lens, who made Western 1, which you rated 5★"
        )
        expect(answer.locator(".why-headline")).to_contain_text("Because you rated Western 1 5★")

        # The path, drawn: every stop leads somewhere.
        chain = reason.get_by_role("list")
        if not chain.is_visible():
            reason.locator("summary").click()
        assert chain.get_by_role("link").all_inner_texts() == ["You", "Western 1", "Ada Lens", title]
        chain.get_by_role("link", name="Ada Lens").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Ada Lens")

        # Her films by role, with the visitor's own rating; one that was not recommended above.
        expect(card(page, "Western 1").get_by_role("radio", name="five stars", exact=True)).to_be_checked()
        other = next(name for name in ("Western 3", "Western 5") if name != title)
        card(page, other).get_by_role("link", name=other, exact=True).click()
        page.wait_for_url(re.compile(r"/movies/\d+/"))
        expect(page.get_by_role("heading", level=1)).to_have_text(other)
        expect(page.locator(".film-why")).to_contain_text("Because you rated Western 1 5★")

        # And on to its genre.
        page.locator(".film-line").get_by_role("link", name="Western", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Western")


def test_filters_change_the_films_and_the_address_without_leaving_the_page(visit):
    with visit() as (page, watch):
        page.goto("/browse/")
        page.get_by_label("Decade").select_option("1960")
        page.wait_for_url("**/browse/?decade=1960")
        expect(page.locator("#browse-count")).to_contain_text("12 films")
        page.locator("details.genres > summary").click()
        page.get_by_role("group", name="Horror").get_by_role("radio", name="any").focus()
        page.keyboard.press("ArrowLeft")
        page.wait_for_url("**/browse/?out=Horror&decade=1960")
        expect(page.locator("#browse-count")).to_contain_text("9 films")
        assert watch.sent(r"^GET /static/pages/reelgraph[.\w]*js") == 1  # one page all the time
        page.go_back()
        page.wait_for_url("**/browse/?decade=1960")
        expect(page.locator("#browse-count")).to_contain_text("12 films")


def test_the_search_box_suggests_as_one_types(visit):
    with visit() as (page, _watch):
        page.goto("/")
        box = page.get_by_role("combobox", name="Search films and people")
        box.press_sequentially("western 1", delay=20)
        options = page.get_by_role("option")
        expect(options.first).to_contain_text("Western 1")
        expect(box).to_have_attribute("aria-expanded", "true")
        page.wait_for_load_state("networkidle")  # a question on its way when the page is left is a complaint
        box.press("ArrowDown")
        expect(options.first).to_have_attribute("aria-selected", "true")
        box.press("Enter")
        page.wait_for_url(re.compile(r"/movies/\d+/"))
        expect(page.get_by_role("heading", level=1)).to_have_text("Western 1")


def test_a_reader_opens_a_review_sees_the_maths_and_tries_the_model(visit):
    with visit() as (page, watch):
        page.goto("/recommend/")
        page.locator(".who-answers > summary").click()
        page.get_by_role("button", name="EASE", exact=True).click()
        page.goto("/browse/?in=Western&sort=title")
        rate(page, "Western 2", "five stars")
        page.goto("/recommend/")
        page.get_by_role("link", name="Read how it works").click()
        page.wait_for_url("**/papers/ease/")
        expect(page.get_by_role("heading", level=1)).to_contain_text("EASE")

        # The browser draws the formulas itself, and they have the size of formulas.
        formula = page.locator(".formula math").first
        expect(formula).to_be_visible()
        assert formula.evaluate("formula => formula instanceof MathMLElement")
        assert formula.bounding_box()["height"] > 20
        assert page.locator("p math").first.evaluate("formula => getComputedStyle(formula).display") == "math"
        figure = page.locator("figure img").first
        figure.scroll_into_view_if_needed()
        page.wait_for_function(
            "image => image.complete && image.naturalWidth > 0", arg=figure.element_handle()
        )

        # The contents lead to a heading, a formula's link to the function, and back.
        contents = page.get_by_role("navigation", name="On this page")
        contents.get_by_role("link").nth(1).click()
        expect(page.locator(":target")).to_be_in_viewport()
        page.locator("a.code-link").first.click()
        page.wait_for_url("**/papers/code/**")
        expect(page.locator(".source li").first).to_be_visible()
        page.go_back()

        # The model ranks what the reader did, then an example, on the same page.
        panel = page.get_by_role("region", name="Try EASE")
        expect(panel).to_contain_text("From your history, with 1 film you liked")
        expect(panel).to_contain_text("Answered by EASE, trained today")
        assert sum(title.startswith("Western") for title in listed(page)) >= 5
        pages = watch.sent(r"^GET /static/pages/reelgraph[.\w]*js")
        panel.get_by_role("link", name="Example: Horror").click()
        expect(panel).to_contain_text("five stars for each of the most rated films here")
        assert sum(title.startswith("Horror") for title in listed(page)) >= 5
        assert watch.sent(r"^GET /static/pages/reelgraph[.\w]*js") == pages

        # A rating given in the panel is the reader's own, and the next list follows it.
        rate(page, listed(page)[0], "five stars")
        panel.get_by_role("link", name="Your own history").click()
        expect(panel).to_contain_text("with 2 films you liked")


def test_a_review_without_javascript_and_a_members_comment(visit):
    with visit(java_script_enabled=False) as (page, _watch):
        page.goto("/")
        page.locator(".nav-menu > summary").click()
        page.get_by_role("link", name="Papers", exact=True).click()
        page.get_by_role("link", name=re.compile("^EASE")).click()
        panel = page.get_by_role("region", name="Try EASE")
        expect(panel).to_contain_text("Answered by EASE, trained today")
        panel.get_by_role("link", name="Example: Comedy").click()
        page.wait_for_url("**/papers/ease/?history=Comedy#try")
        assert sum(title.startswith("Comedy") for title in listed(page)) >= 5
        page.get_by_role("link", name="make an account").click()
        page.get_by_label(re.compile("^Username")).fill("reader")
        page.locator("input[name=password1]").fill("forty-two-reels-of-film")
        page.locator("input[name=password2]").fill("forty-two-reels-of-film")
        page.locator("main").get_by_role("button", name="Make an account").click()
        page.wait_for_url("**/papers/ease/#comments")
        page.get_by_label("Your comment").fill("Is λ the same for all films?")
        page.get_by_role("button", name="Comment", exact=True).click()
        expect(page.locator(".comments")).to_contain_text("Is λ the same for all films?")
        page.locator(".comments").get_by_role("link", name="Edit").click()
        page.get_by_label("Your comment").fill("Is λ the same for each film?")
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".comments")).to_contain_text("for each film?")
        page.locator(".comments summary").click()
        page.get_by_role("button", name="Yes, delete this comment").click()
        expect(page.locator("#comments")).to_contain_text("Nobody has said anything yet")


PAGES = (
    "/",
    "/browse/",
    "/browse/?in=Western&out=Horror&decade=1960",
    "/browse/?in=Western&in=Comedy",
    "/search/",
    "/search/?q=western",
    "/search/?q=westernn",
    "/movies/1/",
    "/movies/1/why/",
    "/movies/3/why/?model=neighbours",
    "/genres/1/",
    "/people/1/",
    "/recommend/",
    "/history/",
    "/papers/",
    "/papers/ease/",
    "/papers/kprn/",
    "/papers/code/predictors.models.ease.EasePredictor.influences/",
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
)


@pytest.mark.parametrize(
    ("viewport", "scheme"), [(PHONE, "light"), (DESK, "dark")], ids=["phone-light", "desk-dark"]
)
def test_every_page_fits_and_asks_nobody_else(visit, viewport, scheme):
    """No sideways scrolling, nothing refused by the content policy, no error, nothing from elsewhere."""
    with visit(viewport, color_scheme=scheme) as (page, watch):
        page.goto("/browse/?in=Western&sort=title")
        rate(page, "Western 2", "four stars")
        for address in PAGES:
            page.goto(address)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= viewport["width"], f"{address} is {wide} wide"
            assert page.locator("h1").count() == 1, f"{address} needs one first-level heading"
            assert watch.complaints == [], address


def test_a_page_that_is_not_there_says_so_in_the_sites_own_words(visit):
    with visit() as (page, watch):
        assert page.goto("/movies/987654/").status == 404
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_role("link", name="Reelgraph")).to_be_visible()
        ours = [complaint for complaint in watch.complaints if "404" not in complaint]
        assert ours == []
        watch.complaints.clear()


def test_the_reference_of_the_api_lists_every_address_and_tries_one_out(visit):
    """Under the policy of the site, with nothing from elsewhere."""
    with visit() as (page, watch):
        page.goto("/api/docs/")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Reelgraph")
        addresses = page.request.get("/api/v1/openapi.json").json()["paths"]
        expect(page.locator(".opblock")).to_have_count(sum(map(len, addresses.values())))
        models = page.locator(".opblock").filter(has_text="Models and their versions")
        models.locator(".opblock-summary-control").click()
        models.get_by_role("button", name="Try it out").click()
        models.get_by_role("button", name="Execute").click()
        expect(models.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
        assert watch.sent(r"^GET /api/v1/models$") == 1
