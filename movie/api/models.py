"""Programs that use the API: who they are, and the keys they show.

Of a key only a hash is stored. Keys are read from the database at every request, so that a revoked one is
refused by every process from then on.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from datetime import datetime, timedelta
from typing import ClassVar, NamedTuple, Self

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import DatabaseError, models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from movie.core.fields import ExactCharField

logger = logging.getLogger(__name__)

MARK = "rg_"  # what every key begins with, so that one that leaked is recognised
PREFIX_LENGTH = len(MARK) + 8  # what is stored and shown of a key, to find it again
SECRET_BYTES = 32
USED_EVERY = timedelta(minutes=1)  # how exactly the last use is known
SLUG = r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?\Z"

READ = "read"
WRITE_INTERACTIONS = "write:interactions"
READ_VISITORS = "read:visitors"
WRITE_VISITORS = "write:visitors"
ACTIVATE_MODELS = "models:activate"
EXPERIMENTS = "experiments"
SCOPES = {
    READ: _("read the histories of the client's own visitors"),
    WRITE_INTERACTIONS: _("record what the client's own visitors do"),
    READ_VISITORS: _("read the histories of guests and members of the site"),
    WRITE_VISITORS: _("delete the histories of the client's own visitors"),
    ACTIVATE_MODELS: _("choose which version of a model serves"),
    EXPERIMENTS: _("read and change experiments"),
}


class ApiClient(models.Model):
    """A program. Its visitors are `api:<slug>:<its own id>`, so the slug never changes hands."""

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
    created = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["slug"]
        verbose_name = _("API client")
        verbose_name_plural = _("API clients")

    def __str__(self) -> str:
        return self.slug


class NewKey(NamedTuple):
    """`token` is the whole key; nobody can find it out again."""

    key: ApiKey
    token: str


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self) -> Self:
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), revoked_at=None)

    def with_token(self, token: str) -> Self:
        """Return the key that a client shows, if there is one, with its client."""
        return self.select_related("client").filter(key_hash=hash_of(token))

    def revoke(self) -> int:
        """From the next request on none of these is accepted; returns how many were not revoked before."""
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

    def note_use(self) -> None:
        """Store when the key was used, once in `USED_EVERY`. A failed write refuses nobody."""
        now, before = timezone.now(), self.last_used_at
        if before is not None and now - before < USED_EVERY:
            return
        try:  # of requests at the same time one writes it
            ApiKey.objects.filter(pk=self.pk, last_used_at=before).update(last_used_at=now)
        except DatabaseError as error:
            logger.warning("the use of an API key was not noted: %s", error)


def make_token() -> str:
    """`rg_<8 letters to find it by>_<256 random bits>`."""
    return f"{MARK}{secrets.token_hex(4)}_{secrets.token_urlsafe(SECRET_BYTES)}"


def hash_of(token: str) -> str:
    """A plain SHA-256 is enough: nobody can try out 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def give_token(key: ApiKey) -> str:
    """Fill in what is stored of a new token, which is returned and known to nobody else."""
    token = make_token()
    key.prefix, key.key_hash = token[:PREFIX_LENGTH], hash_of(token)
    return token


def create_key(client: ApiClient, scopes: list[str], expires_at: datetime | None = None) -> NewKey:
    """Raises ValidationError when a scope does not exist."""
    key = ApiKey(client=client, scopes=sorted(set(scopes)), expires_at=expires_at)
    token = give_token(key)
    key.full_clean()
    key.save()
    return NewKey(key, token)
