"""Something behind every address of the site of the browser tests, and who may ask for it.

Run in the site's own environment: `populate()` returns what a browser needs as plain JSON values.
"""

from __future__ import annotations

import json
import time
from typing import Any

from django.contrib.auth import get_user_model
from django.test import Client

from movie.api.models import ApiClient
from movie.catalogue.models import Genre, Movie, Person
from movie.events.models import HistoryImport
from movie.experiments.models import Experiment, ExperimentArm
from movie.pages.tests.addresses import PASSWORD, address_of, patterns
from movie.papers.models import Comment, PaperReview
from movie.programmes.editing import change_programme, make_programme
from movie.programmes.membership import start_group
from movie.training.models import TrainingRun

HOST = "127.0.0.1"
IMPORT = b"Date,Name,Year,Rating\n2021-02-03,Western 2,1956,3.5\n2021-02-04,Nowhere at All,2015,5\n"
MADE = "of-every-page"
OUTSIDE = ("/admin/", "/api/v1/", "/api/compat/")  # Django's own pages, and answers for programs


def populate() -> dict[str, Any]:
    """Return the cookies of a member and of staff, and every address of the site outside Django's admin."""
    _clear()
    member = get_user_model().objects.create_user("reader-of-pages", "reader@example.org", PASSWORD)
    staff = get_user_model().objects.create_superuser("keeper-of-pages", "keeper@example.org", PASSWORD)
    known = _objects(staff)
    cookies = {"member": _sign_in(member), "staff": _sign_in(staff)}
    known |= {"import_id": HistoryImport.objects.latest("pk").pk}
    addresses = {address_of(parts, known): None for parts, _pattern in patterns()}
    return {"cookies": cookies, "addresses": [each for each in addresses if not each.startswith(OUTSIDE)]}


def _clear() -> None:
    """Delete what an earlier run made."""
    get_user_model().objects.filter(username__in=("reader-of-pages", "keeper-of-pages")).delete()
    Experiment.objects.filter(name=MADE).delete()
    ApiClient.objects.filter(slug=MADE).delete()
    TrainingRun.objects.filter(model="ease", message=MADE).delete()


def _objects(staff: Any) -> dict[str, Any]:
    """Make a comment, an ended experiment, a program, a training, a programme and a group."""
    review = PaperReview.objects.get(slug="kprn")
    comment = Comment.objects.create(
        review=review, author=staff, body="Good.", post_id="01890a5d-ac96-774b-bcce-b302099a8057"
    )
    experiment = Experiment.objects.create(name=MADE)
    for name, model in (("control", "popular"), ("new", "neighbours")):
        ExperimentArm.objects.create(
            experiment=experiment, name=name, predictor=model, share="0.5", is_control=name == "control"
        )
    for state in (Experiment.State.RUNNING, Experiment.State.ENDED):
        experiment.state = state
        experiment.save()
    ApiClient.objects.create(slug=MADE)
    TrainingRun.objects.create(model="ease", state=TrainingRun.State.FAILED, message=MADE)
    programme = make_programme(f"user:{staff.pk}", "Nights", Movie.objects.first())
    change_programme(programme, title="Nights", note="Three of a kind.", is_public=True)
    group = start_group(f"user:{staff.pk}", "Ann")
    return {
        "movie_id": Movie.objects.first().pk,
        "person_id": Person.objects.first().pk,
        "genre_id": Genre.objects.first().pk,
        "name": MADE,
        "slug": review.slug,
        "dotted": "predictors.models.neighbours",
        "comment_id": comment.pk,
        "model": "neighbours",
        "object_id": 1,
        "token": group.token,
        "programme_id": programme.pk,
    }


def _sign_in(user: Any) -> str:
    """Return the session cookie of a user with a history, who gave their password a moment ago."""
    client = Client(headers={"host": HOST})
    client.force_login(user)
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": time.time()}]
    session.save()
    films = list(Movie.objects.order_by("pk")[2:12])
    for film, stars in zip(films, ("5", "4.5", "4", "3", "1"), strict=False):
        client.post(f"/movies/{film.pk}/rate/", {"value": stars})
    for film in films[5:8]:
        client.post(f"/movies/{film.pk}/watchlist/")
    client.post(f"/movies/{films[8].pk}/dismiss/")
    client.post("/history/import/", {"file": _file()})
    return session.session_key


def _file() -> Any:
    from django.core.files.uploadedfile import SimpleUploadedFile

    return SimpleUploadedFile("ratings.csv", IMPORT, "text/csv")


def print_populated() -> None:
    print(json.dumps(populate()))  # noqa: T201 - read by the tests
