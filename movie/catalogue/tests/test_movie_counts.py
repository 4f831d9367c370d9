"""The number of movies of a person, an upper bound for searches: it follows whatever writes credits."""

import time
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from threading import Barrier

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, connections, transaction
from django.db.models import Count, F
from django.test.utils import CaptureQueriesContext

from movie.catalogue import names
from movie.catalogue.importing.movies import import_movies
from movie.catalogue.merging import merge_facts, merge_people
from movie.catalogue.models import Credit, Person
from movie.catalogue.tests.films import make_film
from movie.catalogue.upsert import MovieStatement, write_movies

pytestmark = pytest.mark.django_db(transaction=True)


def miscounted():
    """Return people who have more films than their row says; without a credit it may say more."""
    counted = Person.objects.annotate(n=Count("credits__movie", distinct=True))
    return list(counted.filter(n__gt=F("movie_count")).values_list("name", "n", "movie_count"))


def count_of(name):
    return Person.objects.get(name=name).movie_count


def test_whatever_writes_credits_counts_the_films_of_their_people(tmp_path):
    heat = make_film("Heat", 1995, directors=["Michael Mann", "Ann Lee"])
    ronin = make_film("Ronin", 1998)
    other = make_film("Heat", 1995, directors=["M. Mann"])
    path = tmp_path / "movies.csv"
    path.write_text("movieId,title,genres,directors,cast\n1,Ali (2001),Drama,Michael Mann,Ann Lee\n")
    import_movies(path)
    write_movies([MovieStatement(ronin.pk, values={"cast": ["Ann Lee"], "directors": ["Ann Lee"]})])
    Credit.objects.create(movie=ronin, person=Person.objects.get(name="M. Mann"), role=Credit.Role.CAST)
    assert miscounted() == []
    assert count_of("Ann Lee") == 3
    merge_facts(heat, other)
    merge_people(Person.objects.get(name="Michael Mann"), [Person.objects.get(name="M. Mann")])
    assert miscounted() == []
    assert count_of("Michael Mann") >= 3


@pytest.fixture
def film():
    """Return a film of one director, besides another film and a person without any."""
    make_film("Ronin")
    Person.objects.create(name="Ann Lee")
    return make_film("Heat", directors=["Michael Mann"], cast=["Michael Mann"])


def give_by_id(other, ann):
    Credit.objects.update(person_id=ann.pk)


def give_by_key(other, ann):
    Credit.objects.update(person=ann.pk)


def give_in_bulk(other, ann):
    credits = list(Credit.objects.all())
    for credit in credits:
        credit.person = ann
    Credit.objects.bulk_update(credits, ["person"])


def give_to_another_film(other, ann):
    Credit.objects.filter(role=Credit.Role.CAST).update(movie=other)


def save_each(other, ann):
    for credit in Credit.objects.all():
        credit.person = ann
        credit.save()


@pytest.mark.parametrize("write", [give_by_id, give_by_key, give_in_bulk, give_to_another_film, save_each])
def test_credits_are_counted_however_they_change(film, write):
    write(make_film("Ronin"), Person.objects.get(name="Ann Lee"))
    assert miscounted() == []


def test_a_person_that_was_read_before_a_credit_is_saved_without_the_old_number(film):
    ann = Person.objects.get(name="Ann Lee")
    Credit.objects.create(movie=film, person=ann, role=Credit.Role.WRITER)
    ann.name = "Ang Lee"
    ann.save()
    assert Person.objects.filter(name="Ang Lee", search_key="ang lee", movie_count=1).exists()


def test_the_command_counts_what_older_versions_wrote_and_what_was_deleted(film):
    Person.objects.filter(name="Michael Mann").update(movie_count=0)
    Person.objects.filter(name="Ann Lee").update(movie_count=7)
    call_command("index_searches", stdout=StringIO())
    assert (count_of("Michael Mann"), count_of("Ann Lee")) == (1, 0)


def test_a_transaction_counts_once_however_many_credits_it_writes(film):
    """Nor does it write rows whose number is right."""
    others = [make_film(f"Film {n}", directors=["M. Mann"]) for n in range(20)]
    keep, other = Person.objects.get(name="Michael Mann"), Person.objects.get(name="M. Mann")
    with CaptureQueriesContext(connection) as asked:
        merge_people(keep, [other])
    counts = [each for each in asked if "COUNT(DISTINCT" in each["sql"]]
    assert [each["sql"].split()[0] for each in counts] == ["SELECT", "UPDATE"]
    assert len(asked) < 20
    keep.refresh_from_db()
    assert keep.movie_count == 1 + len(others)


def test_a_count_that_fails_is_made_up_for_by_the_next_one(monkeypatch):
    """It is tried once in a transaction, however many credits that writes."""
    ann, michael = (Person.objects.create(name=name) for name in ("Ann Lee", "Michael Mann"))
    ronin, tried = make_film("Ronin"), []

    def fail(people, ids, stored):
        tried.append(ids)
        raise OperationalError(2013, "Lost connection to server during query")

    with monkeypatch.context() as patch:
        patch.setattr("movie.catalogue.names.write_movie_counts", fail)
        with transaction.atomic():
            for role in (Credit.Role.CAST, Credit.Role.WRITER):
                Credit.objects.create(movie=ronin, person=ann, role=role)
    assert tried == [[ann.pk]]
    assert count_of("Ann Lee") == 0
    Credit.objects.create(movie=ronin, person=michael, role=Credit.Role.CAST)
    assert miscounted() == []


def test_a_count_that_fails_keeps_nobody_else_from_being_counted(film, monkeypatch, caplog):
    """Nor does the next transaction count those again."""
    people = Person.objects.bulk_create(Person(name=f"Person {n}", search_key="") for n in range(5))
    monkeypatch.setattr("movie.catalogue.names.COUNTED_AT_ONCE", 2)
    number_of = {each.pk: n for n, each in enumerate(people)}
    write, tried = names.write_movie_counts, []

    def fail_twice(queryset, ids, stored):
        tried.append([number_of[pk] for pk in ids])
        if len(tried) <= 2:
            raise OperationalError(2013, f"Lost connection, try {len(tried)}")
        write(queryset, ids, stored)

    monkeypatch.setattr("movie.catalogue.names.write_movie_counts", fail_twice)
    with transaction.atomic():
        for role in (Credit.Role.CAST, Credit.Role.WRITER):
            Credit.objects.bulk_create(Credit(movie=film, person=each, role=role) for each in people)
    assert tried == [[0, 1], [2, 3], [4]]
    assert "try 1" in caplog.text
    assert [name for name, *_ in miscounted()] == ["Person 0", "Person 1", "Person 2", "Person 3"]
    Credit.objects.create(movie=film, person=people[3], role=Credit.Role.DIRECTOR)
    assert tried[3:] == [[0, 1], [2, 3]]
    assert miscounted() == []


@pytest.mark.usefixtures("own_connections")
def test_two_transactions_that_credit_a_person_at_once_are_both_stored_and_counted():
    people = [Person.objects.create(name=f"Person {n}") for n in range(3)]
    films = [make_film("Heat"), make_film("Ronin")]
    both_have_written = Barrier(2 if connection.vendor != "sqlite" else 1)  # which has one writer at a time

    def credit(film, role):
        in_order = people if role == Credit.Role.CAST else people[::-1]
        try:
            with transaction.atomic():
                for each in in_order:
                    Credit.objects.create(movie=film, person=each, role=role)
                both_have_written.wait(10)
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(credit, films, (Credit.Role.CAST, Credit.Role.DIRECTOR)))
    assert Credit.objects.count() == 6
    assert set(Person.objects.values_list("movie_count", flat=True)) == {2}


@pytest.mark.usefixtures("own_connections")
def test_a_count_holds_nobody_up_while_it_waits_for_somebody():
    """Else a transaction that credits the same people in another order ends by a deadlock."""
    early, late = (Person.objects.create(name=name) for name in ("Ann Lee", "Michael Mann"))
    ronin, role = make_film("Ronin", cast=["Ann Lee", "Michael Mann"]), Credit.Role.WRITER
    Person.objects.update(movie_count=0)

    def count():
        try:
            Person.objects.refresh_movie_counts([early.pk, late.pk])
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Credit.objects.create(movie=ronin, person=late, role=role)
            counting = pool.submit(count)
            if connection.vendor != "sqlite":  # where a transaction keeps every other writer waiting
                end = time.monotonic() + 30  # for the thread to connect and count, however busy the machine
                while count_of("Ann Lee") == 0 and time.monotonic() < end:
                    time.sleep(0.01)
                assert count_of("Ann Lee") == 1
            Credit.objects.create(movie=ronin, person=early, role=role)
        counting.result()
    assert (count_of("Ann Lee"), count_of("Michael Mann")) == (1, 1)
