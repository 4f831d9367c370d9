"""Start, join and leave groups; what becomes of memberships when guests sign in and accounts close."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from movie.core.database import retry_on_deadlock
from movie.programmes.models import GROUP_LIFETIME, Group, GroupMember

MAX_MEMBERS = 8  # each is a query to the model and a reason on every film
MAX_GROUPS = 20  # of one visitor
EXPIRED_AT_ONCE = 50


class CannotJoin(Exception):
    """Says in the visitor's language why nobody was added."""


@retry_on_deadlock
def start_group(visitor: str, name: str) -> Group:
    """Make a group with one member. Raises CannotJoin for a visitor who is in very many."""
    with transaction.atomic():
        _check_number_of_groups(visitor)
        _delete_expired()
        group = Group.objects.create()
        GroupMember.objects.create(group=group, visitor=visitor, name=name)
    return group


@retry_on_deadlock
def join_group(group: Group, visitor: str, name: str) -> None:
    """Add a visitor to a group; one who is in it already gets the new name. Raises CannotJoin."""
    with transaction.atomic():
        if not _lock(group):
            raise CannotJoin(_("There is no such group."))
        if group.members.filter(visitor=visitor).update(name=name):
            return
        _check_number_of_groups(visitor)
        if group.members.count() >= MAX_MEMBERS:
            raise CannotJoin(_("A group is for %(n)d people at most.") % {"n": MAX_MEMBERS})
        GroupMember.objects.create(group=group, visitor=visitor, name=name)


@retry_on_deadlock
def leave_group(group: Group, visitor: str) -> None:
    """Take a visitor out of a group. A group that nobody is in is deleted."""
    with transaction.atomic():
        if _lock(group):
            group.members.filter(visitor=visitor).delete()
            if not group.members.exists():
                group.delete()


@retry_on_deadlock
def leave_all_groups(visitor: str) -> None:
    """Take a visitor out of every group."""
    for group in Group.objects.filter(members__visitor=visitor):
        leave_group(group, visitor)


@retry_on_deadlock
def merge_memberships(guest: str, user: str) -> None:
    """Make a guest's memberships those of an account; where both are in a group, the account's stays."""
    with transaction.atomic():
        both = GroupMember.objects.filter(visitor=user).values_list("group", flat=True)
        own = GroupMember.objects.filter(visitor=guest)
        own.filter(group__in=list(both)).delete()
        own.update(visitor=user)


def _lock(group: Group) -> bool:
    """Lock a group, so that two who come at once are not both the last; return whether it is still there."""
    return Group.objects.select_for_update().filter(pk=group.pk).first() is not None


def _check_number_of_groups(visitor: str) -> None:
    if Group.objects.of(visitor).count() >= MAX_GROUPS:
        raise CannotJoin(_("You are in %(n)d groups. Leave one of them first.") % {"n": MAX_GROUPS})


def _delete_expired() -> None:
    expired = Group.objects.filter(created__lte=timezone.now() - GROUP_LIFETIME).order_by("created")
    Group.objects.filter(pk__in=list(expired.values_list("pk", flat=True)[:EXPIRED_AT_ONCE])).delete()
