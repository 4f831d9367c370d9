"""Merge movies and people that the catalogue holds twice. `events.movie_merging` moves ratings and events."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.utils.translation import gettext as _

from movie.catalogue.attributes import merge_attributes
from movie.catalogue.models import SHARED_SOURCES, Credit, Movie, MovieTag, Person
from movie.core.database import retry_on_deadlock

FIELDS = ("year", "runtime", "synopsis", "poster_path", "photograph", "trailer_url")
RELATIONS = ("genres", "countries", "languages")


class MergeRefused(Exception):
    """Says why two movies cannot be one."""


def check_merge(keep: Movie, other: Movie) -> None:
    """Raise MergeRefused where IMDb or TMDB ids say that these are two movies."""
    ids = [dict(movie.external_ids.values_list("source", "value")) for movie in (keep, other)]
    for source in SHARED_SOURCES:
        stated = [each[source] for each in ids if source in each]
        if len(set(stated)) > 1:
            message = _("%(one)s and %(other)s have different ids of %(source)s: %(ids)s.")
            names = {"one": keep, "other": other, "source": source, "ids": ", ".join(stated)}
            raise MergeRefused(message % names)


def merge_facts(keep: Movie, other: Movie) -> None:
    """Give a movie the ids, titles, credits and tags of another, and what it does not say itself.

    Must run in a transaction. The other movie keeps what the first has as well. A fact comes with its origin,
    so that the page still names the source; one that was removed from the first movie stays away.
    """
    known = set(keep.fact_origins.values_list("fact", flat=True))
    own = {name for name in FIELDS if name in known or getattr(keep, name) not in (None, "")}
    for name in FIELDS:
        if name not in own:
            setattr(keep, name, getattr(other, name))
    keep.attributes = merge_attributes(keep.attributes, other.attributes)
    keep.save()
    other.fact_origins.exclude(fact__in=known | own).update(movie=keep)
    for name in RELATIONS:
        getattr(keep, name).add(*getattr(other, name).all())
    other.external_ids.update(movie=keep)
    there = keep.titles.values("search_key")
    other.titles.exclude(search_key__in=list(there.values_list("search_key", flat=True))).update(movie=keep)
    tags = dict(keep.tags.values_list("name", "pk"))
    for tag in other.tags.all():
        if tag.name in tags:
            same = MovieTag.objects.get(pk=tags[tag.name])
            same.count += tag.count
            same.save(update_fields=["count"])
        else:
            MovieTag.objects.filter(pk=tag.pk).update(movie=keep)
    own_credits = set(keep.credits.values_list("role", "person"))
    credits = other.credits.values_list("pk", "role", "person")
    moved = [pk for pk, role, person in credits if (role, person) not in own_credits]
    Credit.objects.filter(pk__in=moved).update(movie=keep)


@retry_on_deadlock
def merge_people(keep: Person, others: Sequence[Person]) -> None:
    """Give a person the credits of others, and delete these."""
    with transaction.atomic():
        there = set(keep.credits.values_list("movie", "role"))
        moved = []
        for other in others:
            for pk, movie, role in other.credits.values_list("pk", "movie", "role"):
                if (movie, role) not in there:
                    there.add((movie, role))
                    moved.append(pk)
        Credit.objects.filter(pk__in=moved).update(person=keep)
        # By a query: an object that is deleted itself has no key any more when the transaction runs again.
        Person.objects.filter(pk__in=[other.pk for other in others]).delete()
