"""Similar movies: a sequel stands first, then movies by the same director, else who met both decides."""

import pytest

from movie.recommendations.content_similarity import (
    ContentWeights,
    MovieFacts,
    content_similarity,
    scores_with_content,
    series_key,
)


@pytest.mark.parametrize(
    "titles",
    [
        ("Die Hard", "Die Hard 2", "Die Hard: With a Vengeance"),
        ("Star Trek VI: The Undiscovered Country", "Star Trek: First Contact", "Star Trek III"),
        ("The Godfather", "The Godfather: Part II", "Godfather, The", "The Godfather, Part III"),
        ("Indiana Jones and the Last Crusade", "Indiana Jones and the Temple of Doom"),
        ("Free Willy", "Free Willy 2: The Adventure Home"),
        ("Father of the Bride", "Father of the Bride Part II"),
        ("Hamlet", "Hamlet"),
        ("반지의 제왕: 두 개의 탑", "반지의 제왕: 왕의 귀환"),
    ],
)
def test_titles_of_a_series_have_one_key(titles):
    assert len({series_key(title) for title in titles}) == 1


@pytest.mark.parametrize(
    "titles",
    [
        ("Apollo 13", "Apollo 11"),
        ("Fahrenheit 451", "Fahrenheit 9/11"),
        ("Malcolm X", "Malcolm"),
        ("Beauty and the Beast", "Beauty"),
        ("Alien", "Aladdin"),
        ("1984", "1941"),
        ("III", "II"),
        ("Spider-Man", "Spider"),
    ],
)
def test_titles_of_other_movies_have_keys_of_their_own(titles):
    assert len({series_key(title) for title in titles}) == len(titles)


def test_content_similarity_counts_the_series_and_the_director():
    weights = ContentWeights(series=1.0, director=0.3)
    alien = MovieFacts("Alien", frozenset({"horror", "sci-fi", 7}))
    assert content_similarity(alien, MovieFacts("Alien 3", frozenset({"horror", 8})), weights) == 1.0
    assert content_similarity(alien, MovieFacts("Blade Runner", frozenset({"sci-fi", 7})), weights) == 0.3
    assert content_similarity(alien, MovieFacts("Scream", frozenset({"horror", 9})), weights) == 0.0


def test_a_sequel_far_down_stands_first_and_the_rest_keep_their_order():
    movie = MovieFacts("Free Willy", frozenset({"children's"}))
    others = [MovieFacts(f"Another {letter}", frozenset()) for letter in "ABCD"]
    others.append(MovieFacts("Free Willy 2", frozenset()))
    scores = scores_with_content(movie, others, [8.0, 4.0, 2.0, 1.0, 0.5], ContentWeights())
    assert scores == pytest.approx([1.0, 0.5, 0.25, 0.125, 1.0625])
