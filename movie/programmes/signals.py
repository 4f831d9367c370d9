"""Effects of signing in and of closing an account on groups."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_delete
from django.dispatch import receiver

from movie.programmes.membership import leave_all_groups, merge_memberships
from movie.visitors.visitor import Visitor, VisitorRequest, guest_key_of


@receiver(user_logged_in, dispatch_uid="movie.programmes.join_guest")
def join_guest(request: VisitorRequest | None, user: AbstractBaseUser, **kwargs: Any) -> None:
    """Keep a guest who signs in in their groups."""
    if request is not None and (guest := guest_key_of(request)):
        merge_memberships(guest, Visitor.for_user(user).key)


@receiver(post_delete, sender=get_user_model(), dispatch_uid="movie.programmes.forget_member")
def forget_member(instance: AbstractBaseUser, **kwargs: Any) -> None:
    """Take a closed account out of its groups."""
    leave_all_groups(f"user:{instance.pk}")
