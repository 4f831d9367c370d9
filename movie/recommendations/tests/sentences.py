"""An independent reading of sentences about films: every claim is looked up in the catalogue."""

from __future__ import annotations

import re
from collections import Counter

from movie.catalogue.models import Credit, Movie
from predictors.history import History

DONE = {
    "Directed by": "d", "Written by": "w", "With": "c", "Written and directed by": "dw",
    "Directed by and with": "dc", "Written by and with": "wc", "Written and directed by, and with,": "dwc",
    "made": "d", "directed": "d", "wrote": "w", "also wrote": "w", "is in": "c", "is also in": "c",
    "wrote and directed": "dw", "also wrote and directed": "dw", "directed and is in": "dc",
    "also directed and is in": "dc", "wrote and is in": "wc", "also wrote and is in": "wc",
    "wrote, directed and is in": "dwc", "also wrote, directed and is in": "dwc",
}  # fmt: skip
FILM, PERSON = r"Film \d+", r"Person \d+"


class Reader:
    """Reads an English sentence about `film` and asks the database about every claim in it."""

    def __init__(self, film: Movie, history: History) -> None:
        self.film, self.history = film, history
        self.by_title = {movie.title: movie for movie in Movie.objects.visible()}
        self.claims: Counter[str] = Counter()

    def check(self, text: str) -> None:
        found = re.fullmatch(rf"(.+?) ({PERSON}), who (.+?) (?={FILM})(.+)", text)
        assert found and found[1] in DONE, f"cannot be read: {text}"
        self._person(self.film, *found.groups())

    def _person(self, film: Movie, made: str, name: str, did: str, rest: str) -> None:
        self.claims["person"] += 1
        for before in self._films(rest):
            assert _roles(film, name) == set(DONE[made]), (film, name, made)
            assert _roles(before, name) == set(DONE[did]), (before, name, did)

    def _genre(self, film: Movie, name: str, rest: str) -> None:
        self.claims["genre"] += 1
        assert all(each.genres.filter(name=name).exists() for each in (film, *self._films(rest)))

    def _country(self, film: Movie, name: str, rest: str) -> None:
        self.claims["country"] += 1
        assert all(each.countries.filter(name=name).exists() for each in (film, *self._films(rest)))

    def _decade(self, film: Movie, name: str, rest: str) -> None:
        self.claims["decade"] += 1
        assert {each.year // 10 * 10 for each in (film, *self._films(rest))} == {int(name)}

    def _films(self, text: str) -> list[Movie]:
        """The films that the end of a sentence names, each with what is said of it checked."""
        title = re.match(FILM, text)[0]
        film, rest = self.by_title[title], text[len(title) :]
        for pattern, follow in (
            (rf", which shares ({PERSON}) with (.+)", self._shares),
            (r", itself filed under ([\w-]+) like (.+)", self._genre),
            (r", itself made in the same country \((\w+)\) as (.+)", self._country),
            (r", itself from the (\d{4})s like (.+)", self._decade),
        ):
            if longer := re.fullmatch(pattern, rest):
                self.claims["long"] += 1
                follow(film, *longer.groups())
                return [film]
        clause = re.match(r", which (you rated [\d½]+★|you watched|is on your watchlist|you looked at)", rest)
        assert clause, text
        self._standing(film, clause[1])
        assert rest[clause.end() :] == ""
        return [film]

    def _shares(self, film: Movie, name: str, rest: str) -> None:
        assert all(_roles(each, name) for each in (film, *self._films(rest)))

    def _standing(self, film: Movie, clause: str) -> None:
        assert film.pk in self.history.liked
        assert film.pk not in self.history.disliked
        if clause.startswith("you rated"):
            stars = clause.removeprefix("you rated ").removesuffix("★").replace("½", ".5")
            assert self.history.ratings[film.pk] == float(stars) >= 3
        elif clause == "you watched":
            assert film.pk in self.history.watches
        elif clause == "is on your watchlist":
            assert film.pk in self.history.watchlist
        else:
            assert film.pk in self.history.clicked


def _roles(film: Movie, name: str) -> set[str]:
    roles = Credit.objects.filter(movie=film, person__name=name).values_list("role", flat=True)
    return {role[0] for role in roles}
