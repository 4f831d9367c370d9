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


@dataclass
class Load:
    """What all visitors together saw. `now` is what is broken at the moment."""

    port: int
    films: list[int]
    acknowledged: dict[str, int] = field(default_factory=dict)  # event id -> film
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
        self.load, self.pause = load, pause
        self.chance = random.Random(number)
        self.cookies: SimpleCookie = SimpleCookie()
        self.connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        while not self.cookies.get("csrftoken") and not self.load.stop.is_set():
            self._ask("GET", f"/movies/{self.load.films[0]}/")
        while not self.load.stop.is_set():
            if not self.load.pause.is_set():
                self._act()
            time.sleep(self.chance.uniform(0, 2 * self.pause))

    def _act(self) -> None:
        film = self.chance.choice(self.load.films)
        event_id = str(uuid.uuid4())
        kind, value = self.chance.choice(
            [("click", None)] * 7 + [("rate", str(self.chance.randint(1, 5)))] * 2 + [("watchlist", "1")]
        )
        body = f"event_id={event_id}&surface=faults" + (f"&value={value}" if value else "")
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            started = time.monotonic()
            status = self._ask("POST", f"/movies/{film}/{kind}/", body)
            if status in ACKNOWLEDGED:
                with self.load.lock:
                    self.load.acknowledged[event_id] = film
                    self.load.seconds.append(time.monotonic() - started)
                    self.load.unanswered.discard(event_id)
                return
            with self.load.lock:
                self.load.unanswered.add(event_id)
            time.sleep(0.3)

    def _ask(self, method: str, path: str, body: str | None = None) -> int | None:
        """The status, or None when the connection broke."""
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
            self._saw(broken, f"connection lost ({type(error).__name__})")
            return None
        for header in answer.headers.get_all("Set-Cookie") or []:
            self.cookies.load(header)
        if answer.status == 503 and not answer.headers.get("Retry-After"):
            self.load.wrong.append("503 without Retry-After")
        if answer.status not in (*ACKNOWLEDGED, 503):
            self.load.wrong.append(f"{method} {path}: {answer.status} while {broken}: {text[:200]!r}")
        self._saw(broken, str(answer.status))
        return answer.status

    def _saw(self, broken: str, what: str) -> None:
        # What broke or came back while the request was under way counts for both.
        state = broken if broken == self.load.now else f"{broken} / {self.load.now}"
        with self.load.lock:
            self.load.answers[state, what] += 1
