"""A server that answers as TMDB documents it, over real connections, and can be told to misbehave."""

import json
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "0123456789abcdef0123456789abcdef"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ0ZXN0In0.signature"  # not a key of anybody

HEAT: dict[str, Any] = {
    "adult": False,
    "id": 949,
    "imdb_id": "tt0113277",
    "original_language": "en",
    "original_title": "Heat",
    "title": "Heat",
    "overview": "A thief and a detective prepare for the day on which they meet.",
    "release_date": "1995-12-15",
    "runtime": 170,
    "poster_path": "/heat.jpg",
    "status": "Released",
    "vote_average": 7.9,
    "credits": {
        "cast": [
            {"id": 380, "name": "Robert De Niro", "character": "Neil McCauley", "order": 1},
            {"id": 1158, "name": "Al Pacino", "character": "Vincent Hanna", "order": 0},
            {"id": 5576, "name": "Val Kilmer", "character": "Chris Shiherlis", "order": 2},
        ],
        "crew": [
            {"id": 638, "name": "Michael Mann", "job": "Director", "department": "Directing"},
            {"id": 638, "name": "Michael Mann", "job": "Writer", "department": "Writing"},
        ],
    },
    "translations": {
        "translations": [
            {"iso_3166_1": "KR", "iso_639_1": "ko", "name": "한국어/조선말", "data": {"title": "히트"}},
            {"iso_3166_1": "CN", "iso_639_1": "zh", "name": "普通话", "data": {"title": "盗火线"}},
            {"iso_3166_1": "TW", "iso_639_1": "zh", "name": "普通话", "data": {"title": "烈火悍將"}},
            {"iso_3166_1": "DE", "iso_639_1": "de", "name": "Deutsch", "data": {"title": ""}},
        ]
    },
    "videos": {
        "results": [
            {"site": "YouTube", "key": "aaaaaaaaaaa", "type": "Clip", "official": True, "iso_639_1": "en"},
            {
                "site": "YouTube",
                "key": "bbbbbbbbbbb",
                "type": "Trailer",
                "official": False,
                "iso_639_1": "en",
            },
            {"site": "YouTube", "key": "ccccccccccc", "type": "Trailer", "official": True, "iso_639_1": "en"},
            {"site": "YouTube", "key": '"><script>', "type": "Trailer", "official": True, "iso_639_1": "en"},
        ]
    },
}
NOT_FOUND = {
    "success": False,
    "status_code": 34,
    "status_message": "The resource you requested could not be found.",
}
BAD_KEY = {
    "success": False,
    "status_code": 7,
    "status_message": "Invalid API key: You must be granted a valid key.",
}
TOO_MANY = {"status_code": 25, "status_message": "Your request count (#) is over the allowed limit of (40)."}


def png(wide: int = 2, tall: int = 3) -> bytes:
    """A whole PNG image of one grey."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", wide, tall, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\x80" * wide for _row in range(tall)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg(wide: int = 500, tall: int = 750) -> bytes:
    """The segments of a JPEG image around a scan of nothing."""
    size = struct.pack(">BHHB", 8, tall, wide, 1) + b"\x01\x11\x00"
    frame = b"\xff\xc0" + struct.pack(">H", len(size) + 2) + size
    return b"\xff\xd8\xff\xe0\x00\x04ab" + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x12\x34\xff\xd9"


class Tmdb:
    """What the server has and does. `before` is asked first: it may answer by itself and return True."""

    def __init__(self) -> None:
        self.films: dict[str, Any] = {"949": HEAT}
        self.images: dict[str, bytes] = {"/t/p/w500/heat.jpg": jpeg()}
        self.asked: list[str] = []
        self.keys: set[str] = set()
        self.url = ""
        self.before: Callable[[BaseHTTPRequestHandler], bool] = lambda _handler: False

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        address = urlsplit(handler.path)
        path, query = address.path, parse_qs(address.query)
        self.asked.append(path)
        if self.before(handler):
            return
        if path.startswith("/t/p/"):
            image = self.images.get(path)
            send(handler, 200 if image else 404, image or b"<h1>404 Not Found</h1>")
            return
        key = query.get("api_key", [""])[0] or handler.headers.get("Authorization", "").removeprefix(
            "Bearer "
        )
        self.keys.add(key)
        if key not in (KEY, TOKEN):
            send(handler, 401, BAD_KEY)
        elif path == "/3/configuration":
            send(handler, 200, {"images": {"secure_base_url": f"{self.url}/t/p/", "poster_sizes": ["w500"]}})
        elif path.startswith("/3/find/"):
            imdb = path.rpartition("/")[2]
            found = [{"id": film["id"]} for film in self.films.values() if film["imdb_id"] == imdb]
            send(handler, 200, {"movie_results": found, "tv_results": []})
        elif film := self.films.get(path.removeprefix("/3/movie/")):
            wanted = query["append_to_response"][0].split(",")
            parts = ("credits", "translations", "videos")
            send(handler, 200, {name: film[name] for name in film if name not in parts or name in wanted})
        else:
            send(handler, 404, NOT_FOUND)


def send(handler: BaseHTTPRequestHandler, status: int, body: Any, **headers: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


@contextmanager
def running() -> Iterator[Tmdb]:
    tmdb = Tmdb()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            tmdb.answer(self)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    tmdb.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield tmdb
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
