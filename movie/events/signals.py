"""Effects of signing in, signing out and closing an account on histories."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db.models.signals import post_delete
from django.dispatch import receiver
from django.utils.translation import gettext

from movie.events.recording import forget, merge_guest
from movie.visitors.visitor import Visitor, VisitorRequest, guest_key_of


@receiver(user_logged_in, dispatch_uid="movie.join_guest")
def join_guest(request: VisitorRequest | None, user: AbstractBaseUser, **kwargs: Any) -> None:
    """Merge the guest's history into the member's and end the guest's visit."""
    if request is None:
        return
    visitor = Visitor.for_user(user)
    guest_key = guest_key_of(request)
    if guest_key and merge_guest(guest_key, visitor.key):
        messages.success(
            request, gettext("What you did as a guest is in your account now."), fail_silently=True
        )
    request.visitor, request.visitor_was_used = visitor, True


@receiver(user_logged_out, dispatch_uid="movie.new_guest")
def begin_as_guest(request: VisitorRequest | None, **kwargs: Any) -> None:
    """Make the next user of the browser a new guest."""
    if request is not None:
        request.visitor, request.visitor_was_used = Visitor.new_guest(), True


@receiver(post_delete, sender=get_user_model(), dispatch_uid="movie.forget_member")
def forget_member(instance: AbstractBaseUser, **kwargs: Any) -> None:
    """Delete the history of a closed account."""
    forget(f"user:{instance.pk}")
