import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.id_map import IdMap

IDS = st.lists(st.one_of(st.integers(), st.text()), unique_by=lambda item: (type(item), item), max_size=50)


@given(IDS)
def test_every_id_comes_back_from_its_index(ids):
    mapping = IdMap(ids)
    indices, unknown = mapping.indices_of(ids)
    assert unknown == ()
    assert mapping.ids_of(indices) == ids
    assert indices.tolist() == list(range(len(ids)))


@given(IDS, st.lists(st.one_of(st.integers(), st.text()), max_size=50))
def test_unknown_ids_are_dropped_and_reported_in_order(ids, asked):
    mapping = IdMap(ids)
    indices, unknown = mapping.indices_of(asked)
    assert len(indices) + len(unknown) == len(asked)
    assert list(unknown) == [item for item in asked if item not in set(ids)]
    assert indices.dtype == np.int64


def test_an_id_that_occurs_twice_is_refused_by_name():
    with pytest.raises(ValueError, match="'b' occurs more than once"):
        IdMap(["a", "b", "b"])


def test_an_id_of_another_type_is_refused():
    with pytest.raises(ValueError, match="must be an int or a str"):
        IdMap([1, 2.5])


def test_an_index_outside_is_refused_rather_than_counted_from_the_end():
    with pytest.raises(IndexError):
        IdMap(["a"]).ids_of([-1])
