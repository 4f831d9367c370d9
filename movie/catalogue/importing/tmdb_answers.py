"""The answers of TMDB, as far as the site reads them, and the facts in them.

Fields: https://developer.themoviedb.org/reference/movie-details
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, Field, field_validator

from movie.catalogue.importing.cells import LONGEST_RUNTIME
from movie.catalogue.titles import clean

CAST_SHOWN = 15
LONGEST_TITLE = LONGEST_PERSON = 255
LONGEST_SYNOPSIS = 5_000
# (language, region) of a translation -> the code of the site's language. Hong Kong and Taiwan write
# traditional characters.
LANGUAGES = {("ko", "KR"): "ko", ("zh", "CN"): "zh-hans"}
WATCH = {
    "YouTube": (re.compile(r"[\w-]{6,20}", re.ASCII), "https://www.youtube.com/watch?v={}"),
    "Vimeo": (re.compile(r"\d{4,12}", re.ASCII), "https://vimeo.com/{}"),
}


class _Answer(BaseModel):
    @field_validator("*", mode="before")
    @classmethod
    def _default_of_null(cls, value: Any, info: Any) -> Any:
        """Take null as a missing field: TMDB writes it for what it does not know."""
        field = cls.model_fields[info.field_name]
        return (
            field.get_default(call_default_factory=True)
            if value is None and not field.is_required()
            else value
        )


class Member(_Answer):
    """One of the cast or crew; the cast has an order, the crew a job."""

    name: str = ""
    order: int = 0
    job: str = ""


class Credits(_Answer):
    cast: list[Member] = Field(default_factory=list)
    crew: list[Member] = Field(default_factory=list)


class TranslatedText(_Answer):
    title: str = ""


class Translation(_Answer):
    iso_639_1: str = ""
    iso_3166_1: str = ""
    data: TranslatedText = Field(default_factory=TranslatedText)


class Translations(_Answer):
    translations: list[Translation] = Field(default_factory=list)


class Video(_Answer):
    site: str = ""
    key: str = ""
    type: str = ""
    official: bool = False
    iso_639_1: str = ""


class Videos(_Answer):
    results: list[Video] = Field(default_factory=list)


class Details(_Answer):
    """A film with credits, translations and videos."""

    id: int
    title: str
    imdb_id: str = ""
    original_title: str = ""
    original_language: str = ""
    release_date: str = ""
    overview: str = ""
    runtime: int = 0
    poster_path: str = ""
    credits: Credits = Field(default_factory=Credits)
    translations: Translations = Field(default_factory=Translations)
    videos: Videos = Field(default_factory=Videos)

    @property
    def synopsis(self) -> str:
        return clean(self.overview)[:LONGEST_SYNOPSIS]

    @property
    def minutes(self) -> int:
        """Return the running time, 0 where it is unknown."""
        return self.runtime if 0 < self.runtime <= LONGEST_RUNTIME else 0

    @property
    def cast(self) -> list[str]:
        """Return the first of the cast, in billing order."""
        return _names(sorted(self.credits.cast, key=lambda member: member.order))[:CAST_SHOWN]

    @property
    def directors(self) -> list[str]:
        return _names([member for member in self.credits.crew if member.job == "Director"])

    @property
    def titles(self) -> dict[str, str]:
        """Return the titles in the site's languages, by their codes.

        A translation into the film's own language leaves the title empty where it is the original one.
        """
        found = {}
        for each in self.translations.translations:
            code = LANGUAGES.get((each.iso_639_1, each.iso_3166_1))
            own = self.original_title if each.iso_639_1 == self.original_language else ""
            title = clean(each.data.title or own)
            if code and title and len(title) <= LONGEST_TITLE:
                found[code] = title
        return found

    @property
    def trailer(self) -> str:
        """Return the address of a trailer, an official one before others, in English before others."""
        trailers = [
            video
            for video in self.videos.results
            if video.type == "Trailer" and video.site in WATCH and WATCH[video.site][0].fullmatch(video.key)
        ]
        trailers.sort(key=lambda video: (not video.official, video.iso_639_1 != "en"))
        return WATCH[trailers[0].site][1].format(trailers[0].key) if trailers else ""


class FoundMovie(_Answer):
    id: int


class Found(_Answer):
    """The films of an id of another catalogue."""

    movie_results: list[FoundMovie] = Field(default_factory=list)


class ImageHost(_Answer):
    secure_base_url: str = ""


class Configuration(_Answer):
    images: ImageHost


def _names(members: list[Member]) -> list[str]:
    names = dict.fromkeys(clean(member.name) for member in members)
    return [name for name in names if 0 < len(name) <= LONGEST_PERSON]
