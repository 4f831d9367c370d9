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


@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=50))
def test_ints_come_back_from_their_arrays(ids):
    mapping = IdMap(ids)
    again = IdMap.from_arrays(mapping.arrays())
    assert again == mapping
    assert list(again) == ids
    assert all(type(movie_id) is int for movie_id in [*again, *again[:3], *again.ids_of(range(len(ids)))])
    assert again.indices_of(reversed(ids))[0].tolist() == list(range(len(ids)))[::-1]
    assert [again.index_of(movie_id) for movie_id in ids] == list(range(len(ids)))


@pytest.mark.parametrize("ids", [[3, 4, 3], [5, 5]])
def test_an_int_that_occurs_twice_is_refused_by_name(ids):
    with pytest.raises(ValueError, match=f"{ids[0]} occurs more than once"):
        IdMap(ids)


@pytest.mark.parametrize("order", [[2, 0, 1], [1, 0, 3], [-2, 0, 2], [1.0, 0.0, 2.0]])
def test_arrays_of_different_maps_are_refused(order):
    arrays = IdMap([7, 2, 9]).arrays()
    assert arrays["order"].tolist() == [1, 0, 2]
    with pytest.raises(ValueError, match="do not belong together"):
        IdMap.from_arrays({**arrays, "order": np.array(order)})


def test_arrays_with_an_id_twice_are_refused():
    with pytest.raises(ValueError, match="occurs more than once"):
        IdMap.from_arrays({"ids": np.array([1, 3, 3])})


@pytest.mark.parametrize("ids", [[10, 20, 30], [30, 10, 20], ["10", 20, "b"]])
def test_an_id_is_asked_for_by_its_own_type(ids):
    mapping = IdMap(ids)
    assert mapping.indices_of([np.int64(20), 2**70, "20", 20.5, None])[0].tolist() == [ids.index(20)]
    assert mapping.index_of("20") is None
    assert 20 in mapping
    assert 21 not in mapping
    assert mapping[ids.index(20)] == 20
