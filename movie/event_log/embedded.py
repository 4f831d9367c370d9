"""The event log in the site's own database: the row is the log."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from django.db import transaction
from django.utils import timezone

from movie.database import insert_unless_taken
from movie.event_ids import fresh_ids, new_event_id
from movie.event_log.base import DECISIONS, TOLD, Elsewhere, EventLog, content_of
from movie.event_stream import get_event_stream
from movie.models import InteractionRecord
from movie.stream_models import CLAIM, TO_STREAM, LogChange
from predictors.history import History, Interaction, MovieId

FIELDS = ("event_id", "visitor", "kind", "movie_id", "at", "value", "surface", "recommendation_id")


class EmbeddedEventLog(EventLog):
    """Joins the transaction it is called in, so an interaction and its effects are one commit."""

    def append(self, interaction: Interaction) -> Interaction | None:
        if self._stored(interaction):
            return interaction
        # The id is taken: by this visitor's earlier use of the same form, or by somebody else.
        ids = [interaction.event_id, *fresh_ids(interaction.event_id, interaction.visitor)]
        uses = {
            use.event_id: use for use in self._interactions(event_id__in=ids, visitor=interaction.visitor)
        }
        unused = next((event_id for event_id in ids[1:] if event_id not in uses), None)
        latest = next((uses[event_id] for event_id in reversed(ids) if event_id in uses), None)
        if unused and latest and content_of(latest) == content_of(interaction):
            return None
        again = replace(interaction, event_id=unused or new_event_id())
        # Lost only to the same POST arriving at the same time, which is then a repeat.
        return again if self._stored(again) else self.append(interaction)

    def append_all(self, interactions: Sequence[Interaction]) -> list[Interaction]:
        ids = {each.event_id for each in interactions}
        plain = 1 < len(ids) == len(interactions)
        if not plain or InteractionRecord.objects.filter(event_id__in=ids).exists():
            return super().append_all(interactions)
        InteractionRecord.objects.bulk_create(
            [InteractionRecord(**asdict(each), due=self._due(each.kind)) for each in interactions]
        )
        return list(interactions)

    def history(
        self, visitor: str, *, limit: int | None = None, movie_id: MovieId | None = None
    ) -> list[Interaction]:
        only = {} if movie_id is None else {"movie_id": movie_id}
        return self._interactions(limit, visitor=visitor, kind__in=TOLD, **only)

    def decisions(self, visitor: str, movie_id: MovieId | None = None) -> list[Interaction]:
        only: dict[str, Any] = {} if movie_id is None else {"movie_id": movie_id}
        return self._interactions(visitor=visitor, kind__in=DECISIONS, **only)

    def export(self, visitor: str) -> list[Interaction]:
        return self._interactions(visitor=visitor)

    def visitors(self) -> Iterator[str]:
        rows = InteractionRecord.objects.order_by("visitor").values_list("visitor", flat=True)
        yield from rows.distinct()

    def forget(
        self, visitor: str, movie_id: MovieId | None = None, elsewhere: Elsewhere | None = None
    ) -> int:
        rows = InteractionRecord.objects.filter(visitor=visitor)
        if movie_id is not None:
            rows = rows.filter(movie_id=movie_id)
        with transaction.atomic():
            self._follow(LogChange.Kind.FORGET, visitor, movie_id=movie_id)
            return rows.delete()[0]

    def merge(self, guest: str, user: str, elsewhere: Elsewhere | None = None) -> int:
        with transaction.atomic():
            self._follow(LogChange.Kind.MERGE, guest, into=user)
            guest_rows = InteractionRecord.objects.filter(visitor=guest)
            shared = InteractionRecord.objects.filter(visitor=user, movie__in=guest_rows.values("movie"))
            films = list(shared.values_list("movie", flat=True).distinct())
            for visitor in (guest, user):
                events = History(self._interactions(visitor=visitor, movie_id__in=films))
                InteractionRecord.objects.filter(event_id__in=events.taken_back).delete()
            return guest_rows.update(visitor=user)

    def _stored(self, interaction: Interaction) -> bool:
        """Whether the id was free; then the row is written.

        One statement that fails where the id is taken, as it hardly ever is, in place of a look, a savepoint
        and a write.
        """
        row = InteractionRecord(**asdict(interaction), due=self._due(interaction.kind))
        return insert_unless_taken(row)

    def _due(self, kind: str) -> int:
        """What relays have to do with a new row of this kind."""
        return TO_STREAM if get_event_stream().needs_relay else 0

    def _due_of_changes(self) -> int:
        return TO_STREAM if get_event_stream().needs_relay else 0

    def _follow(self, kind: LogChange.Kind, visitor: str, **fields: Any) -> None:
        """Let those who keep copies elsewhere know of a deletion or a joining."""
        if due := self._due_of_changes():
            # Later than every claim of now: what a relay is just about to write is changed as well.
            after = timezone.now() + CLAIM
            LogChange.objects.create(
                event_id=new_event_id(), kind=kind, visitor=visitor, due=due, deliver_after=after, **fields
            )

    def _interactions(self, limit: int | None = None, **conditions: Any) -> list[Interaction]:
        rows = InteractionRecord.objects.filter(**conditions).order_by("-at", "-event_id")
        return [Interaction(*row) for row in rows.values_list(*FIELDS)[:limit]][::-1]
