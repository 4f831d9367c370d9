"""What an event log must do."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from predictors.history import Interaction, MovieId

# What ratings and lists follow from. It stays in the database, where one transaction sees all of it;
# the rest, which is the bulk, may be kept elsewhere.
DECISIONS = ("rating", "dismiss", "watchlist", "undo")
# What a history is made of. That a list was shown is counted and says nothing about taste.
TOLD = ("click", *DECISIONS)


class EventLogUnavailable(Exception):
    """The log cannot be read or written now. Nothing is lost; later is better."""


class Elsewhere(NamedTuple):
    """Event ids of a visitor that a log outside the database had at one moment; `after` is the last change
    of the visitor's history that had been asked for by then."""

    event_ids: frozenset[str] = frozenset()
    after: int = 0


NOWHERE = Elsewhere()


class EventLog(ABC):
    """Interactions by visitor. Safe to share between threads.

    Every visitor has a partition of their own: no method reads or changes another visitor's rows,
    whatever event id it is given.
    """

    @abstractmethod
    def append(self, interaction: Interaction) -> Interaction | None:
        """Store it and return it as stored, or return None when it is a repeat.

        A repeat has the same event id and the same content (`content_of`) as what is stored. The
        same id with other content is something new and is stored under a fresh id.
        """

    def append_all(self, interactions: Sequence[Interaction]) -> list[Interaction]:
        """`append` for many, in order; returns those that were new, as stored."""
        return [stored for each in interactions if (stored := self.append(each))]

    @abstractmethod
    def history(
        self, visitor: str, *, limit: int | None = None, movie_id: MovieId | None = None
    ) -> list[Interaction]:
        """The visitor's latest `limit` interactions (all, when None), oldest first; of one film if given.
        Without impressions.

        While a log elsewhere is away this is what the database knows: all decisions and recent clicks.
        """

    @abstractmethod
    def decisions(self, visitor: str, movie_id: MovieId | None = None) -> list[Interaction]:
        """All of the visitor's `DECISIONS`, oldest first; of one film if given. Never from elsewhere."""

    @abstractmethod
    def export(self, visitor: str) -> list[Interaction]:
        """Everything of the visitor, oldest first. Raises EventLogUnavailable rather than leave some out."""

    @abstractmethod
    def visitors(self) -> Iterator[str]:
        """Everybody of whom there is an interaction. Raises EventLogUnavailable."""

    def elsewhere(self, visitor: str, movie_id: MovieId | None = None) -> Elsewhere:
        """What is not in the database, for the counts of `forget` and `merge`.

        May wait for a network: to be asked for before a transaction, so that nobody waits for it in turn.
        """
        return NOWHERE

    @abstractmethod
    def forget(
        self, visitor: str, movie_id: MovieId | None = None, elsewhere: Elsewhere | None = None
    ) -> int:
        """Delete the visitor's interactions, all or those with one film; returns how many.

        `elsewhere` only counts: everything is deleted, wherever it is. When None it is asked for here.
        """

    @abstractmethod
    def merge(self, guest: str, user: str, elsewhere: Elsewhere | None = None) -> int:
        """Give all of the guest's interactions to the user; returns how many. A second call finds none.

        `elsewhere` is the guest's, as in `forget`.

        Where both touched a film, what either had taken back is dropped first: an undo that the one
        made must not take back what the other did in between.
        """


def content_of(interaction: Interaction) -> tuple[str, str, MovieId, float | None]:
    """What makes two interactions the same. The time is not in it: a POST sent again arrives later."""
    return interaction.visitor, interaction.kind, interaction.movie_id, interaction.value
