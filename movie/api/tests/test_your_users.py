"""Tests of the users of a client: who was imported goes on through the API as the same person."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command

from movie.api.models import READ, WRITE_INTERACTIONS, WRITE_VISITORS, ApiClient
from movie.catalogue.models import ExternalId, Movie, Rating
from movie.events.history import get_history
from movie.events.models import Event
from movie.visitors.client_ids import client_visitor
from predictors.history import Watch

HEADER = "user,sku,stars,at\n"
COLUMNS = "user=user,movie=sku,rating=stars,time=at"
NOON = 1_600_000_000


@pytest.fixture
def films(api_site) -> dict[str, Movie]:
    """The films of the site under the ids of a shop: sku-1, sku-2, ..."""
    for film in api_site:
        ExternalId.objects.create(movie=film, source="shop", value=f"sku-{film.pk}")
    ApiClient.objects.create(slug="shop")
    return {f"sku-{film.pk}": film for film in api_site}


def run(command, tmp_path, text, name="ratings.csv", **options):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    out = io.StringIO()
    given = {"client": "shop", "source": "shop", "columns": COLUMNS} | options
    call_command(command, str(path), stdout=out, no_progress=True, **given)
    return out.getvalue()


@pytest.fixture
def call(connect, films):
    return connect(READ, WRITE_INTERACTIONS, WRITE_VISITORS)


@pytest.mark.parametrize("user", ["7", "anna@example.org", "0f8fad5b-d9cb-469f-a165-70867728950e", "Jörg"])
def test_who_was_imported_goes_on_through_the_api_as_the_same_person(tmp_path, films, call, user):
    text = run("import_ratings", tmp_path, HEADER + f"{user},sku-1,4.5,{NOON}\n{user},sku-3,5,{NOON}\n")
    assert "2 added" in text
    assert "visitors of the API client shop" in text
    events = call("GET", f"visitors/{user}/history")["events"]
    assert {(each["movie_id"], each["value"], each["kind"]) for each in events} == {
        (1, 4.5, "rating"),
        (3, 5.0, "rating"),
    }
    assert {each["id"] for each in call("GET", "users?limit=1000")["users"]} >= {user}
    before = call("POST", "recommend", {"user_id": user, "k": 24})
    assert not {1, 3} & {each["movie_id"] for each in before["recommendations"]}
    call("POST", "interactions", {"visitor": user, "movie_id": 5, "kind": "rating", "value": 4})
    assert get_history(client_visitor("shop", user)).ratings == {1: 4.5, 3: 5.0, 5: 4.0}
    after = call("POST", "recommend", {"user_id": user, "k": 24})
    assert 5 not in {each["movie_id"] for each in after["recommendations"]}
    assert Rating.objects.filter(visitor=f"api:shop:{user}").count() == 3
    assert call("DELETE", f"visitors/{user}/history")["deleted"] == 3


def test_the_same_user_is_imported_then_live_then_exported_and_taken_in_again(tmp_path, films, call):
    rated = [("anna", "sku-1", 4.5), ("anna", "sku-3", 2.0), ("ben", "sku-2", 5.0)]
    run(
        "import_ratings",
        tmp_path,
        HEADER + "".join(f"{who},{sku},{stars},{NOON}\n" for who, sku, stars in rated),
    )
    live = [
        {"movie_id": "shop:sku-5", "kind": "rating", "value": 4},
        {"movie_id": "shop:sku-3", "kind": "rating", "value": 3.5},  # anna changed her mind
        {"movie_id": "shop:sku-7", "kind": "click"},
    ]
    assert call("POST", "interactions", [{"visitor": "anna", **each} for each in live])["stored"] == 3
    events, path = [], "visitors/anna/history?id_space=shop&limit=2"
    while path:
        page = call("GET", path)
        events += page["events"]
        path = page["next"] and f"visitors/anna/history?id_space=shop&limit=2&cursor={page['next']}"
    assert [(each["external_id"], each["kind"], each["value"]) for each in events[:3][::-1]] == [
        ("sku-5", "rating", 4.0),
        ("sku-3", "rating", 3.5),
        ("sku-7", "click", None),
    ]
    assert {(each["external_id"], each["value"]) for each in events[3:]} == {("sku-1", 4.5), ("sku-3", 2.0)}
    exported = "".join(
        f"anna,{each['external_id']},{each['value'] or ''},{each['at']},{each['kind']}\n" for each in events
    )
    ApiClient.objects.create(slug="library")
    again = run(
        "import_interactions",
        tmp_path,
        "user,sku,stars,at,kind\n" + exported,
        columns=f"{COLUMNS},kind=kind",
        client="library",
    )
    assert "5 added" in again
    for client_name in ("shop", "library"):
        history = get_history(client_visitor(client_name, "anna"))
        assert history.ratings == {1: 4.5, 3: 3.5, 5: 4.0}
        assert [each.movie_id for each in history if each.kind == "click"] == [7]


def test_a_combining_letter_of_a_file_is_the_same_person_as_the_composed_one_of_the_api(
    tmp_path, films, call
):
    run("import_ratings", tmp_path, HEADER + f"Jo\u0308rg,sku-1,4,{NOON}\n")
    assert len(call("GET", "visitors/J\u00f6rg/history")["events"]) == 1


def test_numbers_as_pandas_writes_them_are_the_numbers_of_the_api(tmp_path, films, call):
    run("import_ratings", tmp_path, HEADER + f"7.0,sku-1,4,{NOON}\n")
    assert len(call("GET", "visitors/7/history")["events"]) == 1


def test_twice_is_once_and_what_was_done_here_later_stands(tmp_path, films, call):
    rows = HEADER + f"7,sku-1,4,{NOON}\n7,sku-3,2.5,{NOON}\n8,sku-1,5,{NOON}\n"
    run("import_ratings", tmp_path, rows)
    call("POST", "interactions", {"visitor": "7", "movie_id": 1, "kind": "rating", "value": 1})
    assert "nothing to change" in run("import_ratings", tmp_path, rows)
    assert get_history("api:shop:7").ratings == {1: 1.0, 3: 2.5}
    assert Event.objects.filter(visitor="api:shop:7").count() == 3


def test_a_corrected_file_corrects_and_can_be_corrected_back(tmp_path, films):
    for stars in (4, 2, 4, 4):
        run("import_ratings", tmp_path, HEADER + f"7,sku-1,{stars},{NOON}\n")
        assert Rating.objects.get(visitor="api:shop:7").value == stars
    assert Event.objects.filter(visitor="api:shop:7").count() == 3
    film = Movie.objects.get(pk=1)
    stars = Rating.objects.filter(movie=1).values_list("value", flat=True)
    assert film.rating_sum == sum(stars)


def test_rows_without_times_count_as_of_now_and_once(tmp_path, films):
    for stars in (4, 4, 2, 4):
        run(
            "import_ratings",
            tmp_path,
            f"user,sku,stars\n7,sku-1,{stars}\n",
            columns=COLUMNS[: -len(",time=at")],
        )
        assert Rating.objects.get(visitor="api:shop:7").value == stars
    assert Event.objects.filter(visitor="api:shop:7").count() == 3


def test_clicks_and_other_kinds_come_in_and_once(tmp_path, films):
    did = ["", "watchlist", "dismiss", "play", "watch"]
    rows = "user,sku,event,at\n" + "".join(f"7,sku-{2 * n + 1},{kind},{NOON}\n" for n, kind in enumerate(did))
    columns = "user=user,movie=sku,kind=event,time=at"
    text = run("import_interactions", tmp_path, rows, columns=columns)
    assert "4 added" in text
    assert "the kind is none of" in text
    history = get_history("api:shop:7")
    assert {(each.movie_id, each.kind) for each in history} == {
        (1, "click"),
        (3, "watchlist"),
        (5, "dismiss"),
        (9, "watch"),
    }
    assert history.watches == {9: (Watch(datetime.fromtimestamp(NOON, UTC).date()),)}
    assert all(each.at == datetime.fromtimestamp(NOON, UTC) for each in history)
    again = run("import_interactions", tmp_path, rows, columns=columns)
    assert "nothing to change" in again
    dry = run("import_interactions", tmp_path, rows + f"9,sku-1,,{NOON}\n", columns=columns, dry_run=True)
    assert "1 would be added" in dry
    assert Event.objects.count() == 4


def test_ids_that_the_api_would_refuse_and_times_to_come_are_refused_by_line(tmp_path, films):
    rows = [
        f"anna:b,sku-1,4,{NOON}",
        f"a b,sku-1,4,{NOON}",
        f"..,sku-1,4,{NOON}",
        f"{'x' * 81},sku-1,4,{NOON}",
    ]
    rows += ["7,sku-1,4,4000000000", f"7,sku-99,4,{NOON}", *(f"{n},sku-2,3,{NOON}" for n in range(9))]
    text = run("import_ratings", tmp_path, HEADER + "\n".join(rows), report=tmp_path / "report.csv")
    assert "9 added" in text
    assert "6 rows were refused" in text
    report = (tmp_path / "report.csv").read_text()
    assert report.count("none that the API takes") == 4
    assert "in the future" in report


def test_a_client_that_does_not_exist_gets_no_users(tmp_path, films):
    for command in ("import_ratings", "import_interactions"):
        with pytest.raises(CommandError, match=r"no API client “shoop”\. There are: shop\."):
            run(command, tmp_path, HEADER + f"7,sku-1,4,{NOON}\n", client="shoop")
    with pytest.raises(CommandError, match="either --client or --visitors"):
        run("import_ratings", tmp_path, HEADER, visitors="mine")
    assert not Event.objects.exists()
