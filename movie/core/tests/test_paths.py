import pytest

from movie.core.paths import without_folders


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ada/data/ratings.csv", "ratings.csv"),
        ("/home/Ada Lovelace/ratings.csv", "ratings.csv"),
        ("~/data/ml-100k", "ml-100k"),
        ("cannot read /srv/models/ease/1/meta.json: no such file", "cannot read meta.json: no such file"),
        ("'/srv/models/ease' is damaged", "'ease' is damaged"),
        (
            "from https://grouplens.org/datasets/movielens/100k/",
            "from https://grouplens.org/datasets/movielens/100k/",
        ),
        ("users and/or items, 3/4/5", "users and/or items, 3/4/5"),
        ("ml-100k", "ml-100k"),
    ],
)
def test_a_page_names_files_without_their_folders(text, shown):
    assert without_folders(text) == shown


def test_lists_and_dictionaries_are_looked_through():
    meta = {"data": {"source": "/a/b/c.csv", "n_users": 3}, "metrics": [{"label": "/a/b"}]}
    assert without_folders(meta) == {"data": {"source": "c.csv", "n_users": 3}, "metrics": [{"label": "b"}]}
