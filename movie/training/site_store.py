"""The artifacts of this site: each knows the catalogue that it was trained on and serves no other."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError

from evaluation.trainer import FROM_SITE, refuse_other_ids
from movie.catalogue.models import Movie
from movie.catalogue.titles import match_key
from predictors.errors import ArtifactError
from predictors.serving.registry import ModelStore

if TYPE_CHECKING:
    from predictors.base import Predictor

logger = logging.getLogger(__name__)

SAMPLE = 64  # movies whose titles and years are the fingerprint
SAME_SHARE = 0.5  # of them that must still be the same: some are deleted or renamed in time


def catalogue_fingerprint(movie_ids: Sequence[Any]) -> dict[str, str]:
    """Return a hash of title and year for up to SAMPLE of these movies, by primary key."""
    step = max(1, len(movie_ids) // SAMPLE)
    return _hashes(movie_ids[::step][:SAMPLE])


def is_same_catalogue(fingerprint: Mapping[str, str]) -> bool:
    """Return whether the database holds the movies of a fingerprint; an empty one fits any."""
    if not fingerprint:
        return True
    now = _hashes(fingerprint)
    n_same = sum(now.get(pk) == stated for pk, stated in fingerprint.items())
    return n_same >= SAME_SHARE * len(fingerprint)


def _hashes(movie_ids: Iterable[Any]) -> dict[str, str]:
    rows = Movie.objects.filter(pk__in=[int(pk) for pk in movie_ids]).values_list("pk", "title", "year")
    return {
        str(pk): blake2b(f"{match_key(title)}|{year}".encode(), digest_size=4).hexdigest()
        for pk, title, year in rows
    }


class SiteModelStore(ModelStore):
    """Writes the fingerprint of the catalogue into every artifact, and loads none of another catalogue."""

    def publish(
        self,
        predictor: Predictor,
        *,
        data: Mapping[str, Any] | None = None,
        metrics: Sequence[Mapping[str, Any]] = (),
        activate: bool = False,
    ) -> str:
        if data and data.get("id_space") == FROM_SITE:
            data = {**data, "catalogue": catalogue_fingerprint(predictor.ids)}
        return super().publish(predictor, data=data, metrics=metrics, activate=activate)

    def serve(self, name: str, version: str) -> None:
        """Activate a version that was trained on this site's ids. Raises PredictorError, changing nothing."""
        refuse_other_ids(name, self.meta(name, version).get("data", {}).get("id_space", FROM_SITE))
        self.activate(name, version)

    def load(self, name: str, version: str) -> Predictor:
        """Load a version. Raises ArtifactError for one that was trained on another catalogue."""
        data = self.meta(name, version).get("data") or {}
        try:
            is_same = is_same_catalogue(data.get("catalogue") or {})
        except DatabaseError:
            logger.warning("the catalogue could not be read; %s %s is not compared with it", name, version)
            is_same = True
        if not is_same:
            raise ArtifactError(
                f"{name} {version} was trained on another catalogue: the films that it knows by number are "
                f"other films here. Train it anew: manage.py train {name} --from-site --activate"
            )
        return super().load(name, version)
