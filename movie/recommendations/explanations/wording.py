"""Wording of reasons: sentences with links, composed of phrases that are true on their own.

A sentence goes from the recommended film back to the visitor's: what leads to it ("Directed by Michael
Mann"), what that has to do with another film ("who made Heat") and what the visitor did with that film
("which you rated 4½"). Each part is a message of its own whose placeholders hold the parts after it, so
that a language can put them in the order it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from movie.catalogue.formatting import stars
from movie.catalogue.models import Credit
from predictors.history import History, MovieId

Roles = frozenset[str]

DIRECTOR, WRITER, CAST = (role.value for role in (Credit.Role.DIRECTOR, Credit.Role.WRITER, Credit.Role.CAST))


def _set(*roles: str) -> Roles:
    return frozenset(roles)


# The roles of a person in the recommended film,
ROLE_PHRASES = {
    _set(DIRECTOR): _("Directed by %(person)s"),
    _set(WRITER): _("Written by %(person)s"),
    _set(CAST): _("With %(person)s"),
    _set(DIRECTOR, WRITER): _("Written and directed by %(person)s"),
    _set(DIRECTOR, CAST): _("Directed by and with %(person)s"),
    _set(WRITER, CAST): _("Written by and with %(person)s"),
    _set(DIRECTOR, WRITER, CAST): _("Written and directed by, and with, %(person)s"),
}
# the roles of the same person in the other film,
OTHER_ROLE_PHRASES = {
    _set(DIRECTOR): _("who directed %(film)s"),
    _set(WRITER): _("who wrote %(film)s"),
    _set(CAST): _("who is in %(film)s"),
    _set(DIRECTOR, WRITER): _("who wrote and directed %(film)s"),
    _set(DIRECTOR, CAST): _("who directed and is in %(film)s"),
    _set(WRITER, CAST): _("who wrote and is in %(film)s"),
    _set(DIRECTOR, WRITER, CAST): _("who wrote, directed and is in %(film)s"),
}
# and the same where the roles are equal.
SAME_ROLE_PHRASES = {
    _set(DIRECTOR): _("who made %(film)s"),
    _set(WRITER): _("who also wrote %(film)s"),
    _set(CAST): _("who is also in %(film)s"),
    _set(DIRECTOR, WRITER): _("who also wrote and directed %(film)s"),
    _set(DIRECTOR, CAST): _("who also directed and is in %(film)s"),
    _set(WRITER, CAST): _("who also wrote and is in %(film)s"),
    _set(DIRECTOR, WRITER, CAST): _("who also wrote, directed and is in %(film)s"),
}
# A film in the middle of a longer path, by what it has in common with the one before it.
INTERMEDIATE_PHRASES = {
    "person": _("%(film)s, which shares %(name)s with %(before)s"),
    "genre": _("%(film)s, itself filed under %(name)s like %(before)s"),
    "country": _("%(film)s, itself made in the same country (%(name)s) as %(before)s"),
    "decade": _("%(film)s, itself from the %(name)s like %(before)s"),
}
ROLE_NAMES = {role.value: role.label for role in Credit.Role}


class Phrase(NamedTuple):
    """Words as plain text, and with links: `url` is that of a name, `parts` fill a translated message."""

    text: str
    url: str = ""
    message: str = ""
    parts: Mapping[str, Any] = MappingProxyType({})  # of phrases

    def __str__(self) -> str:
        return self.text

    @property
    def html(self) -> SafeString:
        html: str = escape(self.message or self.text)
        if self.message:
            html = html % {name: part.html for name, part in self.parts.items()}
        elif self.url:
            html = f'<a href="{escape(self.url)}">{html}</a>'
        return mark_safe(html)  # noqa: S308 - the message, the name and every part are escaped


@dataclass(frozen=True, slots=True)
class Node:
    """A place on a path. `kind` is you, movie, person, genre, country or decade."""

    kind: str
    name: str
    url: str = ""
    pk: int | None = None

    @property
    def phrase(self) -> Phrase:
        return Phrase(self.name, self.url)


@dataclass(frozen=True, slots=True)
class Link:
    """Two films of a path and what is between them.

    before, after  the film nearer to the visitor, and the one it leads to
    roles_before, roles_after  what a person did for each, empty for other nodes
    """

    before: Node
    node: Node
    after: Node
    roles_before: Roles = frozenset()
    roles_after: Roles = frozenset()


def compose(message: str, **parts: Phrase | str) -> Phrase:
    """Put phrases into the placeholders of a translated message."""
    phrases = {name: Phrase(part) if isinstance(part, str) else part for name, part in parts.items()}
    return Phrase(message % phrases, message=message, parts=phrases)


def film_with_action(film: Node, history: History) -> Phrase:
    """Name a liked film with what the visitor did: "Heat, which you rated 4½"."""
    pk: MovieId = film.pk or 0
    rating = history.ratings.get(pk)
    if rating is not None:
        return compose(gettext("%(film)s, which you rated %(stars)s"), film=film.phrase, stars=stars(rating))
    if pk in history.watches:
        return compose(gettext("%(film)s, which you watched"), film=film.phrase)
    if pk in history.watchlist:
        return compose(gettext("%(film)s, which is on your watchlist"), film=film.phrase)
    return compose(gettext("%(film)s, which you looked at"), film=film.phrase)


def short_action(film: Node, history: History) -> str:
    """Say what the visitor did with a movie in two words, for the first edge of a drawn path."""
    pk: MovieId = film.pk or 0
    rating = history.ratings.get(pk)
    if rating is not None:
        return gettext("rated %(stars)s") % {"stars": stars(rating)}
    if pk in history.watches:
        return gettext("watched")
    return gettext("on your watchlist") if pk in history.watchlist else gettext("looked at")


def because(film: Phrase | str, movie_id: MovieId, history: History) -> Phrase:
    """Return the reason that names a movie of the history: "Because you rated Heat 4½"."""
    rating = history.ratings.get(movie_id)
    if rating is not None:
        return compose(gettext("Because you rated %(title)s %(stars)s"), title=film, stars=stars(rating))
    if movie_id in history.watches:
        return compose(gettext("Because you watched %(title)s"), title=film)
    if movie_id in history.watchlist:
        return compose(gettext("Because %(title)s is on your watchlist"), title=film)
    return compose(gettext("Because you looked at %(title)s"), title=film)


def sentence(links: Sequence[Link], history: History) -> Phrase:
    """Compose the sentence of a path, from its end, where a person made or plays in both movies."""
    *earlier, last = links
    film = film_with_action(links[0].before, history)
    for link in earlier:
        message = gettext(INTERMEDIATE_PHRASES[link.node.kind])
        film = compose(message, film=link.after.phrase, name=link.node.phrase, before=film)
    did = SAME_ROLE_PHRASES if last.roles_after == last.roles_before else OTHER_ROLE_PHRASES
    return compose(
        gettext("%(made)s, %(did)s"),
        made=compose(gettext(ROLE_PHRASES[last.roles_after]), person=last.node.phrase),
        did=compose(gettext(did[last.roles_before]), film=film),
    )


def role_names(roles: Roles) -> str:
    """Return the names of roles in the order of a title card: "Director, Writer"."""
    return ", ".join(str(label) for role, label in ROLE_NAMES.items() if role in roles)
