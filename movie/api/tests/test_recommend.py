"""Tests of recommendations over the API: for a history, for a user, with options, and in batches."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from movie.api.history_input import request_history
from movie.api.models import READ, READ_VISITORS, ApiClient, create_key
from movie.api.schemas import HistoryEntry
from movie.catalogue.models import Movie, Rating
from movie.catalogue.tests.films import LONG_AGO
from movie.events.history import get_history
from movie.events.recording import new_event_id, record
from movie.recommendations.micro_batching import run_together
from movie.training.registry import registry
from predictors.history import History, Interaction
from predictors.id_map import IdMap
from predictors.models.popular import PopularPredictor

ADDRESS = "/api/v1/recommend"


@pytest.fixture
def ask(client, api_site, settings):
    """Return a function that posts a body and returns the answer's JSON."""

    settings.API_ANONYMOUS_BATCH = 1000

    def post(body, *, path="", status=200, **headers):
        sent = body if isinstance(body, str | bytes) else json.dumps(body)
        response = client.post(ADDRESS + path, sent, content_type="application/json", headers=headers)
        assert response.status_code == status, response.content
        return response.json()

    return post


def ids(answer) -> list[int]:
    return [entry["movie_id"] for entry in answer["recommendations"]]


def bearer(*scopes: str, name: str = "shop") -> dict[str, str]:
    client, _ = ApiClient.objects.get_or_create(slug=name)
    return {"authorization": f"Bearer {create_key(client, list(scopes)).token}"}


# -- one list --------------------------------------------------------------------------------------


def test_a_history_gets_films_like_its_own_and_says_who_ranked_them(ask):
    answer = ask({"history": [1, 3, 5], "k": 5})
    assert len(answer["recommendations"]) == 5
    assert all(film % 2 == 1 for film in ids(answer)[:3])  # westerns, as the people who liked 1, 3 and 5
    assert not {1, 3, 5} & set(ids(answer))
    assert [entry["rank"] for entry in answer["recommendations"]] == [1, 2, 3, 4, 5]
    assert answer["recommendations"][0]["title"] == f"Film {ids(answer)[0]}"
    scores = [entry["score"] for entry in answer["recommendations"]]
    assert scores == sorted(scores, reverse=True)
    assert (answer["model"], answer["version"]) == ("neighbours", registry().store.current("neighbours"))
    assert answer["fallback"] is None
    assert answer["unknown_ids"] == []


def test_a_list_is_the_predictors_own(ask):
    entries = [{"movie_id": 1, "rating": 5}, {"movie_id": 4, "rating": 1.5}, 7]
    history = request_history([HistoryEntry(**each) if isinstance(each, dict) else each for each in entries])
    expected = registry().get("neighbours").recommend(history, 6, exclude=[1, 4, 7])
    answer = ask({"history": entries, "k": 6})
    assert ids(answer) == [found.movie_id for found in expected]
    assert [entry["score"] for entry in answer["recommendations"]] == pytest.approx(
        [found.score for found in expected], rel=1e-6
    )


def test_what_was_seen_and_what_is_excluded_stays_out_unless_wanted(ask):
    everything = ask({"history": [1, 3], "exclude_seen": False, "k": 100})
    assert set(ids(everything)) == set(range(1, 25))
    assert set(ids(ask({"history": [1, 3], "exclude": [5, 7, 999], "k": 100}))) == set(range(1, 25)) - {
        1,
        3,
        5,
        7,
    }


def test_unknown_films_are_named_and_the_rest_counts(ask):
    answer = ask({"history": [1, 999_999, 3], "k": 3})
    assert answer["unknown_ids"] == [999_999]
    assert ids(answer) == ids(ask({"history": [1, 3], "k": 3}))


def test_filters_leave_a_full_list_where_there_are_enough_films(ask):
    wanted = {"genres_in": ["horror"], "genres_out": ["Comedy"], "year_from": 1975, "languages": ["Korean"]}
    answer = ask({"history": [1, 3, 5], "k": 4, "filters": wanted})
    assert set(ids(answer)) == {14, 16, 20, 22}
    years = {"year_from": 1980, "year_to": 1985}
    assert set(ids(ask({"history": [1], "k": 100, "filters": years}))) == set(range(10, 16))


def test_a_filter_that_no_film_meets_is_an_error_of_that_field(ask):
    problem = ask({"history": [1], "filters": {"genres_in": ["Western", "Musical"]}}, status=422)
    assert problem["errors"][0]["field"] == "filters.genres_in[1]"
    assert "Musical" in problem["errors"][0]["detail"]


def test_hidden_films_are_in_no_list(ask, monkeypatch):
    monkeypatch.setattr("movie.recommendations.movie_index.CHECK_SECONDS", 0)
    monkeypatch.setattr("movie.recommendations.movie_index.SCAN_SECONDS", 0)
    before = ids(ask({"history": [1, 3], "k": 3}))
    Movie.objects.filter(pk=before[0]).update(is_visible=False)
    assert ids(ask({"history": [1, 3], "k": 2})) == before[1:]


def test_a_changed_catalogue_is_noticed(ask, monkeypatch):
    monkeypatch.setattr("movie.recommendations.movie_index.CHECK_SECONDS", 0)
    monkeypatch.setattr("movie.recommendations.movie_index.SCAN_SECONDS", 0)
    first = ids(ask({"history": [1, 3], "k": 1}))[0]
    film = Movie.objects.get(pk=first)
    film.title = "Renamed"
    film.save()
    assert ask({"history": [1, 3], "k": 1})["recommendations"][0]["title"] == "Renamed"
    Movie.objects.filter(pk=first).update(is_visible=False)
    assert ids(ask({"history": [1, 3], "k": 1})) != [first]


def test_diversity_trades_score_for_difference(ask):
    plain = ids(ask({"history": [1, 3, 5], "k": 6}))
    assert ids(ask({"history": [1, 3, 5], "k": 6, "diversity": 0})) == plain
    varied = ask({"history": [1, 3, 5], "k": 6, "diversity": 0.9})
    assert ids(varied)[0] == plain[0]
    assert sum(film % 2 == 0 for film in ids(varied)) > sum(film % 2 == 0 for film in plain)
    assert len(set(ids(varied))) == 6


def test_predicted_stars_need_two_ratings_and_follow_taste(ask):
    liked = [{"movie_id": film, "rating": 4.5 if film % 2 else 2} for film in (1, 2, 3, 4, 5, 6)]
    answer = ask({"history": liked, "k": 100})
    stars = {entry["movie_id"]: entry["predicted_rating"] for entry in answer["recommendations"]}
    assert np.mean([stars[film] for film in stars if film % 2]) > 3.5
    assert np.mean([stars[film] for film in stars if not film % 2]) < 3
    assert "predicted_rating" not in ask({"history": liked[:1], "k": 1})["recommendations"][0]


def test_reasons_are_sentences_with_shares_in_the_language_asked_for(ask):
    body = {"history": [{"movie_id": 1, "rating": 5}, 3], "k": 3, "explain": True}
    for entry in ask(body)["recommendations"]:
        assert entry["reasons"] or entry["instead"]
        assert sum(reason["share"] for reason in entry["reasons"]) + entry["rest"] == pytest.approx(
            1 if entry["reasons"] else 0, abs=1e-3
        )
    said = [reason["sentence"] for entry in ask(body)["recommendations"] for reason in entry["reasons"]]
    assert any("Film 1" in sentence for sentence in said)
    korean = ask(body, **{"accept-language": "ko"})
    assert [reason["sentence"] for entry in korean["recommendations"] for reason in entry["reasons"]] != said
    translation.activate("ko")  # what an earlier page may have left behind
    again = ask(body)
    assert [reason["sentence"] for entry in again["recommendations"] for reason in entry["reasons"]] == said


def test_a_model_that_cannot_answer_is_named_with_the_reason(ask, settings):
    answer = ask({"history": [], "model": "neighbours", "k": 3})
    assert answer["model"] == "popular"
    assert answer["fallback"]["requested"] == "neighbours"
    assert answer["fallback"]["reason"] == "history_too_short"
    assert ask({"history": [999], "model": "neighbours"})["fallback"]["reason"] == "no_known_films"
    assert ask({"history": [1], "model": "sasrec"})["fallback"]["reason"] == "not_trained"
    settings.DEFAULT_MODELS = ("neighbours",)
    last_resort = ask({"history": [], "k": 3})
    most_rated = Movie.objects.most_rated().values_list("pk", flat=True)
    assert (last_resort["model"], ids(last_resort)) == ("most_rated", list(most_rated[:3]))
    western = ask({"history": [], "k": 3, "filters": {"genres_in": ["Western"]}})
    assert ids(western) == [pk for pk in most_rated if pk % 2][:3]


def test_while_nothing_is_trained_the_answer_is_503_with_a_time(client, api_site, settings, tmp_path):
    settings.MODEL_DIR = tmp_path
    response = client.post(ADDRESS, {"history": [1]}, content_type="application/json")
    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert response["Content-Type"] == "application/problem+json"


# What SQLite and MySQL say then.
AWAY = OperationalError(*(["unable to open database file"] if connection.vendor == "sqlite" else [2006]))


def test_while_the_database_is_away_histories_are_answered_and_users_get_503(ask, client, monkeypatch):
    ask({"history": [1, 3]})  # the film table is read

    def away(*args, **kwargs):
        raise AWAY

    with monkeypatch.context() as patch:
        patch.setattr("django.db.backends.utils.CursorWrapper.execute", away)
        assert ask({"history": [1, 3], "k": 2})["recommendations"]
        response = client.get(f"{ADDRESS}/ml-100k:3")
    assert response.status_code == 503
    assert response["Retry-After"] == "5"


def test_a_list_costs_no_query(ask):
    ask({"history": [1, 3]})
    with CaptureQueriesContext(connection) as captured:
        ask({"history": [1, 3], "k": 10, "filters": {"year_from": 1975}})
    assert len(captured) == 0


def test_nothing_is_recorded(ask):
    before = Rating.objects.count()
    ask({"history": [{"movie_id": 1, "rating": 5}], "explain": True})
    assert Rating.objects.count() == before
    assert not get_history("")


# -- whose list ------------------------------------------------------------------------------------


def test_anybody_may_ask_for_a_data_set_user(client, api_site):
    answer = client.get(f"{ADDRESS}/ml-100k:3?k=4").json()
    assert len(answer["recommendations"]) == 4
    seen = set(Rating.objects.filter(visitor="ml-100k:3").values_list("movie", flat=True))
    assert not seen & set(ids(answer))
    assert all("predicted_rating" in entry for entry in answer["recommendations"])


def test_the_short_form_is_the_long_one_with_defaults(client, ask):
    short = client.get(f"{ADDRESS}/ml-100k:3?k=4&model=popular&explain=true").json()
    long = ask({"user_id": "ml-100k:3", "k": 4, "model": "popular", "explain": True})
    assert short["recommendations"] == long["recommendations"]


@pytest.mark.parametrize("user", ["ml-100k:9999", "lastfm:1"])
def test_an_unknown_user_is_not_found(client, api_site, user):
    assert client.get(f"{ADDRESS}/{user}").status_code == 404


def test_visitors_of_the_site_need_a_key_with_the_scope(client, ask):
    member = get_user_model().objects.create_user("ada")
    for user in (f"user:{member.pk}", "guest:8f14e45f-ceea-467f-a0e6-d1b3a1b2c3d4"):
        ask({"user_id": user}, status=401)
        ask({"user_id": user}, status=403, **bearer(READ))
    allowed = bearer(READ_VISITORS)
    assert ask({"user_id": f"user:{member.pk}"}, **allowed)["model"] == "popular"  # no history yet
    event = Interaction(new_event_id(), f"user:{member.pk}", "rating", 1, LONG_AGO, 5.0)
    record(event)
    assert 1 not in ids(ask({"user_id": f"user:{member.pk}", "k": 100}, **allowed))
    for nobody in ("user:999999", "user:99999999999999999999999", "user:x", "guest:nobody"):
        ask({"user_id": nobody}, status=404, **allowed)


def test_a_client_asks_for_its_own_visitors_only(ask):
    record(Interaction(new_event_id(), "api:shop:42", "rating", 1, LONG_AGO, 5.0))
    assert ids(ask({"user_id": "42", "k": 3}, **bearer(READ)))
    ask({"user_id": "api:shop:42"}, status=403, **bearer(READ, name="rival"))
    ask({"user_id": "42"}, status=404, **bearer(READ, name="rival"))


# -- many lists ------------------------------------------------------------------------------------


def test_a_batch_answers_each_as_if_asked_alone(ask):
    entries = [
        {"user_id": "ml-100k:3"},
        {"history": [1, {"movie_id": 2, "rating": 1}]},
        {"user_id": "ml-100k:30"},
    ]
    batch = ask({"entries": entries, "k": 5}, path="/batch")
    assert batch["failed"] == 0
    for entry, result in zip(entries, batch["results"], strict=True):
        alone = ask({**entry, "k": 5})
        for one, other in zip(result["recommendations"], alone["recommendations"], strict=True):
            assert one == {**other, "score": pytest.approx(other["score"], rel=1e-5)}
        assert (result["model"], result["unknown_ids"]) == (alone["model"], alone["unknown_ids"])


def test_a_wrong_entry_spoils_no_other(ask):
    entries = [
        {"history": [1]},
        {"user_id": "ml-100k:9999"},
        {"user_id": "user:1"},
        {"history": [0]},
        {},
        "x",
        {"history": []},
    ]
    batch = ask({"entries": entries, "model": "neighbours"}, path="/batch")
    assert [result.get("error", {}).get("status") for result in batch["results"]] == [
        None, 404, 401, 422, 422, 422, None,
    ]  # fmt: skip
    assert batch["failed"] == 5
    assert "history[0]" in batch["results"][3]["error"]["detail"]
    assert batch["results"][6]["fallback"]["reason"] == "history_too_short"
    assert ask({"entries": ["x"]}, path="/batch")["failed"] == 1


def test_a_large_batch_takes_few_queries_and_one_pass_through_the_model(ask, monkeypatch):
    ask({"history": [1]})
    sizes = []
    predictor = registry().get("neighbours")
    score = type(predictor).score
    monkeypatch.setattr(
        type(predictor),
        "score",
        lambda self, queries: sizes.append(len(queries)) or score(self, queries),
    )
    entries = [{"user_id": f"ml-100k:{n % 40}"} for n in range(500)] + [{"history": [1, 3]}] * 500
    with CaptureQueriesContext(connection) as captured:
        batch = ask({"entries": entries, "k": 2}, path="/batch")
    assert batch["failed"] == 0
    assert len(batch["results"]) == 1000
    assert len(captured) <= 2
    assert len(sizes) <= 1000 / 64 + 1
    ask({"entries": [{"history": [1]}] * 1001}, path="/batch", status=422)


# -- a history that was sent -----------------------------------------------------------------------

entries = st.lists(
    st.one_of(
        st.integers(1, 30),
        st.builds(
            lambda film, stars, minute: HistoryEntry(
                movie_id=film,
                **({} if stars is None else {"rating": stars / 2}),
                **(
                    {}
                    if minute is None
                    else {"at": datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)}
                ),
            ),
            st.integers(1, 30),
            st.none() | st.integers(1, 10),
            st.none() | st.integers(0, 1000),
        ),
    ),
    max_size=12,
)


def history_of_interactions(sent) -> History:
    """Return every entry as an interaction, in the order sent or, if all have times, by their times."""
    every = [HistoryEntry(movie_id=each) if isinstance(each, int) else each for each in sent]
    timed = all(each.at is not None for each in every)
    return History(
        Interaction(
            f"{place:03}",
            "",
            "click" if each.rating is None else "rating",
            each.movie_id,
            each.at if timed else LONG_AGO + timedelta(minutes=place),
            each.rating,
        )
        for place, each in enumerate(every)
    )


@hypothesis_settings(max_examples=200, deadline=None)
@given(entries)
def test_a_sent_history_equals_the_interactions_of_its_entries(sent):
    history = request_history(sent)
    predictor = PopularPredictor(np.ones(20, np.float32), IdMap(range(1, 21)))
    story = history_of_interactions(sent)
    quick, full = predictor.encode(history), predictor.encode(story)
    assert quick.liked.tolist() == full.liked.tolist()
    assert quick.weights.tolist() == pytest.approx(full.weights.tolist())
    assert sorted(quick.disliked.tolist()) == sorted(full.disliked.tolist())
    assert sorted(quick.seen.tolist()) == sorted(full.seen.tolist())
    assert set(quick.unknown) == set(full.unknown)
    assert dict(zip(quick.rated.tolist(), quick.stars.tolist(), strict=True)) == dict(
        zip(full.rated.tolist(), full.stars.tolist(), strict=True)
    )
    assert len(history.ratings) == len(story.ratings)
    assert list(history.strength.items()) == list(story.strength.items())
    assert set(history.known) == {event.movie_id for event in story}
    assert predictor.encode(History(history.interactions)).liked.tolist() == quick.liked.tolist()
    assert (history.ratings, history.disliked) == (story.ratings, story.disliked)


# -- together --------------------------------------------------------------------------------------


def test_requests_at_the_same_time_are_scored_together_and_get_their_own_answers(ask, monkeypatch):
    bodies = [
        {"history": [1, 2], "k": 3, "model": "neighbours"},
        {"history": [5], "k": 2, "model": "neighbours", "explain": True},
        {"history": [999], "k": 2, "model": "neighbours"},  # which `popular` answers
        {"history": [{"movie_id": 7, "rating": 4.5}], "filters": {"year_from": 1800}},
        {"history": [1], "k": 0},
    ]
    statuses = [200, 200, 200, 200, 422]
    calls = [partial(ask, body, status=status) for body, status in zip(bodies, statuses, strict=True)]
    calls.append(partial(ask, bodies[1], **{"accept-language": "ko"}))
    alone = [call() for call in calls]
    predictor, sizes = registry().get("neighbours"), []
    score = type(predictor)._score
    monkeypatch.setattr(
        type(predictor), "_score", lambda self, queries: sizes.append(len(queries)) or score(self, queries)
    )
    together = run_together(calls)
    assert max(sizes) > 1
    for answer in [*alone, *together]:
        answer.pop("recommendation_id", None)
        answer.pop("latency_ms", None)
    assert together == alone
    assert together[1] != together[-1], "each in the language it was asked for"
