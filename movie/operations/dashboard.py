"""Read what the first page of the admin shows. Each figure is one query of bounded cost, or a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Count, Model, QuerySet, Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from movie.catalogue.models import Movie, Person, Rating
from movie.events.models import DailyMovieActivity, DeadLetter, Event, ProcessedEvent, VisitorStanding
from movie.experiments.models import Experiment
from movie.operations.collectors import queues, sample_ratios, unusual_movie_count
from movie.operations.health import readiness
from movie.operations.models import Job
from movie.training.model_info import model_label
from movie.training.models import TrainingRun
from movie.training.registry import default_models, registry, running_trainings
from predictors.errors import ArtifactError
from predictors.plugins import MODELS

MOST_COUNTED = 100_000  # more rows are not counted
LATEST_PROCESSED = 1_000  # events that are looked at for when a consumer last worked
VERSIONS_SHOWN = 10
JOBS_SHOWN = 6
LATELY = timedelta(days=7)
SUSPICIOUS_RATIO = 0.01  # p of an experiment's visitors by arm below which something is wrong


@dataclass(frozen=True, slots=True)
class LabelledValue:
    label: str
    value: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class ConsumerState:
    group: str
    last: datetime | None
    dead_letters: int


@dataclass(slots=True)
class ModelState:
    """A model with its versions, newest first, and its training if one runs."""

    name: str
    label: str
    active: str = ""
    trained: datetime | None = None
    problem: str = ""
    can_roll_back: bool = False
    is_default: bool = False
    versions: list[str] = field(default_factory=list)
    training: TrainingRun | None = None


MaySee = Callable[[type[Model]], bool]  # whether somebody may open the page of a table


def dashboard(may_see: MaySee, *, may_change_models: bool) -> dict[str, Any]:
    """Return the context of the page. A section is None for whoever may not see what it counts."""
    context: dict[str, Any] = {
        "anomalies": list(anomalies(may_see)),
        "figures": list(figures(may_see)),
        "models": model_states() if may_change_models or may_see(TrainingRun) else None,
        "jobs": Job.objects.select_related("by")[:JOBS_SHOWN] if may_see(Job) else None,
        **dict.fromkeys(("outbox", "consumers", "experiments")),
    }
    if may_see(DeadLetter):
        waiting, dead_letters = queues()
        context |= {"outbox": waiting, "consumers": list(consumers(dead_letters))}
    if may_see(Experiment):
        context["experiments"] = Experiment.objects.not_over(timezone.now()).prefetch_related("arms")[:3]
    return context


def figures(may_see: MaySee) -> Iterator[LabelledValue]:
    """Yield how much the site holds."""
    if may_see(Movie):
        movies = reverse("admin:catalogue_movie_changelist")
        yield LabelledValue(_("films"), _counted(Movie.objects.visible()), movies)
        hidden = Movie.objects.filter(is_visible=False)
        yield LabelledValue(_("hidden films"), _counted(hidden), f"{movies}?is_visible__exact=0")
    if may_see(Person):
        people = reverse("admin:catalogue_person_changelist")
        yield LabelledValue(_("people"), _counted(Person.objects.all()), people)
    if may_see(Rating):
        # Of the films and not of the ratings: an index of the films holds it.
        n_ratings = Movie.objects.order_by().aggregate(n=Sum("rating_count"))["n"] or 0
        yield LabelledValue(_("ratings"), grouped(n_ratings), reverse("admin:catalogue_rating_changelist"))
        yield LabelledValue(_("visitors who rated"), _counted(VisitorStanding.objects.all()))
    if may_see(get_user_model()):
        members = get_user_model()._default_manager.filter(is_active=True)
        yield LabelledValue(_("members"), _counted(members), reverse("admin:auth_user_changelist"))
    if may_see(Event):
        today = timezone.now().date()
        for label, since in ((_("films opened or rated today"), today), (_("in seven days"), today - LATELY)):
            days = DailyMovieActivity.objects.filter(day__gte=since)
            yield LabelledValue(label, grouped(days.order_by().aggregate(n=Sum("count"))["n"] or 0))


def _counted(rows: QuerySet) -> str:
    n = rows.order_by().values("pk")[: MOST_COUNTED + 1].count()
    return f"{grouped(MOST_COUNTED)}+" if n > MOST_COUNTED else grouped(n)


def grouped(n: int) -> str:
    """Return a number with its thousands apart, in the language of the page."""
    return number_format(n, force_grouping=True)


def consumers(dead_letters: dict[str, int]) -> Iterator[ConsumerState]:
    """Yield the consumer groups with when they last worked, of the latest events that any processed."""
    rows = ProcessedEvent.objects.order_by("-processed_at").values_list("group", "processed_at")
    last = dict(reversed(rows[:LATEST_PROCESSED]))  # of each group the latest stays
    for group in settings.EVENT_HANDLERS:
        yield ConsumerState(group, last.get(group), dead_letters.get(group, 0))


def model_states() -> list[ModelState]:
    """Return every model that can be trained; those that serve first."""
    store, running = registry().store, {run.model: run for run in running_trainings()}
    default = next((name for name in default_models() if store.current(name)), "")
    states = []
    for name in MODELS:
        state = ModelState(name, model_label(name), store.current(name), training=running.get(name))
        state.versions = store.versions(name)[:VERSIONS_SHOWN]
        state.can_roll_back = bool(store.previous(name))
        state.is_default = name == default
        if state.active:
            try:
                state.trained = parse_datetime(str(store.meta(name, state.active).get("created", "")))
            except (ArtifactError, ValueError):
                state.problem = _("Its files are damaged.")
        states.append(state)
    return sorted(states, key=lambda state: (not state.is_default, not state.active))


def anomalies(may_see: MaySee) -> Iterator[LabelledValue]:
    """Yield what somebody should look at, as far as they may see it."""
    for check in readiness().checks:
        if not check.ok:
            yield LabelledValue(_("The check “%(name)s” fails") % {"name": check.name}, check.why)
    about = (
        (Movie, _unusual_films),
        (DeadLetter, _dead_letters),
        (TrainingRun, _dead_trainings),
        (Job, _failed_jobs),
        (Experiment, _odd_arms),
    )
    for table, found in about:
        if may_see(table):
            yield from found()


def _unusual_films() -> Iterator[LabelledValue]:
    if n := unusual_movie_count():
        text = ngettext(
            "%(n)d film got many ratings of new visitors", "%(n)d films got many ratings of new visitors", n
        )
        url = f"{reverse('admin:catalogue_movie_changelist')}?ratings=unusual"
        yield LabelledValue(text % {"n": n}, _("within a day"), url)


def _dead_letters() -> Iterator[LabelledValue]:
    letters = reverse("admin:events_deadletter_changelist")
    for row in DeadLetter.objects.order_by().values("group").annotate(n=Count("pk")):
        text = ngettext("%(n)d dead letter", "%(n)d dead letters", row["n"]) % {"n": row["n"]}
        yield LabelledValue(text, row["group"], f"{letters}?group={row['group']}")


def _dead_trainings() -> Iterator[LabelledValue]:
    for run in TrainingRun.objects.unfinished()[:20]:
        if run.has_died:
            text = _("The training of %(model)s has died") % {"model": model_label(run.model)}
            yield LabelledValue(text, f"{run.percent} %", reverse("admin:training_trainingrun_changelist"))


def _failed_jobs() -> Iterator[LabelledValue]:
    for job in Job.objects.filter(created__gte=timezone.now() - LATELY).exclude(state=Job.State.DONE)[:20]:
        if job.state == Job.State.FAILED or job.has_died:
            url = reverse("admin:operations_job_change", args=[job.pk])
            yield LabelledValue(str(job), job.message or job.shown_state, url)


def _odd_arms() -> Iterator[LabelledValue]:
    for name, p in sample_ratios().items():
        if p < SUSPICIOUS_RATIO:
            text = _("The arms of “%(name)s” did not get the visitors that their shares say")
            yield LabelledValue(
                text % {"name": name}, f"p = {p:.4f}", reverse("experiments:detail", args=[name])
            )
