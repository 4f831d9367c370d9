"""CSV files in the admin: a preview that writes nothing, then the good rows, batch by batch."""

import csv
import html
import io
import re
from datetime import UTC, datetime
from unittest import mock

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from movie.catalogue.models import ExternalId, Genre, Movie, Rating
from movie.catalogue.tests.test_admin import NOW, film
from movie.core import csv_import_admin
from movie.events.history import get_history
from movie.events.models import Event
from movie.events.recording import new_event_id, record
from predictors.history import Interaction

pytestmark = pytest.mark.django_db


def preview(client, model, text):
    file = SimpleUploadedFile("rows.csv", text.encode(), "text/csv")
    return client.post(
        reverse(f"admin:catalogue_{model}_import"),
        {"import_file": file, "format": "0"},
    )


def confirm(client, model, page):
    form = page.context["confirm_form"]
    return client.post(reverse(f"admin:catalogue_{model}_process_import"), form.initial, follow=True)


def test_films_are_imported_after_a_preview(admin_client):
    old = film(1)
    text = (
        "id,title,year,is_visible,genres,imdb\n"
        f"{old.pk},Film one,1991,1,Drama|Crime,tt0113277\n"
        ",The New One,2001,,Drama,\n"
    )
    page = preview(admin_client, "movie", text)
    assert page.status_code == 200
    assert "The New One" in page.content.decode()
    assert Movie.objects.count() == 1  # a preview changes nothing
    assert Movie.objects.get().title == "Film 1"
    confirm(admin_client, "movie", page)
    old.refresh_from_db()
    assert (old.title, old.genre_names) == ("Film one", ["Crime", "Drama"])
    assert ExternalId.objects.get(source="imdb").movie == old
    new = Movie.objects.exclude(pk=old.pk).get()
    assert (new.title, new.year, new.is_visible, new.genre_names) == ("The New One", 2001, True, ["Drama"])
    assert new.titles.get().title == "The New One"


def test_bad_film_rows_are_listed_and_the_good_ones_can_be_imported(admin_client):
    other = film(2)
    ExternalId.objects.create(movie=other, source="imdb", value="tt0113277")
    text = "id,title,year,is_visible,imdb\n,Good,1990,1,\n,Bad,soon,perhaps,tt0113277\n,,1990,1,\n"
    page = preview(admin_client, "movie", text)
    said = re.sub(r"\s+", " ", page.content.decode())
    for words in (
        "“soon” is not a whole number",
        "“perhaps” is neither 1 nor 0",
        "Another film has the IMDb id",
        "2 rows cannot be used",
    ):
        assert words in said
    assert [row.number for row in page.context["preview"].rejected] == [2, 3]
    assert Movie.objects.count() == 1
    after = confirm(admin_client, "movie", page)
    assert list(Movie.objects.exclude(pk=other.pk).values_list("title", flat=True)) == ["Good"]
    said = [str(message) for message in after.context["messages"]]
    assert said == [
        "Imported: 1 new, 0 changed, 0 as they were.",
        "2 rows could not be used and were left out.",
    ]


def test_the_bad_rows_can_be_downloaded_corrected_and_sent_again(admin_client):
    page = preview(admin_client, "movie", 'title,year\nGood,1990\n"Bad, truly",soon\n')
    url = page.context["rejected_url"]
    assert url in html.unescape(page.content.decode())
    response = admin_client.get(url)
    assert "attachment" in response["Content-Disposition"]
    text = response.content.decode().removeprefix("\ufeff")
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["title", "year", "reason"]
    assert rows[1][:2] == ["Bad, truly", "soon"] and "year: “soon”" in rows[1][2]
    page = preview(admin_client, "movie", text.replace(",soon,", ",1991,"))
    confirm(admin_client, "movie", page)
    assert Movie.objects.get().title == "Bad, truly"
    assert admin_client.get(url.replace("file=", "file=x"), follow=True).status_code == 200
    assert Client().get(url).status_code == 302


def test_a_file_without_a_good_row_offers_no_import(admin_client):
    page = preview(admin_client, "movie", "title,year\nBad,soon\n")
    assert "confirm_form" not in page.context and page.context["preview"].n_importable == 0


def test_a_preview_writes_nothing_and_opens_no_transaction(admin_client):
    old = film(1)
    text = f"id,title,genres,imdb\n{old.pk},Film one,Drama|New One,tt0113277\n,Other,Newer,tt0113278\n"
    with CaptureQueriesContext(connection) as queries:
        page = preview(admin_client, "movie", text)
    assert page.context["preview"].n_importable == 2
    writing = ("INSERT", "UPDATE", "DELETE", "SAVEPOINT", "BEGIN")
    sessions = ("django_session", "auth_user")
    found = [query["sql"] for query in queries if query["sql"].startswith(writing)]
    assert [sql for sql in found if not any(name in sql for name in sessions)] == []


def test_new_names_and_unknown_ids_are_pointed_out_before_they_are_made(admin_client):
    old = film(1)
    Genre.objects.get_or_create(name="Drama")
    text = f"id,title,genres\n{old.pk},Film one,drama|Drmaa\n4711,Other,Drmaa\n"
    page = preview(admin_client, "movie", text)
    notices = page.context["preview"].notices
    assert len(notices) == 2 and "4711" in notices[0] and "“Drmaa”" in notices[1]
    assert not Genre.objects.filter(name="Drmaa").exists()
    confirm(admin_client, "movie", page)
    assert Movie.objects.get(pk=4711).genre_names == ["Drmaa"]
    old.refresh_from_db()
    assert set(old.genre_names) == {"Drama", "Drmaa"}
    assert not Genre.objects.filter(name="drama").exists()


def test_an_unchanged_file_changes_nothing(admin_client):
    old = film(1)
    ExternalId.objects.create(movie=old, source="imdb", value="tt0113277")
    text = f"id,title,year,genres,imdb\n{old.pk},{old.title},{old.year or ''},Genre 1,tt0113277\n"
    page = preview(admin_client, "movie", text)
    assert (page.context["preview"].n_unchanged, page.context["preview"].n_importable) == (1, 0)


def test_the_number_of_rows_is_limited_and_the_form_says_so(admin_client):
    url = reverse("admin:catalogue_movie_import")
    assert "At most 20,000 rows" in admin_client.get(url).content.decode()
    with mock.patch.object(csv_import_admin, "MOST_ROWS", 3):
        page = preview(admin_client, "movie", "title\n" + "x\n" * 4)
    assert "The file has 4 rows" in page.content.decode() and "preview" not in page.context


def test_a_long_import_goes_on_where_it_stopped(admin_client):
    page = preview(admin_client, "movie", "title\n" + "".join(f"New {n}\n" for n in range(40)))
    form = dict(page.context["confirm_form"].initial)
    url = reverse("admin:catalogue_movie_process_import")
    real, steps = csv_import_admin.write_in_batches, 0

    def only_one(rows, write, **options):
        yield next(real(rows, write, size=15))

    with mock.patch.object(csv_import_admin, "write_in_batches", only_one):
        while True:
            page = admin_client.post(url, form)
            steps += 1
            if page.status_code == 302:
                break
            form = dict(page.context["confirm_form"].initial)
            assert "rows are left" in page.content.decode() or "row is left" in page.content.decode()
    assert steps == 3 and Movie.objects.count() == 40
    assert LogEntry.objects.count() == 40


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "unsigned"])
def test_no_other_file_can_be_imported(admin_client, name):
    data = {"import_file_name": name, "original_file_name": "x", "format": "0", "resource": "0"}
    response = admin_client.post(reverse("admin:catalogue_movie_process_import"), data)
    assert response.status_code == 302


def test_a_row_that_fails_leaves_nothing_of_itself(admin_client):
    page = preview(admin_client, "movie", "title,imdb\nOne,tt0113277\nTwo,tt0113278\n")
    ExternalId.objects.create(movie=film(9), source="imdb", value="tt0113278")  # somebody was faster
    confirm(admin_client, "movie", page)
    assert set(Movie.objects.values_list("title", flat=True)) == {"One", "Film 9"}


def test_checking_costs_as_few_queries_for_many_rows_as_for_few(admin_client):
    movie = film(1)
    movies = "title,year,genres,imdb\n" + "".join(f"N {n},1990,Drama,tt01{n:05}\n" for n in range(300))
    ratings = "visitor,movie,value\n" + "".join(f"ml:{n},{movie.pk},4\n" for n in range(300))
    for model, text in (("movie", movies), ("rating", ratings)):
        with CaptureQueriesContext(connection) as queries:
            assert preview(admin_client, model, text).context["preview"].n_new == 300
        assert len(queries) <= 30


def test_ratings_are_imported_after_a_preview(admin_client):
    movie = film(1)
    text = f"visitor,movie,value,rated_at\nml:1,{movie.pk},2,2001-02-03T04:05:06Z\nml:2,{movie.pk},3,\n"
    page = preview(admin_client, "rating", text)
    movie.refresh_from_db()
    assert movie.rating_count == 1
    confirm(admin_client, "rating", page)
    movie.refresh_from_db()
    assert (movie.rating_count, movie.rating_average) == (3, 3.0)
    assert Rating.objects.get(visitor="ml:1").rated_at == datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    again = preview(
        admin_client, "rating", f"visitor,movie,value,rated_at\nml:1,{movie.pk},5,2001-02-03T04:05:06Z\n"
    )
    confirm(admin_client, "rating", again)
    assert Rating.objects.get(visitor="ml:1").value == 5
    movie.refresh_from_db()
    assert movie.rating_average == 4.0


def test_an_imported_rating_is_in_its_visitors_history_and_the_newest_counts(admin_client):
    old, new = film(1), film(2)
    for movie in (old, new):
        record(Interaction(new_event_id(), "guest:x", "rating", movie.pk, NOW, 5.0))
    text = "visitor,movie,value,rated_at\n"
    text += f"guest:x,{old.pk},2,2001-02-03T04:05:06Z\nguest:x,{new.pk},3,2021-02-03T04:05:06Z\n"
    for _time in range(2):
        page = preview(admin_client, "rating", text)
        assert Event.objects.count() in (2, 4)
        confirm(admin_client, "rating", page)
        assert Event.objects.filter(surface="import").count() == 2
    ratings = {old.pk: 5.0, new.pk: 3.0}
    assert get_history("guest:x").ratings == ratings
    assert dict(Rating.objects.filter(visitor="guest:x").values_list("movie", "value")) == ratings
    new.refresh_from_db()
    assert (new.rating_count, new.unweighed_average) == (2, 3.5)
    assert new.rating_average == pytest.approx((100 * 4 + 2 * 3) / 102), "a new guest counts 2 percent"
    record(Interaction(new_event_id(), "guest:x", "undo", new.pk, NOW))
    assert get_history("guest:x").ratings == {old.pk: 5.0, new.pk: 5.0}


def test_bad_rating_rows_are_shown_with_their_column(admin_client):
    movie = film(1)
    rows = f"ml:1,{movie.pk},7,\nml:1,99999,3,\n,{movie.pk},3,\nml:1,{movie.pk},3,soon\n"
    text = "visitor,movie,value,rated_at\n" + rows
    page = preview(admin_client, "rating", text)
    said = re.sub(r"\s+", " ", page.content.decode())
    for words in (
        "“7” is not a half-star value",
        "There is no film with the id “99999”",
        "neither seconds since 1970",
    ):
        assert words in said
    assert [row.number for row in page.context["preview"].rejected] == [1, 2, 3, 4]
    assert Rating.objects.count() == 1
