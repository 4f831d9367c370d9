"""The list, a review, its drawings and sources, the feed, the panel, and the link under every list."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.template.loader import render_to_string
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets.interactions import Interactions
from movie.catalogue.models import Movie
from movie.catalogue.tests.films import make_film
from movie.papers.live_demo import EXAMPLE_FILMS, examples
from movie.papers.models import PaperReview
from movie.papers.tests.writing import draw, make_review
from movie.recommendations.ranked_list import RankedList
from predictors.models.neighbours import NeighboursPredictor
from predictors.models.popular import PopularPredictor
from predictors.serving.registry import ModelStore

pytestmark = pytest.mark.django_db
FORWARD = "pytorch_models.graph.lightgcn.LightGCN.forward"


@pytest.fixture(autouse=True)
def _nothing_cached(settings, tmp_path):
    settings.MODEL_DIR = tmp_path / "models"
    cache.clear()


@pytest.fixture
def staff(client):
    client.force_login(get_user_model().objects.create_user("boss", is_staff=True))
    return client


def page(client, address, status=200, **options):
    response = client.get(address, **options)
    assert response.status_code == status
    return response.content.decode()


# -- the list and a review --------------------------------------------------------------------


def test_the_list_shows_what_is_published_and_filters_by_tag(client):
    make_review("ease", tags=["linear"])
    make_review("lightgcn", tags=["graphs"])
    make_review("secret", tags=["unlisted"], is_draft=True)
    markup = page(client, reverse("papers:list"))
    assert "All about ease" in markup
    assert "All about lightgcn" in markup
    assert "secret" not in markup
    assert "unlisted" not in markup
    graphs = page(client, reverse("papers:list") + "?tag=graphs")
    assert "All about lightgcn" in graphs
    assert "All about ease" not in graphs
    assert "All about ease" in page(client, reverse("papers:list") + "?tag=nothing")


def test_an_empty_list_says_what_to_do(client):
    assert "manage.py sync_papers" in page(client, reverse("papers:list"))


def test_a_review_shows_its_text_contents_and_facts(client):
    review = make_review("ease", "## The rule\n\nSome $x$.", link="https://example.org/p", tags=["linear"])
    markup = page(client, review.get_absolute_url())
    assert '<h2 id="s-the-rule">The rule</h2>' in markup
    assert '<a href="#s-the-rule">The rule</a>' in markup
    assert '<a href="#comments">' in markup
    assert "<math" in markup
    assert 'href="https://example.org/p"' in markup
    assert "A. One" in markup
    assert "1 minute" in markup


def test_a_draft_is_for_staff(client):
    review = make_review(is_draft=True)
    page(client, review.get_absolute_url(), 404)
    client.force_login(get_user_model().objects.create_user("member"))
    page(client, review.get_absolute_url(), 404)
    client.force_login(get_user_model().objects.create_user("boss", is_staff=True))
    assert "Draft" in page(client, review.get_absolute_url())
    assert "Draft" in page(client, reverse("papers:list"))


def test_a_page_makes_few_queries_however_many_reviews_and_comments(client, django_user_model):
    review = make_review("ease", f"[f](code:{FORWARD})")
    authors = [django_user_model.objects.create_user(f"u{n}") for n in range(3)]
    counts = []
    for batch in range(2):
        for number, author in enumerate(authors * 3):
            review.comments.create(
                author=author, body="x", post_id=f"{batch:08x}-0000-7000-8000-{number:012x}"
            )
            make_review(f"r{batch}-{number}")
        for address in (
            review.get_absolute_url(),
            reverse("papers:list"),
            reverse("papers:code", args=[FORWARD]),
        ):
            page(client, address)
            with CaptureQueriesContext(connection) as captured:
                page(client, address)
            counts.append(len(captured))
    # What a page keeps for some seconds may run out between two requests and cost one query.
    assert all(abs(few - many) <= 1 for few, many in zip(counts[:3], counts[3:], strict=True))
    assert max(counts) <= 8


# -- drawings, sources, feed ------------------------------------------------------------------


def test_a_drawing_is_served_for_good_under_its_version_and_can_do_nothing(client, settings, tmp_path):
    settings.PAPERS_DIR = tmp_path
    draw(tmp_path, "x.svg")
    review = make_review("ease", '![a](figures/x.svg "c")')
    address = re.search(r'src="([^"]+)"', review.html)[1]
    response = client.get(address)
    assert response.status_code == 200
    assert response["Content-Type"] == "image/svg+xml"
    assert "immutable" in response["Cache-Control"]
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "sandbox" in response["Content-Security-Policy"]
    assert not response.cookies
    assert "immutable" not in client.get(address.split("?")[0])["Cache-Control"]


@pytest.mark.parametrize("name", ["none.svg", "../ease.md", "..%2fease.md", "x.png", "X.svg"])
def test_no_other_file_is_served_as_a_drawing(client, name):
    page(client, f"/papers/figures/{name}", 404)


def test_the_source_that_a_review_links_to_is_shown(client):
    make_review("lightgcn", f"[`forward`](code:{FORWARD})")
    markup = page(client, reverse("papers:code", args=[FORWARD]))
    assert "pytorch_models/graph/lightgcn.py" in markup
    assert "All about lightgcn" in markup
    text = re.sub(r"<[^>]+>", "", re.search(r'<ol class="source".*?</ol>', markup, re.DOTALL)[0])
    assert "def forward(self, propagate" in text
    assert re.search(r'<ol class="source" start="\d+"', markup)


@pytest.mark.parametrize(
    "dotted", [FORWARD, "webapp.settings", "os.path", "nonsense", "movie.catalogue.models.Movie"]
)
def test_a_source_that_no_published_review_links_to_is_not_there(client, dotted):
    make_review("draft", f"[`forward`](code:{FORWARD})", is_draft=True)
    page(client, reverse("papers:code", args=[dotted]), 404)


def test_a_name_that_is_gone_since_is_not_found(client):
    make_review("lightgcn", f"[`forward`](code:{FORWARD})")
    PaperReview.objects.update(code_links=["pytorch_models.graph.lightgcn.Gone"])
    page(client, reverse("papers:code", args=["pytorch_models.graph.lightgcn.Gone"]), 404)


def test_the_feed_is_rss_with_absolute_addresses_and_no_drafts(client):
    make_review("ease", tags=["linear"])
    make_review("secret", is_draft=True)
    channel = ElementTree.fromstring(page(client, reverse("papers:feed"))).find("channel")  # noqa: S314 - our own
    (item,) = channel.findall("item")
    assert item.find("title").text == "All about ease"
    assert item.find("link").text == "http://testserver/papers/ease/"
    assert item.find("category").text == "linear"
    assert item.find("pubDate").text == "Sat, 31 Jan 2026 00:00:00 +0000"


# -- the panel --------------------------------------------------------------------------------


@pytest.fixture
def films():
    """Twelve dramas, twelve comedies, the first ones rated most."""
    return [
        make_film(f"{genre} {n}", 2000 + n, genres=[genre], stars=[4] * (14 - n))
        for genre in ("Drama", "Comedy")
        for n in range(12)
    ]


@pytest.fixture
def trained(films, settings):
    ids = np.array([film.pk for film in films])
    pairs = [
        (user, item)
        for user in range(60)
        for item in range(24)
        if item // 12 == user % 2 and (user + item) % 5
    ]
    users, items = (np.array(column, dtype=np.int32) for column in zip(*pairs, strict=True))
    stars, at = np.full(len(users), 4.0, np.float32), np.arange(len(users))
    data = Interactions.from_columns(users, items, stars, at, user_ids=np.arange(60), item_ids=ids)
    for kind in (PopularPredictor, NeighboursPredictor):
        ModelStore(settings.MODEL_DIR).publish(kind.fit(data), activate=True)
    settings.DEFAULT_MODELS = ("popular",)
    return films


def panel(markup):
    return markup.split('id="try"')[1].split('id="comments"')[0]


def shown(markup):
    names = re.findall(r'<h3 class="card-title">.*?>([^<]+)</a>', panel(markup))
    assert names
    return names


def test_an_example_is_made_by_rule_and_shown(client, trained):
    found = examples()
    assert [example.genre for example in found] == ["Comedy", "Drama"]
    assert [title for _pk, title in found[0].films] == [f"Comedy {n}" for n in range(EXAMPLE_FILMS)]
    markup = page(client, make_review(model="neighbours").get_absolute_url())
    for _pk, title in found[0].films:
        assert f">{title}</a>" in panel(markup)
    assert all(name.startswith("Comedy") for name in shown(markup))
    assert not {title for _pk, title in found[0].films} & set(shown(markup))
    assert "Answered by Item neighbours, trained today" in panel(markup)
    assert "is in the example</p>" in panel(markup)
    assert "you rated" not in panel(markup)
    assert "/why/" not in panel(markup)  # it would explain another history


def test_another_example_gives_another_list_also_to_htmx(client, trained):
    review = make_review(model="neighbours")
    markup = page(client, review.get_absolute_url() + "?history=Drama")
    assert all(name.startswith("Drama") for name in shown(markup))
    part = page(
        client, reverse("papers:try", args=["ease"]) + "?history=Drama", headers={"hx-request": "true"}
    )
    assert part.lstrip().startswith("<section")
    assert shown(part) == shown(markup)
    response = client.get(reverse("papers:try", args=["ease"]) + "?history=Drama")
    assert (response.status_code, response.url) == (303, "/papers/ease/?history=Drama#try")


def test_the_readers_own_history_is_ranked_live(client, trained):
    review = make_review(model="neighbours")
    client.get(reverse("pages:home"))
    client.post(reverse("pages:rate", args=[Movie.objects.get(title="Drama 3").pk]), {"value": "5"})
    markup = page(client, review.get_absolute_url())
    assert all(name.startswith("Drama") for name in shown(markup))
    assert "Drama 3" not in shown(markup)
    assert "with 1 film you liked" in panel(markup)
    assert "Because you rated Drama 3 5★" in panel(markup)
    assert "/why/?model=neighbours" in panel(markup)
    assert all(
        name.startswith("Comedy")
        for name in shown(page(client, review.get_absolute_url() + "?history=Comedy"))
    )
    client.post(reverse("pages:rate", args=[Movie.objects.get(title="Comedy 3").pk]), {"value": "5"})
    assert any(
        name.startswith("Comedy") for name in shown(page(client, review.get_absolute_url() + "?history=mine"))
    )


def test_an_example_leaves_no_trace_in_the_readers_history(client, trained):
    client.get(make_review(model="neighbours").get_absolute_url())
    assert "Nothing here yet" in page(client, reverse("pages:history"))


def test_a_model_that_is_not_trained_says_so_and_no_other_answers_for_it(client, trained):
    markup = page(client, make_review(model="lightgcn").get_absolute_url())
    assert "LightGCN is not trained yet." in panel(markup)
    assert "card-title" not in panel(markup)
    assert "Answered by" not in panel(markup)


def test_without_films_and_models_the_page_stands(client):
    assert "is not trained yet" in page(client, make_review(model="ease").get_absolute_url())


def test_a_review_without_a_model_has_no_panel(client, trained):
    review = make_review(model="")
    assert 'id="try"' not in page(client, review.get_absolute_url())
    page(client, reverse("papers:try", args=["ease"]), 404)


@pytest.mark.parametrize("asked", ["mine", "Nope", "", "<script>", "x" * 5000])
def test_whatever_history_is_asked_for_there_is_a_list(client, trained, asked):
    markup = page(client, make_review(model="neighbours").get_absolute_url(), query_params={"history": asked})
    assert all(name.startswith("Comedy") for name in shown(markup))


# -- elsewhere on the site --------------------------------------------------------------------


def answered_by(model):
    ranked = RankedList(model, requested=model)
    return render_to_string("pages/_answered_by.html", {"ranked": ranked})


def test_under_a_list_stands_the_review_of_its_model(django_assert_num_queries):
    make_review("light", model="lightgcn")
    make_review("draft", model="sasrec", is_draft=True)
    with django_assert_num_queries(1):
        for _ in range(5):
            assert 'href="/papers/light/"' in answered_by("lightgcn")
            assert "/papers/" not in answered_by("sasrec")
            assert "/papers/" not in answered_by("popular")


def test_of_two_reviews_of_a_model_the_newer_is_linked():
    make_review("new", model="ease", published="2026-02-02")
    make_review("old", model="ease", published="2025-02-02")
    assert 'href="/papers/new/"' in answered_by("ease")


def test_the_link_follows_the_reviews(django_assert_num_queries):
    review = make_review("light", model="lightgcn")
    assert "/papers/light/" in answered_by("lightgcn")
    review.is_draft = True
    review.save()
    assert "/papers/" not in answered_by("lightgcn")
    review.is_draft = False
    review.save()
    PaperReview.objects.all().delete()
    assert "/papers/" not in answered_by("lightgcn")


def test_the_navigation_leads_here(client):
    assert re.search(
        r'<a href="/papers/" aria-current="page">Papers</a>', page(client, reverse("papers:list"))
    )
    assert '<a href="/papers/">Papers</a>' in page(client, reverse("pages:browse"))


@pytest.mark.parametrize(("language", "is_said"), [("en", False), ("ko", True), ("zh-hans", True)])
def test_other_languages_are_told_that_reviews_are_english(client, language, is_said):
    review = make_review("neighbours")
    for address in (reverse("papers:list"), review.get_absolute_url()):
        page = client.get(address, headers={"accept-language": language}).content.decode()
        assert ('class="paper-language"' in page) == is_said, address
