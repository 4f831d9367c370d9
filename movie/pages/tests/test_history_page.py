"""My history as a visitor uses it: look, filter, correct, delete, take along and take in."""

import csv
import io
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from movie.catalogue.models import ExternalId, Genre, Movie, Rating
from movie.core import batches
from movie.core.ids import new_event_id
from movie.events import history_import
from movie.events.history import get_history
from movie.events.history_formats import MOST_ROWS, UnknownFile
from movie.events.history_import import import_slot
from movie.events.history_matching import parse_history_file
from movie.events.history_rows import COLUMNS
from movie.events.models import Event, ImportSlot
from movie.events.recording import InvalidInteraction, forget, record
from movie.pages.views.history import PAGE_SIZE
from predictors.history import Interaction

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
PAGE = {"Accept": "text/html"}


@pytest.fixture(autouse=True)
def fresh_counts():
    cache.clear()


@pytest.fixture
def films(db):
    return [Movie.objects.create(title=title, year=1990) for title in ("Heat", "Ronin", "Thief", "Sorcerer")]


@pytest.fixture
def ada(client, db):
    user = get_user_model().objects.create_user("ada")
    client.force_login(user)
    return f"user:{user.pk}"


def did(visitor, film, kind, value=None, minute=0):
    record(Interaction(new_event_id(), visitor, kind, film.pk, NOON + timedelta(minutes=minute), value))


def titles(response):
    return [row.movie.title for row in response.context["rows"]]


def upload(client, text, name="history.csv"):
    """Bring a file and confirm what it brings."""
    answer = send(client, text, name)
    return confirm(client, answer) if answer.status_code == 303 else answer


def send(client, text, name="history.csv"):
    content = text if isinstance(text, bytes) else text.encode()
    return client.post(
        reverse("pages:history_import"), {"file": SimpleUploadedFile(name, content)}, headers=PAGE
    )


def confirm(client, answer, picks=()):
    return client.post(f"{answer['Location']}confirm/", dict(picks), headers=PAGE)


@pytest.fixture
def lived(films, ada):
    """A history with every kind of thing in it."""
    did(ada, films[0], "rating", 4.5, minute=1)
    did(ada, films[1], "click", minute=2)
    did(ada, films[1], "click", minute=3)
    did(ada, films[2], "dismiss", minute=4)
    did(ada, films[3], "watchlist", minute=5)
    did(ada, films[0], "click", minute=6)
    return ada


def test_an_empty_history_says_what_to_do_and_offers_it(client, db):
    html = client.get(reverse("pages:history")).content.decode()
    assert "Nothing here yet" in html
    assert f'href="{reverse("pages:browse")}"' in html
    assert reverse("pages:forget_all") not in html and reverse("pages:history_export") not in html


def test_films_come_newest_first_each_once_with_where_they_stand(client, lived):
    response = client.get(reverse("pages:history"))
    assert titles(response) == ["Heat", "Sorcerer", "Thief", "Ronin"]
    html = response.content.decode()
    assert 'value="4.5" checked' in html
    for words in ("opened 2 times", "on your watchlist", "not interested"):
        assert words in html


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("rated", ["Heat"]),
        ("watchlist", ["Sorcerer"]),
        ("dismissed", ["Thief"]),
        ("opened", ["Heat", "Ronin"]),
        ("nonsense", ["Heat", "Sorcerer", "Thief", "Ronin"]),
    ],
)
def test_the_kinds_filter(client, lived, kind, wanted):
    assert titles(client.get(reverse("pages:history"), {"show": kind})) == wanted


def test_a_kind_without_films_says_so(client, films, ada):
    did(ada, films[0], "click")
    html = client.get(reverse("pages:history"), {"show": "rated"}).content.decode()
    assert "No film of this kind yet" in html and reverse("pages:recommend") in html


def test_a_page_costs_eight_queries_however_long_the_history_is(client, ada, django_assert_max_num_queries):
    genre = Genre.objects.create(name="Drama")
    for number in range(PAGE_SIZE + 5):
        film = Movie.objects.create(title=f"Film {number}")
        film.genres.add(genre)
        did(ada, film, "rating", 3.0, minute=number)
    with django_assert_max_num_queries(8):
        first = client.get(reverse("pages:history"))
    assert len(titles(first)) == PAGE_SIZE
    assert titles(client.get(reverse("pages:history"), {"page": 2})) == [
        f"Film {n}" for n in range(4, -1, -1)
    ]
    assert client.get(reverse("pages:history"), {"page": "many"}).status_code == 200


def test_a_film_that_left_the_catalogue_can_still_be_deleted(client, lived, films):
    Movie.objects.filter(pk=films[0].pk).update(is_visible=False)
    html = client.get(reverse("pages:history")).content.decode()
    assert "no longer in the catalogue" in html
    assert f'href="{films[0].get_absolute_url()}"' not in html
    client.post(reverse("pages:forget_movie", args=[films[0].pk]))
    assert "Heat" not in titles(client.get(reverse("pages:history")))


def test_deleting_one_film_goes_back_to_the_same_page(client, lived, films):
    target = reverse("pages:history") + "?show=opened"
    response = client.post(reverse("pages:forget_movie", args=[films[0].pk]), {"next": target}, headers=PAGE)
    assert (response.status_code, response["Location"]) == (303, target)
    films[0].refresh_from_db()
    assert films[0].rating_count == 0
    assert films[0].pk not in {event.movie_id for event in get_history(lived)}


def test_deleting_by_htmx_leaves_a_sentence_in_its_place(client, lived, films):
    response = client.post(reverse("pages:forget_movie", args=[films[0].pk]), headers={"HX-Request": "true"})
    assert "Heat is deleted from your history." in response.content.decode()
    assert response.content.count(b"<form") == 1  # of the Undo


def test_a_guests_delete_all_touches_only_that_guest(films, client, lived):
    guest = Client()
    guest.get(reverse("pages:history"))
    guest.post(reverse("pages:rate", args=[films[0].pk]), {"value": "1"})
    guest.post(reverse("pages:forget_all"))
    assert client.get(reverse("pages:history")).context["total"] == 4
    assert guest.get(reverse("pages:history")).context["total"] == 0
    films[0].refresh_from_db()
    assert (films[0].rating_count, films[0].rating_average) == (1, 4.5)


def test_everything_is_deleted_only_by_post(client, lived):
    assert client.get(reverse("pages:forget_all")).status_code == 405
    assert client.get(reverse("pages:history")).context["total"] == 4
    response = client.post(reverse("pages:forget_all"), headers=PAGE)
    assert response["Location"] == reverse("pages:history")
    assert client.get(reverse("pages:history")).context["total"] == 0
    assert not Rating.objects.exists() and not Event.objects.exists()


# -- taking along and taking in ---------------------------------------------------------------


def exported(client):
    response = client.get(reverse("pages:history_export"))
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in response["Content-Disposition"]
    return b"".join(response.streaming_content).decode()


def test_the_export_holds_every_interaction_in_order(client, lived, films):
    text = exported(client)
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [row["kind"] for row in rows] == ["rating", "click", "click", "dismiss", "watchlist", "click"]
    assert (rows[0]["title"], rows[0]["value"], rows[0]["at"]) == ("Heat", "4.5", "2024-05-01T12:01:00+00:00")


def test_a_deleted_history_comes_back_from_its_export_exactly(client, lived):
    before = get_history(lived).interactions
    text = exported(client)
    forget(lived)
    assert "6 entries are new." in upload(client, text).content.decode()
    assert get_history(lived).interactions == before
    assert Rating.objects.get().value == 4.5
    response = upload(client, text)
    assert response.context["new"] == 0 and "6 were here already." in response.content.decode()
    assert Event.objects.count() == 6


def test_another_visitor_can_take_the_file_in_and_both_keep_theirs(client, lived):
    text = exported(client)
    guest = Client()
    guest.get(reverse("pages:history"))
    assert upload(guest, text).context["new"] == 6
    assert upload(guest, text).context["new"] == 0
    assert len(get_history(lived)) == 6
    assert Event.objects.count() == 12


def test_films_are_found_by_imdb_id_or_title_when_the_ids_are_another_sites(films, ada):
    ExternalId.objects.create(movie=films[0], source="imdb", value="tt0113277")
    text = (
        "at,kind,movie_id,title,year,imdb,value\n"
        "2024-05-01,rating,999,Heat!,1995,tt0113277,4\n"
        f"2024-05-02 10:00,rating,{films[2].pk},Ronin,1990,,3\n"
        f"2024-05-03T10:00:00Z,click,{films[3].pk},,,,\n"
    )
    read = parse_history_file(text.encode(), ada)
    assert not read.rejected
    assert [each.movie_id for each in read.interactions] == [films[0].pk, films[1].pk, films[3].pk]


LETTERBOXD = "Date,Name,Year,Letterboxd URI,Rating\n"
IMDB = "Const,Your Rating,Date Rated,Title,URL,Title Type,IMDb Rating,Year,Genres\n"


def test_an_export_of_letterboxd_is_recognised_and_the_unmatched_are_listed(client, films, ada):
    rows = "2021-02-03,Heat,1990,https://example.org/a,3.5\n2021-02-04,Nowhere,2015,https://example.org/b,5\n"
    rows += "2021-02-05,Ronin,1990,https://example.org/c,\n"
    response = upload(client, LETTERBOXD + rows)
    assert get_history(ada).ratings == {films[0].pk: 3.5}
    reasons = [(row.line, row.reason) for row in response.context["rejected"]]
    assert [line for line, _reason in reasons] == [3, 4]
    assert "Nowhere" in reasons[0][1]
    assert upload(client, LETTERBOXD + rows).context["new"] == 0


def test_an_export_of_imdb_is_matched_by_id_and_its_tens_become_stars(client, films, ada):
    ExternalId.objects.create(movie=films[2], source="imdb", value="tt8800002")
    rows = 'tt8800009,10,2019-03-04,Heat,x,Movie,7.1,1990,"Drama, Crime"\n'
    rows += "tt8800002,7,2019-03-05,Another Name,x,Movie,7.1,1960,Drama\n"
    rows += "tt8800003,1,2019-03-06,Nowhere,x,TV Series,8,2010,Crime\n"
    response = upload(client, IMDB + rows)
    assert get_history(ada).ratings == {films[0].pk: 5.0, films[2].pk: 3.5}
    assert [row.line for row in response.context["rejected"]] == [4]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_export_comes_back_as_a_spreadsheet_saves_it(client, lived, films, encoding):
    text = exported(client).removeprefix("\ufeff")
    rows = list(csv.reader(io.StringIO(text)))
    year, value, movie = (rows[0].index(name) for name in ("year", "value", "movie_id"))
    for row in rows[1:]:
        row[year], row[movie], row[value] = f"{row[year]}.0", f"{row[movie]}.0", row[value].replace(".", ",")
    saved = io.StringIO()
    csv.writer(saved, delimiter=";").writerows(rows)
    ratings = get_history(lived).ratings
    forget(lived)
    response = upload(client, f"sep=;\n{saved.getvalue()}".encode(encoding))
    assert (response.context["new"], response.context["rejected_count"]) == (6, 0)
    assert get_history(lived).ratings == ratings


def test_a_quotation_mark_never_closed_swallows_no_line(films, ada):
    rows = [f"2024-05-0{day},rating,Heat,1990,4" for day in range(1, 6)]
    rows[1] = '2024-05-02,rating,"Heat,1990,4'
    read = parse_history_file(("at,kind,title,year,value\n" + "\n".join(rows)).encode(), ada)
    assert [each.at.day for each in read.interactions] == [1, 3, 4, 5]
    assert [row.line for row in read.rejected] == [3]


def test_a_title_that_spreadsheets_would_calculate_goes_out_neutral_and_comes_back(client, films, ada):
    films[0].title = "=1+1"
    films[0].save()
    record(Interaction(new_event_id(), ada, "rating", films[0].pk, datetime(2024, 5, 1, tzinfo=UTC), 4.0))
    text = exported(client)
    assert ",'=1+1," in text
    forget(ada)
    assert upload(client, text).context["new"] == 1


def test_good_rows_are_kept_and_every_other_is_named_by_its_line(client, films, ada):
    Movie.objects.create(title="Thief", year=1990)
    rows = [
        "at,kind,movie_id,title,year,value,event_id",
        f"2024-05-01T10:00:00Z,rating,{films[0].pk},Heat,1990,4,",
        f"2024-05-01T10:00:00Z,rating,{films[0].pk},Heat,1990,4.2,",
        f"2024-02-30T10:00:00Z,click,{films[0].pk},Heat,1990,,",
        f"yesterday,click,{films[0].pk},Heat,1990,,",
        f"2999-01-01T00:00:00Z,click,{films[0].pk},Heat,1990,,",
        "2024-05-01T10:00:00Z,click,777,Unknown,1990,,",
        "2024-05-01T10:00:00Z,click,,Thief,1990,,",
        f"2024-05-01T10:00:00Z,stare,{films[0].pk},Heat,1990,,",
        f"2024-05-01T10:00:00Z,rating,{films[0].pk},Heat,1990,four,",
        f"2024-05-01T10:00:00Z,click,{films[0].pk},Heat,1990,,not-an-id",
        "",
        f"2024-05-01T11:00:00Z,watchlist,{films[1].pk},Ronin,1990,,",
    ]
    response = upload(client, "\n".join(rows))
    assert response.context["new"] == 2
    assert get_history(ada).ratings == {films[0].pk: 4.0}
    reasons = [(row.line, row.reason.split(":")[0]) for row in response.context["rejected"]]
    assert reasons == [
        (3, "value"),
        (4, "at"),
        (5, "at"),
        (6, "at"),
        (7, "This site has no film “Unknown (1990)”."),
        (9, "kind"),
        (10, "value"),
        (11, "event_id"),
    ]
    assert response.context["ambiguous_count"] == 1
    assert "8 lines could not be used." in response.content.decode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"at,kind,value\nf\x81r", "Line 2 is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_whole(client, ada, content, words):
    response = upload(client, content)
    assert response.status_code == 422
    assert words in response.content.decode()


def test_no_file_and_missing_columns_are_said(client, ada):
    response = client.post(reverse("pages:history_import"), headers=PAGE)
    assert response.status_code == 422 and "file: Choose a file first." in response.content.decode()
    response = upload(client, "title,kind,value\nHeat,rating,5\n")
    assert response.status_code == 422
    said = response.content.decode()
    assert "The file was not recognised. What this site saves has these columns, too: at." in said


def test_a_file_that_is_too_long_is_taken_in_up_to_the_limit(films, ada):
    line = f"2024-05-01T10:00:00Z,click,{films[0].pk},Heat" + "," * (len(COLUMNS) - 4) + "\n"
    read = parse_history_file((",".join(COLUMNS) + "\n" + line * (MOST_ROWS + 1)).encode(), ada)
    assert len(read.interactions) == MOST_ROWS
    (rejected,) = read.rejected
    assert rejected.line == MOST_ROWS + 2


def many_rows(films, number):
    rows = [
        f"2024-05-01T10:{n // 60:02}:{n % 60:02}Z,rating,{films[n % 4].pk},{n % 10 / 2 + 0.5}"
        for n in range(number)
    ]
    return "at,kind,movie_id,value\n" + "\n".join(rows)


def test_a_file_sent_twice_is_looked_up_in_few_queries_and_written_in_no_transaction(client, films, ada):
    text = many_rows(films, 1500)
    assert upload(client, text).context["new"] == 1500
    with CaptureQueriesContext(connection) as queries:
        response = upload(client, text)
    assert (response.context["new"], response.context["known"]) == (0, 1500)
    assert len([query for query in queries if "events_event" in query["sql"]]) <= 6
    writes = [query["sql"] for query in queries if query["sql"].startswith(("INSERT", "UPDATE"))]
    assert len([sql for sql in writes if "events_import" not in sql and "historyimport" not in sql]) == 0, (
        writes
    )


@pytest.mark.django_db(transaction=True)
def test_between_two_batches_it_pauses_as_long_as_the_first_took(client, films, ada):
    pauses = []
    with mock.patch.object(batches.time, "sleep", pauses.append):
        upload(client, many_rows(films, 600))
    assert len(pauses) > 2 and min(pauses) > 0


def test_one_import_of_a_visitor_at_a_time_and_few_of_the_site(client, films, ada):
    text = many_rows(films, 2)
    with import_slot(ada):
        response = upload(client, text)
        assert (response.status_code, int(response["Retry-After"])) == (409, 15)
        assert "Another file of yours" in response.content.decode()
        other = Client()
        other.get(reverse("pages:history"))
        assert upload(other, text).status_code == 200
        with import_slot("guest:b"):
            response = upload(other, text)
            assert (response.status_code, int(response["Retry-After"])) == (429, 15)
            assert "Other visitors" in response.content.decode()
    assert upload(client, text).context["new"] == 2
    assert not ImportSlot.objects.exists()


def test_the_slot_of_a_server_that_died_is_free_again(client, films, ada):
    long_ago = datetime(2024, 1, 1, tzinfo=UTC)
    for number, visitor in enumerate((ada, "guest:b")):
        ImportSlot.objects.create(number=number, visitor=visitor, expires_at=long_ago)
    assert upload(client, many_rows(films, 2)).context["new"] == 2


def test_rows_count_against_a_limit_of_their_own(client, films, ada, settings):
    settings.IMPORT_ROW_LIMIT = 10
    assert upload(client, many_rows(films, 6)).context["new"] == 6
    response = upload(client, many_rows(films, 5))
    assert response.status_code == 429 and 0 < int(response["Retry-After"]) <= 3600
    assert "very many rows" in response.content.decode()
    assert upload(client, many_rows(films, 4)).status_code == 200  # what was refused does not count
    assert Event.objects.count() == 6


def test_the_guests_of_one_address_share_ten_times_the_limit(films, settings):
    settings.IMPORT_ROW_LIMIT = 3
    answers = []
    for _guest in range(11):
        guest = Client()
        guest.get(reverse("pages:history"))
        answers.append(upload(guest, many_rows(films, 3)).status_code)
    assert answers == [200] * 10 + [429]


def test_the_largest_file_fits_twice_within_the_hour(settings):
    assert settings.IMPORT_ROW_LIMIT >= 2 * MOST_ROWS


@pytest.mark.parametrize("cause", ["time", "database", "film"])
def test_an_import_that_is_cut_says_what_is_in_and_the_same_file_does_the_rest(client, films, ada, cause):
    text = many_rows(films, 300)
    real, calls = history_import.record_all, []

    def away(batch, **options):
        calls.append(batch)
        if len(calls) == 2:
            if cause == "film":
                raise InvalidInteraction("movie_id", "There is no film 1.")
            raise OperationalError("database is locked" if connection.vendor == "sqlite" else 2006)
        return real(batch, **options)

    with (
        mock.patch.object(history_import, "record_all", away)
        if cause != "time"
        else mock.patch.object(history_import.import_history, "__kwdefaults__", {"seconds": 1e-9})
    ):
        response = upload(client, text)
    stored = Event.objects.count()
    assert stored == (0 if cause == "time" else 100)
    assert (response.context["new"], response.context["left"]) == (stored, 300 - stored)
    assert f"{300 - stored} entries are left" in response.content.decode()
    response = upload(client, text)
    assert (response.context["new"], response.context["known"]) == (300 - stored, stored)


@pytest.mark.django_db
@effort(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.text(), st.text().map(lambda rest: ",".join(COLUMNS) + "\n" + rest)))
def test_no_text_breaks_the_reader(text):
    try:
        read = parse_history_file(text.encode(), "guest:a")
    except UnknownFile:
        return
    assert not read.interactions or Movie.objects.exists()
