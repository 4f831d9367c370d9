"""Tests of rankings for programs: filters by every attribute, endless lists, pins and boosts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from movie.api import endless_lists
from movie.api.endless_lists import LISTS_ENDED, MOST_DELETED, REMEMBERED_FOR
from movie.api.models import READ, ApiClient, RememberedList
from movie.api.tests.test_movie_ids import unknown_film
from movie.catalogue.models import Country, Credit, ExternalId, Movie, MovieTag, Person
from movie.core.ids import new_event_id
from movie.recommendations.movie_index import recheck

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)


@pytest.fixture
def call(connect):
    return connect(READ)


@pytest.fixture
def facts(api_site) -> Person:
    """Films 1 to 12 have facts of every kind; returns Ada, who directed 2 and 4 and played in 6."""
    ada, ben = (Person.objects.create(name=name) for name in ("Ada Ågren", "Ben"))
    for number, person, role in (
        (2, ada, "director"),
        (4, ada, "director"),
        (6, ada, "cast"),
        (4, ben, "cast"),
    ):
        Credit.objects.create(movie_id=number, person=person, role=role)
    for number, name in ((3, "heist"), (5, "heist"), (5, "slow")):
        MovieTag.objects.create(movie_id=number, name=name)
    france = Country.objects.create(name="France")
    for number in (7, 8):
        Movie.objects.get(pk=number).countries.add(france)
    Movie.objects.filter(pk__in=(9, 10)).update(runtime=90)
    Movie.objects.filter(pk=11).update(runtime=150)
    Movie.objects.filter(pk=1).update(attributes={"price": 3, "formats": ["dvd", "4k"], "new": True})
    Movie.objects.filter(pk=2).update(attributes={"price": 5.5, "formats": "dvd", "note": None})
    Movie.objects.filter(pk=3).update(attributes={"price": "3", "new": 1})
    Movie.objects.filter(pk=4).update(available_until=SOON)
    Movie.objects.filter(pk=5).update(available_from=timezone.now() - timedelta(days=1))
    return ada


def ids(answer) -> list[int]:
    return [entry["movie_id"] for entry in answer["recommendations"]]


# -- filters ---------------------------------------------------------------------------------------

EVERY = set(range(1, 25))


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"people_in": ["ada agren"]}, {2, 4, 6}),
        ({"people_in": ["Ada Ågren", "Ben"]}, {4}),
        ({"people_out": ["ben"]}, EVERY - {4}),
        ({"tags_in": ["Heist"]}, {3, 5}),
        ({"tags_in": ["heist", "slow"]}, {5}),
        ({"tags_in": ["heist"], "tags_out": ["slow"]}, {3}),
        ({"countries": ["france"]}, {7, 8}),
        ({"runtime_from": 100}, {11}),
        ({"runtime_from": 80, "runtime_to": 100}, {9, 10}),
        ({"year_from": 1975, "year_to": 1976}, {5, 6}),
        ({"leaving_by": (SOON + timedelta(hours=1)).isoformat()}, {4}),
        ({"available_through": (SOON + timedelta(hours=1)).isoformat()}, EVERY - {4}),
        ({"arrived_since": (SOON - timedelta(days=30)).isoformat()}, {5}),
        ({"attributes": {"formats": "dvd"}}, {1, 2}),
        ({"attributes": {"formats": ["4k", "8k"]}}, {1}),
        ({"attributes": {"price": {"from": 3, "to": 5}}}, {1}),
        ({"attributes": {"price": {}}}, {1, 2}),
        ({"attributes": {"price": "3"}}, {3}),
        ({"attributes": {"new": True}}, {1}),
        ({"attributes": {"new": 1, "price": ["3", 5.5]}}, {3}),
        ({"attributes": {"formats": "8k"}}, set()),
        ({"genres_in": ["Horror"], "people_in": ["ada agren"], "runtime_to": 90}, set()),
    ],
)
def test_filters_read_every_attribute(call, facts, filters, expected):
    body = {"history": [], "k": 24, "filters": filters}
    for model in ("popular", "mf"):
        assert set(ids(call("POST", "recommend", body | {"model": model}))) == expected


def test_a_person_is_found_by_id(call, facts):
    for people in ([facts.pk], [facts.pk, "Ben"]):
        found = ids(call("POST", "recommend", {"history": [], "filters": {"people_in": people}}))
        assert set(found) == ({2, 4, 6} if len(people) == 1 else {4})


@pytest.mark.parametrize(
    ("filters", "field", "words"),
    [
        ({"tags_in": ["heist", "none"]}, "filters.tags_in[1]", "No film has the tag 'none'."),
        ({"people_in": ["Nobody"]}, "filters.people_in[0]", "No film has the person 'Nobody'."),
        ({"people_out": [9_999_999]}, "filters.people_out[0]", "No film has the person '9999999'."),
        ({"countries": ["Atlantis"]}, "filters.countries[0]", "country 'Atlantis'"),
        ({"attributes": {"colour": "red"}}, "filters.attributes.colour", "attribute 'colour'"),
        ({"attributes": {"price": {"from": "3"}}}, "filters.attributes.price.from", "valid number"),
        ({"attributes": {"price": [[1]]}}, "filters.attributes.price[0]", "expected a text"),
        ({"available_through": "2030-01-01T00:00:00"}, "filters.available_through", "timezone"),
    ],
)
def test_what_no_film_has_is_refused_with_its_field(call, facts, filters, field, words):
    (error,) = call("POST", "recommend", {"history": [1], "filters": filters}, 422)["errors"]
    assert error["field"] == field
    assert words in error["detail"]


def test_lists_under_filters_are_full_and_say_how_many_the_model_does_not_know(call, facts):
    unknown = [unknown_film(title=f"Unknown {n}", year=2020, rating_count=n) for n in range(3)]
    body = {"history": [1, 3], "k": 20, "filters": {"year_from": 1992}}
    answer = call("POST", "recommend", body)
    assert (answer["model"], answer["filled"]) == ("neighbours", 3)
    assert ids(answer)[-3:] == [unknown[2].pk, unknown[1].pk, unknown[0].pk]
    assert set(ids(answer)[:-3]) == {22, 23, 24}
    assert call("POST", "recommend", {"history": [1, 3], "k": 100})["filled"] == 0
    assert call("POST", "recommend", body | {"k": 3})["filled"] == 0


# -- endless lists ---------------------------------------------------------------------------------


def test_an_offset_goes_on_where_the_list_before_it_ended(call):
    every = ids(call("POST", "recommend", {"user_id": "ml-100k:3", "k": 100}))
    pages = [
        call("POST", "recommend", {"user_id": "ml-100k:3", "k": 5, "offset": offset})
        for offset in range(0, 20, 5)
    ]
    assert [film for page in pages for film in ids(page)] == every
    assert [entry["rank"] for entry in pages[1]["recommendations"]] == [6, 7, 8, 9, 10]
    assert ids(call("GET", "recommend/ml-100k:3?k=5&offset=5")) == every[5:10]
    batch = call("POST", "recommend/batch", {"entries": [{"user_id": "ml-100k:3"}], "k": 5, "offset": 5})
    assert ids(batch["results"][0]) == every[5:10]
    assert ids(call("POST", "recommend", {"user_id": "ml-100k:3", "offset": 900})) == []


def test_an_endless_list_repeats_nothing_while_the_history_grows(call):
    answer = call("POST", "recommend", {"history": [1], "k": 5, "endless": True})
    shown = ids(answer)
    for seen in ([1, 3], [1, 3, 5], [2], [2, 4]):
        after = answer["recommendation_id"]
        answer = call("POST", "recommend", {"history": seen, "k": 5, "after": after, "diversity": 0.3})
        assert not set(shown) & set(ids(answer))
        shown += ids(answer)
        assert answer["recommendations"][0]["rank"] == len(shown) - len(ids(answer)) + 1
    assert len(shown) == len(set(shown)) >= 22
    last = call("POST", "recommend", {"history": [2, 4], "k": 5, "after": answer["recommendation_id"]})
    assert ids(last) == []


def test_each_film_of_an_endless_list_is_stored_once_and_as_long_as_it_goes_on(call):
    def page(after=None, k=4):
        way = {"after": after} if after else {"endless": True}
        answer = call("POST", "recommend", {"history": [1], "k": k, **way})
        return answer["recommendation_id"], ids(answer)

    first, shown = page()
    second, more = page(first)
    other, of_another = page(first)
    assert more == of_another, "a page that is asked for twice is the same"
    third, last = page(second)
    stored = {each.pk: each.movie_ids for each in RememberedList.objects.all()}
    assert stored == {first: shown, second: more, other: of_another, third: last}
    assert len({*shown, *more, *last}) == 12
    old = timezone.now() - REMEMBERED_FOR - timedelta(seconds=1)
    RememberedList.objects.filter(pk__in=[first, second]).update(created=old)
    _fourth, rest = page(third)
    assert not {*shown, *more, *last} & set(rest)
    RememberedList.objects.update(created=old)
    page()
    assert RememberedList.objects.count() == 1


@pytest.mark.parametrize(("bound", "n"), [("MOST_FILMS", 8), ("MOST_PAGES", 2)])
def test_an_endless_list_ends_at_a_bound_of_films_and_of_pages(call, monkeypatch, bound, n):
    monkeypatch.setattr(endless_lists, bound, n)
    first = call("POST", "recommend", {"history": [1], "k": 4, "endless": True})
    second = call("POST", "recommend", {"history": [1], "k": 4, "after": first["recommendation_id"]})
    (error,) = call("POST", "recommend", {"history": [1], "after": second["recommendation_id"]}, 422)[
        "errors"
    ]
    assert error["field"] == "after" and "begin a new one" in error["detail"]
    assert RememberedList.objects.count() == 2


def test_branches_of_an_endless_list_count_as_its_pages_and_their_films_are_not_read(call, monkeypatch):
    first = call("POST", "recommend", {"history": [1], "k": 4, "endless": True})["recommendation_id"]
    after = {"history": [1], "k": 4, "after": first}
    branches = [call("POST", "recommend", after)["recommendation_id"] for _ in range(3)]
    with CaptureQueriesContext(connection) as captured:
        call("POST", "recommend", {**after, "after": branches[-1]})
    (read,) = [each["sql"] for each in captured if "movie_ids" in each["sql"] and " IN (" in each["sql"]]
    assert first in read and branches[-1] in read
    assert branches[0] not in read
    monkeypatch.setattr(endless_lists, "MOST_PAGES", 5)
    call("POST", "recommend", after, 422)


def test_pages_of_lists_in_use_are_not_looked_at_for_deletion(call):
    old = timezone.now() - REMEMBERED_FOR - timedelta(seconds=1)
    first = call("POST", "recommend", {"history": [1], "k": 1, "endless": True})["recommendation_id"]
    row = RememberedList.objects.get()
    copies = [
        RememberedList(
            recommendation_id=new_event_id(),
            client=row.client,
            first=first,
            previous=first,
            movie_ids=[1],
            created=old,
        )
        for _ in range(MOST_DELETED)
    ]
    RememberedList.objects.bulk_create(copies)
    with CaptureQueriesContext(connection) as captured:
        call("POST", "recommend", {"history": [1], "k": 1, "after": first})
    ended = next(each["sql"] for each in captured if each["sql"].endswith(f"LIMIT {LISTS_ENDED}"))
    with connection.cursor() as cursor:
        cursor.execute(ended)
        assert not cursor.fetchall()
    assert not [each for each in captured if each["sql"].startswith("DELETE")]
    RememberedList.objects.update(created=old)
    for left in (3, 1 + 1, 1 + 1 + 1):  # the 102 pages go in two steps, the first one last
        call("POST", "recommend", {"history": [1], "k": 1, "endless": True})
        assert RememberedList.objects.count() == left


def test_lists_of_before_the_migration_are_kept_while_they_go_on(call):
    first = call("POST", "recommend", {"history": [1], "k": 4, "endless": True})["recommendation_id"]
    call("POST", "recommend", {"history": [1], "k": 4, "after": first})
    latest = RememberedList.objects.exclude(previous="").get()
    RememberedList.objects.filter(pk=first).update(created=latest.created - REMEMBERED_FOR)
    orphan = {"recommendation_id": new_event_id(), "first": new_event_id(), "previous": new_event_id()}
    RememberedList.objects.create(**orphan, client=latest.client, movie_ids=[1])
    import_module("movie.api.migrations.0004_ended_endless_lists").make_first_pages_young(apps, None)
    assert RememberedList.objects.get(pk=first).created == latest.created
    assert set(RememberedList.objects.values_list("pk", flat=True)) == {first, latest.pk}


def test_a_list_that_was_deleted_meanwhile_begins_anew(call, monkeypatch):
    first = call("POST", "recommend", {"history": [1], "k": 4, "endless": True})["recommendation_id"]
    load = endless_lists.load_endless_films

    def load_and_delete(last):
        films = load(last)
        RememberedList.objects.all().delete()
        return films

    monkeypatch.setattr("movie.api.routes.recommend.load_endless_films", load_and_delete)
    answer = call("POST", "recommend", {"history": [1], "k": 4, "after": first})
    row = RememberedList.objects.get()
    assert (row.first, row.previous) == (answer["recommendation_id"], "")


def test_a_list_is_followed_by_its_own_client_alone_and_for_a_day(call, connect):
    rival = connect(READ, slug="rival")
    own = call("POST", "recommend", {"history": [1], "k": 5, "endless": True})["recommendation_id"]
    plain = call("POST", "recommend", {"history": [1], "k": 5})["recommendation_id"]
    for sender, after in ((rival, own), (call, plain), (call, "x")):
        (error,) = sender("POST", "recommend", {"history": [1], "after": after}, 422)["errors"]
        assert error["field"] == "after"
    call("POST", "recommend", {"history": [1], "endless": True}, 401, key=None)
    call("POST", "recommend", {"history": [1], "after": own}, 401, key=None)
    RememberedList.objects.update(created=timezone.now() - REMEMBERED_FOR - timedelta(seconds=1))
    call("POST", "recommend", {"history": [1], "after": own}, 422)
    call("POST", "recommend", {"history": [1], "endless": True})
    assert RememberedList.objects.count() == 1  # what was too old is deleted


def test_an_offset_into_what_has_none_is_refused(call):
    for more in ({"diversity": 0.5}, {"after": new_event_id()}):
        (error,) = call("POST", "recommend", {"history": [1], "offset": 5, **more}, 422)["errors"]
        assert error["field"] == "offset"


# -- rules -----------------------------------------------------------------------------------------


def ranked(call, rules, **more):
    return call("POST", "recommend", {"history": [1, 3], "k": 24, "rules": rules, **more})


def test_a_pin_stands_at_its_rank_if_it_may_be_in_the_list(call):
    every = ids(ranked(call, {}))
    pins = [{"movie_id": every[-1], "rank": 1}, {"movie_id": every[0], "rank": 3, "name": "of the week"}]
    answer = ranked(call, {"pins": pins}, k=4)
    assert ids(answer) == [every[-1], every[1], every[0], every[2]]
    assert [entry.get("rules") for entry in answer["recommendations"]] == [
        ["pin"],
        None,
        ["of the week"],
        None,
    ]
    seen = {"pins": [{"movie_id": 1, "rank": 1}]}
    assert 1 not in ids(ranked(call, seen))
    assert ids(ranked(call, seen, exclude_seen=False))[0] == 1
    assert every[-1] not in ids(ranked(call, {"pins": pins}, exclude=[every[-1]]))
    horror = {"genres_in": ["Horror"]}
    western = {"pins": [{"movie_id": 5, "rank": 1}, {"movie_id": 8, "rank": 1}]}
    assert ids(ranked(call, western, filters=horror))[0] == 8
    assert 5 not in ids(ranked(call, western, filters=horror))
    Movie.objects.filter(pk=every[-1]).update(is_visible=False)
    recheck()
    assert every[-1] not in ids(ranked(call, {"pins": pins}))


def test_a_pin_shows_a_film_that_no_model_knows(call):
    new = Movie.objects.create(title="New")
    ExternalId.objects.create(movie=new, source="shop", value="sku-new")
    answer = ranked(call, {"pins": [{"movie_id": "shop:sku-new", "rank": 2}]}, k=3, explain=True)
    assert ids(answer)[1] == new.pk
    assert answer["recommendations"][1]["reasons"] == []
    missing = ranked(call, {"pins": [{"movie_id": "shop:sku-none", "rank": 2}]})
    assert missing["unknown_ids"] == ["shop:sku-none"]


def test_boosts_move_films_by_places_and_add_up(call):
    every = ids(ranked(call, {}))

    def moved(*boosts, **more):
        return ids(ranked(call, {"boosts": list(boosts)}, **more))

    assert moved({"movies": [every[5]], "places": 3})[:6] == [*every[:2], every[5], *every[2:5]]
    assert moved({"movies": [every[0]], "places": -2})[:4] == [every[1], every[2], every[0], every[3]]
    assert moved({"movies": [every[9]], "places": 5}, {"movies": [every[9]], "places": 4})[0] == every[9]
    assert moved({"movies": [every[-1]], "places": 100}, k=3) == [every[-1], *every[:2]]
    assert moved({"movies": [every[0]], "places": -100}, k=3) == every[1:4]
    horror = {"filters": {"genres_in": ["Horror"]}, "places": 100, "name": "halloween"}
    answer = ranked(call, {"boosts": [horror]}, k=5)
    assert ids(answer) == [film for film in every if film % 2 == 0][:5]
    assert all(entry["rules"] == ["halloween"] for entry in answer["recommendations"])
    scores = {entry["movie_id"]: entry["score"] for entry in ranked(call, {})["recommendations"]}
    assert all(entry["score"] == scores[entry["movie_id"]] for entry in answer["recommendations"])
    assert (
        ids(ranked(call, {"boosts": [horror]}, k=5, offset=5))
        == ids(ranked(call, {"boosts": [horror]}, k=10))[5:]
    )


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({"boosts": [{"places": 1}]}, "rules.boosts[0]"),
        ({"boosts": [{"places": 1, "movies": [1], "filters": {}}]}, "rules.boosts[0]"),
        ({"boosts": [{"places": 101, "movies": [1]}]}, "rules.boosts[0].places"),
        ({"boosts": [{"places": 1, "movies": ["nowhere:1"]}]}, "rules.boosts[0].movies[0]"),
        (
            {"boosts": [{"places": 1, "filters": {"genres_in": ["Musical"]}}]},
            "rules.boosts[0].filters.genres_in[0]",
        ),
        ({"pins": [{"movie_id": 1, "rank": 0}]}, "rules.pins[0].rank"),
        ({"pins": [{"movie_id": "nowhere:1", "rank": 1}]}, "rules.pins[0].movie_id"),
        ({"pin": []}, "rules.pin"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_field(call, rules, field):
    body = {"history": [1], "rules": rules}
    assert call("POST", "recommend", body, 422)["errors"][0]["field"] == field


def test_rules_hold_for_every_list_of_a_batch_and_for_fallbacks(call, settings):
    rules = {"pins": [{"movie_id": 8, "rank": 1}]}
    entries = [{"user_id": "ml-100k:3"}, {"history": []}, {"history": [8]}]
    results = call("POST", "recommend/batch", {"entries": entries, "k": 3, "rules": rules})["results"]
    assert [ids(result)[0] == 8 for result in results] == [True, True, False]
    settings.DEFAULT_MODELS = ("neighbours",)
    answer = call("POST", "recommend", {"history": [], "k": 3, "rules": rules})
    assert (answer["model"], ids(answer)[0]) == ("most_rated", 8)


def test_the_operators_rules_are_those_of_all_lists_of_a_client(call, connect):
    shop = ApiClient.objects.get(slug="shop")
    shop.rules = {
        "pins": [{"movie_id": 8, "rank": 1, "name": "sponsored"}, {"movie_id": "nowhere:1", "rank": 2}],
        "boosts": [{"places": 9, "filters": {"genres_in": ["Musical"]}}],
    }
    shop.full_clean()
    shop.save()
    answer = call("POST", "recommend", {"history": [1], "k": 3})
    assert ids(answer)[0] == 8
    assert answer["recommendations"][0]["rules"] == ["sponsored"]
    assert answer["unknown_ids"] == []
    batch = call("POST", "recommend/batch", {"entries": [{"history": [1]}], "k": 3})
    assert ids(batch["results"][0]) == ids(answer)
    assert ids(connect(READ, slug="rival")("POST", "recommend", {"history": [1], "k": 3}))[0] != 8
    shop.rules = {"pins": [{"movie_id": 8, "rank": 0}]}
    with pytest.raises(ValidationError, match=r"pins\[0\]\.rank"):
        shop.full_clean()
    emptied = ApiClient(slug="empty", rules=None)  # as a form sends an empty field
    emptied.full_clean()
    assert emptied.rules == {}
    ApiClient.objects.update(rules=shop.rules)  # as by an older version of the site
    assert ids(call("POST", "recommend", {"history": [1], "k": 3}))[0] != 8


def test_a_list_with_rules_and_filters_of_memory_costs_no_query_of_its_own(call, facts):
    filters = {
        "attributes": {"price": {"from": 1}},
        "countries": ["France"],
        "arrived_since": SOON.isoformat(),
    }
    rules = {"boosts": [{"places": 5, "filters": filters}], "pins": [{"movie_id": 8, "rank": 2}]}
    body = {"history": [1], "k": 5, "rules": rules}
    call("POST", "recommend", body, key=None)
    with CaptureQueriesContext(connection) as queries:
        call("POST", "recommend", body, key=None)
    assert len(queries) == 0
