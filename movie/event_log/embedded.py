"""The event log in the site's own database: the row is the log."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from django.db import transaction

from movie.event_ids import fresh_ids, new_event_id
from movie.event_log.base import EventLog, content_of
from movie.models import InteractionRecord
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
        InteractionRecord.objects.bulk_create([InteractionRecord(**asdict(each)) for each in interactions])
        return list(interactions)

    def history(
        self, visitor: str, *, limit: int | None = None, movie_id: MovieId | None = None
    ) -> list[Interaction]:
        only = {} if movie_id is None else {"movie_id": movie_id}
        return self._interactions(limit, visitor=visitor, **only)

    def forget(self, visitor: str, movie_id: MovieId | None = None) -> int:
        rows = InteractionRecord.objects.filter(visitor=visitor)
        if movie_id is not None:
            rows = rows.filter(movie_id=movie_id)
        return rows.delete()[0]

    def merge(self, guest: str, user: str) -> int:
        with transaction.atomic():
            guest_rows = InteractionRecord.objects.filter(visitor=guest)
            shared = InteractionRecord.objects.filter(visitor=user, movie__in=guest_rows.values("movie"))
            films = list(shared.values_list("movie", flat=True).distinct())
            for visitor in (guest, user):
                events = History(self._interactions(visitor=visitor, movie_id__in=films))
                InteractionRecord.objects.filter(event_id__in=events.taken_back).delete()
            return guest_rows.update(visitor=user)

    def _stored(self, interaction: Interaction) -> bool:
        """Whether the id was free; then the row is written."""
        fields = asdict(interaction)
        event_id = fields.pop("event_id")
        return InteractionRecord.objects.get_or_create(event_id=event_id, defaults=fields)[1]

    def _interactions(self, limit: int | None = None, **conditions: Any) -> list[Interaction]:
        rows = InteractionRecord.objects.filter(**conditions).order_by("-at", "-event_id")
        return [Interaction(*row) for row in rows.values_list(*FIELDS)[:limit]][::-1]
