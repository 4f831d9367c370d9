"""Visitors who open, rate and save films, sign in and out and delete what they did.

What was not acknowledged they send again, as browsers do. What was they read now and then: it must be there.
"""

from __future__ import annotations

import http.client
import random
import re
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from services.base import HOST
from tests.faults.ledger import Ledger

TIMEOUT = 30
GIVE_UP_SECONDS = 120
ACKNOWLEDGED = (200, 204, 302, 303)
ACTIONS: list[tuple[str, str | None]] = [("click", None)] * 6 + [("rate", None)] * 3 + [("watchlist", "1")]
STARS = ("", "1", "2", "3", "4", "5")  # empty takes the rating away
RATED_FILMS = 6
# Shares of actions that are followed by ...
PAGE_SHARE = 0.05  # a page that a model ranks
READ_SHARE = 0.3  # the page of the film, which must show the stars that were acknowledged
FORGET_SHARE = 0.03  # the deletion of a film, or (one in five) of the whole history
SIGN_SHARE = 0.05  # signing in or out
SIGN_SECONDS = 3.0  # between two sign-ins of one address, which the site limits
PASSWORD = "a passphrase of the fault test"
TRIED_TOO_OFTEN = "Too many failed login attempts"
CHECKED = re.compile(r'value="([\d.]+)" checked')


@dataclass
class Load:
    """The answers that all visitors received together. `now` is what is broken at the moment, the last of
    `history`.
    """

    port: int
    films: list[int]
    accounts: list[int] = field(default_factory=list)  # ids of users visitor-0, visitor-1, ...
    ledger: Ledger = field(default_factory=Ledger)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)  # (what was broken, what came)
    seconds: list[float] = field(default_factory=list)
    unanswered: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)  # answers that no fault excuses
    stale: list[str] = field(default_factory=list)  # reads that did not show what was acknowledged
    n_reads: int = 0
    n_asked: int = 0
    history: list[str] = field(default_factory=lambda: ["nothing"])  # what was broken, in turn
    stop: threading.Event = field(default_factory=threading.Event)
    pause: threading.Event = field(default_factory=threading.Event)  # while set, nobody starts anything
    stay: threading.Event = field(default_factory=threading.Event)  # once set, nobody signs in or out
    lock: threading.Lock = field(default_factory=threading.Lock)
    signed_at: float = 0.0

    @property
    def now(self) -> str:
        return self.history[-1]

    @now.setter
    def now(self, what: str) -> None:
        self.history.append(what)

    @property
    def acknowledged(self) -> dict[str, int]:
        """Return the film of every event that was acknowledged."""
        return self.ledger.films

    def may_sign(self) -> bool:
        with self.lock:
            if self.stay.is_set() or time.monotonic() - self.signed_at < SIGN_SECONDS:
                return False
            self.signed_at = time.monotonic()
            return True


class VisitorThread(threading.Thread):
    def __init__(self, load: Load, number: int, pause: float) -> None:
        super().__init__(name=f"visitor-{number}", daemon=True)
        self.load, self.number, self.pause = load, number, pause
        self.chance = random.Random(number)
        self.cookies: SimpleCookie = SimpleCookie()
        self.connection: http.client.HTTPConnection | None = None
        self.is_member = False
        self.page = ""  # the text of the last answer

    def run(self) -> None:
        self._arrive()
        while not self.load.stop.is_set():
            if not self.load.pause.is_set():
                self._act()
                self._then()
            time.sleep(self.chance.uniform(0, 2 * self.pause))

    @property
    def visitor(self) -> str:
        """Return the visitor's id on the site: the account's, or what the guest's cookie begins with."""
        if self.is_member:
            return f"user:{self.load.accounts[self.number]}"
        return ":".join(self.cookies["guest"].value.split(":")[:2])

    def _arrive(self) -> None:
        while not self.load.stop.is_set() and not (self._has("csrftoken") and self._has("guest")):
            self._ask("GET", f"/movies/{self.load.films[0]}/")

    def _has(self, name: str) -> bool:
        return name in self.cookies and bool(self.cookies[name].value)

    def _act(self) -> None:
        kind, value = self.chance.choice(ACTIONS)
        if kind == "rate":
            value = self.chance.choice(STARS)
        # Few films are rated, so that each is rated again and again: the last stars must stand.
        film = self.chance.choice(self.load.films[:RATED_FILMS] if kind == "rate" else self.load.films)
        event_id = str(uuid.uuid4())
        fields = {"event_id": event_id, "surface": "faults"} | ({} if value is None else {"value": value})
        if not self._insist(f"/movies/{film}/{kind}/", fields, event_id):
            return
        self.load.ledger.record(self.visitor, event_id, film)
        if kind == "rate":
            stars = float(value) if value else None
            self.load.ledger.rate(self.visitor, film, stars)
            if self.chance.random() < READ_SHARE:
                self._read(film, stars)

    def _then(self) -> None:
        chance = self.chance.random
        if chance() < PAGE_SHARE:
            self._ask("GET", "/recommend/")
        if chance() < FORGET_SHARE:
            self._forget(None if chance() < 0.2 else self.chance.choice(self.load.films[:RATED_FILMS]))
        if self.load.accounts and chance() < SIGN_SHARE and self.load.may_sign():
            self._sign_out() if self.is_member else self._sign_in()

    def _read(self, film: int, stars: float | None) -> None:
        """Read the film's page: whichever worker answers, it shows what the other one acknowledged."""
        if self._ask("GET", f"/movies/{film}/") != http.HTTPStatus.OK:
            return
        form = self.page.partition(f'action="/movies/{film}/rate/"')[2].partition("</form>")[0]
        checked = CHECKED.search(form)
        shown = float(checked[1]) if checked else None
        with self.load.lock:
            self.load.n_reads += 1
            if not form or shown != stars:
                self.load.stale.append(f"{self.visitor}, film {film}: {shown} stars in place of {stars}")

    def _forget(self, film: int | None) -> None:
        path = "/history/forget/" if film is None else f"/history/{film}/forget/"
        if self._insist(path, {}, f"forget {self.visitor} {film} {time.monotonic()}"):
            self.load.ledger.forget(self.visitor, film)
            if film is not None and self.chance.random() < READ_SHARE:
                self._read(film, None)

    def _sign_in(self) -> None:
        guest, user = self.visitor, f"user:{self.load.accounts[self.number]}"
        fields = {"login": f"visitor-{self.number}", "password": PASSWORD}
        if self._insist("/accounts/login/", fields, f"sign-in {guest} {time.monotonic()}"):
            if TRIED_TOO_OFTEN in self.page:
                return  # tries while the database was away count as well
            if not self._has("sessionid"):
                self.load.wrong.append(f"visitor-{self.number} could not sign in: {self.page[-3000:]!r}")
                return
            self.is_member = True
            self.load.ledger.merge(guest, user)

    def _sign_out(self) -> None:
        if self._insist("/accounts/logout/", {}, f"sign-out {self.visitor} {time.monotonic()}"):
            self.is_member = False
            self._arrive()

    def _insist(self, path: str, fields: dict[str, str], what: str) -> bool:
        """Send a form until it is acknowledged; return whether it was."""
        body = urlencode(fields)
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            started = time.monotonic()
            if self._ask("POST", path, body) in ACKNOWLEDGED:
                with self.load.lock:
                    self.load.seconds.append(time.monotonic() - started)
                    self.load.unanswered.discard(what)
                return True
            with self.load.lock:
                self.load.unanswered.add(what)
            time.sleep(0.3)
        return False

    def _ask(self, method: str, path: str, body: str | None = None) -> int | None:
        """Return the status, or None when the connection broke."""
        begin = len(self.load.history) - 1
        self.load.n_asked += 1
        is_script = body is not None and not path.startswith("/accounts/")
        headers = {
            "Accept": "*/*" if is_script else "text/html",
            "Referer": f"http://{HOST}:{self.load.port}/",
            "Cookie": "; ".join(f"{name}={each.value}" for name, each in self.cookies.items() if each.value),
        }
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            headers["X-CSRFToken"] = self.cookies["csrftoken"].value
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(HOST, self.load.port, timeout=TIMEOUT)
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            self.page = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            self.connection = None
            self._count_answer(begin, f"connection lost ({type(error).__name__})")
            return None
        for header in answer.headers.get_all("Set-Cookie") or []:
            self.cookies.load(header)
        if answer.status == 503 and not answer.headers.get("Retry-After"):
            self.load.wrong.append("503 without Retry-After")
        if answer.status not in (*ACKNOWLEDGED, 503):
            self.load.wrong.append(
                f"{method} {path}: {answer.status} while {self.load.now}: {self.page[:200]!r}"
            )
        self._count_answer(begin, str(answer.status))
        return answer.status

    def _count_answer(self, begin: int, what: str) -> None:
        # All that was broken while the request was under way counts.
        states = dict.fromkeys(self.load.history[begin:])
        state = " / ".join(state for state in states if state != "nothing") or "nothing"
        with self.load.lock:
            self.load.answers[state, what] += 1
