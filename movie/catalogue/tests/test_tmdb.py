"""TMDB: what it gives, what stays, and every way in which it can fail, over real connections."""

import copy
import io
import signal
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from movie.catalogue import photographs
from movie.catalogue.fact_sources import FactOrigin, FactSource, TmdbLookup
from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.reports import RejectReport
from movie.catalogue.importing.tmdb import MAX_AGE, import_tmdb
from movie.catalogue.importing.tmdb_client import TmdbClient
from movie.catalogue.models import Credit, ExternalId, Movie, Person
from movie.catalogue.tests import tmdb_server
from movie.catalogue.tests.films import make_film
from movie.catalogue.tests.tmdb_server import HEAT, KEY, TOKEN, TOO_MANY, jpeg, png, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def tmdb(settings, tmp_path):
    settings.PHOTOGRAPH_DIR = tmp_path / "photographs"
    settings.TMDB_API_KEY = KEY
    with tmdb_server.running() as server:
        settings.TMDB_BASE_URL = f"{server.url}/3"
        yield server


@pytest.fixture
def heat(tmdb):
    return film("Heat", 1995, "imdb", "tt0113277", stars=[4, 5])


def film(title, year, source, value, **facts):
    movie = make_film(title, year, **facts)
    ExternalId.objects.create(movie=movie, source=source, value=value)
    return movie


def look_up(tmdb, key=KEY, **options):
    client = TmdbClient(key, f"{tmdb.url}/3", per_second=1000, timeout=2, first_pause=0.001)
    return import_tmdb(client, **options)


def command(*options):
    out = io.StringIO()
    call_command("import_tmdb", *options, "--no-progress", "--per-second", "1000", stdout=out)
    return out.getvalue()


def names(movie, role):
    return list(movie.credits.filter(role=role).order_by("order").values_list("person__name", flat=True))


def stored(settings):
    return [path for path in Path(settings.PHOTOGRAPH_DIR).rglob("*") if path.is_file()]


def everything_of(movie):
    """What TMDB can change of a movie."""
    movie = Movie.objects.get(pk=movie.pk)
    return (
        (movie.synopsis, movie.photograph, movie.runtime, movie.trailer_url),
        [names(movie, role) for role in ("cast", "director")],
        sorted(movie.titles.values_list("language", "title")),
        sorted(movie.external_ids.values_list("source", "value")),
    )


def nothing_written(movie):
    movie.refresh_from_db()
    return (
        (movie.synopsis, movie.photograph, movie.runtime) == ("", "", None)
        and not movie.credits.exists()
        and not TmdbLookup.objects.exists()
        and not FactOrigin.objects.exists()
        and not FactSource.objects.exists()
    )


def test_a_film_gets_everything_that_tmdb_knows(heat, settings):
    said = command()
    heat.refresh_from_db()
    assert heat.synopsis == HEAT["overview"]
    assert heat.runtime == 170
    assert heat.trailer_url == "https://www.youtube.com/watch?v=ccccccccccc"
    assert names(heat, "cast") == ["Al Pacino", "Robert De Niro", "Val Kilmer"]
    assert names(heat, "director") == ["Michael Mann"]
    assert dict(heat.titles.exclude(language="").values_list("language", "title")) == {
        "ko": "히트",
        "zh-hans": "盗火线",
    }
    assert dict(heat.external_ids.values_list("source", "value")) == {"imdb": "tt0113277", "tmdb": "949"}
    assert photographs.stored_path(heat.photograph).read_bytes() == jpeg()
    assert heat.title == "Heat" and heat.year == 1995
    assert "1 changed" in said and "posters" in said


def test_the_source_is_credited_with_each_fact(heat):
    command()
    owed = FactSource.objects.filter(name="TMDB").values_list("fact", "licence", "n_movies")
    facts = (
        "cast", "directors", "ko", "photograph", "runtime", "synopsis", "tmdb", "trailer_url", "zh_hans",
    )  # fmt: skip
    assert set(owed) == {(fact, "TMDB API Terms of Use", 1) for fact in facts}


def test_an_access_token_is_sent_as_a_bearer_token(tmdb, heat):
    look_up(tmdb, TOKEN)
    assert tmdb.keys == {TOKEN}
    assert TmdbLookup.objects.get().outcome == "found"


def test_a_film_that_was_looked_up_is_not_asked_for_again_within_half_a_year(tmdb, heat):
    look_up(tmdb)
    tmdb.asked.clear()
    assert look_up(tmdb).accepted == 0 and tmdb.asked == []
    TmdbLookup.objects.update(looked_up=TmdbLookup.objects.get().looked_up - MAX_AGE - timedelta(days=1))
    result = look_up(tmdb)
    assert (result.accepted, result.changed) == (1, 0)
    assert "/3/movie/949" in tmdb.asked


def test_the_most_rated_films_come_first_and_a_limit_ends_the_work(tmdb, heat):
    tmdb.films["1"] = HEAT | {"id": 1, "imdb_id": "tt0000001", "title": "Other", "poster_path": None}
    film("Other", 1999, "tmdb", "1", stars=[5])
    result = look_up(tmdb, limit=1)
    assert result.accepted == 1 and TmdbLookup.objects.get().movie_id == heat.pk


# -- what stays ------------------------------------------------------------------------------------


def test_what_is_there_stays(tmdb):
    ours = {"directors": ["Somebody Else"], "runtime": 90, "synopsis": "Ours.", "titles": {"ko": "열"}}
    heat = film("Heat", 1995, "tmdb", "949", **ours)
    look_up(tmdb)
    heat.refresh_from_db()
    assert (heat.runtime, heat.synopsis, names(heat, "director")) == (90, "Ours.", ["Somebody Else"])
    assert heat.titles.get(language="ko").title == "열"


def test_a_cast_of_unknown_order_is_put_in_billing_order_and_keeps_everybody(tmdb):
    heat = film("Heat", 1995, "tmdb", "949", cast=["Amy Brenneman", "Robert De Niro", "Al Pacino"])
    look_up(tmdb)
    assert names(heat, "cast") == ["Al Pacino", "Robert De Niro", "Val Kilmer", "Amy Brenneman"]


def test_an_order_from_a_table_of_facts_stays(tmdb, heat, tmp_path):
    table = tmp_path / "facts.tsv"
    table.write_text("imdb\tcast\ntt0113277\tVal Kilmer|Al Pacino\n")
    call_command(
        "import_facts",
        table,
        "--source",
        "own",
        "--licence",
        "own=CC0",
        "--no-progress",
        stdout=io.StringIO(),
    )
    look_up(tmdb)
    assert names(heat, "cast") == ["Val Kilmer", "Al Pacino"]


def test_an_order_that_staff_decided_stays(tmdb, admin_client):
    heat = film("Heat", 1995, "tmdb", "949", cast=["Robert De Niro", "Al Pacino"])
    address = f"/admin/catalogue/movie/{heat.pk}/change/"
    form = admin_client.get(address).context["adminform"].form
    one, two = heat.credits.order_by("order")
    data = {
        name: value for name, value in form.initial.items() if isinstance(value, (str, int, bool)) and value
    }
    inlines = {"titles": heat.titles.all(), "credits": [one, two], "external_ids": heat.external_ids.all()}
    for prefix, rows in inlines.items():
        data |= {f"{prefix}-TOTAL_FORMS": len(rows), f"{prefix}-INITIAL_FORMS": len(rows)}
        for n, row in enumerate(rows):
            data |= {f"{prefix}-{n}-id": row.pk, f"{prefix}-{n}-movie": heat.pk}
    for n, (row, order) in enumerate(((one, 5), (two, 9))):
        data |= {
            f"credits-{n}-role": row.role,
            f"credits-{n}-person": row.person_id,
            f"credits-{n}-order": order,
        }
    for n, row in enumerate(heat.titles.all()):
        data |= {f"titles-{n}-title": row.title, f"titles-{n}-language": row.language}
    data |= {"external_ids-0-source": "tmdb", "external_ids-0-value": "949"}
    response = admin_client.post(address, data)
    assert response.status_code == 302, response.context["errors"]
    look_up(tmdb)
    assert names(heat, "cast") == ["Robert De Niro", "Al Pacino"]


def test_what_somebody_changed_or_removed_afterwards_stays(tmdb, heat):
    look_up(tmdb)
    Movie.objects.filter(pk=heat.pk).update(photograph="", runtime=171)
    cast = Credit.objects.filter(movie=heat, role="cast")
    cast.filter(person__name="Al Pacino").update(order=9)
    look_up(tmdb, max_age=timedelta(0))
    heat.refresh_from_db()
    assert (heat.photograph, heat.runtime) == ("", 171)
    assert names(heat, "cast") == ["Robert De Niro", "Val Kilmer", "Al Pacino"]


def test_what_tmdb_gave_and_nobody_changed_is_brought_up_to_date(tmdb, heat):
    look_up(tmdb)
    tmdb.films["949"] = HEAT | {"overview": "A better text.", "runtime": 171}
    look_up(tmdb, max_age=timedelta(0))
    heat.refresh_from_db()
    assert (heat.synopsis, heat.runtime) == ("A better text.", 171)


def test_a_dry_run_changes_nothing(heat, settings):
    assert "1 changed" in command("--dry-run")
    assert nothing_written(heat) and stored(settings) == []


# -- what goes again -------------------------------------------------------------------------------


def test_a_photograph_goes_with_the_last_film_that_has_it(
    tmdb, heat, settings, django_capture_on_commit_callbacks
):
    tmdb.films["1"] = HEAT | {"id": 1, "imdb_id": "tt0000001", "title": "Twin"}
    twin = film("Twin", 1995, "tmdb", "1")
    look_up(tmdb)
    with django_capture_on_commit_callbacks(execute=True):
        twin.delete()
    assert len(stored(settings)) == 1
    tmdb.films["949"] = HEAT | {"poster_path": "/new.png"}
    tmdb.images["/t/p/w500/new.png"] = png()
    with django_capture_on_commit_callbacks(execute=True):
        look_up(tmdb, max_age=timedelta(0))
    assert [path.suffix for path in stored(settings)] == [".png"], "the replaced one is gone"
    with django_capture_on_commit_callbacks(execute=True):
        Movie.objects.filter(pk=heat.pk).delete()
    assert stored(settings) == [] and not photographs.any_stored()


def test_a_photograph_that_staff_take_away_is_deleted(
    tmdb, heat, settings, django_capture_on_commit_callbacks
):
    look_up(tmdb)
    heat.refresh_from_db()
    heat.photograph = ""
    with django_capture_on_commit_callbacks(execute=True):
        heat.save()
    assert stored(settings) == []


def test_everything_that_tmdb_gave_is_taken_back(tmdb, settings, django_capture_on_commit_callbacks):
    there = {
        "cast": ["Amy Brenneman", "Robert De Niro"],
        "titles": {"ko": "열"},
        "directors": ["Michael Mann"],
    }
    heat = film("Heat", 1995, "imdb", "tt0113277", stars=[4], **there)
    before = everything_of(heat)
    people = set(Person.objects.values_list("name", flat=True))
    look_up(tmdb)
    tmdb.films["949"] = HEAT | {"overview": "A better text."}
    look_up(tmdb, max_age=timedelta(0))
    given = everything_of(heat)
    assert len(stored(settings)) == 1 and given != before
    assert "would be taken back" in command("--remove", "--dry-run")
    assert everything_of(heat) == given and FactSource.objects.filter(name="TMDB").exists()
    tmdb.asked.clear()
    settings.TMDB_API_KEY = ""
    with django_capture_on_commit_callbacks(execute=True):
        said = command("--remove")
    assert everything_of(heat) == before
    assert set(Person.objects.values_list("name", flat=True)) == people
    assert stored(settings) == [] and tmdb.asked == []
    assert not FactOrigin.objects.exists() and not TmdbLookup.objects.exists()
    assert not FactSource.objects.filter(name="TMDB").exists()
    assert "1 films" in said and "2  people who are in no film any more" in said
    assert "0 films" in command("--remove")


def test_what_somebody_decided_survives_the_removal_and_the_next_import(tmdb, heat):
    look_up(tmdb)
    Movie.objects.filter(pk=heat.pk).update(synopsis="", runtime=171)
    Credit.objects.filter(movie=heat, role="cast", person__name="Al Pacino").update(order=9)
    assert "1  running times stay" in command("--remove")
    for again in (False, True):
        if again:
            look_up(tmdb)
        heat.refresh_from_db()
        assert (heat.synopsis, heat.runtime) == ("", 171)
        assert names(heat, "cast") == ["Robert De Niro", "Val Kilmer", "Al Pacino"]
        assert bool(heat.trailer_url) == again


# -- failures --------------------------------------------------------------------------------------


def test_without_a_key_nothing_is_asked(tmdb, heat, settings):
    settings.TMDB_API_KEY = ""
    with pytest.raises(CommandError, match="TMDB_API_KEY is not set"):
        command()
    assert tmdb.asked == []


def test_a_wrong_key_is_said_in_one_sentence_and_ends_the_import(tmdb, heat, settings):
    film("Other", 1999, "tmdb", "1")
    settings.TMDB_API_KEY = "f" * 32
    with pytest.raises(CommandError) as caught:
        command()
    assert str(caught.value).startswith("TMDB refused the key in TMDB_API_KEY (status 401): compare it")
    assert "f" * 32 not in str(caught.value)
    assert len(tmdb.asked) == 1 and nothing_written(heat)


def test_a_film_that_tmdb_does_not_have_is_counted_and_remembered(tmdb, heat):
    film("Nobody Knows It", 1999, "tmdb", "404404")
    film("Nobody Knows It Either", 1999, "imdb", "tt9999999")
    report = RejectReport()
    result = look_up(tmdb, report=report)
    assert result.accepted == 1
    assert report.reasons == {"TMDB has no film of this id": 2}
    tmdb.asked.clear()
    look_up(tmdb)
    assert tmdb.asked == []


def test_too_many_requests_are_repeated_after_the_pause_that_tmdb_asks_for(tmdb, heat):
    refused = []

    def before(handler):
        if len(refused) < 2 and "/movie/" in handler.path:
            refused.append(handler.path)
            send(handler, 429, TOO_MANY, Retry_After="1")
            return True
        return False

    tmdb.before = before
    look_up(tmdb)
    heat.refresh_from_db()
    assert len(refused) == 2 and heat.runtime == 170


@pytest.mark.parametrize("part", ["/movie/", "/t/p/"])
@pytest.mark.parametrize("times", [1, 100])
def test_a_connection_cut_in_the_middle_is_repeated_or_leaves_nothing_half_done(
    tmdb, heat, settings, part, times
):
    cut = []

    def before(handler):
        if part not in handler.path or len(cut) == times:
            return False
        cut.append(handler.path)
        handler.send_response(200)
        handler.send_header("Content-Length", "5000")
        handler.end_headers()
        handler.wfile.write(b'{"id": 949, "title": "He')
        handler.close_connection = True
        return True

    tmdb.before = before
    result = look_up(tmdb)
    if times == 1:
        heat.refresh_from_db()
        assert heat.photograph and heat.runtime == 170
    else:
        assert result.failed == 1 and len(cut) == 6  # once, and five times again
        assert nothing_written(heat) and stored(settings) == []


@pytest.mark.parametrize(
    "body",
    [b"{", b"<html>maintenance</html>", b"[]", b'{"id": "x", "title": "Heat"}', b'{"id": 949}', b"\xff\xfe"],
)
def test_an_answer_that_is_not_of_its_form_leaves_nothing_half_done(tmdb, heat, body):
    tmdb.before = lambda handler: "/movie/" in handler.path and (send(handler, 200, body) or True)
    report = RejectReport()
    assert look_up(tmdb, report=report).failed == 1
    assert report.reasons == {"TMDB's answer is not of its form": 1}
    assert nothing_written(heat)
    tmdb.before = lambda _handler: False
    look_up(tmdb)
    heat.refresh_from_db()
    assert heat.runtime == 170


def test_five_failures_in_a_row_end_the_import_and_the_next_goes_on(tmdb, heat):
    for number in range(8):
        film(f"Film {number}", 1990, "tmdb", str(5000 + number))
    tmdb.before = lambda handler: "/movie/5" in handler.path and (send(handler, 503, b"") or True)
    with pytest.raises(CatalogueError, match=r"5 films failed one after the other\. 1 films are done"):
        look_up(tmdb)
    heat.refresh_from_db()
    assert heat.runtime == 170
    assert list(TmdbLookup.objects.values_list("movie", flat=True)) == [heat.pk]
    assert FactSource.objects.filter(name="TMDB").exists()


def test_nobody_there_is_said_without_the_key(heat, settings):
    settings.TMDB_BASE_URL = "http://127.0.0.1:9/3"
    report = RejectReport()
    client = TmdbClient(KEY, settings.TMDB_BASE_URL, per_second=1000, first_pause=0.001)
    assert import_tmdb(client, report=report).failed == 1
    assert list(report.reasons) == ["TMDB could not be reached"]
    assert nothing_written(heat)


def test_the_report_names_each_film_and_never_the_key(tmdb, heat, tmp_path, settings):
    settings.TMDB_BASE_URL = "http://127.0.0.1:9/3"
    path = tmp_path / "report.csv"
    client = TmdbClient(KEY, settings.TMDB_BASE_URL, per_second=1000, first_pause=0.001)
    with RejectReport(path) as report:
        import_tmdb(client, report=report)
    assert "Heat (1995)" in path.read_text() and KEY not in path.read_text()


@pytest.mark.parametrize(
    "image",
    [
        b"<svg/>",
        b"GIF89a" + b"\0" * 50,
        jpeg()[:-2],
        jpeg()[:9],
        jpeg(60_000, 3),
        png()[:-6],
        png().replace(b"IDAT", b"IDAX"),
        png() + b"<script>",
        png(5000, 1),
        jpeg()[:-2] + b"\0" * photographs.LARGEST + b"\xff\xd9",
    ],
)
def test_a_poster_that_is_no_whole_image_of_a_poster_is_left_out(tmdb, heat, image, settings):
    tmdb.images["/t/p/w500/heat.jpg"] = image
    report = RejectReport()
    look_up(tmdb, report=report)
    heat.refresh_from_db()
    assert (heat.photograph, heat.runtime) == ("", 170)
    assert report.notes == {"the poster could not be used": 1}
    assert stored(settings) == []


def test_posters_are_stored_once_under_their_content(tmdb, heat, settings):
    tmdb.films["1"] = HEAT | {"id": 1, "imdb_id": "tt0000001", "title": "Heat", "poster_path": "/other.png"}
    tmdb.films["2"] = tmdb.films["1"] | {"id": 2, "imdb_id": "tt0000002", "poster_path": "/heat.jpg"}
    tmdb.images["/t/p/w500/other.png"] = png()
    one, two = film("One", 1999, "tmdb", "1"), film("Two", 1999, "tmdb", "2")
    look_up(tmdb)
    for movie in (heat, one, two):
        movie.refresh_from_db()
    assert heat.photograph == two.photograph != one.photograph
    assert one.photograph.endswith(".png") and len(stored(settings)) == 2


def test_a_film_whose_ids_contradict_each_other_is_refused(tmdb, heat):
    other = film("Other", 1999, "imdb", "tt0000001")
    ExternalId.objects.create(movie=other, source="tmdb", value="949")
    report = RejectReport()
    look_up(tmdb, report=report)
    other.refresh_from_db()
    assert other.runtime is None
    assert report.reasons["its ids at TMDB are those of another film"] == 2  # Heat's TMDB id is Other's here


def test_names_and_texts_of_any_kind_are_kept_within_their_bounds(tmdb, heat):
    wild = copy.deepcopy(HEAT)
    wild["overview"] = "<script>\0" + "x" * 9000
    wild["credits"]["cast"].append({"name": "N" * 300, "order": 3})
    wild["credits"]["cast"].append({"name": None, "order": None})
    wild["translations"]["translations"][0]["data"]["title"] = "히" * 300
    wild["runtime"] = 99_999
    tmdb.films["949"] = wild
    look_up(tmdb)
    heat.refresh_from_db()
    assert len(heat.synopsis) == 5000 and heat.runtime is None
    assert len(names(heat, "cast")) == 3
    assert not heat.titles.filter(language="ko").exists()


@pytest.mark.django_db(transaction=True)
def test_an_interrupted_import_goes_on_from_there(tmdb, heat):
    tmdb.films["1"] = HEAT | {"id": 1, "imdb_id": "tt0000001", "title": "Other", "poster_path": None}
    other = film("Other", 1999, "tmdb", "1")
    main = threading.main_thread().ident

    def before(handler):
        if "/movie/1" in handler.path and not interrupted:
            interrupted.append(handler.path)
            signal.pthread_kill(main, signal.SIGINT)
        return False

    interrupted: list[str] = []
    tmdb.before = before
    # Python takes no SIGINT where the shell ignores it for what runs in the background.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert look_up(tmdb).interrupted
    finally:
        signal.signal(signal.SIGINT, handler)
    heat.refresh_from_db()
    other.refresh_from_db()
    assert (heat.runtime, other.runtime) == (170, None)
    tmdb.asked.clear()
    assert look_up(tmdb).accepted == 1
    other.refresh_from_db()
    assert other.runtime == 170 and "/3/movie/949" not in tmdb.asked
