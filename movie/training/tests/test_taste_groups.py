"""manage.py analyse_groups and its page: what the command found is what the page shows."""

import io
import json
import re

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from movie.catalogue.models import Genre, Movie, Rating
from movie.training.management.commands.generate_data import truth_folder
from movie.training.taste_groups import read_report, report_path, shade_of

pytestmark = pytest.mark.django_db
MADE_UP = {"users": 120, "items": 40, "ratings": 3_600, "groups": 3, "genres": 4}


@pytest.fixture(autouse=True)
def _own_models(settings, tmp_path):
    settings.MODEL_DIR = tmp_path / "models"


@pytest.fixture(scope="module")
def people(django_db_setup, django_db_blocker):
    """Loaded once: what a test changes is rolled back."""
    with django_db_blocker.unblock():
        call_command("generate_data", to_site=True, stdout=io.StringIO(), no_progress=True, **MADE_UP)
    yield
    with django_db_blocker.unblock():
        call_command("generate_data", remove=True, stdout=io.StringIO())
        Genre.objects.all().delete()


def analyse(**options) -> str:
    out = io.StringIO()
    call_command("analyse_groups", stdout=out, **{"groups": 3, **options})
    return out.getvalue()


def page(client) -> str:
    response = client.get(reverse("pages:taste_groups"))
    assert response.status_code == 200
    return response.content.decode()


def test_without_an_analysis_the_page_says_how_to_make_one(client):
    assert "manage.py analyse_groups" in page(client)
    assert "<svg" not in page(client).partition("<main")[2]


def test_the_page_shows_what_the_command_found(client, people, django_assert_max_num_queries):
    said = analyse()
    report = read_report()
    assert report is not None and report.people == sum(group.size for group in report.groups)
    with django_assert_max_num_queries(2):
        markup = page(client)
    table = re.search(r'<table class="dense">.*?</table>', markup, re.S)[0]
    for group, row in report.rows:
        assert str(group.size) in table and ", ".join(group.genres) in table
        for value in row:
            assert f"{value:.2f}" in table
    squares = re.findall(
        r'<rect class="taste-([\w-]+)".*?<text class="taste-value"[^>]*>([\d.-]+)<', markup, re.S
    )
    expected = [(shade_of(value), f"{value:.2f}") for row in report.cosines for value in row]
    assert squares == expected
    for group in report.groups:
        for film in group.films:
            title = Movie.objects.get(pk=film.movie_id).title
            assert title in markup and title in said
    assert "style=" not in markup.partition("<main")[2]


def test_known_groups_are_shown_by_their_names_and_compared_with_found_ones(client, people):
    said = analyse(known=truth_folder() / "groups.csv")
    report = read_report()
    assert report.known and {group.name for group in report.groups} == {"1", "2", "3"}
    assert report.agreement > 0.7 and f"{report.agreement:.3f}" in said
    assert report.within > 0.8
    assert report.between < 0.3
    assert "The groups were given, not found." in page(client)


def test_a_hidden_film_is_not_named_on_the_page(client, people):
    analyse()
    film = Movie.objects.get(pk=read_report().groups[0].films[0].movie_id)
    assert film.title in page(client)
    Movie.objects.filter(pk=film.pk).update(is_visible=False)
    assert film.title not in page(client)


def test_a_file_is_analysed_without_touching_the_page(people, tmp_path):
    call_command("generate_data", out=tmp_path, stdout=io.StringIO(), **MADE_UP)
    plot = tmp_path / "groups.png"
    said = analyse(data=tmp_path / "ratings.csv", known=tmp_path / "truth" / "groups.csv", plot=plot)
    assert re.search(r"x +\d+ of \d+ +[A-Z]{4}\d{4}\n", said)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert read_report() is None


def test_no_visitor_is_in_the_report(people):
    analyse()
    text = report_path().read_text()
    for visitor in Rating.objects.values_list("visitor", flat=True).distinct():
        assert visitor not in text and visitor.partition(":")[2] not in text


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"form": 2}', '{"form": 1, "created": "x"}'])
def test_a_report_that_cannot_be_read_is_none(client, content):
    report_path().parent.mkdir(parents=True)
    report_path().write_text(content)
    assert "Nobody has looked for groups yet" in page(client)


def test_a_report_whose_cosines_do_not_fit_is_none(people):
    analyse()
    content = json.loads(report_path().read_text())
    content["cosines"].pop()
    report_path().write_text(json.dumps(content))
    assert read_report() is None


@pytest.mark.parametrize(
    ("options", "word"),
    [({"groups": 30}, "300 people"), ({"groups": 0}, "--groups"), ({"plot": "tastes.gif"}, "gif")],
)
def test_what_cannot_be_done_is_said(people, tmp_path, options, word):
    if "plot" in options:
        options = {"plot": tmp_path / options["plot"]}
    with pytest.raises(CommandError, match=word):
        analyse(**options)


def test_a_file_of_groups_that_fits_nobody_is_refused(people, tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("person,group\nU1,1\n")
    with pytest.raises(CommandError, match="no column user"):
        analyse(known=path)
    path.write_text("user,group\nU1,1\n")
    with pytest.raises(CommandError, match="names nobody"):
        analyse(known=path)


def test_every_step_of_the_scale_has_a_colour():
    assert [shade_of(value) for value in (-1, -0.5, -0.09, 0, 0.11, 0.69, 1)] == [
        "cool-5",
        "cool-2",
        "even",
        "even",
        "warm-1",
        "warm-3",
        "warm-5",
    ]
