"""Bring your films: each site's files, the preview, what is picked, and an import taken back as one."""

import csv
import html
import io
import json
import zipfile
from datetime import UTC, date, datetime, timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from movie.catalogue.models import ExternalId, Movie, Rating
from movie.core.ids import new_event_id
from movie.events.history import get_history
from movie.events.history_formats import MOST_UNPACKED, UnknownFile
from movie.events.history_import import KEPT
from movie.events.history_matching import parse_history_file
from movie.events.models import Event, HistoryImport
from movie.events.recording import merge_guest, record, record_all
from predictors.history import History, Interaction, Watch

PAGE = {"Accept": "text/html"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def fresh_counts():
    cache.clear()


@pytest.fixture
def films(db):
    named = [("Heat", 1995), ("Ronin", 1998), ("The Usual Suspects", 1995), ("Amélie", 2001)]
    found = [Movie.objects.create(title=title, year=year) for title, year in named]
    ExternalId.objects.create(movie=found[0], source="imdb", value="tt0113277")
    ExternalId.objects.create(movie=found[1], source="movielens", value="1")
    ExternalId.objects.create(movie=found[1], source="ml-100k", value="6")
    ExternalId.objects.create(movie=found[2], source="movielens", value="6")
    ExternalId.objects.create(movie=found[3], source="tmdb", value="194")
    return found


@pytest.fixture
def ada(client, db):
    user = get_user_model().objects.create_user("ada")
    client.force_login(user)
    return f"user:{user.pk}"


def read(content, name="", **more):
    content = content.encode() if isinstance(content, str) else content
    return parse_history_file(content, "guest:a", name=name, now=NOW, **more)


def told(found):
    return [(each.kind, each.movie_id, each.value) for each in found.interactions]


def zipped(**files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "."), text)
    return packed.getvalue()


def send(client, content, name):
    content = content.encode() if isinstance(content, str) else content
    file = SimpleUploadedFile(name, content)
    return client.post(reverse("pages:history_import"), {"file": file}, headers=PAGE)


def confirm(client, answer, **picks):
    return client.post(f"{answer['Location']}confirm/", picks, headers=PAGE)


URI = "https://boxd.it/x"
LETTERBOXD = zipped(
    diary__csv="Date,Name,Year,Letterboxd URI,Rating,Rewatch,Tags,Watched Date\n"
    f"2021-01-02,Heat,1995,{URI},3,,,2021-01-01\n"
    f"2023-01-02,Heat,1995,{URI},4,Yes,,2023-01-01\n"
    f"2023-02-02,Ronin,1998,{URI},,,,2023-02-01\n",
    watched__csv=f"Date,Name,Year,Letterboxd URI\n2021-01-02,Heat,1995,{URI}\n2020-01-01,Amélie,2001,{URI}\n",
    watchlist__csv=f"Date,Name,Year,Letterboxd URI\n2022-01-01,The Usual Suspects,1995,{URI}\n",
    ratings__csv=f"Date,Name,Year,Letterboxd URI,Rating\n2022-01-01,Heat,1995,{URI},4.5\n",
    profile__csv="Date Joined,Username\n2020-01-01,ada\n",
)


def test_a_zip_of_letterboxd_brings_every_viewing_once_and_the_stars_that_stand(films):
    found = read(LETTERBOXD)
    heat, ronin, suspects, amelie = (film.pk for film in films)
    assert (found.source, found.rejected) == ("letterboxd", [])
    assert sorted(told(found), key=str) == sorted(
        [
            ("rating", heat, 3.0),
            ("rating", heat, 4.0),
            ("rating", heat, 4.5),
            ("watch", heat, None),
            ("watch", heat, 1.0),
            ("watch", ronin, None),
            ("watch", amelie, None),
            ("watchlist", suspects, None),
        ],
        key=str,
    )
    latest = max((each for each in found.interactions if each.kind == "rating"), key=lambda each: each.at)
    assert latest.value == 4.5 and latest.at.year == 2023
    assert History(found.interactions).watches == {
        heat: (Watch(date(2021, 1, 1)), Watch(date(2023, 1, 1), is_again=True)),
        ronin: (Watch(date(2023, 2, 1)),),
        amelie: (Watch(None),),
    }
    assert {each.surface for each in found.interactions} == {"import"}


def test_stars_that_the_diary_has_at_the_latest_viewing_count_once(films):
    diary = "Date,Name,Year,Letterboxd URI,Rating,Rewatch,Tags,Watched Date\n"
    found = read(
        zipped(
            diary__csv=f"{diary}2021-01-02,Heat,1995,{URI},3,,,2021-01-01\n"
            f"2023-01-02,Heat,1995,{URI},4,Yes,,2023-01-01\n",
            ratings__csv="Date,Name,Year,Letterboxd URI,Rating\n"
            f"2022-01-01,Heat,1995,{URI},4\n,Ronin,1998,{URI},5\n2022-01-01,Parasite,2019,{URI},5\n",
        )
    )
    heat, ronin = (film.pk for film in films[:2])
    stars = [each for each in told(found) if each[0] == "rating"]
    assert stars == [("rating", heat, 3.0), ("rating", heat, 4.0), ("rating", ronin, 5.0)]
    assert [(row.line, row.reason) for row in found.rejected] == [
        (4, "This site has no film “Parasite (2019)”.")
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("watchlist.csv", "watchlist"),
        ("watchlist-ada-2026.csv", "watchlist"),
        ("watched.csv", "watch"),
        ("films.csv", "watch"),
    ],
)
def test_a_list_of_letterboxd_is_what_its_name_says(films, name, kind):
    found = read(f"Date,Name,Year,Letterboxd URI\n2022-01-01,Heat,1995,{URI}\n", name)
    assert told(found) == [(kind, films[0].pk, None)]
    assert all(each.watched_on is None for each in found.interactions), "the date is that of the entry"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("watched.csv", "watch"), ("My_seen films.csv", "watch"), ("Check-ins.csv", "watch"),
     ("unseen.csv", "watchlist"), ("ls0123.csv", "watchlist")],
)  # fmt: skip
def test_a_list_of_imdb_without_stars_is_what_its_name_says(films, name, kind):
    found = read(
        "Const,Created,Title,Title Type,Year,Your Rating\ntt0113277,2020-01-01,Heat,Movie,1995,\n", name
    )
    assert told(found) == [(kind, films[0].pk, None)]


def test_a_list_of_imdb_is_a_watchlist_and_a_series_is_no_film(films):
    found = read(
        "Position,Const,Created,Modified,Description,Title,URL,Title Type,Year,Your Rating,Date Rated\n"
        "1,tt0113277,2020-01-01,2020-01-01,,Heat,u,Movie,1995,,\n"
        "2,tt0122690,2020-01-02,2020-01-01,,Ronin,u,movie,1998,7,2021-02-03\n"
        "3,tt9,2020-01-02,2020-01-01,,Amélie,u,TV Series,2001,,\n"
    )
    assert told(found) == [("watchlist", films[0].pk, None), ("rating", films[1].pk, 3.5)]
    assert [(row.line, row.reason) for row in found.rejected] == [(4, "Amélie is no film.")]


def test_json_of_trakt_is_read_by_ids_and_from_one_to_ten(films):
    ids = {"trakt": 9, "slug": "x", "imdb": None, "tmdb": 194}
    entries = [
        {"rated_at": "2020-01-01T10:00:00.000Z", "rating": 7, "type": "movie", "movie": {"ids": ids}},
        {"listed_at": "2020-01-02T10:00:00.000Z", "movie": {"title": "Heat", "year": 1995, "ids": {}}},
        {
            "plays": 2,
            "last_watched_at": "2020-01-03T10:00:00.000Z",
            "movie": {"title": "Ronin", "year": 1998},
        },
        {"rated_at": "2020-01-01T10:00:00.000Z", "rating": 7, "show": {"title": "Dark"}},
    ]
    wanted = [
        ("rating", films[3].pk, 3.5),
        ("watchlist", films[0].pk, None),
        ("watch", films[1].pk, 1.0),
    ]
    for content in (json.dumps(entries), zipped(**{"ratings-movies__json": json.dumps(entries)})):
        found = read(content)
        assert (found.source, told(found)) == ("trakt", wanted)
        assert "Dark" in found.rejected[0].reason
        assert found.interactions[-1].watched_on == date(2020, 1, 3)


def test_ratings_of_movielens_name_films_in_its_own_ids(films):
    found = read(
        "userId,movieId,rating,timestamp\n7,6,4.5,1112486027\n7,1,3,1112486028\n7,999,3,1112486029\n"
    )
    assert told(found) == [("rating", films[2].pk, 4.5), ("rating", films[1].pk, 3.0)]
    assert found.interactions[0].at == datetime.fromtimestamp(1112486027, UTC)
    assert "999" in found.rejected[0].reason
    with pytest.raises(UnknownFile, match="several people"):
        read("userId,movieId,rating,timestamp\n7,6,4.5,1\n8,1,3,1\n")


def test_what_movielens_org_exports_has_no_times_and_keeps_its_order(films):
    found = read(
        "movie_id,imdb_id,tmdb_id,rating,average_rating,title\n"
        '6,114814,629,4.5,4.1,"Usual Suspects, The (1995)"\n'
        "999,,194,2.0,3.9,Amelie (2001)\n"
    )
    assert told(found) == [("rating", films[2].pk, 4.5), ("rating", films[3].pk, 2.0)]
    first, second = (each.at for each in found.interactions)
    assert NOW - timedelta(seconds=1) < first < second < NOW


@pytest.mark.parametrize(
    "content",
    [
        "Score,Film Name,Date Rated\n88,Heat (1995),2020-01-02\n5,Ronin (1998),2020-01-03\n",
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<films><film><filmid>1</filmid>'
        "<filmname>Heat (1995)</filmname><rating>88</rating><reviewdate>2020-01-02</reviewdate></film>"
        "<film><filmname>Ronin (1998)</filmname><rating>5</rating><quote/></film></films>",
    ],
)
def test_scores_of_criticker_become_the_nearest_half_star(films, content):
    found = read(content)
    assert found.source == "criticker"
    assert told(found) == [("rating", films[0].pk, 4.5), ("rating", films[1].pk, 0.5)]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "utf-16"])
def test_the_own_export_comes_back_in_the_encodings_of_spreadsheets(films, encoding):
    text = f"at;kind;movie_id;title;year;value\n2024-05-01;rating;{films[3].pk};Amélie;2001;4,5\n"
    assert told(read(text.encode(encoding))) == [("rating", films[3].pk, 4.5)]


def test_a_year_may_be_one_off_and_an_article_may_stand_behind(films):
    rows = f'2020-01-01,"Usual Suspects, The",1996,{URI},4\n2020-01-01,Heat,1999,{URI},4\n'
    found = read("Date,Name,Year,Letterboxd URI,Rating\n" + rows)
    assert told(found) == [("rating", films[2].pk, 4.0)]
    assert "Heat" in found.rejected[0].reason


def test_today_where_the_day_began_earlier_is_no_future(films):
    rows = f"2026-01-02,Heat,1995,{URI},4\n2026-01-04,Ronin,1998,{URI},4\n"
    found = read("Date,Name,Year,Letterboxd URI,Rating\n" + rows)
    assert [each.at for each in found.interactions] == [NOW]
    assert "future" in found.rejected[0].reason


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04 damaged",
        zipped(notes__csv="a,b\n"),
        "[{]",
        "<films>",
        '<!DOCTYPE films [<!ENTITY a "b">]><films><film><filmname>&a;</filmname></film></films>',
        "<html><p>Sign in</p></html>",
        "title,stars\nHeat,5\n",
        zipped(ratings__csv="a,b\n1,2\n"),
        "PNG",
    ],
)
def test_what_is_no_export_is_refused_with_a_sentence_and_what_is_recognised(client, ada, films, content):
    response = send(client, content, "export")
    said = response.content.decode()
    assert response.status_code == 422 and not HistoryImport.objects.exists()
    assert "This file was not taken in" in said and response.context["reason"] in html.unescape(said)
    assert "Letterboxd: the whole zip" in said and 'type="file"' in said, "another one can be chosen at once"


def test_a_zip_that_grows_too_large_is_refused_before_it_is_unpacked(films):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ratings.csv", b"0" * (MOST_UNPACKED + 1))
    with pytest.raises(UnknownFile, match="larger than"):
        read(packed.getvalue())


# -- preview, picking, taking back -------------------------------------------------------------------


def test_nothing_is_stored_before_the_visitor_has_seen_and_confirmed_it(client, ada, films):
    answer = send(client, LETTERBOXD, "letterboxd-ada.zip")
    page = client.get(answer["Location"])
    said = page.content.decode()
    assert "From Letterboxd, 4 films of this site." in said and "Nothing is stored yet." in said
    assert not Event.objects.exists()
    done = confirm(client, answer)
    assert done.context["new"] == 8
    assert get_history(ada).ratings == {films[0].pk: 4.5}
    assert HistoryImport.objects.get().content == b""
    assert confirm(client, answer)["Location"] == reverse("pages:history")  # it waits no more
    assert confirm(client, send(client, LETTERBOXD, "again.zip")).context["new"] == 0


def test_a_film_that_may_be_several_is_picked_or_left_out(client, ada, films):
    other = Movie.objects.create(title="Heat", year=1995)
    rows = f"Date,Name,Year,Letterboxd URI,Rating\n2020-01-01,Heat,1995,{URI},4\n"
    answer = send(client, rows, "ratings.csv")
    ((name, film, candidates),) = client.get(answer["Location"]).context["ambiguous"]
    assert (film.title, candidates) == ("Heat", [films[0], other])
    left_out = confirm(client, answer)
    assert (left_out.context["new"], left_out.context["ambiguous_count"]) == (0, 1)
    answer = send(client, rows, "ratings.csv")
    assert confirm(client, answer, **{name: films[1].pk}).context["new"] == 0  # none of them
    answer = send(client, rows, "ratings.csv")
    assert confirm(client, answer, **{name: other.pk}).context["new"] == 1
    assert get_history(ada).ratings == {other.pk: 4.0}


def test_an_import_is_taken_back_as_one_and_what_was_done_here_stays(client, ada, films):
    record(Interaction(new_event_id(), ada, "rating", films[0].pk, datetime(2020, 1, 1, tzinfo=UTC), 2.0))
    record(Interaction(new_event_id(), ada, "click", films[1].pk, datetime(2020, 1, 1, tzinfo=UTC)))
    before = get_history(ada, limit=None).interactions
    confirm(client, send(client, LETTERBOXD, "letterboxd.zip"))
    assert get_history(ada).ratings == {films[0].pk: 4.5}
    (done,) = HistoryImport.objects.all()
    assert "Undo this import" in client.get(reverse("pages:history")).content.decode()
    address = reverse("pages:take_back_import", args=[done.pk])
    assert Client().post(address, headers=PAGE).status_code == 404  # somebody else's
    client.post(address, headers=PAGE)
    assert get_history(ada, limit=None).interactions == before
    assert Rating.objects.get().value == 2.0
    films[0].refresh_from_db()
    assert films[0].rating_sum == 2.0
    assert not HistoryImport.objects.exists()
    assert confirm(client, send(client, LETTERBOXD, "letterboxd.zip")).context["new"] == 8


def test_a_member_takes_back_what_they_brought_as_a_guest(client, ada, films):
    guest = "guest:1"
    prepared = HistoryImport.objects.create(visitor=guest, name="x", source="imdb", count=1)
    each = Interaction(new_event_id(), guest, "rating", films[0].pk, NOW - timedelta(days=900), 4.0)
    record_all([each], import_number=prepared.pk)
    merge_guest(guest, ada)
    client.post(reverse("pages:take_back_import", args=[prepared.pk]), headers=PAGE)
    assert not get_history(ada).ratings and not Rating.objects.exists()


def test_a_file_waits_for_an_hour_alone_and_for_its_visitor(client, ada, films):
    answer = send(client, LETTERBOXD, "a.zip")
    other = Client()
    other.get(reverse("pages:history"))
    assert (
        other.get(answer["Location"]).status_code == 302 or other.get(answer["Location"]).status_code == 303
    )
    HistoryImport.objects.update(created=NOW - timedelta(days=400) - KEPT)
    send(other, LETTERBOXD, "b.zip")
    assert [each.name for each in HistoryImport.objects.all()] == ["b.zip"]
    assert client.get(answer["Location"])["Location"] == reverse("pages:history")


def test_deleting_everything_deletes_the_files_too_and_the_account_exports_the_rest(client, ada, films):
    confirm(client, send(client, LETTERBOXD, "a.zip"))
    send(client, LETTERBOXD, "b.zip")
    assert client.get(reverse("pages:account_export")).status_code == 200
    client.post(reverse("pages:forget_all"))
    assert not HistoryImport.objects.exists()


def test_an_empty_history_offers_to_bring_films(client, db):
    said = client.get(reverse("pages:history")).content.decode()
    assert "Bring your films" in said and 'type="file"' in said


def test_the_stars_go_out_in_the_form_that_letterboxd_imports_and_come_back(client, ada, films):
    confirm(client, send(client, LETTERBOXD, "a.zip"))
    response = client.get(reverse("pages:letterboxd_export"))
    text = b"".join(response.streaming_content).decode().removeprefix("\ufeff")
    assert list(csv.reader(io.StringIO(text))) == [
        ["imdbID", "Title", "Year", "Rating", "WatchedDate", "Rewatch"],
        ["tt0113277", "Heat", "1995", "", "2021-01-01", "false"],
        ["tt0113277", "Heat", "1995", "4.5", "2023-01-01", "true"],
        ["", "Amélie", "2001", "", "", ""],
        ["", "Ronin", "1998", "", "2023-02-01", "false"],
    ]
    heat, ronin, _suspects, amelie = (film.pk for film in films)
    found = read(text)
    assert (found.source, found.rejected) == ("letterboxd", [])
    assert History(found.interactions).ratings == {heat: 4.5}
    assert History(found.interactions).watches == {
        heat: (Watch(date(2021, 1, 1)), Watch(date(2023, 1, 1), is_again=True)),
        amelie: (Watch(None),),
        ronin: (Watch(date(2023, 2, 1)),),
    }


# -- the command -------------------------------------------------------------------------------------


def test_the_command_imports_for_a_visitor_and_takes_it_back(ada, films, tmp_path, capsys):
    path = tmp_path / "letterboxd.zip"
    path.write_bytes(LETTERBOXD)
    call_command("import_history", str(path), visitor=ada, dry_run=True)
    assert "8 interactions would be imported." in capsys.readouterr().out and not Event.objects.exists()
    call_command("import_history", str(path), visitor=ada)
    out = capsys.readouterr().out
    number = HistoryImport.objects.get().pk
    assert "8 new, 0 known before, 0 left." in out and f"--take-back {number}" in out
    call_command("import_history", visitor=ada, take_back=number)
    assert "8 interactions are taken back." in capsys.readouterr().out and not Event.objects.exists()
    for wrong in ({"visitor": "ml-100k:7"}, {"visitor": ada}, {"visitor": ada, "take_back": 10**6}):
        with pytest.raises(CommandError):
            call_command("import_history", **wrong)
