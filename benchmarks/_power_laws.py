"""Made-up interactions of any size, whose users and films follow power laws."""

from __future__ import annotations

import numpy as np

from datasets.interactions import Interactions

TASTES, TASTES_OF_A_USER, SHARE_OF_TASTE = 40, 2, 0.7


def synthesised(*, n_users: int, n_items: int, n_edges: int, guests: int, seed: int) -> Interactions:
    """Generate `n_users` + `guests` users; the first have about `n_edges` pairs together.

    Popularity of film r is (r + 20) ** -0.9, activity of users is Pareto with exponent 1.5 and at least 30
    draws. SHARE_OF_TASTE of a user's draws are of their tastes, the others of any film; a pair counts once.
    """
    rng = np.random.default_rng(seed)
    everybody = n_users + guests
    popularity = (np.arange(n_items) + 20.0) ** -0.9
    taste_of_film = rng.integers(0, TASTES, n_items)
    activity = rng.pareto(1.5, everybody) + 0.5
    activity = np.minimum(activity, np.quantile(activity, 0.995))
    # Draws that hit a pair again are lost; more are made, then cut to the number wanted.
    wanted = int(1.4 * n_edges * everybody / n_users)
    counts = 30 + (activity / activity.sum() * (wanted - 30 * everybody)).astype(np.int64)
    users = np.repeat(np.arange(everybody), counts)
    tastes = np.stack([rng.permutation(TASTES)[:TASTES_OF_A_USER] for _ in range(everybody)])
    chosen = tastes[users, rng.integers(0, TASTES_OF_A_USER, len(users))]
    items = rng.choice(n_items, len(users), p=popularity / popularity.sum())
    by_taste = rng.random(len(users)) < SHARE_OF_TASTE
    for taste in range(TASTES):
        films = np.flatnonzero(taste_of_film == taste)
        here = np.flatnonzero(by_taste & (chosen == taste))
        weights = popularity[films] / popularity[films].sum()
        items[here] = rng.choice(films, len(here), p=weights)
    keys = rng.permutation(np.unique(users * n_items + items))
    kept = keys[: int(n_edges * everybody / n_users)]
    return Interactions.from_columns(
        kept // n_items,
        kept % n_items,
        user_ids=np.arange(everybody),
        item_ids=np.arange(n_items),
    )
