"""A file of each kind is brought in a browser: seen with what is not here, taken in, and taken back."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from tests.test_journey import card, visit  # noqa: F401 - the fixture

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser

FOUND, YEAR, MISSING = "Western 2", 1956, "Nowhere at All"
TIME = "2021-02-03T10:00:00.000Z"
Content = str | bytes


def zipped(name: str, text: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, text)
    return packed.getvalue()


LETTERBOXD = (
    f"Date,Name,Year,Letterboxd URI,Rating\n2021-02-03,{FOUND},{YEAR},u,3.5\n2021-02-04,{MISSING},2015,u,5\n"
)
IMDB = (
    "Const,Your Rating,Date Rated,Title,URL,Title Type,IMDb Rating,Runtime (mins),Year\n"
    f"tt1,7,2021-02-03,{FOUND},u,Movie,7,90,{YEAR}\ntt2,7,2021-02-03,{MISSING},u,Movie,7,90,2015\n"
)
TRAKT = json.dumps(
    [
        {"rated_at": TIME, "rating": 7, "type": "movie", "movie": {"title": title, "year": year, "ids": {}}}
        for title, year in ((FOUND, YEAR), (MISSING, 2015))
    ]
)
MOVIELENS = (
    "movie_id,imdb_id,tmdb_id,rating,average_rating,title\n"
    f"999998,,,3.5,4.1,{FOUND} ({YEAR})\n999999,,,2.0,3.9,{MISSING} (2015)\n"
)
CRITICKER = f"Score,Film Name,Date Rated\n70,{FOUND} ({YEAR}),2021-02-03\n5,{MISSING} (2015),2021-02-03\n"
CRITICKER_XML = (
    '<?xml version="1.0" encoding="UTF-8"?><films>'
    f"<film><filmname>{FOUND} ({YEAR})</filmname><rating>70</rating></film>"
    f"<film><filmname>{MISSING} (2015)</filmname><rating>5</rating></film></films>"
)
# As a spreadsheet of a language with decimal commas saves it.
OWN = (
    "at;kind;movie_id;title;year;value\n"
    f"2024-05-01;rating;;{FOUND};{YEAR};3,5\n2024-05-01;rating;;{MISSING};2015;5\n"
)
FILES: list[tuple[str, Content, str]] = [  # name, content, and what the page calls its origin
    ("ratings.csv", LETTERBOXD, "Letterboxd"),
    ("letterboxd.zip", zipped("ratings.csv", LETTERBOXD), "Letterboxd"),
    ("ratings.csv", IMDB, "IMDb"),
    ("ratings-movies.json", TRAKT, "Trakt"),
    ("movielens.csv", MOVIELENS, "MovieLens"),
    ("rankings.csv", CRITICKER, "Criticker"),
    ("rankings.xml", CRITICKER_XML, "Criticker"),
    ("history.csv", OWN, "Reelgraph"),
]


def test_a_file_of_each_kind_is_seen_taken_in_and_taken_back(visit: Callable[..., Any]) -> None:  # noqa: F811
    with visit() as (page, _watch):
        page.goto("/history/")
        for name, content, source in FILES:
            offer(page, name, content)
            expect(page.get_by_text(f"From {source}, 1 film of this site.")).to_be_visible()
            expect(page.locator(".history-rejected")).to_contain_text(MISSING)
            page.get_by_role("button", name="Import 1 entry").click()
            expect(page.get_by_text("1 entry is new.")).to_be_visible()
            page.get_by_role("button", name="Back to my history").click()
            row = page.locator(".history-row")
            expect(row).to_have_count(1)
            expect(row).to_contain_text(FOUND)
            expect(row.get_by_role("radio", checked=True)).to_have_accessible_name("three and a half stars")
            page.get_by_role("button", name="Undo this import").click()
            expect(page.get_by_text("Nothing here yet.")).to_be_visible()


def offer(page: Any, name: str, content: Content) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    page.get_by_label("Choose your file").set_input_files(file)
    page.get_by_role("button", name="Preview the import").click()
