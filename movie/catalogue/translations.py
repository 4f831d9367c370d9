"""Titles of movies, and names of genres, countries and languages, in the visitor's language.

Data sets and Wikidata name genres, languages and countries in English, and addresses and filters keep
that name. `gettext(name)` finds the translation; a name that is not listed here is shown as it is. Titles
are rows of the catalogue: `load_local_titles` reads them.
"""

from collections.abc import Iterable

from django.conf import settings
from django.utils.translation import get_language, gettext_noop

from movie.catalogue.models import Movie, MovieTitle


def load_local_titles(movies: Iterable[Movie]) -> None:
    """Set `local_title` of movies that lack it: one query, and none in the language of `title` (English)."""
    language = get_language()
    if language in (None, settings.LANGUAGE_CODE):
        return
    unread = [movie for movie in movies if movie.local_title is None]
    if not unread:
        return
    found = MovieTitle.objects.filter(movie__in={movie.pk for movie in unread}, language=language)
    titles = dict(found.order_by("-pk").values_list("movie", "title"))  # of several titles the first
    for movie in unread:
        movie.local_title = titles.get(movie.pk, "")


GENRES = (  # of all MovieLens sets
    gettext_noop("Action"),
    gettext_noop("Adventure"),
    gettext_noop("Animation"),
    gettext_noop("Children"),
    gettext_noop("Children's"),
    gettext_noop("Comedy"),
    gettext_noop("Crime"),
    gettext_noop("Documentary"),
    gettext_noop("Drama"),
    gettext_noop("Fantasy"),
    gettext_noop("Film-Noir"),
    gettext_noop("Horror"),
    gettext_noop("IMAX"),
    gettext_noop("Musical"),
    gettext_noop("Mystery"),
    gettext_noop("Romance"),
    gettext_noop("Sci-Fi"),
    gettext_noop("Thriller"),
    gettext_noop("War"),
    gettext_noop("Western"),
    gettext_noop("unknown"),
    gettext_noop("(no genres listed)"),
)
LANGUAGES = (
    gettext_noop("American Sign Language"),
    gettext_noop("Arabic"),
    gettext_noop("Bangla"),
    gettext_noop("Bulgarian"),
    gettext_noop("Cantonese"),
    gettext_noop("Catalan"),
    gettext_noop("Chinese"),
    gettext_noop("Croatian"),
    gettext_noop("Czech"),
    gettext_noop("Danish"),
    gettext_noop("Dutch"),
    gettext_noop("English"),
    gettext_noop("Finnish"),
    gettext_noop("French"),
    gettext_noop("Georgian"),
    gettext_noop("German"),
    gettext_noop("Greek"),
    gettext_noop("Hebrew"),
    gettext_noop("Hindi"),
    gettext_noop("Hungarian"),
    gettext_noop("Icelandic"),
    gettext_noop("Indonesian"),
    gettext_noop("Irish"),
    gettext_noop("Italian"),
    gettext_noop("Japanese"),
    gettext_noop("Korean"),
    gettext_noop("Latin"),
    gettext_noop("Mandarin"),
    gettext_noop("Norwegian"),
    gettext_noop("Persian"),
    gettext_noop("Polish"),
    gettext_noop("Portuguese"),
    gettext_noop("Romanian"),
    gettext_noop("Russian"),
    gettext_noop("Serbian"),
    gettext_noop("Serbo-Croatian"),
    gettext_noop("Sicilian"),
    gettext_noop("Spanish"),
    gettext_noop("Standard Chinese"),
    gettext_noop("Swedish"),
    gettext_noop("Thai"),
    gettext_noop("Turkish"),
    gettext_noop("Ukrainian"),
    gettext_noop("Vietnamese"),
    gettext_noop("Wolof"),
    gettext_noop("Yiddish"),
    gettext_noop("Yue Chinese"),
)
COUNTRIES = (
    gettext_noop("Argentina"),
    gettext_noop("Australia"),
    gettext_noop("Austria"),
    gettext_noop("Belgium"),
    gettext_noop("Brazil"),
    gettext_noop("Bulgaria"),
    gettext_noop("Canada"),
    gettext_noop("China"),
    gettext_noop("Cuba"),
    gettext_noop("Czech Republic"),
    gettext_noop("Denmark"),
    gettext_noop("Dominican Republic"),
    gettext_noop("Finland"),
    gettext_noop("France"),
    gettext_noop("Germany"),
    gettext_noop("Greece"),
    gettext_noop("Hong Kong"),
    gettext_noop("Hungary"),
    gettext_noop("Iceland"),
    gettext_noop("India"),
    gettext_noop("Iran"),
    gettext_noop("Ireland"),
    gettext_noop("Israel"),
    gettext_noop("Italy"),
    gettext_noop("Japan"),
    gettext_noop("Kazakhstan"),
    gettext_noop("Liechtenstein"),
    gettext_noop("Luxembourg"),
    gettext_noop("Mexico"),
    gettext_noop("Netherlands"),
    gettext_noop("New Zealand"),
    gettext_noop("North Macedonia"),
    gettext_noop("Norway"),
    gettext_noop("People's Republic of China"),
    gettext_noop("Philippines"),
    gettext_noop("Poland"),
    gettext_noop("Portugal"),
    gettext_noop("Russia"),
    gettext_noop("Senegal"),
    gettext_noop("South Africa"),
    gettext_noop("South Korea"),
    gettext_noop("Soviet Union"),
    gettext_noop("Spain"),
    gettext_noop("Sweden"),
    gettext_noop("Switzerland"),
    gettext_noop("Taiwan"),
    gettext_noop("Thailand"),
    gettext_noop("Turkey"),
    gettext_noop("United Kingdom"),
    gettext_noop("United States"),
    gettext_noop("Vietnam"),
    gettext_noop("West Germany"),
    gettext_noop("Yugoslavia"),
)
