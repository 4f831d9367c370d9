"""Visitors who open, rate and save films, and send again what was not acknowledged, as browsers do."""

from __future__ import annotations

import http.client
import random
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from http.cookies import SimpleCookie

from services.base import HOST

TIMEOUT = 30
GIVE_UP_SECONDS = 120
ACKNOWLEDGED = (200, 204, 303)
ACTIONS: list[tuple[str, str | None]] = [("click", None)] * 6 + [("rate", None)] * 3 + [("watchlist", "1")]
STARS = ("", "1", "2", "3", "4", "5")  # empty takes the rating away
RATED_FILMS = 6
PAGE_SHARE = 0.05  # of the actions are followed by a page that a model ranks


@dataclass
class Load:
    """The answers that all visitors received together. `now` is what is broken at the moment."""

    port: int
    films: list[int]
    acknowledged: dict[str, int] = field(default_factory=dict)  # event id -> film
    # (number of the visitor, film) -> event id and stars of the rating that was acknowledged last
    last_ratings: dict[tuple[int, int], tuple[str, float | None]] = field(default_factory=dict)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)  # (what was broken, what came)
    seconds: list[float] = field(default_factory=list)
    unanswered: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    now: str = "nothing"
    stop: threading.Event = field(default_factory=threading.Event)
    pause: threading.Event = field(default_factory=threading.Event)  # while set, nobody starts anything
    lock: threading.Lock = field(default_factory=threading.Lock)


class VisitorThread(threading.Thread):
    def __init__(self, load: Load, number: int, pause: float) -> None:
        super().__init__(name=f"visitor-{number}", daemon=True)
        self.load, self.number, self.pause = load, number, pause
        self.chance = random.Random(number)
        self.cookies: SimpleCookie = SimpleCookie()
        self.connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        while not self.cookies.get("csrftoken") and not self.load.stop.is_set():
            self._ask("GET", f"/movies/{self.load.films[0]}/")
        while not self.load.stop.is_set():
            if not self.load.pause.is_set():
                self._act()
                if self.chance.random() < PAGE_SHARE:
                    self._ask("GET", "/recommend/")
            time.sleep(self.chance.uniform(0, 2 * self.pause))

    def _act(self) -> None:
        kind, value = self.chance.choice(ACTIONS)
        if kind == "rate":
            value = self.chance.choice(STARS)
        # Few films are rated, so that each is rated again and again: the last stars must stand.
        film = self.chance.choice(self.load.films[:RATED_FILMS] if kind == "rate" else self.load.films)
        event_id = str(uuid.uuid4())
        body = f"event_id={event_id}&surface=faults" + ("" if value is None else f"&value={value}")
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            started = time.monotonic()
            status = self._ask("POST", f"/movies/{film}/{kind}/", body)
            if status in ACKNOWLEDGED:
                with self.load.lock:
                    self.load.acknowledged[event_id] = film
                    if kind == "rate":
                        stars = float(value) if value else None
                        self.load.last_ratings[self.number, film] = event_id, stars
                    self.load.seconds.append(time.monotonic() - started)
                    self.load.unanswered.discard(event_id)
                return
            with self.load.lock:
                self.load.unanswered.add(event_id)
            time.sleep(0.3)

    def _ask(self, method: str, path: str, body: str | None = None) -> int | None:
        """Return the status, or None when the connection broke."""
        broken = self.load.now
        headers = {"Accept": "*/*" if body else "text/html", "Referer": f"http://{HOST}:{self.load.port}/"}
        headers["Cookie"] = "; ".join(f"{name}={morsel.value}" for name, morsel in self.cookies.items())
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            headers["X-CSRFToken"] = self.cookies["csrftoken"].value
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(HOST, self.load.port, timeout=TIMEOUT)
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection = None
            self._count_answer(broken, f"connection lost ({type(error).__name__})")
            return None
        for header in answer.headers.get_all("Set-Cookie") or []:
            self.cookies.load(header)
        if answer.status == 503 and not answer.headers.get("Retry-After"):
            self.load.wrong.append("503 without Retry-After")
        if answer.status not in (*ACKNOWLEDGED, 503):
            self.load.wrong.append(f"{method} {path}: {answer.status} while {broken}: {text[:200]!r}")
        self._count_answer(broken, str(answer.status))
        return answer.status

    def _count_answer(self, broken: str, what: str) -> None:
        # What broke or came back while the request was under way counts for both.
        state = broken if broken == self.load.now else f"{broken} / {self.load.now}"
        with self.load.lock:
            self.load.answers[state, what] += 1
