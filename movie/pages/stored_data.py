"""State what the site stores about people, where, for how long and when it goes: as the settings have it.

The privacy page and the page that closes an account show these rows, so neither can say what another
configuration does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from movie.events.rating_weights import KEPT
from movie.pages.choices import CHOICE_LIFETIME, DIAL_COOKIE, MODEL_COOKIE, POSTERS_COOKIE, THEME_COOKIE
from movie.programmes.models import GROUP_LIFETIME
from movie.visitors.visitor import GUEST_COOKIE, LIFETIME

DAY_HOURS, DAY_SECONDS = 24, 24 * 3600
ENGINES = {"sqlite3": "SQLite", "mysql": "MySQL/MariaDB", "postgresql": "PostgreSQL"}


@dataclass(frozen=True, slots=True)
class StoredData:
    """Describes a kind of data. `deleted` says when it goes after its owner asks; empty where none has to."""

    what: str
    content: str
    where: str
    kept: str
    deleted: str = ""


class Cookie(NamedTuple):
    name: str
    purpose: str
    kept: str


def stored_data() -> list[StoredData]:
    """Return every kind of data about people that the site stores in its present configuration."""
    return [*_account_rows(), *_history_rows(), *_derived_rows(), *_passing_rows()]


def rows_of_members() -> list[StoredData]:
    """Return what goes when an account is closed."""
    return [row for row in stored_data() if row.deleted]


def cookies() -> list[Cookie]:
    """Return every cookie that the site sets."""
    guest, choice = _days(LIFETIME.days), _days(CHOICE_LIFETIME.days)
    session = _days(settings.SESSION_COOKIE_AGE // DAY_SECONDS)
    window = _("until the browser is closed")
    return [
        Cookie(GUEST_COOKIE, _("A random number under which a guest's history is kept."), guest),
        Cookie(settings.SESSION_COOKIE_NAME, _("Keeps you signed in."), session),
        Cookie(
            settings.CSRF_COOKIE_NAME,
            _("Shows that a form was sent from this site."),
            _days(settings.CSRF_COOKIE_AGE // DAY_SECONDS),
        ),
        Cookie(
            settings.LANGUAGE_COOKIE_NAME,
            _("The language you chose."),
            _days(settings.LANGUAGE_COOKIE_AGE // DAY_SECONDS),
        ),
        Cookie(THEME_COOKIE, _("Light or dark, if you chose."), choice),
        Cookie(MODEL_COOKIE, _("The model you chose for your list."), choice),
        Cookie(DIAL_COOKIE, _("Where you set the dial from unexpected to well-known films."), choice),
        Cookie(POSTERS_COOKIE, _("Photographed posters, if you chose them."), choice),
        Cookie("messages", _("A message for the next page."), window),
    ]


def others_involved() -> list[str]:
    """Return a sentence for each party outside the site that learns something."""
    sentences = []
    if settings.POSTER_BASE_URL:
        host = urlsplit(settings.POSTER_BASE_URL).netloc
        sentences.append(
            _("Your browser fetches posters from %(host)s, which sees your address.") % {"host": host}
        )
    if settings.EMAIL_BACKEND.endswith("smtp.EmailBackend"):
        sentences.append(
            _("Mails to you pass through the mail server %(host)s.") % {"host": settings.EMAIL_HOST}
        )
    archive = cast("dict[str, Any]", settings.CLICK_ARCHIVE["OPTIONS"])
    if archive and not archive.get("endpoint_url"):
        sentences.append(_("Amazon Web Services run the DynamoDB table."))
    return sentences


def _account_rows() -> Iterator[StoredData]:
    closed = _("until you close the account")
    at_once = _("at once")
    session = _days(settings.SESSION_COOKIE_AGE // DAY_SECONDS)
    yield StoredData(
        _("Account"),
        _("Your user name, the email address if you gave one, and a hash of the password."),
        _database(),
        closed,
        at_once,
    )
    yield StoredData(
        _("Sessions"),
        _("Where you are signed in: network address, browser, and when you signed in."),
        _database(),
        _("until you sign out or end them, at most %(days)s") % {"days": session},
        at_once,
    )
    yield StoredData(
        _("Second factor"),
        _("The secret of your app, encrypted, and the public parts of your keys, if you set them up."),
        _database(),
        _("until you remove it"),
        at_once,
    )
    yield StoredData(
        _("Comments"),
        _("What you wrote below reviews of papers, with your user name. Everybody can read it."),
        _database(),
        _("until you delete it"),
        at_once,
    )


def _history_rows() -> Iterator[StoredData]:
    yield StoredData(
        _("Watching together"),
        _("The groups you joined and the name you entered. Others in a group see the name and your reasons."),
        _database(),
        _("until you leave the group, at most %(days)s") % {"days": _days(GROUP_LIFETIME.days)},
        _("at once"),
    )
    yield StoredData(
        _("Programmes"),
        _("Lists of films that you made. Everybody can see those that you made public, with your user name."),
        _database(),
        _("until you delete them"),
        _("at once"),
    )
    archive = cast("dict[str, Any]", settings.CLICK_ARCHIVE["OPTIONS"])
    stream = cast("dict[str, Any]", settings.EVENT_STREAM["OPTIONS"])
    content = _("What you rate, watch, open, save or put aside, and which lists you were shown.")
    guests = _("until you delete it; a guest's browser can reach it for %(days)s after the last visit") % {
        "days": _days(LIFETIME.days)
    }
    yield StoredData(_("History"), content, _database(), guests, _("at once"))
    yield StoredData(
        _("Files you import"),
        _("A file of films until you confirm it, and the date of each import."),
        _database(),
        _("the file until you confirm it or choose another, the date until you undo the import"),
        _("at once"),
    )
    if archive:
        yield StoredData(
            _("Older clicks"),
            _("The films you opened and the lists you were shown."),
            _("DynamoDB table %(table)s, region %(region)s")
            % {"table": archive["table"], "region": archive["region"]},
            _("until you delete them; a guest's for %(days)s") % {"days": _days(LIFETIME.days + 1)},
            _("hidden at once, deleted from the table within minutes"),
        )
    if stream:
        retention = _days(settings.KAFKA_RETENTION_HOURS // DAY_HOURS)
        yield StoredData(
            _("Messages"),
            _("A message for each entry of the history, from which figures and training data are made."),
            _("Kafka topic %(topic)s") % {"topic": stream["topic"]},
            retention,
            _("what is made of them follows within minutes; the messages themselves go after %(days)s")
            % {"days": retention},
        )


def _derived_rows() -> Iterator[StoredData]:
    yield StoredData(
        _("Experiments"),
        _("While models are compared: sums of what you did with their lists, under a hash of your number."),
        _database(),
        _("as long as the experiment"),
        _("cut off from you at once; the sums stay and lead to nobody"),
    )
    yield StoredData(
        _("Counts"),
        _("How often a film was opened and rated on a day, without names."),
        _database(),
        _("for good"),
        _("your stars leave the mean of a film at once; counts of days stay"),
    )
    yield StoredData(
        _("Training data and models"),
        _("Copies of histories to train from, and what models learned from all visitors together."),
        _("files on the servers of this site"),
        _("until the next training"),
        _("left out from the next training on"),
    )


def _passing_rows() -> Iterator[StoredData]:
    minutes = settings.AXES_COOLOFF_TIME.seconds // 60
    cache = "Redis" if settings.REDIS_URL else _("the memory of the server")
    yield StoredData(
        _("Failed sign-ins"),
        _("The name that was typed, the network address and the browser, to stop guessing."),
        _database(),
        ngettext(
            "%(n)d minute, then until the next sign-in of anybody",
            "%(n)d minutes, then until the next sign-in of anybody",
            minutes,
        )
        % {"n": minutes},
        _("at once"),
    )
    yield StoredData(
        _("Weights of ratings"),
        _("Since when you rate, and for each film a keyed digest of the network that your rating came from."),
        _database(),
        _("digests %(days)s, the rest as long as the history") % {"days": _days(KEPT.days)},
        _("at once"),
    )
    yield StoredData(
        _("Limits"),
        _("How often a visitor and a network address wrote or asked."),
        cache,
        _("two hours at most"),
    )
    yield StoredData(
        _("Readers of reviews"),
        _("A keyed digest per reader, so that a reading counts once a day. It names nobody."),
        _database(),
        _days(1),
    )
    yield StoredData(
        _("Log"),
        _("Time, kind of page, status and duration of each request; no address, no name, no search."),
        _("the log of the server"),
        _("as long as the people who run this site keep it"),
    )


def _database() -> str:
    engine = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
    return _("the site's database (%(kind)s)") % {"kind": ENGINES.get(engine, engine)}


def _days(count: int) -> str:
    return ngettext("%(n)d day", "%(n)d days", count) % {"n": count}
