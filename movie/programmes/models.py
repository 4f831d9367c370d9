"""Tables of what visitors put together: groups that watch together, and programmes."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import ClassVar, Self

from django.core.signing import BadSignature, Signer
from django.db import models
from django.db.models import Count, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from movie.catalogue.availability import available_now
from movie.catalogue.models import Movie
from movie.core.fields import ExactCharField
from movie.visitors.visitor import LONGEST_VISITOR

KEY_BYTES = 18
SALT = "movie.programmes.group"
GROUP_LIFETIME = timedelta(days=180)
MAX_NAME = 30
MAX_TITLE, MAX_NOTE = 80, 280


def new_key() -> str:
    return secrets.token_urlsafe(KEY_BYTES)


def _signer() -> Signer:
    return Signer(salt=SALT, sep=".")


class GroupQuerySet(models.QuerySet["Group"]):
    def alive(self) -> Self:
        return self.filter(created__gt=timezone.now() - GROUP_LIFETIME)

    def of(self, visitor: str) -> Self:
        """Return the groups that a visitor is in, newest first."""
        return self.alive().filter(members__visitor=visitor).order_by("-created", "-pk")

    def with_token(self, token: str) -> Self:
        """Return the group of a link; nothing for a link that this site has not made."""
        try:
            return self.alive().filter(key=_signer().unsign(token))
        except BadSignature:
            return self.none()


class Group(models.Model):
    """Visitors who look for a film together. Whoever has the link can join."""

    key = ExactCharField(max_length=32, unique=True, default=new_key)
    created = models.DateTimeField(_("created"), default=timezone.now, db_index=True)

    objects = GroupQuerySet.as_manager()

    class Meta:
        verbose_name = _("group")
        verbose_name_plural = _("groups")

    def __str__(self) -> str:
        return f"Group {self.pk}"

    @property
    def token(self) -> str:
        """Return the signed key, which the link of the group carries."""
        return _signer().sign(self.key)


class GroupMember(models.Model):
    """A visitor in a group, under the name that the others see."""

    group = models.ForeignKey(Group, models.CASCADE, related_name="members")
    visitor = ExactCharField(_("visitor"), max_length=LONGEST_VISITOR, db_index=True)
    name = models.CharField(_("name"), max_length=MAX_NAME)
    joined = models.DateTimeField(_("joined"), default=timezone.now)

    class Meta:
        ordering: ClassVar = ["pk"]
        verbose_name = _("member of a group")
        verbose_name_plural = _("members of groups")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["group", "visitor"], name="each_visitor_once_a_group")
        ]

    def __str__(self) -> str:
        return self.name


class ProgrammeQuerySet(models.QuerySet["Programme"]):
    def of(self, visitor: str) -> Self:
        """Return a visitor's own programmes, the latest changed first."""
        return self.filter(visitor=visitor).order_by("-updated", "-pk")

    def public(self) -> Self:
        """Return what everybody may see, the latest changed first."""
        return self.filter(is_public=True, is_hidden=False).order_by("-updated", "-pk")

    def seen_by(self, visitor: str) -> Self:
        """Return what a visitor may see: their own, and what is public."""
        return self.filter(Q(is_public=True, is_hidden=False) | Q(visitor=visitor))

    def with_counts(self) -> Self:
        """Annotate `n_films`, the visible films of each."""
        return self.annotate(n_films=Count("entries", filter=available_now("entries__movie__")))


class Programme(models.Model):
    """A small list of films in an order, with a title; for its owner alone or for everybody."""

    visitor = ExactCharField(_("visitor"), max_length=LONGEST_VISITOR, db_index=True)
    title = models.CharField(_("title"), max_length=MAX_TITLE)
    note = models.CharField(_("note"), max_length=MAX_NOTE, blank=True)
    is_public = models.BooleanField(_("public"), default=False)
    is_hidden = models.BooleanField(_("hidden by the site"), default=False)
    created = models.DateTimeField(_("created"), default=timezone.now)
    updated = models.DateTimeField(_("changed"), default=timezone.now)

    objects = ProgrammeQuerySet.as_manager()

    class Meta:
        verbose_name = _("programme")
        verbose_name_plural = _("programmes")
        indexes: ClassVar = [
            models.Index(fields=["is_public", "is_hidden", "-updated"], name="public_programmes")
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("pages:programme", args=[self.pk])

    @property
    def cover_version(self) -> str:
        return f"{int(self.updated.timestamp() * 1e6):x}"


class ProgrammeEntry(models.Model):
    programme = models.ForeignKey(Programme, models.CASCADE, related_name="entries")
    movie = models.ForeignKey(Movie, models.CASCADE, related_name="+")
    position = models.PositiveSmallIntegerField(_("position"))

    class Meta:
        ordering: ClassVar = ["position", "pk"]
        verbose_name = _("film of a programme")
        verbose_name_plural = _("films of programmes")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["programme", "movie"], name="each_film_once_a_programme")
        ]

    def __str__(self) -> str:
        return f"{self.programme_id} {self.position} {self.movie_id}"
