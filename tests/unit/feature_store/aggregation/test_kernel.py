"""The kernel gives the features that loops over the rows of each window give, to the bit."""

import random
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from gigacast.errors import DataError
from gigacast.feature_store.aggregation.kernel import aggregate
from gigacast.feature_store.aggregation.operation import OPERATIONS
from gigacast.feature_store.aggregation.row_state import RowState, plain_values
from tests.support.features.oracle import DAY, HOUR, Event, Feature, feature_at, window_start
from tests.unit.feature_store.aggregation.feature_data import (
    SCHEMA,
    START,
    WINDOWS,
    from_arrow,
    make_events,
    make_queries,
    make_row,
    to_part,
    to_queries,
    to_rows,
    with_pairs,
)

NUMERIC = {"SUM", "AVERAGE", "VARIANCE", "SKEW", "KURTOSIS", "APPROX_PERCENTILE"}
TIMED = {"FIRST", "LAST", "FIRST_K", "LAST_K"}
SIZES = {"FIRST_K": 3, "LAST_K": 3, "TOP_K": 3, "BOTTOM_K": 2, "APPROX_HISTOGRAM_K": 3}
LEVELS = (0.0, 0.25, 0.5, 0.9, 1.0)


def features_of(operation: str) -> list[Feature]:
    """Return an operation over every kind of column that it takes, and every container."""
    base = Feature(operation, "number", SIZES.get(operation), percentiles=LEVELS)
    numbers = ["whole", "narrow", "number", "single", "numbers", "table"]
    other_events = [] if operation in NUMERIC else ["text", "flag", "raw", "texts"]
    features = [replace(base, column=column) for column in numbers + other_events]
    features += [replace(base, column=column, bucket="bucket") for column in ("number", "numbers")]
    features.append(replace(base, column="vector", element_wise=True))
    if operation in {"HISTOGRAM", "BOUNDED_UNIQUE_COUNT"}:
        features.append(replace(base, k=2))
    return features


def check(features: list[Feature], events: list[Event], rng: random.Random) -> None:
    queries = make_queries(rng, events, 40)
    for feature in features:
        windowed = [replace(feature, window_ms=window) for window in WINDOWS]
        parts = [replace(to_part(f), name=str(n)) for n, f in enumerate(windowed)]
        table = aggregate(to_queries(queries), to_rows(events), parts)
        for n, expected in enumerate(windowed):
            brute = [with_pairs(feature_at(expected, events, key, at)) for key, at in queries]
            assert from_arrow(table[str(n)]) == brute, expected


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_equals_brute_force(operation: str) -> None:
    rng = random.Random(operation)
    check(features_of(operation), make_events(rng, 160), rng)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_reversals_subtract_where_the_operation_can_and_are_ignored_elsewhere(
    operation: str,
) -> None:
    rng = random.Random(operation)
    check(features_of(operation), make_events(rng, 160, reversals=0.3), rng)


@pytest.mark.parametrize("strange", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_leaves_nothing_behind_when_it_is_reversed(strange: float) -> None:
    rng = random.Random(0)
    plain = [event for event in make_events(rng, 40, strange=False) if event.row["number"]]
    gone = replace(plain[7], row={**plain[7].row, "number": strange})
    more = [*plain, gone, replace(gone, reverse=True)]
    parts = [
        replace(to_part(Feature(operation, "number")), name=operation)
        for operation in ("SUM", "AVERAGE")
    ]
    queries = to_queries([(event.key, event.time + 1) for event in plain])
    assert aggregate(queries, to_rows(more), parts) == aggregate(queries, to_rows(plain), parts)


@pytest.mark.parametrize("operation", [name for name, kind in OPERATIONS.items() if kind.exact])
def test_states_merged_in_any_order_equal_brute_force(operation: str) -> None:
    rng = random.Random(operation)
    events = make_events(rng, 120, reversals=0.2)
    columns = to_rows(events).columns
    rows = [
        dict(zip(SCHEMA.names, values, strict=True))
        for values in zip(*(plain_values(columns[name]) for name in SCHEMA.names), strict=True)
    ]
    for feature in features_of(operation):
        windowed = replace(feature, window_ms=7 * DAY)
        states = RowState([to_part(windowed)], SCHEMA)
        for key, at in make_queries(rng, events, 12):
            start = window_start(windowed.window_ms, at)
            visible = [n for n, e in enumerate(events) if e.key == key and start <= e.time < at]
            rng.shuffle(visible)
            if any(part is None for part in key):
                continue
            merged = states.empty()
            for tile in (visible[:5], visible[5:9], visible[9:]):
                state = states.empty()
                for n in tile:
                    step = states.delete if events[n].reverse else states.update
                    state = step(state, rows[n], events[n].time)
                merged = states.merge(states.decode(states.encode(state)), merged)
            brute = with_pairs(feature_at(windowed, events, key, at))
            assert with_pairs(states.finish(merged)["feature"]) == brute, feature


def test_answers_do_not_change_when_other_rows_come_or_rows_change_places() -> None:
    rng = random.Random(5)
    events = make_events(rng, 200)
    queries = [(key, min(at, START + 30 * DAY)) for key, at in make_queries(rng, events, 50)]
    later = [replace(event, time=event.time + 31 * DAY) for event in make_events(rng, 100)]
    other_events = [
        Event((77, "n77"), event.time, make_row(rng, 77)) for event in make_events(rng, 100)
    ]
    mixed = [*events, *later, *other_events]
    rng.shuffle(mixed)
    for operation in OPERATIONS:
        parts = [
            replace(to_part(replace(f, window_ms=7 * DAY)), name=str(n))
            for n, f in enumerate(features_of(operation))
        ]
        before = aggregate(to_queries(queries), to_rows(events), parts)
        after = aggregate(to_queries(queries), to_rows(mixed), parts)
        assert all(
            from_arrow(before[name]) == from_arrow(after[name]) for name in before.column_names
        )


def test_a_window_begins_on_its_hop_and_ends_before_the_query() -> None:
    at = START + 30 * DAY + 7 * 60_000
    times = [at, at - 1, at - HOUR, at - HOUR - 2 * 60_000, at - HOUR - 2 * 60_000 - 1]
    rows = to_rows(
        [Event((1, "n1"), time, make_events(random.Random(0), 1)[0].row) for time in times]
    )
    rows = replace(rows, columns=pa.table({"one": np.ones(len(times), np.int64)}))
    part = to_part(Feature("SUM", "one", window_ms=HOUR))
    table = aggregate(to_queries([((1, "n1"), at)]), rows, [part])
    # Of the five the one at the query is outside, and the one before the hop's edge.
    assert table["feature"].to_pylist() == [3]


def test_no_rows_and_no_queries_give_nulls_and_no_rows() -> None:
    events = make_events(random.Random(1), 20)
    for operation in OPERATIONS:
        parts = [replace(to_part(f), name=str(n)) for n, f in enumerate(features_of(operation))]
        nothing = aggregate(to_queries([((1, "n1"), START)]), to_rows([]), parts)
        assert all(nothing[name].to_pylist() == [None] for name in nothing.column_names)
        assert aggregate(to_queries([]), to_rows(events), parts).num_rows == 0


def test_lists_of_a_key_that_differ_in_length_are_refused_at_whatever_times_they_come() -> None:
    rng = random.Random(20)
    vector = Feature("SUM", "vector", element_wise=True)

    def lists(*rows: tuple[int, int, int]) -> list[Event]:
        """Return events of a key and an hour with a list of a length."""
        return [
            Event((key,), START + hour * HOUR, {**make_row(rng, 0), "vector": [1.0] * length})
            for key, hour, length in rows
        ]

    first, second = (make_events(rng, 1)[0].key for _ in range(2))
    assert first != second
    keys = {0: first, 1: second}
    apart = [
        replace(event, key=keys[event.key[0]]) for event in lists((0, 1, 2), (1, 1, 3), (1, 2, 3))
    ]
    check([vector], apart, rng)
    differ = [replace(event, key=first) for event in lists((0, 1, 2), (0, 5, 3))]
    with pytest.raises(DataError, match="lists of 2 and 3 places"):
        aggregate(to_queries([(first, START + 9 * HOUR)]), to_rows(differ), [to_part(vector)])
