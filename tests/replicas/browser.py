"""A visitor's browser without a screen: cookies, forms, redirects not followed."""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import urlencode

HOST_NAME = "films.test"
TIMEOUT = 20
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')
FILM = re.compile(r'data-movie="(\d+)"')


@dataclass(frozen=True)
class Page:
    status: int
    text: str
    location: str = ""

    @property
    def films(self) -> list[int]:
        """The films of its cards, in order."""
        return [int(film) for film in FILM.findall(self.text)]

    @property
    def token(self) -> str:
        found = TOKEN.search(self.text)
        return found[1] if found else ""


@dataclass
class Browser:
    """One visitor. Each request names the machine that answers it and has a connection of its own."""

    cookies: SimpleCookie = field(default_factory=SimpleCookie)
    token: str = ""

    def get(self, address: tuple[str, int], path: str) -> Page:
        page = self._ask(address, "GET", path)
        self.token = page.token or self.token
        return page

    def post(self, address: tuple[str, int], path: str, *, token: bool = True, **fields: str) -> Page:
        """Send a form, with the token of the last page that had one."""
        sent = {**fields, "csrfmiddlewaretoken": self.token} if token else fields
        return self._ask(address, "POST", path, urlencode(sent))

    def _ask(self, address: tuple[str, int], method: str, path: str, body: str | None = None) -> Page:
        headers = {
            "Host": HOST_NAME,
            "Accept": "text/html",
            "Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in self.cookies.items()),
        }
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection(*address, timeout=TIMEOUT)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        for header in answer.headers.get_all("Set-Cookie") or []:
            self.cookies.load(header)
        return Page(answer.status, text, answer.headers.get("Location", ""))
