"""Sends requests in rounds, each of which begins with the same site."""

from __future__ import annotations

import logging
import random
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_user, get_user_model
from django.core.cache import cache
from django.core.signals import got_request_exception
from django.db import transaction
from django.http import HttpResponse, HttpResponseBase
from django.test import Client
from django.urls import URLPattern

from movie.api.models import SCOPES, ApiClient, create_key
from movie.pages.tests.addresses import address_of, fill_address, patterns
from tests.fuzz.names import PageForms
from tests.fuzz.requests import Maker, Request

BROWSER = {"user-agent": "Mozilla/5.0 Firefox/140.0", "accept": "text/html,application/xhtml+xml"}
ROUND = 40  # requests, after which the site is as it was
FIRST_ERROR = 500
ADMIN_SHARE = 0.1  # of the admin's addresses that guests and members ask
ACCOUNTS = {"member": "ann", "staff": "boss"}


@dataclass
class Outcome:
    """Counts of answers, and the requests that broke, by where the exception came from."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    addresses: set[str] = field(default_factory=set)  # patterns that were asked
    broken: dict[str, list[str]] = field(default_factory=dict)

    def table(self) -> str:
        lines = []
        for who in sorted({who for who, _ in self.statuses}):
            found = sorted((status, n) for (name, status), n in self.statuses.items() if name == who)
            total = sum(n for _, n in found)
            lines.append(f"{who:<8}{total:>7}  " + ", ".join(f"{status}: {n}" for status, n in found))
        lines.append(f"{len(self.addresses)} address patterns")
        for where, requests in sorted(self.broken.items(), key=lambda each: -len(each[1])):
            lines += [f"\n{len(requests)} x {where}", *(f"    {request}" for request in requests[:3])]
        return "\n".join(lines)


class Errors(logging.Handler):
    """Keeps the exception of the request that is under way."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            self.last = record.exc_info[1]

    def on_signal(self, **kwargs: Any) -> None:
        import sys

        self.last = sys.exc_info()[1] or self.last


class Fuzzer:
    """Asks as one kind of visitor. `known` fills parameters of addresses with what exists."""

    def __init__(self, who: str, known: dict[str, Any], seed: int, outcome: Outcome) -> None:
        self.who, self.known, self.outcome = who, known, outcome
        self.chance = random.Random(f"{seed} {who}")
        self.maker = Maker(self.chance)
        self.pages: dict[str, PageForms | None] = {}
        self.errors = Errors()

    def run(self, number: int) -> None:
        """Send `number` requests, spread evenly over the whole address table in random order."""
        table = [(parts, pattern) for parts, pattern in patterns() if self._may_ask(pattern)]
        order: list[tuple[tuple, URLPattern]] = []
        logging.getLogger().addHandler(self.errors)
        got_request_exception.connect(self.errors.on_signal)
        try:
            while number > 0:
                if len(order) < ROUND:
                    order += self.chance.sample(table, len(table))
                some = order[: min(ROUND, number)]
                with transaction.atomic():
                    sent = self._ask_all(some)
                    transaction.set_rollback(True)
                number, order = number - sent, order[sent:]
        finally:
            got_request_exception.disconnect(self.errors.on_signal)
            logging.getLogger().removeHandler(self.errors)

    def _may_ask(self, pattern: URLPattern) -> bool:
        """Return whether to ask an address: the admin has one door for all but staff, so few of its."""
        is_admin = getattr(pattern.callback, "model_admin", None) is not None
        return self.who == "staff" or not is_admin or self.chance.random() < ADMIN_SHARE

    def _ask_all(self, some: list[tuple[tuple, URLPattern]]) -> int:
        """Send a request to each address; return how many were sent before the session ended."""
        cache.clear()
        client = self._client()
        token = create_key(ApiClient.objects.create(slug="fuzz"), list(SCOPES)).token
        for position, (parts, pattern) in enumerate(some, 1):
            page = self._forms(client, address_of(parts, self.known))
            path = fill_address(parts, lambda name, _converter: self.maker.parameter(self.known, name))
            request = self.maker.request(path, pattern.callback, page)
            if "/api/" in path and self.chance.random() < 0.7:
                request.headers["Authorization"] = f"Bearer {token}"
            try:
                response = self._send(client, request)
            except Exception as error:  # noqa: BLE001 - left the whole site, which a server answers by a 500
                self.errors.last = error
                response = HttpResponse(status=FIRST_ERROR)
            self.outcome.addresses.add(str([str(part) for part in parts]))
            self.outcome.statuses[self.who, response.status_code] += 1
            if response.status_code >= FIRST_ERROR:
                self._note(request, response)
            if response.status_code in (302, 303) and self._is_signed_out(client):
                return position
        return len(some)

    def _client(self) -> Client:
        client = Client(raise_request_exception=False, headers=BROWSER)
        if name := ACCOUNTS.get(self.who):
            client.force_login(get_user_model().objects.get(username=name))
        client.get("/")
        return client

    def _is_signed_out(self, client: Client) -> bool:
        """Return whether a request ended the session, by a changed password, say, or a deleted account."""
        return self.who in ACCOUNTS and not get_user(client).is_authenticated

    def _forms(self, client: Client, address: str) -> PageForms | None:
        """Return the forms of a page, as this visitor sees it at the start."""
        if address not in self.pages:
            response = client.get(address)
            is_page = "html" in response.get("Content-Type", "") and not response.streaming
            text = response.content.decode(response.charset, "replace") if is_page else ""
            self.pages[address] = PageForms(text) if text else None
        return self.pages[address]

    def _send(self, client: Client, request: Request) -> HttpResponseBase:
        self.errors.last = None
        headers = {**request.headers}
        cookies = headers.pop("Cookie", None)
        environ = dict(request.environ)
        if cookies is not None:
            environ["HTTP_COOKIE"] = cookies
        response = client.generic(
            request.method,
            request.path,
            request.body,
            request.content_type or "",
            QUERY_STRING=request.query,
            headers=headers,
            **environ,
        )
        if response.streaming:
            b"".join(response)
        return response

    def _note(self, request: Request, response: HttpResponseBase) -> None:
        error = self.errors.last
        where = str(response.status_code)
        if error is not None:
            frames = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in frames if "site-packages" not in frame.filename]
            places = [frames[-1], *ours[-1:]]
            where = f"{type(error).__name__}: {str(error)[:120]} at " + ", ".join(
                f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno}" for frame in places
            )
        self.outcome.broken.setdefault(where, []).append(f"{self.who}: {request}")
