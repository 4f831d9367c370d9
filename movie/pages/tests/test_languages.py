"""The site in Korean and Simplified Chinese: complete catalogues, whole pages, and a choice that lasts."""

import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polib
import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import translation

from datasets.interactions import Interactions
from movie.catalogue.models import Movie
from movie.catalogue.tests.films import make_film, person
from movie.catalogue.translations import COUNTRIES, GENRES, LANGUAGES
from movie.pages.templatetags.reelgraph import translated_name
from movie.recommendations.ranked_list import mean_sentence
from predictors.models.neighbours import NeighboursPredictor
from predictors.models.popular import PopularPredictor
from predictors.serving.registry import ModelStore

MODEL_PAGES = ("pages:home", "pages:recommend", "pages:compare", "pages:compare_runs")
ROOT = Path(__file__).resolve().parents[3]
LOCALES = {"ko": "ko", "zh-hans": "zh_Hans"}
HANGUL_OR_HAN = re.compile(r"[\uac00-\ud7a3\u4e00-\u9fff]")
PLACEHOLDER = re.compile(r"%\(\w+\)[.\d]*[a-z]|%%n?")
ENGLISH = re.compile(r"[A-Za-z’']{2,}(?: [A-Za-z’']+){2,}")  # three words in a row
SHOWN_ATTRIBUTES = ("aria-label", "alt", "placeholder", "title", "content")


def catalogue(locale: str, suffix: str = "po") -> Path:
    return ROOT / "locale" / locale / "LC_MESSAGES" / f"django.{suffix}"


def said(entry: polib.POEntry) -> list[str]:
    """What an entry is translated to: one text, or one for each plural form."""
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def known_by(entry: polib.POEntry) -> tuple[str | None, str]:
    return entry.msgctxt, entry.msgid


@pytest.fixture(params=LOCALES.values())
def po(request) -> polib.POFile:
    return polib.pofile(str(catalogue(request.param)))


@pytest.fixture(params=LOCALES)
def language(request) -> str:
    return request.param


# -- the catalogues ---------------------------------------------------------------------------


def test_every_message_is_translated(po):
    assert len(po) > 500
    assert not [entry.msgid for entry in po if not all(said(entry))]
    assert not po.fuzzy_entries()
    assert not po.obsolete_entries()
    assert po.metadata["Plural-Forms"] == "nplurals=1; plural=0;"
    assert all(len(said(entry)) == 1 for entry in po)


def test_placeholders_and_markup_survive_translation(po):
    for entry in po:
        source = entry.msgid_plural or entry.msgid
        for text in said(entry):
            for pattern in (PLACEHOLDER, re.compile(r"<[^>]+>")):
                assert sorted(pattern.findall(text)) == sorted(pattern.findall(source)), source
            assert text.strip() == text and source.strip() == source  # spaces belong to the page


@pytest.mark.parametrize("locale", LOCALES.values())
def test_what_is_compiled_is_what_is_written(locale):
    written = {known_by(entry): said(entry) for entry in polib.pofile(str(catalogue(locale)))}
    compiled = {known_by(entry): said(entry) for entry in polib.mofile(str(catalogue(locale, "mo")))}
    assert compiled == written


def test_the_same_messages_in_both_languages():
    korean, chinese = (
        {known_by(entry) for entry in polib.pofile(str(catalogue(c)))} for c in LOCALES.values()
    )
    assert korean == chinese


@pytest.mark.skipif(
    not shutil.which("xgettext"), reason="needs GNU gettext to read the messages of the source"
)
def test_no_message_of_the_source_is_missing(tmp_path, monkeypatch, settings):
    for folder in ("movie", "webapp", "templates", "locale"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.pyc", "tests"))
    monkeypatch.chdir(tmp_path)
    settings.LOCALE_PATHS = [tmp_path / "locale"]
    call_command("makemessages", locale=["ko"], no_obsolete=True, no_location=True, verbosity=0)
    extracted = polib.pofile(str(tmp_path / "locale" / "ko" / "LC_MESSAGES" / "django.po"))
    assert not [entry.msgid for entry in extracted if entry.fuzzy or not all(said(entry))]
    assert {"Remember Me", "Username or email"} <= {entry.msgid for entry in extracted if not entry.obsolete}


# -- names that come with the films -----------------------------------------------------------


def test_names_of_genres_languages_and_countries(language):
    with translation.override(language):
        for name in (*GENRES, *LANGUAGES, *COUNTRIES):
            translated = translated_name(name)
            assert HANGUL_OR_HAN.search(translated) or translated in ("SF", "IMAX"), name
        assert translated_name("Mumblecore") == "Mumblecore"
        assert translated_name("") == ""


# -- pages ------------------------------------------------------------------------------------


class _Shown(HTMLParser):
    """The words of a page that a visitor reads or hears."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.language = ""
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "html":
            self.language = given.get("lang") or ""
        if tag in ("script", "style"):
            self._silent += 1
        if tag == "meta" and given.get("name") != "description":
            return
        words = [value for name, value in attrs if name in SHOWN_ATTRIBUTES or name.startswith("data-")]
        self.parts += [value for value in words if value]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._silent -= 1

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(" ".join(data.split()))


def shown(page: bytes) -> _Shown:
    parser = _Shown()
    parser.feed(page.decode())
    return parser


@pytest.fixture
def film(settings, tmp_path) -> Movie:
    """A film with all there can be on its page, among enough others for a second page of results."""
    settings.MODEL_DIR = tmp_path / "models"
    cache.clear()
    for number in range(30):
        make_film(f"Other{number}", 1990, genres=["Crime"], stars=[4])
    return make_film(
        "Heat",
        1995,
        genres=["Action", "Crime"],
        countries=["United States", "France"],
        languages=["English"],
        directors=["Mann"],
        writers=["Mann"],
        cast=["Pacino"],
        titles={"ko": "히트"},
        stars=[4.5, 5],
        runtime=170,
    )


@pytest.fixture
def visitor(language) -> Client:
    return Client(headers={"accept-language": language})


def addresses(film: Movie) -> Iterator[str]:
    browse, search = reverse("pages:browse"), reverse("pages:search")
    yield from (
        reverse("pages:home"),
        reverse("pages:recommend"),
        reverse("pages:history"),
        film.get_absolute_url(),
    )
    yield from (
        browse,
        f"{browse}?in=Crime&out=War&decade=1990&page=99",
        f"{browse}?in=Nope&sort=nope&page=x",
    )
    yield from (f"{browse}?in=Crime&out=Crime", f"{browse}?out=Crime&in=Action&decade=1990", search)
    yield from (f"{search}?q=heat", f"{search}?q=mann", f"{search}?q=zzqqy", f"{search}?q={'o' * 120}")
    yield from (person("Mann").get_absolute_url(), reverse("pages:compare"), reverse("pages:compare_runs"))
    yield f"{reverse('pages:compare')}?history=Heat&k=99"
    accounts = ("account_login", "account_signup", "account_reset_password", "account_reset_password_done")
    yield from (reverse(name) for name in accounts)
    yield "/no-such-page/"


@pytest.mark.django_db
def test_no_english_is_left_on_any_page(film, visitor, language):
    with translation.override("en"):
        visitor.get(reverse("pages:home"))
    visitor.post(reverse("pages:rate", args=[film.pk]), {"value": "4.5"})
    visitor.post(reverse("pages:dismiss", args=[Movie.objects.get(title="Other1").pk]))
    visitor.post(reverse("pages:watchlist", args=[Movie.objects.get(title="Other2").pk]))
    for address in addresses(film):
        page = shown(visitor.get(address).content)
        assert page.language == language, address
        assert any(HANGUL_OR_HAN.search(part) for part in page.parts), address
        left = [part for part in page.parts if ENGLISH.search(part) and "manage.py" not in part]
        assert not left, (address, left)


@pytest.fixture
def trained(film, settings) -> Movie:
    """Two models in use, and one that is asked for first and is missing."""
    ids = np.array(Movie.objects.order_by("pk").values_list("pk", flat=True))
    users, items = (np.array(side, np.int32) for side in zip(*np.ndindex(20, len(ids)), strict=True))
    seen = (users + items) % 3 > 0
    users, items = users[seen], items[seen]
    stars, at = np.full(len(users), 4.0, np.float32), np.arange(len(users))
    data = Interactions.from_columns(users, items, stars, at, user_ids=np.arange(20), item_ids=ids)
    for kind in (PopularPredictor, NeighboursPredictor):
        ModelStore(settings.MODEL_DIR).publish(kind.fit(data), activate=True)
    settings.DEFAULT_MODELS = ("sasrec", "neighbours", "popular")
    return film


@pytest.mark.django_db
def test_no_english_is_left_where_models_answer(trained, visitor):
    other = Movie.objects.get(title="Other5").get_absolute_url()
    visitor.get(reverse("pages:home"))
    for step in ("nothing is known", "a rating"):
        visitor.post(
            reverse("pages:choose_model"), {"model": "sasrec" if step == "a rating" else "neighbours"}
        )
        for address in (*map(reverse, MODEL_PAGES), other):
            left = [part for part in shown(visitor.get(address).content).parts if ENGLISH.search(part)]
            assert not left, (step, address, left)
        visitor.post(reverse("pages:rate", args=[trained.pk]), {"value": "4.5"})


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["home", "recommend", "history"])
def test_a_guest_without_a_history_reads_no_english(film, visitor, address):
    page = shown(visitor.get(reverse(f"pages:{address}")).content)
    assert not [part for part in page.parts if ENGLISH.search(part)]


@pytest.mark.django_db
def test_messages_after_a_change(film, visitor, language):
    expected = {"ko": "‘히트’에 별 네 개 반", "zh-hans": "《Heat》四星半"}
    page = visitor.post(reverse("pages:rate", args=[film.pk]), {"value": "4.5"}, follow=True).content.decode()
    assert expected[language] in page


@pytest.mark.django_db
def test_a_date_is_written_as_people_write_it(film, visitor, language):
    visitor.post(reverse("pages:rate", args=[film.pk]), {"value": "4.5"})
    dates = {"ko": r"\d{4}년 \d{1,2}월 \d{1,2}일", "zh-hans": r"\d{4}年\d{1,2}月\d{1,2}日"}
    assert re.search(dates[language], visitor.get(reverse("pages:history")).content.decode())


def test_numbers_are_grouped_and_rounded():
    film = Movie(rating_count=1234, rating_average=4.06)
    with translation.override("en"):
        assert mean_sentence(film) == "4.1 from 1,234 ratings"
    with translation.override("ko"):
        assert mean_sentence(film) == "평균 4.1 · 평가 1,234개"


@pytest.mark.django_db
def test_genres_are_filtered_by_one_name_and_shown_by_another(film, visitor, language):
    page = visitor.get(reverse("pages:browse") + "?in=Action").content.decode()
    word = {"ko": "액션", "zh-hans": "动作"}[language]
    assert f"{word} <span" in page  # the chip that takes the filter away
    title = {"ko": "히트", "zh-hans": "Heat"}[language]  # the film of the tests has no Chinese title
    assert f'alt="{title} (1995)"' in page


@pytest.mark.django_db
def test_filters_are_in_the_order_of_the_names_shown(film):
    make_film("Ran", 1985, genres=["Drama", "War"], countries=["Japan"], languages=["Japanese"], stars=[5])
    page = Client(headers={"accept-language": "ko"}).get(reverse("pages:browse")).content.decode()
    assert re.findall(r"<legend>(.*?)</legend>", page) == ["드라마", "범죄", "액션", "전쟁"]
    assert re.findall(r">(\w+) \(1\)</option>", page)[1:] == ["영어", "일본어", "미국", "일본", "프랑스"]


@pytest.mark.django_db
def test_signing_in_is_worded_by_this_site(visitor, language):
    words = {"ko": "로그인 상태 유지", "zh-hans": "用户名或电子邮箱"}
    assert words[language] in visitor.get(reverse("account_login")).content.decode()


# -- choosing a language ----------------------------------------------------------------------


@pytest.mark.django_db
def test_a_chosen_language_is_remembered(film):
    visitor = Client(headers={"accept-language": "en"})
    assert shown(visitor.get(reverse("pages:home")).content).language == "en"
    for code in (*LOCALES, "en"):
        answer = visitor.post(reverse("set_language"), {"language": code, "next": film.get_absolute_url()})
        assert answer.status_code == 302
        assert answer.url == film.get_absolute_url()
        assert answer.cookies["django_language"]["max-age"] > 300 * 24 * 3600
        for address in (reverse("pages:home"), reverse("pages:browse"), film.get_absolute_url()):
            assert shown(visitor.get(address).content).language == code


@pytest.mark.django_db
def test_every_language_is_offered_in_its_own_words(film, visitor):
    page = visitor.get(reverse("pages:home")).content.decode()
    for code, name in (("en", "English"), ("ko", "한국어"), ("zh-hans", "简体中文")):
        assert re.search(rf'<button[^>]* value="{code}" lang="{code}"[^>]*>{name}</button>', page)
    assert [code for code, _name in settings.LANGUAGES] == ["en", *LOCALES]


@pytest.mark.django_db
def test_a_language_the_site_has_not_gets_english(film):
    visitor = Client(headers={"accept-language": "fr-FR"})
    page = shown(visitor.get(reverse("pages:home")).content)
    assert page.language == "en"
    assert [part for part in page.parts if ENGLISH.search(part)]
