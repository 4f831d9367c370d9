"""Effects of saving and deleting movies, and what they have by name, on what lies beside their tables."""

from typing import Any

from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete
from django.dispatch import receiver

from movie.catalogue.catalogue_version import CatalogueVersion
from movie.catalogue.models import Credit, Movie, MovieTitle
from movie.catalogue.names import Country, Genre, Language, Person
from movie.catalogue.suffixes import Searchable


@receiver(pre_delete, sender=Movie, dispatch_uid="movie.lock")
def lock(instance: Movie, using: str, **kwargs: Any) -> None:
    """Lock the movie before its events and ratings are deleted.

    No foreign key of the database keeps these two tables. What was stored before the lock goes with the
    movie, and who stores something after it finds no movie.
    """
    list(Movie.objects.using(using).filter(pk=instance.pk).order_by().select_for_update().values_list("pk"))


@receiver(post_delete, sender=Movie, dispatch_uid="movie.discard_photograph")
def discard_photograph(instance: Movie, **kwargs: Any) -> None:
    """Delete the photographed poster of a deleted movie."""
    Movie.objects.discard_photograph(instance.photograph)


@receiver([post_save, post_delete], sender=Movie, dispatch_uid="movie.raise_version")
@receiver([post_save, post_delete], sender=Genre, dispatch_uid="movie.raise_version")
@receiver([post_save, post_delete], sender=Country, dispatch_uid="movie.raise_version")
@receiver([post_save, post_delete], sender=Language, dispatch_uid="movie.raise_version")
@receiver([post_save, post_delete], sender=Person, dispatch_uid="movie.raise_version")
@receiver(m2m_changed, sender=Movie.genres.through, dispatch_uid="movie.raise_version")
@receiver(m2m_changed, sender=Movie.countries.through, dispatch_uid="movie.raise_version")
@receiver(m2m_changed, sender=Movie.languages.through, dispatch_uid="movie.raise_version")
def raise_version(**kwargs: Any) -> None:
    """Let every process read the movies again."""
    CatalogueVersion.objects.raise_on_commit()


@receiver(post_save, sender=MovieTitle, dispatch_uid="movie.write_suffixes")
@receiver(post_save, sender=Person, dispatch_uid="movie.write_suffixes")
def write_suffixes(instance: Searchable, **kwargs: Any) -> None:
    """Let searches find the text."""
    instance.write_suffixes()


@receiver(post_save, sender=Credit, dispatch_uid="movie.count_movies")
def count_movies(instance: Credit, **kwargs: Any) -> None:
    """Count the movies of the person."""
    Person.objects.raise_movie_counts_on_commit([instance.person_id])
