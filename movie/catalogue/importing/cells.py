"""Parse the cells of catalogue and rating files: ids, years, running times, names, numbers, times.

Data sets write one thing in many ways; each parser reads the forms that are common and says what it
cannot read.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from movie.catalogue.importing.errors import RejectReason, RowError
from movie.catalogue.titles import EARLIEST_YEAR, LATEST_YEAR, clean
from movie.core.times import EARLIEST, LATEST

LONGEST_ID = 128
LONGEST_NAME = 64
MOST_NAMES = 100  # of one film: no catalogue has so many genres, countries or languages
LONGEST_RUNTIME = 1500  # minutes; the longest films in catalogues run about a day
EARLIEST_TIME, LATEST_TIME = EARLIEST.timestamp(), LATEST.timestamp()  # seconds since 1970
UNITS = (1, 1e3, 1e6, 1e9)  # ticks in a second, of the units that data sets count times in
MISSING = frozenset(("", "nan", "none", "null", "\\n", "n/a", "na", "-"))
NO_NAMES = MISSING | {"(no genres listed)", "unknown"}

_WHOLE_FLOAT = re.compile(r"\d+\.0+")  # pandas writes whole numbers so when some are missing
_YEAR = re.compile(r"(?<!\d)(1[89]\d\d|20\d\d|2100)(?!\d)")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")
_MINUTES = re.compile(
    r"(?:(?P<hours>\d{1,2})\s*(?:h|hr|hrs|hours?|:)\s*)?(?P<minutes>\d{1,5}(?:[.,]\d+)?)?\s*(?:m|min|mins|minutes?)?\.?",
    re.IGNORECASE,
)
# A comma inside the name of a country: "Korea, South", "Bahamas, The".
_INVERTED = re.compile(r", (?=(?:South|North|The|Republic|Democratic|Islamic|Federated|Federal)\b)")
_DATE = re.compile(
    r"(?P<first>\d{1,2})(?P<mark>[/.])(?P<second>\d{1,2})[/.](?P<year>\d{4})"
    r"(?P<time>[ T]\d{1,2}:\d\d(?::\d\d)?)?"
)


def is_missing(text: str) -> bool:
    """Return whether a cell says that there is no value."""
    return text.strip().casefold() in MISSING


def without_fraction(text: str) -> str:
    """Return "7" for "7.0", and any other text as it is."""
    return text.partition(".")[0] if _WHOLE_FLOAT.fullmatch(text) else text


def movie_id(text: str) -> str:
    """Return an id of any kind, trimmed. Raises RowError."""
    value = without_fraction(clean(text))
    if not value:
        raise RowError(RejectReason.NO_ID)
    if len(value) > LONGEST_ID:
        raise RowError(RejectReason.LONG_ID)
    return value


def imdb_id(text: str) -> str:
    """Return "tt0113277" for "0113277", "113277" and "tt0113277", "" for none or zero. Raises RowError."""
    if is_missing(text):
        return ""
    digits = without_fraction(text.strip()).removeprefix("tt")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 10:
        raise RowError(RejectReason.IMDB)
    return f"tt{int(digits):07d}" if int(digits) else ""


def tmdb_id(text: str) -> str:
    """Return a number as text, "" for none or zero. Raises RowError."""
    if is_missing(text):
        return ""
    digits = without_fraction(text.strip())
    if not (digits.isascii() and digits.isdigit() and len(digits) < 12):
        raise RowError(RejectReason.TMDB)
    return str(int(digits)) if int(digits) else ""


def parse_year(text: str) -> int | None:
    """Return the first year in "1995", "1995.0", "1,995", "1995–1999", "1995-10-30" or "Jan 1995".

    None where there is none from 1870 to 2100.
    """
    text = text.strip()
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    for found in _YEAR.findall(text):
        if EARLIEST_YEAR <= int(found) <= LATEST_YEAR:
            return int(found)
    return None


def parse_runtime(text: str) -> int | None:
    """Return minutes for "101", "101.0", "45 min", "1 h 45 min" or "1:45"; None where that is no length."""
    found = _MINUTES.fullmatch(text.strip())
    if found is None or not found[0]:
        return None
    minutes = 60 * int(found["hours"] or 0) + round(float((found["minutes"] or "0").replace(",", ".")))
    return minutes if 1 <= minutes <= LONGEST_RUNTIME else None


def parse_names(text: str, separator: str = "|") -> tuple[str, ...]:
    """Return the names in a cell, once each, and the first MOST_NAMES of them.

    Reads "Drama|Mystery", "Drama, Mystery", "Drama; Mystery", and lists of names or of objects with a
    `name` in JSON or Python's form. `separator` is the format's own; a cell without it may have another.
    """
    text = clean(text)
    if text.casefold() in NO_NAMES:
        return ()
    if text.startswith("[") and text.endswith("]"):
        parts = _listed(text)
    elif separator in text or separator == " ":
        parts = text.split(separator)
    elif ";" in text:
        parts = text.split(";")
    else:
        parts = [part.replace("\0", ", ") for part in _INVERTED.sub("\0", text).split(",")]
    names = dict.fromkeys(name for part in parts if (name := clean(part)))
    return tuple(itertools.islice(names, MOST_NAMES))


def _listed(text: str) -> list[str]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        try:
            entries = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return [part.strip(" '\"") for part in text[1:-1].split(",")]
    names = [each.get("name", "") if isinstance(each, dict) else each for each in entries]
    return [str(name) for name in names if name is not None]


def parse_number(text: str) -> float:
    """Return 4.5 for "4.5" and for "4,5". Raises ValueError."""
    try:
        return float(text)
    except ValueError:
        return float(text.replace(",", ".")) if text.count(",") == 1 and "." not in text else float("x")


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """The unit of a file's numbers and the order of its dates such as 02/03/2021.

    `per_second` counts the file's units in a second. `is_assumed` says that nothing in the file
    tells the order of the dates.
    """

    per_second: float = 1
    day_first: bool = False
    is_assumed: bool = False

    @classmethod
    def detect(cls, texts: Iterable[str], *, day_first: bool | None = None) -> TimeFormat:
        """Find the unit and the order in which most of a file's first times make sense."""
        units: Counter[float] = Counter()
        firsts, seconds, dots = 0, 0, False
        n_dates = 0
        for text in texts:
            try:
                units[_unit(parse_number(text))] += 1
            except ValueError:
                if date := _DATE.match(text.strip()):
                    n_dates += 1
                    firsts, seconds = max(firsts, int(date["first"])), max(seconds, int(date["second"]))
                    dots = dots or date["mark"] == "."
        units.pop(0, None)
        per_second = units.most_common(1)[0][0] if units else 1
        if day_first is not None:
            return cls(per_second, day_first)
        told = firsts > 12 or seconds > 12 or dots
        return cls(per_second, firsts > 12 or (dots and seconds <= 12), bool(n_dates) and not told)

    def seconds(self, text: str) -> float:
        """Return the seconds since 1970, UTC where the text names no zone. Raises RowError."""
        try:
            number = parse_number(text)
        except ValueError:
            return self._date_seconds(text.strip())
        seconds = number / self.per_second
        if not EARLIEST_TIME <= seconds < LATEST_TIME:  # also refuses "nan" and "inf"
            raise RowError(RejectReason.TIME)
        return seconds

    def _date_seconds(self, text: str) -> float:
        if date := _DATE.fullmatch(text):
            day, month = date.group("first", "second") if self.day_first else date.group("second", "first")
            text = f"{date['year']}-{month:0>2}-{day:0>2}" + (date["time"] or "").replace("T", " ")
            text = re.sub(r" (\d):", r" 0\1:", text)
        else:
            text = re.sub(r"\s*(?:UTC|GMT)$", "+00:00", text, flags=re.IGNORECASE)
            text = re.sub(r"^(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3", text)
        try:
            moment = datetime.fromisoformat(text)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (OverflowError, ValueError):
            raise RowError(RejectReason.TIME) from None
        if not EARLIEST_TIME <= seconds < LATEST_TIME:
            raise RowError(RejectReason.TIME)
        return seconds


def _unit(number: float) -> float:
    """Return the coarsest unit in which a number lies before the year 2100; 0 for none."""
    return next((unit for unit in UNITS if 0 <= number < LATEST_TIME * unit), 0)


SECONDS = TimeFormat()


def seconds_of(text: str) -> float:
    """Return the seconds since 1970 of one number or ISO date. Raises RowError."""
    return SECONDS.seconds(text)
