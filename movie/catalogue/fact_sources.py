"""Where facts of movies come from: their sources, the source of each fact, and what was asked of TMDB."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import ClassVar

from django.db import connection, models
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

FACT_LABELS = {
    "titles": gettext_noop("titles"),
    "genres": gettext_noop("genres"),
    "ratings": gettext_noop("ratings"),
    "directors": gettext_noop("directors"),
    "writers": gettext_noop("writers"),
    "cast": gettext_noop("casts"),
    "countries": gettext_noop("countries"),
    "languages": gettext_noop("languages"),
    "runtime": gettext_noop("running times"),
    "ko": gettext_noop("Korean titles"),
    "zh_hans": gettext_noop("Chinese titles"),
    "synopsis": gettext_noop("synopses"),
    "photograph": gettext_noop("photographed posters"),
    "trailer_url": gettext_noop("trailers"),
    "imdb": gettext_noop("IMDb ids"),
    "tmdb": gettext_noop("TMDB ids"),
}
STAFF = "staff"  # the source of what was decided in the admin


class FactSourceQuerySet(models.QuerySet["FactSource"]):
    def credit(self, counts: Mapping[tuple[str, str], int], licences: Mapping[str, str]) -> None:
        """Record that each source gave a fact to this many movies, under its licence."""
        for (name, fact), n_movies in counts.items():
            self.update_or_create(
                name=name, fact=fact, defaults={"licence": licences[name], "n_movies": n_movies}
            )


class FactSource(models.Model):
    """Holds whom a kind of fact is owed to; the page about the data shows it."""

    name = models.CharField(_("source"), max_length=64)
    fact = models.CharField(_("fact"), max_length=32)
    licence = models.CharField(_("licence"), max_length=128)
    n_movies = models.PositiveIntegerField(_("films at the last import"), default=0)

    objects = FactSourceQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name", "fact"]
        verbose_name = _("source of facts")
        verbose_name_plural = _("sources of facts")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["name", "fact"], name="each_fact_of_a_source_once")
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.fact}"

    @property
    def fact_label(self) -> str:
        """Return the kind of fact in the visitor's language; an unknown one as it is."""
        return gettext(FACT_LABELS[self.fact]) if self.fact in FACT_LABELS else self.fact


class FactOriginQuerySet(models.QuerySet["FactOrigin"]):
    def record(
        self,
        source: str,
        facts: Mapping[tuple[int, str], str],
        before: Mapping[tuple[int, str], str] | None = None,
    ) -> None:
        """Record that these facts, (movie id, fact) -> value, are of a source; what was said before goes.

        `before` has the values that the facts had before the source gave them, where there were any.
        """
        before = before or {}
        rows = [
            FactOrigin(
                movie_id=pk,
                fact=fact,
                source=source,
                digest=fact_digest(value),
                before=before.get((pk, fact), ""),
            )
            for (pk, fact), value in facts.items()
        ]
        # MySQL finds the constraint by itself and refuses to be told.
        unique = None if connection.vendor == "mysql" else ["movie", "fact"]
        FactOrigin.objects.bulk_create(
            rows, update_conflicts=True, update_fields=["source", "digest", "before"], unique_fields=unique
        )


class FactOrigin(models.Model):
    """Says which source gave a fact of a movie, the digest of the fact then, and what it was before.

    An importer of one source leaves the facts of others alone, and its own once somebody changed them.
    """

    movie = models.ForeignKey("catalogue.Movie", models.CASCADE, related_name="fact_origins")
    fact = models.CharField(max_length=32)
    source = models.CharField(max_length=64)
    digest = models.CharField(max_length=16)
    before = models.TextField(blank=True, default="")

    objects = FactOriginQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["movie", "fact"], name="one_origin_of_a_fact")
        ]

    def __str__(self) -> str:
        return f"{self.movie_id} {self.fact}: {self.source}"

    def is_of(self, source: str, value: str) -> bool:
        """Return whether the source gave this value and nobody changed it since."""
        return self.source == source and self.digest == fact_digest(value)


def fact_digest(value: str) -> str:
    """Return 16 hexadecimal digits that tell whether a fact was changed."""
    return hashlib.blake2b(value.encode(), digest_size=8).hexdigest()


def order_text(people: Iterable[int]) -> str:
    """Return an order of people, by their primary keys, as the text that its digest is of."""
    return ",".join(map(str, people))


def people_of(text: str) -> list[int]:
    """Return the primary keys of an order of people."""
    return [int(pk) for pk in text.split(",") if pk]


class TmdbLookup(models.Model):
    """Remembers when a movie was looked up at TMDB, so that an interrupted import goes on from there."""

    class Outcome(models.TextChoices):
        FOUND = "found"
        UNKNOWN = "unknown"  # TMDB has no such film
        CONFLICT = "conflict"  # its ids there contradict the ones here

    movie = models.OneToOneField("catalogue.Movie", models.CASCADE, related_name="tmdb_lookup")
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    looked_up = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.movie_id}: {self.outcome}"
