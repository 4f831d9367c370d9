"""The index of searches: everything that writes titles and names keeps it, and few rows of it are read."""

from importlib import import_module
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connection
from django.test.utils import CaptureQueriesContext

from movie.catalogue import search
from movie.catalogue import suffixes as suffix_index
from movie.catalogue import suggestions as suggesting
from movie.catalogue.importing.movies import import_movies
from movie.catalogue.merging import merge_facts, merge_people
from movie.catalogue.models import Movie, MovieTitle, Person
from movie.catalogue.people_search import search_people
from movie.catalogue.popular import Known, KnownName, KnownTitle, popular_names, popular_titles
from movie.catalogue.removal import delete_movies
from movie.catalogue.search import search_movies
from movie.catalogue.suffixes import NameSuffix, TitleSuffix, suffixes
from movie.catalogue.suggestions import suggestions
from movie.catalogue.tests.films import make_film
from movie.catalogue.upsert import MovieStatement, write_movies

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("the godfather", {"\tthe godfather", "\tgodfather", "the godfather", "godfather"}),
        ("spider-man", {"\tspider-man", "spider-man", "-man", "man"}),
        ("기생충", {"\t기생충", "기생충", "생충", "충"}),
        ("se7en", {"\tse7en", "se7en"}),
        ("a" * 30, {"\t" + "a" * 24, "a" * 24}),
        ("", set()),
    ],
)
def test_a_word_has_a_suffix_and_so_has_every_letter_that_is_not_latin(key, found):
    assert suffixes(key) == found


def missing_or_left_over():
    """Return how the two tables differ from what titles and names say."""
    return [
        set(index.objects.values_list("owner", "text"))
        ^ {(pk, text) for pk, key in owners.objects.values_list("pk", "search_key") for text in suffixes(key)}
        for index, owners in ((TitleSuffix, MovieTitle), (NameSuffix, Person))
    ]


def test_whatever_writes_titles_and_names_keeps_the_index(tmp_path):
    heat = make_film("Heat", 1995, directors=["Michael Mann"], titles={"ko": "히트"})
    other = make_film("Heat Wave", 1995, directors=["Mann, M."], titles={"fr": "Chaleur"})
    heat.title = "The Heat"
    heat.save()
    path = tmp_path / "movies.csv"
    path.write_text("movieId,title,genres\n1,Ronin (1998),Drama\n2,Dead Man (a.k.a. Mort) (1995),Western\n")
    import_movies(path)
    import_movies(path)
    stated = {"title": "Cold", "titles": [("Froid", "fr"), ("추위", "ko")], "directors": ["Ann Lee"]}
    write_movies([MovieStatement(heat.pk, values=stated), MovieStatement(("shop", "7"), values=stated)])
    write_movies([MovieStatement(heat.pk, values={"titles": [("Kalt", "de")]})])
    merge_facts(heat, other)
    merge_people(*Person.objects.order_by("pk")[:1], Person.objects.order_by("pk")[1:2])
    assert missing_or_left_over() == [set(), set()]
    assert TitleSuffix.objects.filter(text="kalt").exists()
    delete_movies(Movie.objects.values_list("pk", flat=True))
    Person.objects.all().delete()
    assert not TitleSuffix.objects.exists()
    assert not NameSuffix.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_people_are_ranked_by_visible_films_alone():
    """However many hidden ones a person has: more are counted until nobody else can come before."""
    for n, name in enumerate(("Star Few", "Star Many", "Star Most", "Star None", "Star One", "Star Two")):
        for number in range(6 - n):
            is_hidden = name in ("Star Few", "Star Most", "Star None") and number
            make_film(f"{name} {number}", directors=[name], is_visible=not is_hidden)
    Movie.objects.filter(title="Star None 0").update(is_visible=False)
    found = [(person.name, person.n_movies) for person in suggestions("star").people]
    assert found == [("Star Many", 5), ("Star One", 2), ("Star Few", 1), ("Star Most", 1)]
    assert [(person.name, person.n_movies) for person in search_people("star")][:4] == found


@pytest.mark.django_db(transaction=True)
def test_people_of_many_films_are_suggested_before_those_of_popular_ones(monkeypatch):
    """However many people of popular films match as well."""
    monkeypatch.setattr("movie.catalogue.popular.POPULAR_MOVIES", 66)
    first, last = [f"Star a{n}" for n in range(3)], "Star z"  # the last is not among those that are read
    for n in range(66):
        make_film(f"Popular {n}", directors=[f"Star m{n}" if n < 65 else last], rating_count=66 - n)
    for n in range(5):
        make_film(f"Film {n}", cast=[*first, last] if n else first)
    best = [(name, 5) for name in [*first, last]]
    assert [(person.name, person.n_movies) for person in suggestions("star").people] == best
    assert [(person.name, person.n_movies) for person in search_people("star")][:4] == best


@pytest.mark.parametrize("text", ["s", "sta", "star"])
def test_where_enough_begin_with_a_few_letters_words_further_inside_are_not_looked_for(
    many, text, django_assert_num_queries
):
    for letter in "abcdefghij":
        Person.objects.create(name=f"Sta{letter}")
    suggestions(text)
    popular_titles.clear()
    popular_titles.get()
    with CaptureQueriesContext(connection) as asked:
        suggestions(text)
    looked_up = [each["sql"] for each in asked if "suffix" in each["sql"]]
    assert len(looked_up) == {"s": 1, "sta": 2, "star": 4}[text]


def test_a_beginning_that_no_title_has_is_looked_for_once(monkeypatch):
    monkeypatch.setattr(suggesting, "MOST_READ", 8)
    for letter in "abcdefgh":
        make_film(f"Film Xy{letter}")
    with CaptureQueriesContext(connection) as asked:
        assert len(suggestions("xy").movies) == 8
    starts = [each["sql"] for each in asked if "titlesuffix" in each["sql"]]
    assert len(starts) == len(set(starts)) == 2


@pytest.mark.django_db(transaction=True)
def test_who_was_credited_since_the_popular_names_were_kept_is_ranked_by_all_films(monkeypatch):
    monkeypatch.setattr(suggesting, "MOST_READ", 6)
    for letter in "abcdef":
        make_film(f"Film {letter}", directors=[f"Star {letter}"])
    popular_names.get()
    for number in range(3):
        make_film(f"Film {number}", directors=["Star f"])
    best = suggestions("star").people[0]
    assert (best.name, best.n_movies) == ("Star f", 4)


@pytest.mark.parametrize("way", ["migration", "command"])
def test_whatever_is_not_in_the_index_comes_into_it(way, monkeypatch):
    """The first and the last title have suffixes, as where visitors wrote meanwhile; old code deleted one."""
    monkeypatch.setattr(suffix_index, "BATCH", 2)
    for n in range(7):
        make_film(f"Film {n}", directors=[f"Director {n}"])
    NameSuffix.objects.all().delete()
    TitleSuffix.objects.filter(owner__title__in=[f"Film {n}" for n in range(1, 6)]).delete()
    if way == "migration":
        import_module("movie.catalogue.migrations.0012_fill_search_suffixes").fill(apps, None)
    else:
        gone = MovieTitle.objects.get(title="Film 6")
        MovieTitle.objects.filter(pk=gone.pk)._raw_delete(DEFAULT_DB_ALIAS)  # no suffix goes with it
        call_command("index_searches", stdout=StringIO())
    assert missing_or_left_over() == [set(), set()]


@pytest.fixture
def many(monkeypatch):
    """Return films with one beginning, more than are read, of which the last are the most rated."""
    monkeypatch.setattr(suggesting, "MOST_READ", 8)
    names = [f"Star {letter}" for letter in "abcdefghijkl"]
    films = [make_film(name, directors=[f"Starr {name[-1]}"], rating_count=n) for n, name in enumerate(names)]
    return [*films, make_film("Star", 1950), make_film("Costar", rating_count=99)]


def titles(text):
    return [found.movie.title for found in suggestions(text).movies]


def test_of_many_the_whole_title_and_then_the_most_rated_are_suggested(many):
    assert titles("star") == ["Star", *(f"Star {letter}" for letter in "lkjihgf")]
    assert titles("sta") == [f"Star {letter}" for letter in "lkjihgfe"]


def test_what_is_not_popular_is_found_where_few_have_it_and_never_within_a_word(many, monkeypatch):
    monkeypatch.setattr("movie.catalogue.popular.POPULAR_MOVIES", 3)
    assert titles("star b") == ["Star b"]
    assert titles("cost") == ["Costar"]
    assert titles("ostar") == ["Costar"]  # one of the popular three
    Movie.objects.filter(title="Costar").update(rating_count=0)
    popular_titles.clear()
    assert titles("ostar") == []
    assert [person.name for person in suggestions("starr b").people] == ["Starr b"]


def test_popular_films_that_were_hidden_since_they_were_kept_take_nobodys_place(django_assert_num_queries):
    for n in range(80):
        make_film(f"Star {n:02}", rating_count=n)
    assert titles("star") == [f"Star {n}" for n in range(79, 71, -1)]
    Movie.objects.filter(rating_count__gte=70).update(is_visible=False)
    assert titles("star") == [f"Star {n}" for n in range(69, 61, -1)]
    popular_titles.clear()
    popular_titles.get()
    with django_assert_num_queries(4):
        titles("star")


@pytest.mark.parametrize(
    "text", ["star", "s", "star k", "k", "costar", "osta", "1950", "star 1950", "the star"]
)
def test_suggestions_are_the_first_of_what_a_search_finds(many, text):
    assert titles(text) == [movie.title for movie in search_movies(text)[:8]]


def test_a_movie_with_the_word_in_two_titles_is_found_once(many):
    MovieTitle.objects.create(movie=Movie.objects.get(title="Star a"), title="Star Alpha")
    popular_titles.clear()
    found = search_movies("star")
    assert sorted(movie.title for movie in found) == sorted(
        ["Costar", "Star", *(f"Star {letter}" for letter in "lkjihgfedcba")]
    )
    assert not found.is_cut


def test_of_more_titles_than_are_ranked_the_whole_title_the_popular_and_the_phrase_are_found(
    many, monkeypatch, client
):
    """The statements and the rows that they read are as many as for few titles."""
    monkeypatch.setattr("movie.catalogue.popular.POPULAR_MOVIES", 3)
    monkeypatch.setattr(search, "RANKED", 4)
    monkeypatch.setattr(search, "PHRASES", 5)
    for n in range(12):
        make_film(f"Bright Star Night {n}", directors=[f"Starr Night {n}"])
    with CaptureQueriesContext(connection) as asked:
        found = search_movies("star")
    assert found.is_cut
    titles = [movie.title for movie in found]
    assert titles[:3] == ["Star", "Star l", "Star k"] and titles[-1] == "Costar"
    assert "Star h" not in titles  # neither popular nor among the first in the alphabet
    assert len(asked) <= 5  # two look-ups, the popular ones (two, once in a while), and their titles
    assert "Bright Star Night 7" in [movie.title for movie in search_movies("star night 7")]
    page = client.get("/search/?q=star").content.decode()
    assert f"At least {len(titles)} films" in page
    for title in ["Star Dawn", *(f"Dawn {n}" for n in range(4))]:
        make_film(title)
    assert "At least 1 film\n" in client.get("/search/?q=star+dawn").content.decode()
    assert 4 <= len(search_people("starr")) <= 4 + 5 + 3


@pytest.fixture
def few_compared(monkeypatch):
    """Let searches and suggestions read few titles of a word, on a site where no film is popular."""
    monkeypatch.setattr(suggesting, "MOST_READ", 3)
    monkeypatch.setattr("movie.catalogue.popular.POPULAR_MOVIES", 0)
    monkeypatch.setattr(search, "RANKED", 3)
    monkeypatch.setattr(search, "PHRASES", 2)


@pytest.mark.parametrize("text", ["love story", "love story 1970", "1970 love story", "love 1970 story"])
def test_a_year_hides_no_film_whose_words_many_titles_have(few_compared, text):
    for n in range(4):
        make_film(f"Love a{n}", 1960)
        make_film(f"B{n} Story", 1960)
    make_film("Love Story", 1970)
    assert [str(movie) for movie in search_movies(text)] == ["Love Story (1970)"]
    assert titles(text) == ["Love Story"]


@pytest.mark.parametrize(
    ("key", "phrases"),
    [
        ("heat", ["heat"]),
        ("1917", ["1917"]),
        ("1917 2019", ["1917 2019", "1917"]),
        ("2001 odyssey 1968", ["2001 odyssey 1968", "2001 odyssey"]),
    ],
)
def test_the_last_year_of_a_query_may_be_that_of_the_film(key, phrases):
    assert search.phrases_of(key) == phrases


@pytest.mark.parametrize("n_popular", [0, 1])
def test_a_film_is_ranked_by_its_best_title_whichever_one_was_looked_up(few_compared, monkeypatch, n_popular):
    monkeypatch.setattr("movie.catalogue.popular.POPULAR_MOVIES", n_popular)
    film = make_film("Love Zorro", 1978, titles={"fr": "Aaa Love"}, rating_count=500)
    for n in range(6):
        make_film(f"Love z{n}", 1960)
    found = search_movies("love")
    assert found.is_cut
    assert (found.ids[0], found.matches[film.pk], found.aliases) == (film.pk, 2, {})


def test_of_more_films_of_a_year_than_are_compared_the_most_rated_are_found(few_compared, monkeypatch):
    monkeypatch.setattr(search._titles_of_year, "_compiled", {})
    for n in range(6):
        make_film(f"Film {n}", 1970, rating_count=n, titles={"fr": f"Le film {n}", "de": f"Der Film {n}"})
    assert [movie.title for movie in search_movies("1970")] == ["Film 5", "Film 4", "Film 3"]


def test_a_popular_film_stands_by_its_first_title_that_holds_the_query():
    rows = [KnownTitle(1, key, key, "", key, None, 5) for key in ("heat", "heat wave")]
    assert search.popular_with("heat", Known(rows)) == {1: rows[0]}


def test_people_without_a_visible_film_take_nobodys_place(monkeypatch):
    monkeypatch.setattr("movie.catalogue.people_search.PEOPLE_FOUND", 3)
    Person.objects.bulk_create(Person(name=f"Starr {n}", search_key=f"starr {n}") for n in range(3))
    make_film("Heat", directors=["Starr 3", "Starr 4", "Starr 5"])
    found = search_people("starr")
    assert [person.name for person in found] == ["Starr 3", "Starr 4", "Starr 5"]
    assert not found.is_cut
    make_film("Ronin", directors=["Starr 6"])
    assert len(search_people("starr")) == 3
    assert search_people("starr").is_cut


def test_popular_names_are_found_in_their_order_each_once():
    known = Known([KnownName(n, key, key) for n, key in enumerate(["anna banana", "hannah", "bob", "an x"])])
    assert [each.person for each in known.holding("an", at_beginning=False)] == [0, 1, 3]
    assert [each.person for each in known.holding("an", at_beginning=True)] == [0, 3]
    assert [each.person for each in known.holding(".", at_beginning=False)] == []
