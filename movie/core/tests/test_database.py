"""What a server with row locks does to transactions. On SQLite, which has none, these are skipped;
`tests/test_on_real_services.py` runs them against a real server."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.exception import convert_exception_to_response
from django.db import (
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.http import HttpResponse

from movie.catalogue.models import ExternalId, Genre, Movie, Rating
from movie.catalogue.removal import delete_movies
from movie.core.database import TRIES, insert_unless_taken, is_away, retry_on_deadlock
from movie.core.ids import new_event_id
from movie.events import recording
from movie.events.bulk_recording import record_plain
from movie.events.models import Event
from movie.events.rating_import import RatingWriter
from predictors.history import Interaction

needs_server = pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no row locks")


def is_postgresql():
    return connection.vendor == "postgresql"


class ServerError(Exception):
    """What a driver raises: PostgreSQL's has a code of five letters."""

    def __init__(self, sqlstate):
        self.sqlstate = sqlstate


def database_error(kind, number, sqlstate="", text="..."):
    """Return an error as Django makes it of what the server of this run says."""
    if not is_postgresql():
        return kind(number, text)
    error = kind(text)
    error.__cause__ = ServerError(sqlstate)
    return error


def rating(film, visitor="guest:a", value=4.0):
    return Interaction(new_event_id(), visitor, "rating", film.pk, datetime.now(UTC), value)


@needs_server
@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_lost_a_deadlock_is_run_again(monkeypatch):
    """Another transaction holds the visitor's rating and wants the film that record() has locked."""
    film = Movie.objects.create(title="Heat")
    recording.record(rating(film, value=2.0))
    tries = []
    locked = recording.lock_movies_by_id
    film_is_locked, other_holds_rating = threading.Event(), threading.Event()

    def lock_and_wait(films):
        found = locked(films)
        tries.append(found)
        film_is_locked.set()
        assert other_holds_rating.wait(10)
        return found

    monkeypatch.setattr(recording, "lock_movies_by_id", lock_and_wait)

    def other():
        try:
            with transaction.atomic():
                # Much written, so that the server ends the other transaction and not this one.
                for n in range(200):
                    Genre.objects.create(name=f"Genre {n}")
                Rating.objects.filter(movie=film).update(rated_at=datetime.now(UTC))
                assert film_is_locked.wait(10)
                other_holds_rating.set()
                if is_postgresql():  # ends whoever has waited for longest; MariaDB whoever has written least
                    time.sleep(0.5)
                Movie.objects.filter(pk=film.pk).update(runtime=170)
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(other)
        assert recording.record(rating(film, value=5.0))
        done.result()
    # MariaDB ends one try. PostgreSQL, which chooses by who waits, has been seen to end two.
    assert len(tries) == 2 or (is_postgresql() and len(tries) > 2), "the first try was ended by the server"
    film.refresh_from_db()
    assert (film.rating_count, film.rating_sum, film.runtime) == (1, 5.0, 170)


@pytest.mark.django_db(transaction=True)
def test_retrying_has_an_end_and_only_follows_lost_races():
    calls = []

    @retry_on_deadlock
    def fails(number, sqlstate):
        calls.append(number)
        raise database_error(OperationalError, number, sqlstate)

    with pytest.raises(OperationalError):
        fails(1213, "40P01")
    assert calls == [1213] * TRIES
    with pytest.raises(OperationalError):
        fails(1054, "42703")
    assert calls[TRIES:] == [1054]
    calls.clear()
    with pytest.raises(OperationalError), transaction.atomic():
        fails(1213, "40P01")
    assert calls == [1213], "a part of a transaction cannot be repeated alone"


@needs_server
@pytest.mark.django_db(transaction=True)
def test_visitors_who_open_the_same_film_do_not_wait_for_one_another():
    film = Movie.objects.create(title="Heat")

    def dismissed(visitor):
        event = Interaction(new_event_id(), visitor, "dismiss", film.pk, datetime.now(UTC))
        return recording.record(event)

    def dismissed_elsewhere():
        try:
            return dismissed("guest:b")
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        assert dismissed("guest:a")
        assert pool.submit(dismissed_elsewhere).result(timeout=10)
    assert Event.objects.count() == 2


def in_another_thread(pool, work):
    def run():
        try:
            return work()
        finally:
            connections["default"].close()

    return pool.submit(run)


def click(film):
    return Interaction(new_event_id(), "guest:a", "click", film.pk, datetime.now(UTC))


@needs_server
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("delete", [lambda film: film.delete(), lambda film: Movie.objects.all().delete()])
def test_what_is_stored_while_a_film_is_deleted_goes_with_it(delete):
    film = Movie.objects.create(title="Heat")
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            assert recording.record(click(film))
            deleted = in_another_thread(pool, lambda: delete(film))
            time.sleep(0.3)
            assert not deleted.done(), "it waits for who has stored something"
        deleted.result(timeout=10)
    assert not Movie.objects.exists() and not Event.objects.exists()


@needs_server
@pytest.mark.django_db(transaction=True)
def test_nothing_is_stored_of_a_film_that_is_being_deleted():
    film = Movie.objects.create(title="Heat")
    event = click(film)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            film.delete()
            stored = in_another_thread(pool, lambda: recording.record(event))
            time.sleep(0.3)
            assert not stored.done(), "it waits for who deletes"
        with pytest.raises(recording.InvalidInteraction, match="There is no film"):
            stored.result(timeout=10)
    assert not Event.objects.exists()


@pytest.mark.django_db
def test_deletions_of_films_and_accounts_leave_no_events_and_ratings_without_them():
    films = [Movie.objects.create(title=title) for title in ("Heat", "Ronin", "Thief", "Drive")]
    member = get_user_model().objects.create(username="ann")
    for film in films:
        for visitor in ("guest:a", f"user:{member.pk}"):
            assert recording.record(rating(film, visitor)) and recording.record(click(film))
    films[0].delete()
    Movie.objects.filter(pk=films[1].pk).delete()
    delete_movies([films[2].pk])
    assert set(Event.objects.values_list("movie_id", flat=True)) == {films[3].pk}
    assert set(Rating.objects.values_list("movie_id", flat=True)) == {films[3].pk}
    member.delete()
    assert set(Event.objects.values_list("visitor", flat=True)) == {"guest:a"}
    assert set(Rating.objects.values_list("visitor", flat=True)) == {"guest:a"}


@pytest.mark.django_db
def test_an_import_stores_nothing_of_a_film_that_was_deleted_meanwhile():
    film = Movie.objects.create(title="Heat")
    gone, event = film.pk, click(film)
    film.delete()
    with pytest.raises(IntegrityError, match=f"film {gone} was deleted"), transaction.atomic():
        RatingWriter("ml", timed=False).write([("ml:1", gone, 4.0, "2020-01-01 00:00:00")])
    with pytest.raises(recording.InvalidInteraction, match="There is no film"):
        record_plain([event])
    assert not Rating.objects.exists() and not Event.objects.exists()


@pytest.mark.django_db
def test_the_two_large_tables_have_no_foreign_keys():
    for model in (Event, Rating):
        with connection.cursor() as cursor:
            constraints = connection.introspection.get_constraints(cursor, model._meta.db_table)
        assert not [name for name, each in constraints.items() if each["foreign_key"]]


@needs_server
@pytest.mark.django_db
def test_only_a_taken_key_counts_as_taken():
    film = Movie.objects.create(title="Heat")
    row = Event(event_id=new_event_id(), visitor="guest:a", kind="click", movie=film, at=datetime.now(UTC))
    assert insert_unless_taken(row)
    assert not insert_unless_taken(row)
    row.event_id, row.kind = new_event_id(), None
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_unless_taken(row)


@needs_server
def test_what_counts_as_a_database_that_is_away():
    if is_postgresql():
        assert is_away(OperationalError("connection failed: Connection refused"))
        assert is_away(InterfaceError("the connection is closed"))
        for code in ("57P01", "57P03", "08006", "53300", "53100", "40P01", "55P03"):
            assert is_away(database_error(OperationalError, 0, code)), code
        assert is_away(database_error(InternalError, 0, "25006"))
        assert not is_away(database_error(InternalError, 0, "25P02"))
        assert not is_away(database_error(OperationalError, 0, "42703"))
        assert not is_away(InternalError("no code"))
        return
    for number in (1290, 1792, 1836, 1021, 1114):
        assert is_away(OperationalError(number, "read-only or full")), number
    assert is_away(OperationalError(2002, "Can't connect"))
    assert is_away(OperationalError(1213, "Deadlock found"))
    assert is_away(InterfaceError("connection already closed"))
    assert is_away(OperationalError(1114, "The table 'events_event' is full"))
    assert is_away(OperationalError(1021, "Disk full (/tmp/x); waiting for somebody to free some space"))
    assert is_away(
        OperationalError(1030, 'Got error 28 "No space left on device" from storage engine InnoDB')
    )
    assert is_away(OperationalError(3, 'Error writing file "/tmp/x" (Errcode: 28 "No space left on device")'))
    assert not is_away(OperationalError(1030, 'Got error 168 "Unknown error" from storage engine InnoDB'))
    assert not is_away(OperationalError(1054, "Unknown column"))
    assert not is_away(ValueError("2002"))


@pytest.mark.django_db
def test_ids_and_names_that_differ_in_case_or_accents_are_different():
    film = Movie.objects.create(title="Heat")
    for name in ("Café", "Cafe", "cafe"):
        Genre.objects.create(name=name)
        ExternalId.objects.create(movie=film, source="shop", value=name)
        recording.record(rating(film, visitor=f"api:shop:{name}"))
    assert Rating.objects.filter(visitor="api:shop:cafe").count() == 1
    assert Event.objects.filter(visitor="api:shop:Café").count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(("number", "status"), [(2002, 503), (1213, 503), (1114, 503), (1054, 500)])
def test_while_the_database_is_away_the_answer_says_when_to_try_again(client, monkeypatch, number, status):
    def away(*arguments, **options):
        said = {
            2002: "unable to open database file",
            1213: "database is locked",
            1114: "database or disk is full",
        }
        if connection.vendor == "sqlite":
            raise OperationalError(said.get(number, "no such column: x"))
        raise database_error(
            OperationalError, number, {1213: "40P01", 1114: "53100", 1054: "42703"}.get(number)
        )

    film = Movie.objects.create(title="Heat")
    monkeypatch.setattr("movie.pages.views.interactions.record", away)
    client.raise_request_exception = False
    answer = client.post(f"/movies/{film.pk}/rate/", {"value": "4"})
    assert answer.status_code == status
    assert ("Retry-After" in answer) is (status == 503)
    assert ("Send it again" in answer.content.decode()) is (status == 503)


@needs_server
@pytest.mark.django_db
def test_the_connection_is_strict_and_knows_all_of_unicode():
    with connection.cursor() as cursor:
        if is_postgresql():
            cursor.execute(
                "SELECT current_setting('client_encoding'), current_setting('transaction_isolation')"
            )
            assert cursor.fetchone() == ("UTF8", "read committed")
        else:
            cursor.execute("SELECT @@sql_mode, @@character_set_connection, @@tx_isolation")
            mode, charset, isolation = cursor.fetchone()
            assert "STRICT_TRANS_TABLES" in mode
            assert (charset, isolation) == ("utf8mb4", "READ-COMMITTED")
    assert Movie.objects.get(pk=Movie.objects.create(title="기생충 🎬").pk).title == "기생충 🎬"


@pytest.fixture
def known_session(transactional_db):
    session = SessionStore()
    session.create()
    return session


@pytest.fixture(params=["read only", "full"])
def no_writes(request, transactional_db):
    """The database takes no writes, as on a replica or with a full disk; reading goes on."""
    film = Movie.objects.create(title="Heat")
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM")  # tests before this one left free pages
            pages = cursor.execute("PRAGMA page_count").fetchone()[0]
        pragmas = {"read only": ("query_only", "ON", "OFF"), "full": ("max_page_count", pages, 2**30)}
        pragma, now, then = pragmas[request.param]
        statements = f"PRAGMA {pragma} = {now}", f"PRAGMA {pragma} = {then}"
    elif request.param == "full":
        pytest.skip("a server's disk is not filled here; MariaDB waits until it has room again")
    else:
        session = (
            "SET SESSION CHARACTERISTICS AS TRANSACTION" if is_postgresql() else "SET SESSION TRANSACTION"
        )
        statements = f"{session} READ ONLY", f"{session} READ WRITE"
    with connection.cursor() as cursor:
        cursor.execute(statements[0])
        yield film
        cursor.execute(statements[1])


def test_a_database_that_takes_no_writes_is_a_503_and_pages_go_on(client, no_writes):
    client.raise_request_exception = False
    refused = [
        client.post(f"/movies/{no_writes.pk}/rate/", {"value": "4"})
        for _ in range(
            40 if connection.vendor == "sqlite" else 1
        )  # the last free page of a full one takes some
    ][-1]
    assert (refused.status_code, refused["Retry-After"]) == (503, "5")
    assert client.get(f"/movies/{no_writes.pk}/").status_code == 200
    assert client.get("/browse/").status_code == 200


@pytest.mark.parametrize("no_writes", ["read only"], indirect=True)
def test_a_session_that_a_database_does_not_take_is_a_503(rf, known_session, no_writes):
    def changes_the_session(request):
        request.session["name"] = "value"
        return HttpResponse()

    request = rf.get("/")
    request.COOKIES[settings.SESSION_COOKIE_NAME] = known_session.session_key
    answer = convert_exception_to_response(SessionMiddleware(changes_the_session))(request)
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


def test_a_session_that_ended_meanwhile_is_a_400(rf, known_session):
    def ends_the_session(request):
        request.session["name"] = "value"
        known_session.delete()
        return HttpResponse()

    request = rf.get("/")
    request.COOKIES[settings.SESSION_COOKIE_NAME] = known_session.session_key
    assert convert_exception_to_response(SessionMiddleware(ends_the_session))(request).status_code == 400


@needs_server
@pytest.mark.django_db
def test_nobody_waits_long_for_somebody_elses_lock():
    with connection.cursor() as cursor:
        if is_postgresql():
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("3s",)
        else:
            cursor.execute("SELECT @@innodb_lock_wait_timeout")
            assert cursor.fetchone() == (3,)
