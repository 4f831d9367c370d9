"""Tables of what visitors put together: groups that watch together."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import ClassVar, Self

from django.core.signing import BadSignature, Signer
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from movie.core.fields import ExactCharField
from movie.visitors.visitor import LONGEST_VISITOR

KEY_BYTES = 18
SALT = "movie.programmes.group"
GROUP_LIFETIME = timedelta(days=180)
MAX_NAME = 30


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
