"""A small data set with a structure that every model can find, and histories to ask about."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import numpy as np

from datasets.interactions import Interactions
from predictors.history import History, Interaction, MovieId

N_USERS, N_FILMS, RUN = 120, 48, 12
FIRST_ID = 1000  # film ids are no indices: 1000, 1007, 1014, ...
FILM_IDS: list[MovieId] = [FIRST_ID + 7 * index for index in range(N_FILMS)]
START = datetime(2024, 1, 1, tzinfo=UTC)


def interactions(seed: int = 0) -> Interactions:
    """Each user walks along the films in order of their index, now and then skipping one: what comes
    next follows from what came last. Low indices are met more often.
    """
    rng = np.random.default_rng(seed)
    users, items = [], []
    for user in range(N_USERS):
        first = int(rng.integers(0, N_FILMS) * rng.random())
        steps = np.cumsum(rng.choice([1, 1, 1, 2], size=RUN))
        walk = np.unique((first + steps) % N_FILMS)
        walk = np.roll(walk, -int(np.searchsorted(walk, (first + 1) % N_FILMS)))
        users += [user] * len(walk)
        items += walk.tolist()
    return from_rows(users, items, values=rng.choice([3.0, 4.0, 5.0], size=len(items)))


def from_rows(
    users: list[int],
    items: list[int],
    *,
    values: np.ndarray | None = None,
    item_ids: list[MovieId] | None = None,
    at: list[int] | None = None,
) -> Interactions:
    """Rows in time order, one a day unless `at` says when."""
    item_ids = FILM_IDS if item_ids is None else item_ids
    first = int(START.timestamp())
    return Interactions.from_columns(
        np.array(users),
        np.array(items),
        values,
        first + 86_400 * np.arange(len(users)) if at is None else np.array(at),
        user_ids=np.arange(max(users) + 1),
        item_ids=np.array(item_ids),
    )


def rated(*films: MovieId, stars: float = 5.0) -> History:
    """A visitor who rated these films, one a minute."""
    return told(*(("rating", film, stars) for film in films))


def told(*events: tuple[str, MovieId, float | None]) -> History:
    """A visitor's history from (kind, film, stars), one a minute."""
    return History(
        Interaction(
            event_id=str(uuid.UUID(int=number)),
            visitor="guest:1",
            kind=kind,
            movie_id=film,
            at=START + timedelta(minutes=number),
            value=stars,
        )
        for number, (kind, film, stars) in enumerate(events)
    )
