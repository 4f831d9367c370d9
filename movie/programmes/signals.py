"""Effects of signing in, closing an account and merging movies on groups and programmes."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_delete
from django.dispatch import receiver

from movie.catalogue.models import Movie
from movie.events.movie_merging import movie_merged
from movie.programmes.editing import delete_programmes, merge_programmes, replace_film
from movie.programmes.membership import leave_all_groups, merge_memberships
from movie.visitors.visitor import Visitor, VisitorRequest, guest_key_of


@receiver(user_logged_in, dispatch_uid="movie.programmes.join_guest")
def join_guest(request: VisitorRequest | None, user: AbstractBaseUser, **kwargs: Any) -> None:
    """Give what a guest who signs in made to the account."""
    if request is not None and (guest := guest_key_of(request)):
        member = Visitor.for_user(user).key
        merge_memberships(guest, member)
        merge_programmes(guest, member)


@receiver(post_delete, sender=get_user_model(), dispatch_uid="movie.programmes.forget_member")
def forget_member(instance: AbstractBaseUser, **kwargs: Any) -> None:
    """Take a closed account out of its groups, and delete its programmes."""
    leave_all_groups(f"user:{instance.pk}")
    delete_programmes(f"user:{instance.pk}")


@receiver(movie_merged, dispatch_uid="movie.programmes.replace_film")
def keep_merged_film(keep: Movie, other: Movie, **kwargs: Any) -> None:
    replace_film(other, keep)
