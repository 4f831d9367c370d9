"""Makes requests to an address: right ones, of which some parts are then wrong."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

from tests.fuzz import names, values

METHODS = ("GET",) * 8 + ("POST",) * 8 + ("HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
# Codecs that are not for text (zlib, idna) are refused before Django sees them, by the server's application.
CHARSETS = ("utf-8", "utf-16", "latin-1", "utf-7", "ascii", "bogus", "", '"', "utf-8; utf-16")
FILES = (
    b"",
    b"\x00" * 100,
    b"\xff\xfe" + "a,b\n1,2\n".encode("utf-16-le"),
    b"a,b\n1,2\n",
    b"id,title\n,\n",
    b"id;title;year\n1;x;y\n",
    b"at,kind,movie_id,title,value,surface\n0001-01-01T00:00:00Z,rating,1,,9,\n",
    b"at,kind,movie_id,title,value,surface\n2024-01-01T00:00:00Z,rating,1,Film 1,4.5,home\n",
    b'at,kind\n"' + b"x" * 70_000,
    b'{"a": 1}',
    b"[[[[",
    b"PK\x03\x04" + b"\x01" * 60,
    b"title: [",
)
BOUNDARY = "BoUnDaRy"


@dataclass
class Request:
    """One request for Django's test client (`Client.generic`)."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = ""
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    environ: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        body = f" {self.content_type!r} {self.body[:300]!r}" if self.body or self.content_type else ""
        address = f"{self.path[:300]}?{self.query[:300]}" if self.query else self.path[:300]
        return f"{self.method} {address}{body} {self.headers or ''}{self.environ or ''}"


class Maker:
    """Makes requests from a seeded source of chance."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.headers = {
            "Accept": ("*/*", "application/json", "text/csv", "image/png;q=x", "x", ",,;", "text/html;q=0"),
            "Accept-Language": ("ko", "zh-hans", "xx-YY;q=9", "*", "a" * 600, ",;q=", "en;q=1.00001"),
            "Accept-Encoding": ("br", "identity;q=0", "gzip;q=x", ""),
            "Authorization": (
                "Bearer x",
                "Bearer ",
                "Basic eDp4",
                "Basic !",
                "Token x",
                "Bearer \xe9",
                "x" * 5000,
            ),
            "HX-Request": ("true", "false", "\xff"),
            "HX-Target": values.TEXTS,
            "HX-Current-URL": values.TEXTS,
            "Host": ("evil.example", "127.0.0.1:99999", "[::1", "testserver:", "", "a" * 300),
            "Origin": ("null", "https://evil.example", "http://[", "\xe9"),
            "Referer": ("http://[", "http://testserver/", "//", "x" * 5000, "http://testserver:x/"),
            "X-Forwarded-For": ("unknown", "1.2.3.4, ::1", "999.1.1.1", "fe80::1%eth0", "", "a,b,c", "'"),
            "X-Forwarded-Proto": ("https", "x"),
            "X-Request-ID": ("x", "a" * 64, "\r\n", "a" * 5000),
            "Range": ("bytes=0-1", "bytes=-1", "bytes=x", "bytes=9-1,1-2"),
            "If-None-Match": ("*", '"x"', 'W/"', "\xff"),
            "If-Modified-Since": ("x", "Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 31 Feb 2021 99:00:00 GMT"),
            "If-Unmodified-Since": ("Thu, 01 Jan 9999 00:00:00 GMT", "Mon, 01 Jan 0000 00:00:00 GMT"),
            "Sec-Fetch-Site": ("same-origin", "cross-site", ""),
            "Sec-Purpose": ("prefetch", ""),
            "Idempotency-Key": values.TEXTS,
            "Cookie": (
                "guest=x; sessionid=x; csrftoken=x",
                "guest=guest:1:x:y; messages=[[",
                "django_language=xx; theme=x; model=x",
                "sessionid=" + "a" * 5000,
                "=;;=;\xff",
                'messages="\\073";',
            ),
            "Access-Control-Request-Method": ("POST", "\xff"),
            "X-CSRFToken": ("x", "\xff"),
            "X-Requested-With": ("XMLHttpRequest",),
            "Content-Encoding": ("gzip", "x"),
            "Transfer-Encoding": ("chunked",),
        }

    def request(self, path: str, callback: Any, page: names.PageForms | None) -> Request:
        """Return a request to `path`. `page` are the forms that the address answers to GET, if any."""
        method = self.chance.choice(METHODS)
        request = Request(method, path)
        if method in ("GET", "HEAD") or self.chance.random() < 0.1:
            request.query = self._query(callback, page)
        if method in ("POST", "PUT", "PATCH", "DELETE", "BREW"):
            self._fill(request, callback, page)
        if self.chance.random() < 0.3:
            for name in self.chance.sample(sorted(self.headers), self.chance.choice((1, 1, 2, 3))):
                request.headers[name] = self.chance.choice(self.headers[name])
        if self.chance.random() < 0.03:
            request.environ["CONTENT_LENGTH"] = self.chance.choice(("", "0"))
        if self.chance.random() < 0.02:
            request.environ["REMOTE_ADDR"] = self.chance.choice(("", "x", "::1", "2001:db8::1", "fe80::1%1"))
        return request

    def parameter(self, known: dict[str, Any], name: str) -> str:
        """Return what stands in an address for a parameter: half of the time what exists."""
        if name in known and self.chance.random() < 0.6:
            return str(known[name])
        value = self.chance.choice(values.IDS)
        return str(value) if value == "%00" else quote(str(value), safe="")

    def _query(self, callback: Any, page: names.PageForms | None) -> str:
        pairs = [(self._name(callback, page), self._value()) for _ in range(self.chance.choice((0, 1, 2, 4)))]
        query = urlencode(pairs, errors="surrogatepass")
        if self.chance.random() < 0.1:
            query += f"&{self._name(callback, page)}=" + quote(self.chance.choice(values.BYTES))
        if self.chance.random() < 0.05:
            query += self.chance.choice(values.BYTES).decode("latin-1")
        return query

    def _name(self, callback: Any, page: names.PageForms | None) -> str:
        sources: list[tuple[str, ...]] = [names.read_by_code(), names.of_schemas()]
        if page:
            sources += [tuple(sorted(page.parameters)), *(tuple(form) for form in page.forms)] * 2
        sources += [names.of_admin(callback)] * 4
        source = self.chance.choice([source for source in sources if source])
        name = self.chance.choice(source)
        return name + self.chance.choice(("[]", "__x", ".x", "\x00")) if self.chance.random() < 0.03 else name

    def _value(self) -> str:
        return values.text(self.chance)

    def _fill(self, request: Request, callback: Any, page: names.PageForms | None) -> None:
        """Give the request a body: a form of the page with some fields wrong, or JSON, or anything."""
        kind = self.chance.random()
        if "/api/" in request.path:
            kind = kind * 1.6 - 0.6 if kind > 0.5 else 0.9
        if kind > 0.85:
            return self._fill_json(request)
        fields = dict(self.chance.choice(page.forms)) if page and page.forms else {}
        for _ in range(self.chance.choice((0, 1, 1, 2, 3))):
            if fields and self.chance.random() < 0.75:
                name = self.chance.choice(sorted(fields))
                if self.chance.random() < 0.15:
                    del fields[name]
                else:
                    fields[name] = self._value()
            else:
                fields[self._name(callback, page)] = self._value()
        if kind > 0.5 or (page and page.files):
            return self._fill_multipart(request, fields, page)
        request.content_type = "application/x-www-form-urlencoded"
        if self.chance.random() < 0.15:
            request.content_type += f"; charset={self.chance.choice(CHARSETS)}"
        request.body = urlencode(fields, errors="surrogatepass").encode()
        if self.chance.random() < 0.1:
            request.body += b"&" + self.chance.choice(values.BYTES)
        if self.chance.random() < 0.05:
            request.body += b"&" + quote_plus(self._name(callback, page)).encode() + b"=x" * 1200
        return None

    def _fill_json(self, request: Request) -> None:
        body: Any = {
            self.chance.choice(names.of_schemas()): values.json_value(self.chance)
            for _ in range(self.chance.choice((0, 1, 3, 6)))
        }
        if self.chance.random() < 0.15:
            body = values.json_value(self.chance)
        request.content_type = "application/json"
        request.body = json.dumps(body).encode("utf-8", "surrogatepass")
        wrong = self.chance.random()
        if wrong < 0.05:
            request.body = request.body[:-1] + self.chance.choice(values.BYTES)
        elif wrong < 0.1:
            request.body = b"[" * 20_000
        elif wrong < 0.13:
            request.body = b'{"k": ' + b"9" * 5000 + b"}"
        elif wrong < 0.2:
            request.content_type += f"; charset={self.chance.choice(CHARSETS)}"
        elif wrong < 0.25:
            request.content_type = self.chance.choice(("", "text/plain", "application/xml", "x", "a/b/c;;="))

    def _fill_multipart(self, request: Request, fields: dict[str, str], page: names.PageForms | None) -> None:
        wrong = self.chance.random()
        parts = []
        for name, value in fields.items():
            parts.append(
                f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode(errors="replace")
            )
        files = sorted(page.files) if page else []
        for name in files or ([self._name(None, page)] if wrong < 0.3 else []):
            filename = self.chance.choice(("a.csv", "", "../x", "a" * 300, "x.xlsx", "\x00.csv", "영화.json"))
            head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
            head += self.chance.choice(
                ("Content-Type: text/csv", "Content-Type: x", "Content-Type: text/csv; charset=utf-7")
            )
            parts.append(head.encode() + b"\r\n\r\n" + self.chance.choice(FILES))
        lines = b"".join(b"--" + BOUNDARY.encode() + b"\r\n" + part + b"\r\n" for part in parts)
        request.body = lines + b"--" + BOUNDARY.encode() + b"--\r\n"
        request.content_type = f"multipart/form-data; boundary={BOUNDARY}"
        if wrong < 0.04:
            request.body = request.body[: self.chance.randrange(1, len(request.body))]
        elif wrong < 0.08:
            request.content_type = self.chance.choice(
                (
                    "multipart/form-data",
                    "multipart/form-data; boundary=",
                    "multipart/form-data; boundary=\xe9",
                    "multipart/mixed",
                )
            )
        elif wrong < 0.12:
            request.content_type += f"; charset={self.chance.choice(CHARSETS)}"
        elif wrong < 0.14:
            request.body = request.body.replace(
                b"form-data;", b"form-data; Content-Transfer-Encoding: base64;"
            )
