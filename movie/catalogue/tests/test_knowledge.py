import pytest

from datasets.knowledge_graph.triples import Facts
from movie.catalogue import knowledge_graph
from movie.catalogue.models import Credit, ExternalId, MovieTag, Person
from movie.catalogue.tests.films import make_film
from movie.catalogue.titles import search_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def films():
    heat = make_film(
        "Heat", 1995, genres=["Crime", "Drama"], countries=["United States"],
        directors=["Michael Mann"], writers=["Michael Mann"], cast=["Al Pacino"], stars=[4, 5, 5],
    )  # fmt: skip
    collateral = make_film("Collateral", 2004, genres=["Crime"], directors=["Michael Mann"], stars=[3])
    undated = make_film("Undated", is_visible=False)
    return heat, collateral, undated


def named(name):
    return Person.objects.create(name=name, search_key=search_key(name))


def credit(film, person, role=Credit.Role.CAST):
    return Credit.objects.create(movie=film, person=person, role=role)


def test_the_catalogue_becomes_films_and_what_they_share(films):
    heat, collateral, undated = (f"movie:{film.pk}" for film in films)
    facts = knowledge_graph.catalogue_facts()
    mann, pacino = (f"person:{Person.objects.get(name=name).pk}" for name in ("Michael Mann", "Al Pacino"))
    assert set(facts.triples) == {
        (heat, "directed_by", mann),
        (heat, "written_by", mann),
        (heat, "starring", pacino),
        (heat, "in_genre", "genre:Crime"),
        (heat, "in_genre", "genre:Drama"),
        (heat, "from_country", "country:United States"),
        (heat, "of_decade", "decade:1990"),
        (collateral, "directed_by", mann),
        (collateral, "in_genre", "genre:Crime"),
        (collateral, "of_decade", "decade:2000"),
    }
    assert facts.entities == {
        heat: "Heat (1995)", collateral: "Collateral (2004)", undated: "Undated",
        mann: "Michael Mann", pacino: "Al Pacino", "genre:Crime": "Crime", "genre:Drama": "Drama",
        "country:United States": "United States", "decade:1990": "1990s", "decade:2000": "2000s",
    }  # fmt: skip


def test_the_words_of_a_graph_do_not_depend_on_what_the_catalogue_holds():
    graph = knowledge_graph.catalogue_facts().graph()
    assert graph.type_names == knowledge_graph.TYPES
    assert graph.relation_names == knowledge_graph.RELATIONS
    assert graph.n_entities == 0


def test_people_whose_names_are_the_same_are_one(films):
    heat, collateral, undated = films
    first, second, third = (named(name) for name in ("Penélope Cruz", "PENELOPE  CRUZ", "penelope cruz "))
    other = named("Pénélope Cruz Jr.")
    credit(heat, third)
    credit(collateral, second)
    credit(collateral, third)
    credit(undated, first)
    credit(undated, other)
    facts = knowledge_graph.catalogue_facts()
    one = f"person:{first.pk}"
    assert {triple for triple in facts.triples if triple[2] == one} == {
        (f"movie:{film.pk}", "starring", one) for film in films
    }
    assert facts.entities[one] == "Penélope Cruz"
    assert facts.entities.keys().isdisjoint({f"person:{person.pk}" for person in (second, third)})
    assert f"person:{other.pk}" in facts.entities
    for person in (first, second, third):
        assert set(knowledge_graph.same_person(person.pk)) == {first, second, third}
    assert facts.graph().n_edges == len(set(facts.triples))


def test_accents_of_other_scripts_tell_people_apart(films):
    one, other = named("ガク"), named("カク")
    credit(films[0], one)
    credit(films[1], other)
    facts = knowledge_graph.catalogue_facts()
    assert {f"person:{one.pk}", f"person:{other.pk}"} <= facts.entities.keys()


def test_the_first_who_has_a_credit_stands_for_all_and_who_has_none_is_not_there(films):
    uncredited, credited = named("Tom Noonan"), named("tom noonan")
    credit(films[0], credited)
    facts = knowledge_graph.catalogue_facts()
    assert f"person:{uncredited.pk}" not in facts.entities
    assert facts.entities[f"person:{credited.pk}"] == "tom noonan"


def test_films_may_have_the_ids_of_a_data_set(films):
    heat, collateral, _ = films
    for film, value in ((heat, "6"), (heat, "6b"), (collateral, "99")):
        ExternalId.objects.create(movie=film, source="movielens", value=value)
    ExternalId.objects.create(movie=collateral, source="imdb", value="tt0369339")
    facts = knowledge_graph.catalogue_facts(ids="movielens")
    assert {key for key in facts.entities if key.startswith("movie:")} == {"movie:6", "movie:6b", "movie:99"}
    assert {film for film, _, thing in facts.triples if thing == "genre:Crime"} == {
        "movie:6",
        "movie:6b",
        "movie:99",
    }
    graph = facts.graph()
    assert dict(zip(graph.keys, knowledge_graph.ratings_of(graph, "movielens"), strict=False)) == {
        "movie:6": 3, "movie:6b": 3, "movie:99": 1,
    }  # fmt: skip


def test_tags_need_enough_people_and_a_second_film(films):
    heat, collateral, undated = films
    rows = [
        (heat, "heist", 3),
        (collateral, "heist", 2),
        (heat, "rare", 2),
        (collateral, "rare", 2),
        (undated, "alone", 9),
    ]
    MovieTag.objects.bulk_create([MovieTag(movie=film, name=name, count=n) for film, name, n in rows])
    facts = knowledge_graph.catalogue_facts(tags=5)
    assert {triple for triple in facts.triples if triple[1] == "tagged"} == {
        (f"movie:{film.pk}", "tagged", "tag:heist") for film in (heat, collateral)
    }
    assert facts.entities["tag:heist"] == "heist"
    assert facts.graph().type_names == (*knowledge_graph.TYPES, "tag")
    assert not any(name == "tagged" for _, name, _ in knowledge_graph.catalogue_facts().triples)


def test_the_number_of_queries_does_not_grow(films, django_assert_num_queries):
    with django_assert_num_queries(6):
        knowledge_graph.catalogue_facts()
    for number in range(30):
        make_film(f"Film {number}", 1980 + number, genres=["Drama"], cast=[f"Somebody {number}"])
    with django_assert_num_queries(6):
        knowledge_graph.catalogue_facts()
    with django_assert_num_queries(7):
        knowledge_graph.catalogue_facts(ids="movielens", tags=1)


def test_equal_catalogues_make_equal_graphs(films):
    one, other = (knowledge_graph.catalogue_facts().graph() for _ in range(2))
    assert one.keys == other.keys
    assert one.tails.tolist() == other.tails.tolist()


def test_facts_of_files_find_the_films_of_the_catalogue(films):
    heat, collateral, undated = films
    ExternalId.objects.create(movie=heat, source="ml-100k", value="273")
    ExternalId.objects.create(movie=collateral, source="ml-100k", value="1")
    ExternalId.objects.create(movie=heat, source="imdb", value="tt0113277")
    facts = Facts(
        {"movie:273": "273", "movie:500": "500", "person:Somebody": "Somebody", "person:Else": "Else"},
        [("movie:273", "starring", "person:Somebody"), ("movie:500", "starring", "person:Else")],
    )
    moved, unknown = knowledge_graph.in_catalogue(facts, "ml-100k")
    assert unknown == 1
    assert moved.triples == [(f"movie:{heat.pk}", "starring", "person:Somebody")]
    assert moved.entities == {
        f"movie:{heat.pk}": "Heat (1995)",
        "person:Somebody": "Somebody",
        f"movie:{collateral.pk}": "Collateral (2004)",
        f"movie:{undated.pk}": "Undated",
    }
    renamed, _ = knowledge_graph.in_catalogue(facts, "ml-100k", ids="imdb")
    assert renamed.entities == {"movie:tt0113277": "Heat (1995)", "person:Somebody": "Somebody"}


def test_ratings_follow_the_films_of_the_graph(films):
    graph = knowledge_graph.catalogue_facts().graph().with_movies(["movie:987654"])
    assert knowledge_graph.ratings_of(graph).tolist() == [3, 1, 0, 0]
