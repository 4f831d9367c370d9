"""Watch together: lists that suit several visitors, who join by a link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from movie.catalogue.models import Movie
from movie.catalogue.translations import load_local_titles
from movie.core.http import error_response, see_other
from movie.pages.decorators import clean_or_refuse, recording_view
from movie.programmes.group_ranking import histories_of, rank_together
from movie.programmes.membership import MAX_MEMBERS, CannotJoin, join_group, leave_group, start_group
from movie.programmes.models import MAX_NAME, Group, GroupMember
from movie.recommendations.ranked_list import RankedList
from movie.visitors.throttling import limited_page
from movie.visitors.visitor import VisitorRequest

LIST_LENGTH = 12


class NameForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Your name, as the others see it"),
        max_length=MAX_NAME,
        widget=forms.TextInput(attrs={"autocomplete": "nickname"}),
        error_messages={"required": gettext_lazy("Enter a name.")},
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not name.isprintable():
            raise forms.ValidationError(_("A name has letters, numbers, marks and spaces."))
        return name


@dataclass(slots=True)
class GroupEntry:
    """A film that suits a group, and the film of each member that speaks for it."""

    movie: Movie
    reasons: list[tuple[GroupMember, Movie | None]] = field(default_factory=list)


@never_cache
@require_safe
def together(request: VisitorRequest) -> HttpResponse:
    """Say what watching together is, and list the groups that the visitor is in."""
    groups = [] if request.visitor.is_new else list(_groups_of(request.visitor.key))
    context = {"groups": groups, "form": _name_form(request), "max_members": MAX_MEMBERS}
    return render(request, "pages/together.html", context)


@recording_view
def start(request: VisitorRequest) -> HttpResponse:
    """Make a group with the visitor in it."""
    name = clean_or_refuse(NameForm(request.POST))["name"]
    try:
        group = start_group(request.visitor.key, name)
    except CannotJoin as refused:
        return error_response(request, str(refused), status=409)
    return see_other(reverse("pages:group", args=[group.token]))


@never_cache
@require_safe
@limited_page
def group(request: VisitorRequest, token: str) -> HttpResponse:
    """Show the list to the members of a group, and to others its members and what joining would reveal."""
    found = _group(token)
    members = list(found.members.all())
    own = next((each for each in members if each.visitor == request.visitor.key), None)
    context: dict[str, object] = {"token": token, "members": members, "own": own}
    context["max_members"] = MAX_MEMBERS
    if own is None:
        context |= {"form": _name_form(request), "is_full": len(members) >= MAX_MEMBERS}
    else:
        ranking = rank_together(histories_of(members), LIST_LENGTH)
        context |= {
            "ranked": ranking.ranked,
            "entries": _entries(ranking.ranked, [each for each in members if each.pk in ranking.counted]),
            "uncounted": [each for each in members if each.pk not in ranking.counted],
            "link": request.build_absolute_uri(reverse("pages:group", args=[token])),
        }
    response = render(request, "pages/group.html", context)
    response["X-Robots-Tag"] = "noindex"
    return response


@recording_view
def join(request: VisitorRequest, token: str) -> HttpResponse:
    """Add the visitor to a group."""
    name = clean_or_refuse(NameForm(request.POST))["name"]
    try:
        join_group(_group(token), request.visitor.key, name)
    except CannotJoin as refused:
        return error_response(request, str(refused), status=409)
    return see_other(reverse("pages:group", args=[token]))


@recording_view
def leave(request: VisitorRequest, token: str) -> HttpResponse:
    """Take the visitor out of a group."""
    leave_group(_group(token), request.visitor.key)
    messages.success(request, _("You have left the group. Nothing of yours is in it now."))
    return see_other(reverse("pages:together"))


def _group(token: str) -> Group:
    found = Group.objects.with_token(token).first()
    if found is None:
        raise Http404(_("There is no such group."))
    return found


def _groups_of(visitor: str) -> Sequence[Group]:
    return Group.objects.of(visitor).prefetch_related("members")  # type: ignore[return-value]


def _name_form(request: VisitorRequest) -> NameForm:
    user = request.visitor.user
    return NameForm(initial={"name": user.get_username()[:MAX_NAME]} if user is not None else {})


def _entries(ranked: RankedList, members: Sequence[GroupMember]) -> list[GroupEntry]:
    """Return the films of the list that may be seen, with a reason of each of these members.

    Takes one query, two where titles are in another language than English.
    """
    named = {
        int(found.movie_id): {each.detail: int(each.movie_id) for each in found.reasons if each.movie_id}
        for found in ranked.recommendations
    }
    wanted = {*named, *(pk for reasons in named.values() for pk in reasons.values())}
    movies = Movie.objects.visible().defer("synopsis").in_bulk(wanted)
    load_local_titles(movies.values())
    entries = [
        GroupEntry(
            movies[movie_id],
            [(member, movies.get(reasons.get(str(member.pk), 0))) for member in members if reasons],
        )
        for movie_id, reasons in named.items()
        if movie_id in movies
    ]
    return entries[: ranked.k]
