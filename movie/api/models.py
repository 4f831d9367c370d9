"""API clients and their keys.

Only a hash of a key is stored. Keys are read from the database at every request, so that every process
refuses a revoked key from then on.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from datetime import datetime, timedelta
from typing import ClassVar, NamedTuple, Self

import pydantic
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import DatabaseError, models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from movie.core.fields import ExactCharField

logger = logging.getLogger(__name__)

KEY_MARK = "rg_"  # every key begins with it, so that scanners recognise one that leaked
PREFIX_LENGTH = len(KEY_MARK) + 8  # characters of a key that are stored and shown, to find it again
SECRET_BYTES = 32
LAST_USE_RESOLUTION = timedelta(minutes=1)  # a write at most so often for each key
SLUG = r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?\Z"

READ = "read"
WRITE_INTERACTIONS = "write:interactions"
READ_VISITORS = "read:visitors"
WRITE_VISITORS = "write:visitors"
WRITE_CATALOGUE = "write:catalogue"
ACTIVATE_MODELS = "models:activate"
EXPERIMENTS = "experiments"
SCOPES = {
    READ: _("read the histories of the client's own visitors"),
    WRITE_INTERACTIONS: _("record what the client's own visitors do"),
    READ_VISITORS: _("read the histories of guests and members of the site"),
    WRITE_VISITORS: _("delete the histories of the client's own visitors"),
    WRITE_CATALOGUE: _("add, change and hide films"),
    ACTIVATE_MODELS: _("choose which version of a model serves"),
    EXPERIMENTS: _("read and change experiments"),
}


class ApiClient(models.Model):
    """A program that calls the API.

    Its visitors are stored as `api:<slug>:<its own id>`, so no other client ever gets the slug.
    """

    slug = ExactCharField(
        _("name"),
        max_length=40,
        unique=True,
        validators=[RegexValidator(SLUG, _("Use a-z, 0-9 and hyphens."))],
        help_text=_("Part of the ids of its visitors; it cannot be changed later."),
    )
    note = models.CharField(_("note"), max_length=200, blank=True, help_text=_("Whose it is, what it does."))
    rate_limit = models.PositiveIntegerField(
        _("requests a minute"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Of all its keys together. Empty: as API_RATE_LIMIT says."),
    )
    rules = models.JSONField(
        _("rules of its lists"),
        default=dict,
        blank=True,
        help_text=_("Pins and boosts of every list it asks for, as `rules` of a request; {} for none."),
    )
    created = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["slug"]
        verbose_name = _("API client")
        verbose_name_plural = _("API clients")

    def __str__(self) -> str:
        return self.slug

    def clean(self) -> None:
        """Refuse rules that a request could not send either, with the path to what is wrong."""
        from movie.api.problems import field_problems
        from movie.api.schemas import RulesIn

        self.rules = self.rules or {}
        try:
            RulesIn.model_validate(self.rules)
        except pydantic.ValidationError as error:
            found = field_problems(
                {**each, "loc": ("body", "rules", *each["loc"])} for each in error.errors()
            )
            messages = [f"{each['field']}: {each['detail']}".removeprefix(": ") for each in found]
            raise ValidationError({"rules": messages}) from error


class RememberedList(models.Model):
    """The films of one page of an endless list, so that those after it leave them out.

    `first` is the list that it began with, `previous` the one that it went on from, empty for the first one.
    `created` of the first one is that of the latest: all are deleted when it is older than
    `movie.api.endless_lists.REMEMBERED_FOR`. It names no visitor.
    """

    recommendation_id = ExactCharField(max_length=36, primary_key=True)
    client = models.ForeignKey(ApiClient, models.CASCADE, related_name="+")
    first = ExactCharField(max_length=36, db_index=True)
    previous = ExactCharField(max_length=36, blank=True, default="")
    movie_ids = models.JSONField()
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["previous", "created"], name="ended_endless_lists")]

    def __str__(self) -> str:
        return self.recommendation_id


class NewKey(NamedTuple):
    """A stored key with its token, which nobody can find out again."""

    key: ApiKey
    token: str


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self) -> Self:
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), revoked_at=None)

    def find(self, token: str) -> ApiKey | None:
        """Return the key with this token, with its client. Every request calls it: no sorting, no `first`."""
        keys = self.filter(key_hash=hash_token(token)).select_related("client").order_by()
        return next(iter(keys), None)

    def revoke(self) -> int:
        """Revoke these keys from the next request on; return how many were not revoked before."""
        return self.filter(revoked_at=None).update(revoked_at=timezone.now())


class ApiKey(models.Model):
    client = models.ForeignKey(ApiClient, models.PROTECT, related_name="keys", verbose_name=_("API client"))
    prefix = ExactCharField(_("begins with"), max_length=PREFIX_LENGTH, unique=True, editable=False)
    key_hash = ExactCharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(_("may"), default=list, blank=True)
    created = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["client__slug", "-created"]
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.client})"

    def clean(self) -> None:
        unknown = [scope for scope in self.scopes if scope not in SCOPES]
        if unknown:
            raise ValidationError({"scopes": _("There is no scope %(name)s.") % {"name": unknown[0]}})

    @property
    def state(self) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= timezone.now() else "usable"

    def store_use(self) -> None:
        """Store the time of use, at most once in `LAST_USE_RESOLUTION`. A failed write refuses nobody."""
        now, before = timezone.now(), self.last_used_at
        if before is not None and now - before < LAST_USE_RESOLUTION:
            return
        try:  # one of several requests at the same time writes it
            ApiKey.objects.filter(pk=self.pk, last_used_at=before).update(last_used_at=now)
        except DatabaseError as error:
            logger.warning("the last use of an API key was not stored: %s", error)


def make_token() -> str:
    """Return `rg_<8 letters to find it by>_<256 random bits>`."""
    return f"{KEY_MARK}{secrets.token_hex(4)}_{secrets.token_urlsafe(SECRET_BYTES)}"


def hash_token(token: str) -> str:
    """Return the SHA-256 of a token, which is enough: nobody can try out 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def set_new_token(key: ApiKey) -> str:
    """Set the prefix and the hash of a new token on a key; return the token, which is stored nowhere."""
    token = make_token()
    key.prefix, key.key_hash = token[:PREFIX_LENGTH], hash_token(token)
    return token


def create_key(client: ApiClient, scopes: list[str], expires_at: datetime | None = None) -> NewKey:
    """Create a key. Raises ValidationError for a scope that does not exist."""
    key = ApiKey(client=client, scopes=sorted(set(scopes)), expires_at=expires_at)
    token = set_new_token(key)
    key.full_clean()
    key.save()
    return NewKey(key, token)
