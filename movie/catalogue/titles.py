"""Titles: search keys, and parsing of the titles that film lists write.

Movie lists write "Usual Suspects, The (1995)" or "City of Lost Children, The (Cité des enfants
perdus, La) (1995)". `parse_title` turns such a line into the title a page shows, the title a
list sorts by, the other titles and the year.
"""

import re
import unicodedata
from dataclasses import dataclass

_SPACES = re.compile(r"\s+")
_NOT_WORD = re.compile(r"[^\w]+")
_ARTICLES = (
    "The|A|An|Le|La|Les|L'|L’|Un|Une|Il|Lo|I|Gli|Uno|Una|El|Los|Las|O|Os|Um|Uma"
    "|Der|Die|Das|Ein|Eine|De|Het|Een|Den|Det|En|Et|Ett"
)
_TRAILING_ARTICLE = re.compile(rf"^(?P<rest>.+), ?(?P<article>{_ARTICLES})$")
_ARTICLE_BEFORE_SUBTITLE = re.compile(r"^(?P<rest>[^:,]+), (?P<article>The|An|A)(?=:)")
_LEADING_ENGLISH_ARTICLE = re.compile(r"^(?P<article>The|An|A) (?P<rest>\w.+)$")
# Only articles that are seldom a word of their own: "I, Robot" and "De-Lovely" keep their first word.
_LEADING_ARTICLE_KEY = re.compile(r"^(?:the|an?|les?|la|une?|il|el|los|las|der|die|das) (?=\S)")
# These are words too, so that they are articles only at the end of a title without other commas:
# "Blechtrommel, Die" has one, "Live, Love, Die" and "Me, Myself, I" have none.
_DOUBTFUL_ARTICLES = frozenset(["Die", "I", "O", "Os", "As", "En", "Et", "De", "Den", "Det", "Uno"])
# At the end: "(1995)", "(1995) (V)", "(2006–2007)", "(1995 - )", "(TV Movie 2003)", "(Jan 1995)",
# "(1999/II)"; "(V)" marks a release on video.
_YEAR = re.compile(
    r"\s*\((?:(?:TV|Video|Movie|Mini|Series|Special|Short|Episode|Game"
    r"|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?)[ -])*"
    r"(?P<year>\d{4})(?:/[IVXL]+)?(?:\s?[-–—]\s?(?:\d{4})?)?\s?\)(?:\s*\(\w{1,3}\))?\s*$"
)
_LAST_BRACKET = re.compile(r"^(?P<before>.*\S)\s+\((?P<inside>(?:[^()]|\([^()]*\))*)\)$")
_ALSO_KNOWN_AS = re.compile(r"^(?:a\.?\s?k\.?\s?a\.?:?\s+)", re.IGNORECASE)
# Brackets of these kinds belong to the title: "Dune (Part One)", "Birdman: Or (The Unexpected ...)".
_PART_OF_TITLE = re.compile(r"^(?:part|vol|volume|episode|chapter|season|the movie)\b|^\d+$", re.IGNORECASE)
_NUMERAL = re.compile(r"[IVX]{1,5}")  # IMDb's mark of films with one title and year
_UNFINISHED = re.compile(r"(?:[:&-]|\b(?:or|and|of))$", re.IGNORECASE)

# Letters that Unicode does not take apart, and the apostrophes that keyboards and books do not share.
_PLAIN_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "’": "'", "‘": "'"}
)
_ACCENTED_LATIN = re.compile("([a-z])[\u0300-\u036f]+")

EARLIEST_YEAR = 1870  # before the first moving pictures
LATEST_YEAR = 2100


def clean(text: str) -> str:
    """Return `text` in NFC, without control characters, runs of white space as one space."""
    text = unicodedata.normalize("NFC", text)
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    return _SPACES.sub(" ", text).strip()


def search_key(text: str) -> str:
    """Return the key that compares titles and names: NFC, casefolded, white space collapsed.

    Only Latin letters lose their accents, so that "amelie" finds "Amélie"; a Japanese voicing mark
    or the parts of a Hangul syllable make another letter and stay. Casefolding can leave
    decomposed characters behind, so NFC comes last.
    """
    folded = clean(text).casefold()
    if folded.isascii():
        return folded
    apart = unicodedata.normalize("NFD", folded).translate(_PLAIN_LETTERS)
    return unicodedata.normalize("NFC", _ACCENTED_LATIN.sub(r"\1", apart))


def match_key(title: str) -> str:
    """Return a coarser key that joins catalogues: no case, accents, punctuation, spaces or leading article.

    "Amélie" and "AMELIE" meet, as do "M*A*S*H" and "MASH", "8½" and "8 1/2", "Haine, La" and "La
    haine". Letters of every script are kept.
    """
    plain = with_leading_article(clean(title)).casefold()
    if not plain.isascii():
        plain = unicodedata.normalize("NFKD", plain)
        plain = "".join(c for c in plain if not unicodedata.combining(c))
    plain = _LEADING_ARTICLE_KEY.sub("", plain.replace("&", " and "))
    return unicodedata.normalize("NFC", _NOT_WORD.sub("", plain))


def with_leading_article(title: str) -> str:
    """ "Usual Suspects, The" -> "The Usual Suspects"; "Crow, The: Salvation" -> "The Crow: Salvation"."""
    found = _trailing_article(title)
    if not found:
        return _ARTICLE_BEFORE_SUBTITLE.sub(r"\g<article> \g<rest>", title)
    article, rest = found["article"], found["rest"]
    return f"{article}{rest}" if article.endswith(("'", "’")) else f"{article} {rest}"


def _trailing_article(title: str) -> re.Match[str] | None:
    found = _TRAILING_ARTICLE.match(title)
    return None if found and found["article"] in _DOUBTFUL_ARTICLES and "," in found["rest"] else found


def sort_title(title: str) -> str:
    """Return the title a list sorts by: "The Usual Suspects" -> "Usual Suspects, The".

    Only English articles are moved from the front: "Die Hard" and "La La Land" stay as they are.
    """
    found = _LEADING_ENGLISH_ARTICLE.match(title)
    return f"{found['rest']}, {found['article']}" if found else title


@dataclass(frozen=True, slots=True)
class ParsedTitle:
    """Holds the titles and the year of one line of a catalogue."""

    title: str
    sort_title: str
    year: int | None = None
    alternatives: tuple[str, ...] = ()


def parse_title(raw: str) -> ParsedTitle:
    """Read a title with its article, other titles and year, each of which may be missing.

    "Shawshank Redemption, The (1994)" -> title "The Shawshank Redemption", sort title
    "Shawshank Redemption, The", year 1994. Text that is empty gives an empty title.
    """
    text = clean(raw)
    year: int | None = None
    found = _YEAR.search(text)
    if found and found.start() > 0 and EARLIEST_YEAR <= int(found["year"]) <= LATEST_YEAR:
        year = int(found["year"])
        text = text[: found.start()].strip()
    alternatives: list[str] = []
    while bracket := _LAST_BRACKET.match(text):
        before, inside = bracket["before"], bracket["inside"].strip()
        if _PART_OF_TITLE.match(inside) or _UNFINISHED.search(before):
            break
        text = before
        if inside and not _NUMERAL.fullmatch(inside):
            alternatives.insert(0, with_leading_article(_ALSO_KNOWN_AS.sub("", inside).strip(" .") or inside))
    title = with_leading_article(text)
    filed = text if _trailing_article(text) else sort_title(title)
    others = dict.fromkeys(other for other in alternatives if search_key(other) != search_key(title))
    return ParsedTitle(title, filed, year, tuple(others))
