"""Template tags: what they print, and that a list's cards are the card's template."""

import re
from types import SimpleNamespace

import pytest
from django.core.cache import cache
from django.core.paginator import Paginator
from django.template import Context, RequestContext, Template
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.utils import translation
from jinja2 import UndefinedError

from movie.catalogue.posters.meanings import motif_of
from movie.catalogue.tests.films import make_film
from movie.pages.jinja2 import card_environment
from movie.pages.templatetags.reelgraph import decade, get_item, running_trainings, spoken_stars, stars
from movie.training.models import TrainingRun

EVENT_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def render(template, path="/browse/?genre=Crime&page=2", **words):
    request = RequestFactory().get(path)
    return Template(template).render(RequestContext(request, words))


@pytest.mark.parametrize(
    ("value", "printed", "spoken"),
    [
        (0.5, "½★", "half a star"),
        (1, "1★", "one star"),
        (3.5, "3½★", "three and a half stars"),
        (5.0, "5★", "five stars"),
        (None, "", "not rated"),
    ],
)
def test_stars_are_printed_and_spoken(value, printed, spoken):
    assert stars(value) == printed
    assert spoken_stars(value) == spoken


def test_decades():
    assert decade(1995) == "1990s"
    assert decade(2000) == "2000s"
    assert decade(None) == ""


def test_looking_things_up_in_nothing_finds_nothing():
    assert get_item(None, 1) is None
    assert get_item({1: 4.5}, 1) == 4.5


@pytest.mark.django_db
def test_one_parameter_changes_and_the_others_stay():
    assert render("{% query_with page=3 %}") == "?genre=Crime&amp;page=3"
    assert render('{% query_with page="" sort="year" %}') == "?genre=Crime&amp;sort=year"
    assert render("{% query_with genre=None page=None %}") == "?"


@pytest.mark.django_db
def test_many_pages_are_elided():
    page = Paginator(range(400), 10).get_page(20)
    printed = render('{% elided_pages page as numbers %}{{ numbers|join:" " }}', page=page)
    assert printed == "1 … 19 20 21 … 40"


@pytest.mark.django_db
def test_pager_links_keep_the_filters():
    page = render_to_string(
        "pages/_pagination.html",
        {"page_obj": Paginator(range(30), 10).get_page(2)},
        request=RequestFactory().get("/browse/?genre=Crime&page=2"),
    )
    assert 'rel="prev" href="?genre=Crime&amp;page=1"' in page
    assert 'rel="next" href="?genre=Crime&amp;page=3"' in page
    assert '<span aria-current="page">2</span>' in page


def test_ten_radios_with_spoken_labels_one_checked():
    film = SimpleNamespace(pk=7, display_title="Heat")
    form = "{% rating_form film rating %}"
    radios = Template(form).render(Context({"film": film, "rating": 3.5}))
    assert radios.count('type="radio"') == 10
    assert radios.count(" checked") == 1
    assert 'value="3.5" checked class="half" aria-label="three and a half stars">' in radios
    assert " checked" not in Template(form).render(Context({"film": film}))


def test_each_form_has_an_event_id_of_its_own():
    fields = Template('{% interaction_fields "home" "r1" %}').render(Context({"next": "/browse/?a=1&b=2"}))
    again = Template('{% interaction_fields "home" "r1" %}').render(Context({"next": "/"}))
    assert EVENT_ID.search(fields)[0] != EVENT_ID.search(again)[0]
    assert 'name="surface" value="home"' in fields
    assert 'name="recommendation_id" value="r1"' in fields
    assert 'name="next" value="/browse/?a=1&amp;b=2"' in fields


@pytest.mark.django_db
def test_forms_return_to_the_page_they_are_on():
    assert render("{% current_path %}") == "/browse/?genre=Crime&amp;page=2"


def test_a_link_counts_with_and_without_a_script():
    film = SimpleNamespace(pk=7)
    link = Template('{% movie_link film "home" "r 1&" %}').render(Context({"film": film}))
    found = re.fullmatch(
        r'href="/go/7/\?e=([^&]+)&amp;from=home&amp;rec=r%201%26"'
        r' data-href="/movies/7/" data-click="/movies/7/click/"',
        link,
    )
    assert EVENT_ID.fullmatch(found[1])


# -- cards -----------------------------------------------------------------------------------------


@pytest.fixture
def entries(db):
    films = [
        make_film("Heat", 1995),
        make_film('<b>"Tom" & Jerry</b>', None),
        make_film("기생충", 2019, poster_path="/p.jpg"),
    ]
    reasons = ["Because you rated <i>Collateral</i> 4", "", "Popular"]
    return [
        SimpleNamespace(movie=film, reason=reason, rank=rank)
        for rank, (film, reason) in enumerate(zip(films, reasons, strict=True), 1)
    ]


def squeezed(markup):
    """Without event ids and the white space between tags."""
    return re.sub(r"\s+", " ", re.sub(r">\s+<", "><", EVENT_ID.sub("EVENT", markup))).strip()


@pytest.mark.parametrize("language", ["en", "ko", "zh-hans"])
@pytest.mark.parametrize("ranks", [True, False])
def test_a_card_alone_is_the_card_of_a_list(entries, language, ranks, settings):
    settings.POSTER_BASE_URL = "https://images.example.org"
    ratings, watchlist = {entries[0].movie.pk: 4.5}, {entries[2].movie.pk}
    words = {"ranks": ranks, "ratings": ratings, "watchlist": watchlist}
    template = '{% cards entries "home" "r1" ranks=ranks %}'
    with translation.override(language):
        listed = squeezed(render(template, entries=entries, **words))
        alone = "".join(squeezed(render(template, entries=[entry], **words)) for entry in entries)
    token = re.compile(r'(csrfmiddlewaretoken" value=")\w+')  # masked anew for every request
    assert token.sub(r"\1", listed) == token.sub(r"\1", alone)
    assert listed.count("<article") == len(entries)
    assert (language == "en") == ("Not interested" in listed), "one language after the other"


def test_whatever_a_card_is_asked_to_print_of_a_film_is_printed_in_lists(entries, settings, tmp_path):
    folder = settings.BASE_DIR / "templates" / "jinja2" / "pages"
    changed = tmp_path / "jinja2" / "pages"
    changed.mkdir(parents=True)
    for file in folder.iterdir():
        added = "<p>{{ movie.runtime }} min by {{ movie.synopsis }}</p>"
        (changed / file.name).write_text(file.read_text().replace('<p class="reason">', added))
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    entries[0].movie.runtime, entries[0].movie.synopsis = 170, "<Mann>"
    card_environment.cache_clear()
    try:
        assert "<p>170 min by &lt;Mann&gt;</p>" in render("{% cards entries %}", entries=entries)
        file = changed / "_cards.html"
        file.write_text(file.read_text().replace("movie.runtime", "movie.runtme"))
        card_environment.cache_clear()
        with pytest.raises(UndefinedError):
            render("{% cards entries %}", entries=entries)
    finally:
        card_environment.cache_clear()


def test_titles_and_reasons_are_text_on_a_card(entries):
    printed = render('{% cards entries "home" "" %}', entries=entries)
    assert "<b>" not in printed
    assert "<i>" not in printed
    assert "&lt;b&gt;&#34;Tom&#34; &amp; Jerry&lt;/b&gt;" in printed


def test_every_form_of_a_list_has_its_own_event_id(entries):
    printed = render('{% cards entries "home" "r1" %}', entries=entries)
    ids = re.findall(r'name="event_id" value="([^"]+)"', printed)
    assert len(ids) == len(set(ids)) == 2 * len(entries)


def test_a_rated_card_offers_to_clear_and_a_new_one_does_not(entries):
    printed = render('{% cards entries "home" "" %}', entries=entries, ratings={entries[0].movie.pk: 2.5})
    cards = printed.split("<article")[1:]
    assert 'value="2.5" checked' in cards[0]
    assert "Clear" in cards[0]
    assert "Clear" not in cards[1]


def test_a_card_offers_to_leave_the_watchlist_it_is_on(entries):
    printed = render('{% cards entries "home" "" %}', entries=entries, watchlist={entries[0].movie.pk})
    first, second, _third = printed.split("<article")[1:]
    assert "Take off the watchlist" in first
    assert "Add to watchlist" in second


# -- training --------------------------------------------------------------------------------------


def test_a_run_that_fell_silent_is_not_shown(db):
    cache.clear()
    TrainingRun.objects.create(model="sasrec", state="running", progress=0.4)
    died = TrainingRun.objects.create(model="popular", state="running")
    TrainingRun.objects.filter(pk=died.pk).update(updated_at="2001-01-01T00:00Z")
    assert [run.model for run in running_trainings()] == ["sasrec"]


def test_neighbours_in_a_list_have_different_motifs(db, django_assert_num_queries):
    films = [make_film(f"Part {number}", 1990, genres=["Western"]) for number in range(8)]
    entries = [SimpleNamespace(movie=film) for film in films]
    with django_assert_num_queries(1):  # the genres of films that this process has not seen
        markup = render("{% cards entries %}", entries=entries)
    with django_assert_num_queries(0):
        assert squeezed(render("{% cards entries %}", entries=entries)).count("<article") == 8
    addresses = re.findall(r'src="/posters/\d+\.svg\?v=\w+(?:&amp;c=(\d+))?"', markup)
    choices = [int(choice or 0) for choice in addresses]
    motifs = [motif_of(film.title, ["Western"], choice) for film, choice in zip(films, choices, strict=True)]
    assert len(set(motifs)) == 8
    repeated = next(number for number, choice in enumerate(choices) if choice)
    assert f'name="motif" value="{choices[repeated]}"' in markup, "so that the answer draws the same"
    alone = render(
        "{% cards entries %}", entries=[SimpleNamespace(movie=films[repeated], motif=choices[repeated])]
    )
    assert f"&amp;c={choices[repeated]}" in alone


def test_suggestions_are_escaped_and_say_how_many_films_somebody_made(client, db):
    film = make_film("Heat & <b>Dust</b>", 1983, directors=["Ruth <i>Prawer</i>"])
    make_film("Heat Two", directors=["Ruth <i>Prawer</i>"])
    page = client.get("/search/suggest/", {"q": 'heat "&'}).content.decode()
    assert page == "", "no title has a quotation mark"
    page = client.get("/search/suggest/", {"q": "ruth"}).content.decode()
    assert "Ruth &lt;i&gt;Prawer&lt;/i&gt;" in page and "<i>" not in page and ">2 films<" in page
    page = client.get(
        "/search/suggest/", {"q": "heat & "}, headers={"accept-language": "ko"}
    ).content.decode()
    assert "Heat &amp; &lt;b&gt;Dust&lt;/b&gt;" in page and "<b>" not in page and "1983" in page
    assert f"/go/{film.pk}/?e=" in page and "&amp;from=search" in page
    assert "?q=heat%20%26" in page and "All results" not in page
