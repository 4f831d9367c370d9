"""Make, change and delete programmes. Each change locks its programme, so that two at once keep an order."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from movie.catalogue.models import Movie
from movie.core.database import retry_on_deadlock
from movie.programmes.models import Programme, ProgrammeEntry

MAX_PROGRAMMES = 50  # of one visitor
MAX_FILMS = 30  # of one programme: it is a programme, no catalogue


class CannotEdit(Exception):
    """Says in the visitor's language why a programme was not changed."""


def may_publish(visitor: str) -> bool:
    """Return whether others may see programmes of a visitor: a member's, whose name stands under them."""
    return visitor.startswith("user:")


@retry_on_deadlock
def make_programme(visitor: str, title: str, movie: Movie | None = None) -> Programme:
    """Make a private programme, with a first film if given. Raises CannotEdit beyond MAX_PROGRAMMES."""
    with transaction.atomic():
        if Programme.objects.of(visitor).count() >= MAX_PROGRAMMES:
            raise CannotEdit(
                _("You have %(n)d programmes. Delete one of them first.") % {"n": MAX_PROGRAMMES}
            )
        programme = Programme.objects.create(visitor=visitor, title=title)
        if movie is not None:
            ProgrammeEntry.objects.create(programme=programme, movie=movie, position=0)
    return programme


@retry_on_deadlock
def change_programme(programme: Programme, *, title: str, note: str, is_public: bool) -> None:
    """Change what stands above the films. A guest's programme stays private."""
    with transaction.atomic():
        Programme.objects.filter(pk=programme.pk).update(
            title=title,
            note=note,
            is_public=is_public and may_publish(programme.visitor),
            updated=timezone.now(),
        )


@retry_on_deadlock
def add_film(programme: Programme, movie: Movie) -> bool:
    """Add a film at the end; return False where it is in the programme already. Raises CannotEdit."""
    with transaction.atomic():
        ids = _lock(programme)
        if movie.pk in ids:
            return False
        if len(ids) >= MAX_FILMS:
            raise CannotEdit(_("A programme holds %(n)d films at most.") % {"n": MAX_FILMS})
        _store(programme, [*ids, movie.pk])
    return True


@retry_on_deadlock
def remove_film(programme: Programme, movie_id: int) -> None:
    with transaction.atomic():
        _store(programme, [pk for pk in _lock(programme) if pk != movie_id])


@retry_on_deadlock
def move_film(programme: Programme, movie_id: int, steps: int) -> None:
    """Move a film by `steps` places, up where they are negative, at most to an end of the programme."""
    with transaction.atomic():
        ids = _lock(programme)
        if movie_id not in ids:
            return
        place = ids.index(movie_id)
        ids.insert(max(0, place + steps), ids.pop(place))
        _store(programme, ids)


@retry_on_deadlock
def delete_programmes(visitor: str) -> None:
    """Delete every programme of a visitor."""
    Programme.objects.of(visitor).delete()


@retry_on_deadlock
def merge_programmes(guest: str, user: str) -> None:
    """Give a guest's programmes to an account."""
    Programme.objects.of(guest).order_by().update(visitor=user)


def replace_film(other: Movie, keep: Movie) -> None:
    """Put a movie in the places of another that becomes part of it, where it is not there already."""
    has_both = ProgrammeEntry.objects.filter(movie=keep).values_list("programme", flat=True)
    ProgrammeEntry.objects.filter(movie=other).exclude(programme__in=list(has_both)).update(movie=keep)


def _lock(programme: Programme) -> list[int]:
    """Lock a programme and return the ids of its films in order."""
    if Programme.objects.select_for_update().filter(pk=programme.pk).first() is None:
        raise CannotEdit(_("There is no such programme."))
    return list(programme.entries.values_list("movie_id", flat=True))


def _store(programme: Programme, ids: list[int]) -> None:
    entries = [
        ProgrammeEntry(programme=programme, movie_id=pk, position=place) for place, pk in enumerate(ids)
    ]
    programme.entries.all().delete()
    ProgrammeEntry.objects.bulk_create(entries)
    Programme.objects.filter(pk=programme.pk).update(updated=timezone.now())
