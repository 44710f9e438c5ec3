"""States obey the laws that make offline and online answers equal, for values of every type."""

import random
from functools import reduce
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.errors import DataError
from gigacast.feature_store.aggregation import codec
from gigacast.feature_store.aggregation.operation import OPERATIONS
from gigacast.feature_store.aggregation.row_state import RowState
from tests.unit.feature_store.aggregation.feature_data import (
    SCHEMA,
    make_row,
    plain,
    to_part,
)
from tests.unit.feature_store.aggregation.test_kernel import features_of

EXACT = [name for name, kind in OPERATIONS.items() if kind.exact]
DELETABLE = [name for name, kind in OPERATIONS.items() if kind.deletable]
Rows = list[tuple[int, dict[str, Any]]]

times = st.integers(0, 5)  # few times: many ties
rows = st.lists(
    st.tuples(times, st.integers(0, 1 << 30).map(lambda seed: make_row(random.Random(seed), 2))),
    max_size=8,
)


def states_of(operation: str) -> RowState:
    return RowState([to_part(feature) for feature in features_of(operation)], SCHEMA)


def state_of(states: RowState, content: Rows) -> list[Any]:
    state = states.empty()
    for time, row in content:
        state = states.update(state, row, time)
    return state


@pytest.mark.parametrize("operation", EXACT)
@settings(max_examples=15)
@given(rows, rows, rows)
def test_merging_is_commutative_and_associative_to_the_bit(
    operation: str, a: Rows, b: Rows, c: Rows
) -> None:
    states = states_of(operation)
    x, y, z = (state_of(states, content) for content in (a, b, c))
    assert states.encode(states.merge(x, y)) == states.encode(states.merge(y, x))
    left = states.merge(states.merge(x, y), z)
    right = states.merge(x, states.merge(y, z))
    assert states.encode(left) == states.encode(right)
    assert states.encode(left) == states.encode(state_of(states, [*c, *a, *b]))


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=8)
@given(rows, rows)
def test_merging_leaves_both_states_as_they_are(operation: str, a: Rows, b: Rows) -> None:
    states = states_of(operation)
    x, y = state_of(states, a), state_of(states, b)
    before = states.encode(x), states.encode(y)
    merged = states.merge(x, y)
    # A further row in the merged state must not reach into its parts either.
    for time, row in a:
        merged = states.update(merged, row, time)
    assert (states.encode(x), states.encode(y)) == before


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=15)
@given(rows)
def test_decoding_is_the_inverse_of_encoding(operation: str, content: Rows) -> None:
    states = states_of(operation)
    state = state_of(states, content)
    decoded = states.decode(states.encode(state))
    assert plain(states.finish(decoded)) == plain(states.finish(state))
    if operation in EXACT:
        assert states.encode(decoded) == states.encode(state)


@pytest.mark.parametrize("operation", DELETABLE)
@settings(max_examples=15)
@given(rows, rows, st.randoms())
def test_deletes_undo_updates_in_any_order(
    operation: str, kept: Rows, removed: Rows, rng: random.Random
) -> None:
    states = states_of(operation)
    steps = [(states.update, *row) for row in [*kept, *removed]]
    steps += [(states.delete, *row) for row in removed]
    rng.shuffle(steps)
    state = states.empty()
    for step, time, row in steps:
        state = step(state, row, time)
    assert states.encode(state) == states.encode(state_of(states, kept))


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name not in DELETABLE])
@settings(max_examples=10)
@given(rows, rows)
def test_deletes_change_nothing_where_an_operation_cannot_delete(
    operation: str, kept: Rows, removed: Rows
) -> None:
    states = states_of(operation)
    state = state_of(states, kept)
    before = states.encode(state)
    for time, row in removed:
        state = states.delete(state, row, time)
    assert states.encode(state) == before


def add_pairs(left: tuple[float, float], right: tuple[float, float]) -> tuple[float, float]:
    """Return the error-free sum of two pairs (high, low), as Dekker adds them."""

    def two_sum(a: float, b: float) -> tuple[float, float]:
        total = a + b
        part = total - a
        return total, (a - (total - part)) + (b - part)

    high, low = two_sum(left[0], right[0])
    return two_sum(high, low + left[1] + right[1])


def test_float_sums_are_exact_where_pairs_of_floats_are_not() -> None:
    numbers = [1.0, 2.0**-60, 2.0**-120, -1.0, -(2.0**-60)]
    states = RowState([to_part(features_of("SUM")[2])], SCHEMA)
    row = make_row(random.Random(0), 0)
    pairs = set()
    for shift in range(len(numbers)):
        turned = [*numbers[shift:], *numbers[:shift]]
        state = state_of(states, [(0, {**row, "number": number}) for number in turned])
        assert states.finish(state) == {"feature": 2.0**-120}
        pairs.add(sum(reduce(add_pairs, [(number, 0.0) for number in turned])))
    assert pairs == {0.0, 2.0**-120}


def test_states_are_as_small_as_the_table_of_the_manual() -> None:
    rng = random.Random(0)
    sizes = {}
    for operation, limit in [("COUNT", 3), ("SUM", 18), ("AVERAGE", 22), ("MIN", 9), ("LAST", 19)]:
        states = RowState([to_part(features_of(operation)[2])], SCHEMA)
        content = [(1_700_000_000_000 + n, make_row(rng, 0, strange=False)) for n in range(1000)]
        for _, row in content:
            row["number"] = round(rng.gammavariate(2, 50), 2)
        # A byte for the version and one for the list of states.
        sizes[operation] = len(states.encode(state_of(states, content))) - 2
        assert sizes[operation] <= limit, sizes


def test_damaged_and_foreign_bytes_are_refused() -> None:
    encoded = codec.encode([[1, 2, 3], None, b"state"])
    assert codec.decode(encoded) == [[1, 2, 3], None, b"state"]
    for length in range(len(encoded)):
        with pytest.raises(DataError):
            codec.decode(encoded[:length])
    with pytest.raises(DataError, match="version 02"):
        codec.decode(b"\2" + encoded[1:])


@pytest.mark.parametrize("operation", ["VARIANCE", "SKEW", "KURTOSIS"])
def test_moments_of_merged_pieces_are_the_moments_of_all(operation: str) -> None:
    rng = random.Random(1)
    states = RowState([to_part(features_of(operation)[2])], SCHEMA)
    row = make_row(rng, 0)
    content = [(0, {**row, "number": 1e5 + rng.random()}) for _ in range(200)]
    cuts = sorted(rng.sample(range(200), 9))
    pieces = [state_of(states, content[a:b]) for a, b in pairwise([0, *cuts, 200])]
    rng.shuffle(pieces)
    merged = states.empty()
    for piece in pieces:
        merged = states.merge(merged, piece)
    assert states.encode(merged) == states.encode(state_of(states, content))
