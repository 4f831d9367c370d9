"""Find, export and delete everything that the site stores about a member.

No table is named here: every table that refers to an account, and every table with a visitor, is found by
its columns, so that a new one is exported and deleted too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from allauth.usersessions.models import UserSession
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.db import models, transaction
from django.db.models import Q, QuerySet

from movie.catalogue.models import ExternalId, Movie
from movie.core.fields import ExactCharField
from movie.events.history import get_history
from movie.experiments.assignment import arm_of, cumulative_shares, visitor_hash
from movie.experiments.models import Experiment, VisitorTotals
from movie.visitors.sign_in_limits import account_names
from movie.visitors.visitor import Visitor
from predictors.history import Interaction

VISITOR_COLUMNS = ("visitor", "into")
SIGN_IN_TABLES = (AccessAttempt, AccessFailureLog, AccessLog)  # they name the account as it was typed
# What proves who somebody is, and so is told to nobody; and what is no plain value.
SECRETS = {
    "auth.user": ("password",),
    "mfa.authenticator": ("data",),
    "usersessions.usersession": ("session_key",),
    "account.emailconfirmation": ("key",),
    "events.historyimport": ("content",),  # the member's own file, until it is taken in
}
Row = dict[str, Any]


def rows_about(user: AbstractUser) -> Iterator[QuerySet]:
    """Yield what each table has about a member: the account, what refers to it by key or by visitor, and the
    parts of that."""
    yield get_user_model()._default_manager.filter(pk=user.pk)
    owned = {rows.model: rows for rows in _rows_that_name(Visitor.for_user(user).key, user)}
    yield from owned.values()
    for model in apps.get_models():
        condition = Q()
        for field in model._meta.concrete_fields:
            if isinstance(field, models.ForeignKey) and field.related_model in owned:
                condition |= Q((f"{field.name}__in", owned[field.related_model]))
        if condition and model not in owned:
            yield model._default_manager.filter(condition)
    for table in SIGN_IN_TABLES:
        yield table._default_manager.filter(username__in=account_names(user))
    yield from (_totals(user, experiment) for experiment in Experiment.objects.started())


def _rows_that_name(visitor: str, user: AbstractUser | None = None) -> Iterator[QuerySet]:
    """Yield the rows of each table that has a visitor, or the key of the visitor's account, in a column."""
    for model in apps.get_models():
        condition = Q()
        for field in model._meta.concrete_fields:
            if isinstance(field, models.ForeignKey) and field.related_model is get_user_model():
                condition |= Q((field.name, user.pk)) if user else Q()
            elif isinstance(field, ExactCharField) and field.name in VISITOR_COLUMNS:
                condition |= Q((field.name, visitor))
        if condition:
            yield model._default_manager.filter(condition)


def export_of(user: AbstractUser) -> dict[str, Any]:
    """Return everything about a member as plain values. Raises ArchiveUnavailable."""
    return {
        "account": _plain_rows(get_user_model()._default_manager.filter(pk=user.pk))[0],
        "groups": list(user.groups.values_list("name", flat=True)),
        "history": _history_rows(Visitor.for_user(user).key),
        "experiments": [_experiment_row(user, each) for each in Experiment.objects.started()],
        "tables": _table_rows(rows_about(user)),
    }


def export_of_visitor(visitor: str) -> dict[str, Any]:
    """Return everything about a visitor without an account as plain values. Raises ArchiveUnavailable."""
    tables = _table_rows(_rows_that_name(visitor))
    return {"visitor": visitor, "history": _history_rows(visitor), "tables": tables}


def _history_rows(visitor: str) -> list[Row]:
    history = get_history(visitor, limit=None)
    ids = {each.movie_id for each in history}
    titles = dict(Movie.objects.filter(pk__in=ids).values_list("pk", "title"))
    elsewhere: dict[int, list[str]] = {}
    for each in ExternalId.objects.filter(movie__in={int(pk) for pk in ids}).order_by("source", "value"):
        elsewhere.setdefault(each.movie_id, []).append(str(each))
    return [_history_row(each, titles, elsewhere) for each in history]


def _table_rows(found: Iterable[QuerySet]) -> dict[str, list[Row]]:
    """Return the rows by table, without those that have a place of their own in an export."""
    tables: dict[str, list[Row]] = {}
    for rows in found:
        label = rows.model._meta.label_lower
        if label not in ("auth.user", "events.event", "experiments.visitortotals"):
            tables.setdefault(label, []).extend(_plain_rows(rows))
    return {label: rows for label, rows in tables.items() if rows}


def close_account(user: AbstractUser) -> None:
    """Delete an account and everything about it, in one transaction.

    `forget` of `movie.events.recording` follows from the deletion of the account: it deletes events and
    ratings, and asks the archive and the stream to follow.
    """
    names = account_names(user)
    with transaction.atomic():
        for session in UserSession.objects.filter(user=user):
            session.end()
        for table in SIGN_IN_TABLES:
            table._default_manager.filter(username__in=names).delete()
        user.delete()


def is_only_administrator(user: AbstractUser) -> bool:
    """Return whether nobody could administrate the site without this account."""
    others = get_user_model()._default_manager.filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
    return user.is_superuser and not others.exists()


def _plain_rows(rows: QuerySet) -> list[Row]:
    secret = SECRETS.get(rows.model._meta.label_lower, ())
    columns = [field.attname for field in rows.model._meta.concrete_fields if field.name not in secret]
    return list(rows.order_by("pk").values(*columns))


def _history_row(event: Interaction, titles: dict[int, str], elsewhere: dict[int, list[str]]) -> Row:
    return {
        "event_id": event.event_id,
        "kind": event.kind,
        "movie_id": event.movie_id,
        "external_ids": elsewhere.get(int(event.movie_id), []),
        "title": titles.get(int(event.movie_id), ""),
        "at": event.at,
        "stars": event.value if event.kind == "rating" else None,
        "value": event.value,
        "page": event.surface,
        "recommendation_id": event.recommendation_id,
        "watched_on": event.watched_on,
        "progress": event.progress,
        "weight": event.weight,
    }


def _totals(user: AbstractUser, experiment: Experiment) -> QuerySet:
    unit = visitor_hash(experiment.salt, Visitor.for_user(user).key)
    return VisitorTotals.objects.filter(arm__experiment=experiment, unit=unit)


def _experiment_row(user: AbstractUser, experiment: Experiment) -> Row:
    arms = list(experiment.arms.all())
    unit = visitor_hash(experiment.salt, Visitor.for_user(user).key)
    arm = arms[arm_of(unit, cumulative_shares([each.share for each in arms]))]
    return {
        "experiment": experiment.name,
        "arm": arm.name,
        "model": arm.predictor,
        "from": experiment.starts_at,
        "until": experiment.ends_at,
        "counted": _plain_rows(_totals(user, experiment)),
    }
