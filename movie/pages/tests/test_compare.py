"""The compare page, histories written by hand, the table of trained versions, and expected stars."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets.interactions import Interactions
from movie.catalogue.models import Movie
from movie.catalogue.tests.films import make_film
from movie.events.models import Event
from movie.events.recording import new_event_id, record
from movie.pages.comparison import MOST_FILMS, read_history, score_text, written_form
from movie.pages.tests.test_movie_page import key_of
from movie.recommendations.ranking import expected_stars
from movie.training.versions import trained_versions
from predictors.history import History, Interaction
from predictors.models.ease import EasePredictor
from predictors.models.mf.model import MfPredictor
from predictors.models.neighbours import NeighboursPredictor
from predictors.models.popular import PopularPredictor
from predictors.serving import artifact
from predictors.serving.registry import ModelStore
from predictors.testing import fit_model

pytestmark = pytest.mark.django_db
MOST_QUERIES = 8
STATIC = Path(__file__).resolve().parents[3] / "static"
KINDS = (PopularPredictor, NeighboursPredictor, EasePredictor)
FINGERPRINT = "b737012e4d86b5aac35743c81c651697"


@pytest.fixture(autouse=True)
def _nothing_cached(settings, tmp_path):
    settings.MODEL_DIR = tmp_path / "models"
    cache.clear()


@pytest.fixture
def films():
    return [
        Movie.objects.create(title=f"Film {n}", year=1960 + n, rating_count=100 - n, rating_average=4.0)
        for n in range(40)
    ]


@pytest.fixture
def taste(films):
    """Sixty viewers, half of whom love even films and hate odd ones, and half the other way round."""
    rng = np.random.default_rng(0)
    users, items, values = [], [], []
    for user in range(60):
        for item in rng.permutation(40)[:24]:
            users.append(user)
            items.append(item)
            values.append(4.5 if item % 2 == user % 2 else 1.0)
    return Interactions.from_columns(
        np.array(users, np.int32),
        np.array(items, np.int32),
        np.array(values, np.float32),
        np.arange(len(users)),
        user_ids=np.arange(60),
        item_ids=np.array([film.pk for film in films]),
    )


@pytest.fixture
def store(settings):
    return ModelStore(settings.MODEL_DIR)


@pytest.fixture
def trained(films, taste, store):
    liked = taste.select(taste.values > 3)
    for kind in KINDS:
        store.publish(kind.fit(liked), activate=True)
    return films


def page(client, name="compare", **query):
    response = client.get(reverse(f"pages:{name}"), query)
    assert response.status_code == 200
    return response.content.decode()


def listed(markup):
    """Model -> ids of its films in order."""
    return {
        name: [int(pk) for pk in re.findall(r'<span class="pick-film"><a href="/movies/(\d+)/"', part)]
        for name, part in re.findall(
            r'<article class="compare-list" id="list-(\w+)"(.*?)</article>', markup, re.S
        )
    }


def do(client, film, kind, value=None):
    record(Interaction(new_event_id(), key_of(client), kind, film.pk, datetime.now(UTC), value))


def notes(markup):
    return re.findall(r'<li class="message">(.*?)</li>', markup)


# -- a history written by hand -------------------------------------------------------------------


def test_ids_may_be_parted_by_anything_and_carry_stars(films):
    a, b, c, d = (film.pk for film in films[:4])
    written = read_history(f"{a}:4.5, {b}\n{c} : 2;{d}:0.5")
    assert written.history.ratings == {a: 4.5, b: 5.0, c: 2.0, d: 0.5}
    assert written.history.liked == (a, b)
    assert written.history.disliked == {c, d}
    assert written.notes == []


def test_titles_are_found_a_line_each_with_year_stars_and_commas(films):
    old, new = make_film("Heat", 1986, rating_count=5), make_film("Heat", 1995, rating_count=90)
    good = make_film("The Good, the Bad and the Ugly", 1966, titles={"ko": "석양의 무법자"})
    assert list(read_history("heat").history.ratings) == [new.pk]
    assert read_history("Heat (1986): 3.5").history.ratings == {old.pk: 3.5}
    assert list(read_history("the good, the bad and the ugly").history.ratings) == [good.pk]
    assert list(read_history("석양의 무법자").history.ratings) == [good.pk]
    mixed = read_history(f"Heat: 4, {films[0].pk}:2, Film 3")
    assert mixed.history.ratings == {new.pk: 4.0, films[0].pk: 2.0, films[3].pk: 5.0}
    assert mixed.notes == []


def test_what_is_not_understood_is_left_out_and_said(films):
    hidden = make_film("Secret", is_visible=False)
    pk = films[0].pk
    text = f"{pk}:4, 987654, {pk + 1}:9, {hidden.pk}, {pk + 2}:good\nNo such film\nSecret\n{'9' * 30}"
    written = read_history(text)
    assert written.history.ratings == {pk: 4.0}
    assert written.notes == [
        f"“{pk + 1}:9” was left out: stars go from 0.5 to 5 in halves.",
        f"“{pk + 2}:good” was left out: stars go from 0.5 to 5 in halves.",
        "There is no film called “No such film”.",
        "There is no film called “Secret”.",
        f"There is no film called “{'9' * 30}”.",
        "There is no film 987654.",
        f"There is no film {hidden.pk}.",
    ]


@pytest.mark.parametrize(
    "text", ["\x00", ":", ",,,;", "1:", "-1", "١٢", "1:nan", "1:inf", "a" * 9000, "9," * 4000]
)
def test_no_text_breaks_the_page(client, trained, text):
    page(client, history=text, k="10")


def test_a_film_written_twice_has_its_last_stars(films):
    assert read_history(f"{films[0].pk}:2 {films[0].pk}:5").history.ratings == {films[0].pk: 5.0}


def test_a_long_history_is_cut_and_says_so(db):
    made = Movie.objects.bulk_create(Movie(title=f"F {n}") for n in range(MOST_FILMS + 1))
    written = read_history(",".join(str(film.pk) for film in made))
    assert len(written.films) == MOST_FILMS
    assert written.notes == [f"Only the first {MOST_FILMS} films were used."]


def test_a_written_history_reads_back_as_itself(films):
    history = read_history(f"{films[3].pk}:4.5 {films[1].pk}:2").history
    assert read_history(written_form(history)).history.ratings == history.ratings
    assert written_form(History.EMPTY) == ""


# -- the lists -------------------------------------------------------------------------------------


def test_all_active_models_answer_side_by_side(client, trained):
    history = f"{trained[0].pk} {trained[2].pk}"
    markup = page(client, history=history, k="5")
    lists = listed(markup)
    assert list(lists) == ["popular", "neighbours", "ease"]
    assert all(len(ids) == 5 for ids in lists.values())
    even = {film.pk for film in trained[::2]}
    assert set(lists["ease"]) <= even, "who likes even films gets even films"
    given = {trained[0].pk, trained[2].pk}
    assert not any(given & set(ids) for ids in lists.values())
    assert len(re.findall(r"\d\.\d ms CPU", markup)) == 3
    assert len(re.findall(r"Version \d{8}T", markup)) == 3
    assert f'href="/movies/{trained[0].pk}/">Film 0</a>' in markup


def test_the_address_holds_the_whole_comparison(trained):
    query = {"history": f"{trained[0].pk}:4, {trained[5].pk}", "k": "20"}
    assert listed(page(Client(), **query)) == listed(page(Client(), **query))
    assert listed(page(Client(), **query)) != listed(page(Client(), history=str(trained[1].pk), k="20"))
    markup = page(Client(), **query)
    assert f">{trained[0].pk}:4, {trained[5].pk}</textarea>" in markup
    assert '<option value="20" selected>' in markup


def test_films_that_lists_share_are_counted_and_marked_in_words(client, trained):
    markup = page(client, history=f"{trained[0].pk} {trained[2].pk}", k="10")
    lists = listed(markup)
    table = re.search(r'<table class="overlap">(.*?)</table>', markup, re.S)[1]
    rows = re.findall(r'<th scope="row">.*?</tr>', table, re.S)
    cells = [re.findall(r"<td>(?:<span[^>]*>)?(\d+|–)", row) for row in rows]
    names = list(lists)
    for place, name in enumerate(names):
        for other_place, other in enumerate(names):
            shared = len(set(lists[name]) & set(lists[other]))
            assert cells[place][other_place] == ("–" if place == other_place else str(shared))
    in_how_many = [sum(pk in ids for ids in lists.values()) for ids in lists.values() for pk in ids]
    for n in (2, 3):
        assert markup.count(f"in {n} of 3 lists") == in_how_many.count(n)


def test_your_own_history_is_the_default(client, trained):
    page(client)
    do(client, trained[0], "rating", 5)
    do(client, trained[2], "click")
    do(client, trained[1], "rating", 1)
    markup = page(client)
    own = re.search(r'<p class="compare-films">(.*?)</p>', markup)[1]
    assert re.findall(r">(Film \d+)<", own) == ["Film 0", "Film 2", "Film 1"]
    assert trained[0].pk not in listed(markup)["ease"]
    shared = urlencode({"history": f"{trained[0].pk}:5, {trained[1].pk}:1", "k": 10}).replace("&", "&amp;")
    assert f'href="/compare/?{shared}"' in markup
    assert Event.objects.count() == 3, "looking is no interaction"


def test_a_model_that_cannot_answer_says_why(client, trained):
    markup = page(client)
    lists = listed(markup)
    assert len(lists["popular"]) == 10
    assert lists["ease"] == lists["neighbours"] == []
    assert "EASE needs a film you liked first." in markup
    assert "Nothing is known about your taste yet" in markup
    example = re.search(r'href="(/compare/\?history=[^"]+)">An example', markup)[1].replace("&amp;", "&")
    assert all(listed(client.get(example).content.decode()).values())


def test_a_damaged_model_is_named_and_the_others_answer(client, trained, store):
    (store.path("ease", store.current("ease")) / "weights.safetensors").write_bytes(b"garbage")
    markup = page(client, history=str(trained[0].pk))
    assert "The files of EASE cannot be read." in markup
    assert listed(markup)["neighbours"]


def test_films_unknown_to_a_model_and_hidden_films(client, trained):
    late = make_film("Later than the training")
    markup = page(client, history=str(late.pk))
    assert "EASE does not know the films of your history yet." in markup
    best = listed(markup)["popular"][0]
    Movie.objects.filter(pk=best).update(is_visible=False)
    cache.clear()
    assert best not in listed(page(client, history=str(late.pk)))["popular"]


def test_without_any_model_the_page_says_what_to_do(client, films):
    markup = page(client, history=str(films[0].pk))
    assert "No model is active" in markup
    assert page(client, "compare_runs").count("Nothing has been trained yet") == 1


@pytest.mark.parametrize("k", ["0", "-5", "7", "1000000", "ten", "٥", "5.0"])
def test_other_lengths_are_refused_in_words(client, trained, k):
    markup = page(client, k=k)
    assert notes(markup) == [f"“{k}” is no length offered here; the lists have 10 films."]
    assert len(listed(markup)["popular"]) == 10


def test_nothing_of_a_history_becomes_markup(client, trained):
    markup = page(client, history='"><script>alert(1)</script></textarea>')
    assert "<script>alert" not in markup


def test_queries_are_few_for_everyone(client, trained, django_user_model):
    page(client)
    for film in trained[:20]:
        do(client, film, "rating", 4)
    member = Client()
    member.force_login(django_user_model.objects.create_user("cinephile", password="reel-to-reel"))
    member.post(reverse("pages:rate", args=[trained[0].pk]), {"value": "5"})
    everything = f"Film 3\n{trained[0].pk}:4, 987654"
    for who in (client, member, Client()):
        for query in ({"k": "20"}, {"history": everything}):
            with CaptureQueriesContext(connection) as captured:
                page(who, **query)
            assert len(captured) <= MOST_QUERIES, [each["sql"] for each in captured]
        with CaptureQueriesContext(connection) as captured:
            page(who, "compare_runs")
        assert len(captured) <= MOST_QUERIES


def test_scores_show_three_digits_that_matter():
    shown = [score_text(score) for score in (1234.5, 16.94, 6.2, 0.95, 0.0412, -0.00123, 0.0)]
    assert shown == ["1234", "16.9", "6.20", "0.950", "0.0412", "-0.00123", "0.00"]


# -- the trained versions ----------------------------------------------------------------------------


def published(store, kind, taste, *, activate=True, **row):
    metrics = [
        {
            "protocol": "leave-one-out",
            "part": "validation",
            "ranking": "full catalogue, seen items masked",
            "users": 60,
            "seed": 3,
            "cpu_seconds": 12.345,
            **row,
        }
    ]
    data = {
        "fingerprint": FINGERPRINT,
        "id_space": "site",
        "n_users": 60,
        "n_items": 40,
        "n_interactions": 1440,
    }
    return store.publish(kind.fit(taste), data=data, metrics=metrics, activate=activate)


def test_every_version_is_listed_with_its_facts(client, taste, store):
    old = published(store, EasePredictor, taste, **{"NDCG@10": 0.10})
    new = published(store, EasePredictor, taste, activate=False, **{"NDCG@10": 0.12})
    popular = published(store, PopularPredictor, taste, **{"NDCG@10": 0.05, "HR@10": 0.09})
    markup = page(client, "compare_runs")
    versions = markup.split('id="versions-name"')[1]
    assert re.findall(r"<code>(\d{8}T[^<]+)</code>", versions) == [popular, new, old]
    rows = versions.split("<tr>")[2:]
    assert ["active" in row for row in rows] == [True, False, True]
    for fact in ("60", "40", "1,440", FINGERPRINT[:8], "this site", "12.3", "ridge"):
        assert fact in rows[2]
    figures = markup.split('<table class="dense" id="figures-1"')[1].split("</table>")[0]
    assert re.findall(r'data-model="(\w+)"', figures) == ["EASE", "EASE", "Popular"], "best first"
    assert re.findall(r'data-value="([\d.]+)"', figures) == [
        *("0.12", "12.345", "0.1", "12.345"),
        *("0.05", "0.09", "12.345"),
    ]
    assert "–</td>" in figures, "what was not measured is no zero"


def test_what_a_retraining_decided_stands_beside_its_version(client, taste, store):
    published(store, EasePredictor, taste, **{"NDCG@10": 0.10})
    version = published(store, EasePredictor, taste, activate=False, **{"NDCG@10": 0.08})
    assert "etrained and" not in page(client, "compare_runs")
    kept = {"outcome": "kept", "reason": "NDCG@10 0.0812 after 0.1034 <b>: it falls"}
    artifact.annotate(store.path("ease", version), {"retrained": kept})
    markup = page(client, "compare_runs")
    assert "Retrained and kept out" in markup and "0.0812 after 0.1034 &lt;b&gt;: it falls" in markup
    assert store.verify("ease", version)["retrained"] == kept


def test_protocols_never_share_a_column(client, taste, store):
    published(store, EasePredictor, taste, **{"NDCG@10": 0.11})
    published(store, PopularPredictor, taste, protocol="guest", n=3, **{"NDCG@10": 0.4})
    published(store, NeighboursPredictor, taste, protocol="guest", n=10, **{"NDCG@10": 0.5})
    _runs, tables = trained_versions(store)
    found = [(table.protocol, table.conditions, [row.run.model for row in table.rows]) for table in tables]
    assert [(protocol, models) for protocol, _conditions, models in found] == [
        ("guest", ["popular"]),
        ("guest", ["neighbours"]),
        ("leave-one-out", ["ease"]),
    ]
    assert "n 10" in found[1][1]
    assert "seen items masked" in found[2][1]
    assert page(client, "compare_runs").count('class="dense" id="figures-') == 3


def test_intervals_are_shown_where_they_were_measured(client, taste, store):
    published(store, EasePredictor, taste, **{"NDCG@10": 0.11, "intervals": {"NDCG@10": [0.1, 0.125]}})
    markup = page(client, "compare_runs")
    assert 'data-low="0.1" data-high="0.125"' in markup
    assert "0.1000–0.1250" in markup


def test_versions_of_different_data_are_not_passed_off_as_equal(client, taste, store):
    published(store, EasePredictor, taste, **{"NDCG@10": 0.11})
    assert "saw the same data" not in page(client, "compare_runs")
    kind = PopularPredictor.fit(taste)
    store.publish(kind, data={"fingerprint": "0" * 64}, metrics=[
        {"protocol": "leave-one-out", "part": "validation", "ranking": "full catalogue, seen items masked",
         "NDCG@10": 0.1}])  # fmt: skip
    assert "Not all of these versions saw the same data" in page(client, "compare_runs")


@pytest.mark.parametrize(
    "facts",
    [
        "{",
        "[]",
        '{"format": 99}',
        '{"format": 1}',
        '{"format": 1, "created": "2024-13-45T00:00:00", "data": [], "config": 3, "metrics": "x"}',
        '{"format": 1, "created": 5, "data": {"n_users": "many"}, "metrics": [1, {"NDCG@10": "high"}]}',
        '{"format": 1, "metrics": [{"NDCG@10": true, "HR@10": 0.5, "intervals": {"HR@10": [1]}}]}',
    ],
)
def test_facts_that_cannot_be_read_make_a_row_that_says_so(client, taste, store, facts):
    good = published(store, EasePredictor, taste, **{"NDCG@10": 0.11})
    bad = store.path("ease", "20200101T000000-0000")
    bad.mkdir()
    (bad / "meta.json").write_text(facts)
    markup = page(client, "compare_runs")
    assert good in markup
    assert bad.name in markup
    assert str(store.root) not in markup, "no paths of the server"
    broken = not facts.startswith('{"format": 1')
    assert ("Its facts cannot be read" in markup) == (broken or json.loads(facts)["format"] != 1)


def test_a_page_without_figures_loads_no_charts(client, films, taste, store):
    store.publish(PopularPredictor.fit(taste), activate=True)
    assert "chart.umd" not in page(client, "compare_runs")
    published(store, EasePredictor, taste, **{"NDCG@10": 0.11})
    assert "chart.umd" in page(client, "compare_runs")


def test_nothing_on_the_pages_is_inline_or_from_elsewhere(client, trained, taste, store):
    published(store, EasePredictor, taste, **{"NDCG@10": 0.11})
    for markup in (page(client, history=str(trained[0].pk)), page(client, "compare_runs")):
        assert " style=" not in markup
        assert "<style" not in markup
        assert not re.search(r"<script(?![^>]*\bsrc=)", markup)
        assert not re.search(r"\son\w+=", markup)
        assert 'href="/compare/" aria-current="page"' in markup
    assert not re.search(r"@import|url\(", (STATIC / "pages" / "compare.css").read_text())
    library = (STATIC / "vendor" / "chart.umd.min.js").read_text()
    assert "sourceMappingURL" not in library, "hashed static files may not name a missing one"


# -- expected stars ----------------------------------------------------------------------------------


@pytest.fixture
def star_predictor(films, taste, store):
    store.publish(fit_model(MfPredictor, taste, options={"factors": 4}), activate=True)
    return films


def expected_on(client, film):
    markup = client.get(film.get_absolute_url()).content.decode()
    found = re.search(r"We expect ([\d½]+★) from you", markup)
    return found and found[1]


def test_the_page_of_a_film_says_what_you_would_give_it(client, star_predictor):
    films = star_predictor
    expected_on(client, films[0])
    do(client, films[0], "rating", 4.5)
    assert expected_on(client, films[2]) is None, "one rating is too little"
    for place in (4, 6, 8):
        do(client, films[place], "rating", 4.5)
    for place in (1, 3):
        do(client, films[place], "rating", 1)
    assert expected_on(client, films[2]) in ("4★", "4½★", "5★")
    assert expected_on(client, films[5]) is None, "below the own mean"
    assert expected_on(client, films[4]) is None, "rated already"
    do(client, films[2], "dismiss")
    assert expected_on(client, films[2]) is None
    assert expected_on(Client(), films[5]) is None


def test_expected_stars_are_half_stars_of_a_film_the_predictor_knows(star_predictor):
    films = star_predictor
    history = read_history(f"{films[0].pk}:5 {films[2].pk}:4.5 {films[1].pk}:0.5").history
    for film in films[3:]:
        expected = expected_stars(history, film.pk)
        if expected is not None:
            assert {*expected} <= {step / 2 for step in range(1, 11)}
            assert expected.stars >= expected.own_mean
    assert expected_stars(history, make_film("Later than the training").pk) is None
    assert expected_stars(History.EMPTY, films[3].pk) is None


def test_without_a_star_predictor_nothing_is_expected(client, trained):
    page(client)
    for film in trained[:3]:
        do(client, film, "rating", 4)
    assert expected_on(client, trained[10]) is None
