"""Effects of deleting movies on what lies beside the database."""

from typing import Any

from django.db.models.signals import post_delete
from django.dispatch import receiver

from movie.catalogue.models import Movie


@receiver(post_delete, sender=Movie, dispatch_uid="movie.discard_photograph")
def discard_photograph(instance: Movie, **kwargs: Any) -> None:
    """Delete the photographed poster of a deleted movie."""
    Movie.objects.discard_photograph(instance.photograph)
