"""Programmes: small lists of films, for their owner alone or for everybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from types import SimpleNamespace

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from movie.catalogue.models import Movie
from movie.catalogue.posters.drawing import draw_poster
from movie.catalogue.translations import load_local_titles
from movie.core.http import error_response, see_other
from movie.pages.decorators import clean_or_refuse, recording_view
from movie.pages.views.posters import POSTER_POLICY
from movie.programmes.editing import (
    MAX_FILMS,
    CannotEdit,
    add_film,
    change_programme,
    make_programme,
    may_publish,
    move_film,
    remove_film,
)
from movie.programmes.models import MAX_NOTE, MAX_TITLE, Programme
from movie.recommendations.ranked_list import mean_sentence
from movie.recommendations.ranking import visitor_history
from movie.visitors.visitor import VisitorRequest

PAGE_SIZE = 24
COVER_CACHING = "private, max-age=3600"  # its address changes with the programme
STEPS = {"up": -1, "down": 1}


class TitleForm(forms.Form):
    title = forms.CharField(
        label=pgettext_lazy("of a programme", "Title"),
        max_length=MAX_TITLE,
        error_messages={"required": gettext_lazy("Enter a title.")},
    )

    def clean_title(self) -> str:
        title: str = self.cleaned_data["title"]
        if not title.isprintable():
            raise forms.ValidationError(_("A title has letters, numbers, marks and spaces."))
        return title


class ProgrammeForm(TitleForm):
    note = forms.CharField(
        label=gettext_lazy("What it is about"),
        max_length=MAX_NOTE,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    is_public = forms.BooleanField(
        label=gettext_lazy("Everybody may see it, with your user name"), required=False
    )


@never_cache
@require_safe
def programmes(request: VisitorRequest) -> HttpResponse:
    """List the visitor's own programmes and those that are public."""
    own = [] if request.visitor.is_new else Programme.objects.of(request.visitor.key).with_counts()
    public = Programme.objects.public().exclude(visitor=request.visitor.key).with_counts()
    page = Paginator(public, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"own": own, "page_obj": page, "names": _owner_names(page), "form": TitleForm()}
    return render(request, "pages/programmes.html", context)


@recording_view
def make(request: VisitorRequest) -> HttpResponse:
    """Make a programme, with the film `movie` if that is sent."""
    title = clean_or_refuse(TitleForm(request.POST))["title"]
    film = _film(request.POST.get("movie", ""))
    try:
        programme = make_programme(request.visitor.key, title, film)
    except CannotEdit as refused:
        return error_response(request, str(refused), status=409)
    return see_other(programme.get_absolute_url())


@never_cache
@require_safe
def programme(request: VisitorRequest, programme_id: int) -> HttpResponse:
    """Show a programme; its owner can change it here."""
    found = _seen(request, programme_id)
    films = [
        each.movie
        for each in found.entries.select_related("movie").defer("movie__synopsis")
        if each.movie.is_available
    ]
    load_local_titles(films)
    is_own = found.visitor == request.visitor.key
    history = visitor_history(request.visitor)
    initial = {"title": found.title, "note": found.note, "is_public": found.is_public}
    context = {
        "programme": found,
        "entries": [SimpleNamespace(movie=film, reason=mean_sentence(film)) for film in films],
        "is_own": is_own,
        "may_publish": may_publish(found.visitor),
        "owner": "" if is_own else _owner_names([found]).get(found.visitor, ""),
        "form": ProgrammeForm(initial=initial) if is_own else None,
        "ratings": history.ratings,
        "watchlist": history.watchlist,
        "max_films": MAX_FILMS,
    }
    return render(request, "pages/programme.html", context)


@require_safe
def cover(request: VisitorRequest, programme_id: int) -> HttpResponse:
    """Draw the cover of a programme: a poster with its title, in the colours of its genres."""
    found = _seen(request, programme_id)
    films = Movie.objects.visible().filter(pk__in=found.entries.values("movie")).prefetch_related("genres")
    genres = Counter(name for film in films for name in film.genre_names)
    most_first = sorted(genres, key=lambda name: (-genres[name], name))
    drawing = draw_poster(found.title, None, most_first, "", seed=found.pk)
    response = HttpResponse(drawing, content_type="image/svg+xml")
    response["Cache-Control"] = COVER_CACHING
    response["Content-Security-Policy"] = POSTER_POLICY
    return response


@recording_view
def edit(request: VisitorRequest, programme_id: int) -> HttpResponse:
    """Change the title, the note, and who may see it."""
    found = _own(request, programme_id)
    fields = clean_or_refuse(ProgrammeForm(request.POST))
    change_programme(found, title=fields["title"], note=fields["note"], is_public=fields["is_public"])
    messages.success(request, _("The programme is saved."))
    return see_other(found.get_absolute_url())


@recording_view
def delete(request: VisitorRequest, programme_id: int) -> HttpResponse:
    """Delete a programme."""
    found = _own(request, programme_id)
    found.delete()
    messages.success(request, _("“%(title)s” is deleted.") % {"title": found.title})
    return see_other(reverse("pages:programmes"))


@never_cache
@require_safe
def choose_programme(request: VisitorRequest, movie_id: int) -> HttpResponse:
    """Show the visitor's programmes, to add a film to one of them or to a new one."""
    film = get_object_or_404(Movie.objects.visible(), pk=movie_id)
    load_local_titles([film])
    own = [] if request.visitor.is_new else Programme.objects.of(request.visitor.key).with_counts()
    return render(request, "pages/programme_choose.html", {"movie": film, "own": own, "form": TitleForm()})


@recording_view
def edit_film(request: VisitorRequest, programme_id: int, movie_id: int) -> HttpResponse:
    """Add a film to a programme, take it out, or move it: `do` is add, remove, up or down."""
    found = _own(request, programme_id)
    do = request.POST.get("do", "")
    films = Movie.objects.visible() if do == "add" else Movie.objects.all()
    film = get_object_or_404(films, pk=movie_id)
    load_local_titles([film])
    try:
        message = _change_film(found, film, do)
    except CannotEdit as refused:
        return error_response(request, str(refused), status=409)
    if not message:
        return error_response(request, _("Nothing was changed."), status=422)
    messages.success(request, message % {"film": film.display_title, "title": found.title})
    address = found.get_absolute_url()
    return see_other(f"{address}#film-{film.pk}" if do in STEPS else address)


def _change_film(programme: Programme, film: Movie, do: str) -> str:
    """Add, remove or move a film and return the sentence that says so; "" where `do` is nothing known."""
    if do == "add":
        if add_film(programme, film):
            return _("%(film)s is in “%(title)s” now.")
        return _("%(film)s was in “%(title)s” already.")
    if do == "remove":
        remove_film(programme, film.pk)
        return _("%(film)s is no longer in “%(title)s”.")
    if do in STEPS:
        move_film(programme, film.pk, STEPS[do])
        return _("%(film)s is moved.")
    return ""


def _seen(request: VisitorRequest, programme_id: int) -> Programme:
    """Return a programme that the visitor may see. Raises Http404 for others alike, made or not."""
    found = Programme.objects.seen_by(request.visitor.key).filter(pk=programme_id).first()
    if found is None:
        raise Http404(_("There is no such programme."))
    return found


def _own(request: VisitorRequest, programme_id: int) -> Programme:
    found = Programme.objects.of(request.visitor.key).filter(pk=programme_id).first()
    if found is None:
        raise Http404(_("There is no such programme."))
    return found


def _film(text: str) -> Movie | None:
    is_id = text.isdecimal() and len(text) <= 18
    return Movie.objects.visible().filter(pk=int(text)).first() if is_id else None


def _owner_names(found: Iterable[Programme]) -> dict[str, str]:
    """Return the user names of the owners by visitor, in one query."""
    ids = {int(each.visitor.partition(":")[2]) for each in found if may_publish(each.visitor)}
    users = get_user_model()._default_manager.filter(pk__in=ids)
    return {f"user:{pk}": name for pk, name in users.values_list("pk", "username")}
