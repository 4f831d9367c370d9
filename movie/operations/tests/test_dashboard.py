"""The first page of the admin says how the site is, at a cost that does not grow with it."""

import errno
import os
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from movie.catalogue.tests.films import make_film
from movie.events.models import DeadLetter, ProcessedEvent
from movie.operations import collectors
from movie.operations.health import Readiness
from movie.operations.models import Job
from movie.training.models import TrainingRun
from movie.training.registry import registry

pytestmark = pytest.mark.django_db

INDEX = reverse("admin:index")
FIGURES = (collectors._queues, collectors._unusual_movies, collectors._sample_ratios)  # remembered


@pytest.fixture(autouse=True)
def fresh_figures():
    """Forget what was counted for the test before."""
    for each in FIGURES:
        each.clear()


def act(client, action, **fields):
    return client.post(reverse("admin:change_model"), {"action": action, **fields}, follow=True)


def test_the_page_costs_the_same_whatever_the_site_holds(admin_client, api_site, monkeypatch):
    monkeypatch.setattr("movie.operations.dashboard.readiness", lambda: Readiness(()))  # by the clock

    def queries():
        cache.clear()
        for each in FIGURES:
            each.clear()
        with CaptureQueriesContext(connection) as captured:
            assert admin_client.get(INDEX).status_code == 200
        return len(captured)

    queries()
    few = queries()
    for n in range(30):
        make_film(f"Film {n}", 1990, cast=[f"Player {n}"], stars=[4.0])
        Job.objects.create(kind="train", options={"model": "ease"}, state="done")
        ProcessedEvent.objects.create(group="popularity", event_id=f"e{n}")
    assert queries() == few <= 30


def test_figures_consumers_and_what_is_wrong_are_said(admin_client, api_site):
    ProcessedEvent.objects.create(group="popularity", event_id="e")
    DeadLetter.objects.create(group="popularity", position="p", raw="x", reason="y")
    run = TrainingRun.objects.create(model="ease", state="running", progress=0.4)
    TrainingRun.objects.filter(pk=run.pk).update(updated_at=timezone.now() - timedelta(minutes=5))
    Job.objects.create(kind="import_movies", state="failed", message="no such column", file_name="f.csv")
    page = admin_client.get(INDEX)
    text = page.content.decode()
    assert {figure.label: figure.value for figure in page.context["figures"]}["films"] == "24"
    assert "1 dead letter" in text and "no such column" in text
    assert "The training of EASE has died" in text
    assert next(each for each in page.context["models"] if each.name == "ease").training is None
    assert next(each for each in page.context["consumers"] if each.group == "popularity").last


@pytest.fixture
def two_versions(api_site, settings, tmp_path):
    """A store of its own with two versions of one model; the second serves."""
    old = registry().store
    settings.MODEL_DIR = tmp_path / "models"
    store = registry().store
    predictor = old.load("popular", old.current("popular"))
    return [store.publish(predictor, activate=True) for _ in range(2)]


def test_a_version_is_activated_and_rolled_back(admin_client, two_versions):
    first, second = two_versions
    act(admin_client, "activate", model="popular", version=first)
    assert registry().store.current("popular") == first
    assert second in act(admin_client, "roll_back", model="popular").content.decode()
    assert registry().store.current("popular") == second
    refused = act(admin_client, "activate", model="popular", version="../../etc").content.decode()
    assert "is not a version" in refused and registry().store.current("popular") == second
    assert "There is no model" in act(admin_client, "roll_back", model="oracle").content.decode()


def test_a_folder_that_is_only_read_is_named(admin_client, two_versions, settings, monkeypatch):
    def refuse(path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr("predictors.serving.registry.whole_file", refuse)
    said = act(admin_client, "roll_back", model="popular").content.decode()
    assert f"{settings.MODEL_DIR}: Read-only file system" in said
    assert registry().store.current("popular") == two_versions[1]


def test_training_is_a_job(admin_client, admin_user, api_site):
    act(admin_client, "train", model="popular")
    job = Job.objects.get()
    assert (job.kind, job.options, job.by) == ("train", {"model": "popular", "activate": True}, admin_user)


def test_staff_see_only_what_they_may_open(client, django_user_model, api_site):
    DeadLetter.objects.create(group="popularity", position="p", raw="x", reason="y")
    Job.objects.create(kind="import_movies", state="failed", message="no such column", file_name="f.csv")
    user = django_user_model.objects.create_user("eve", password="x", is_staff=True)
    client.force_login(user)

    def shown():
        page = client.get(INDEX)
        text = page.content.decode()
        sections = ("Latest jobs", "no such column", "Outbox and consumers", "Running experiment", "EASE")
        figures = [str(each.label) for each in page.context["figures"]]
        return figures, [each for each in (*sections, "dead letter") if each in text]

    assert shown() == ([], [])
    context = client.get(INDEX).context
    for section in ("models", "jobs", "outbox", "consumers", "experiments"):
        assert context[section] is None
    permissions = Permission.objects
    user.user_permissions.add(permissions.get(codename="view_movie"), permissions.get(codename="view_job"))
    assert shown() == (["films", "hidden films"], ["Latest jobs", "no such column"])
    user.user_permissions.add(permissions.get(codename="view_deadletter"))
    assert shown()[1] == ["Latest jobs", "no such column", "Outbox and consumers", "dead letter"]
    user.user_permissions.add(permissions.get(codename="add_job"))
    assert "EASE" in shown()[1], "who may train sees what is trained"


def test_staff_do_only_what_they_may(client, django_user_model, two_versions):
    user = django_user_model.objects.create_user("eve", password="x", is_staff=True)
    client.force_login(user)
    page = client.get(INDEX).content.decode()
    assert "Activate" not in page and "Look up a visitor" not in page
    for action in ("activate", "roll_back", "train", "nonsense"):
        assert act(client, action, model="popular", version=two_versions[0]).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="add_job"))
    assert act(client, "train", model="popular").status_code == 200
    assert Job.objects.count() == 1
