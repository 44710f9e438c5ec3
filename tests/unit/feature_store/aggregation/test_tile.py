"""Tiles of days together with the rows after them give the bits of all rows."""

import random
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.feature_store.aggregation.kernel import Queries, Rows, aggregate
from gigacast.feature_store.aggregation.operation import OPERATIONS, Call
from gigacast.feature_store.aggregation.row_state import Part
from gigacast.feature_store.aggregation.tile import (
    aggregate_tiles,
    from_table,
    make_tile,
    tile_schema,
    to_table,
)
from tests.support.features.oracle import DAY, HOUR, Event
from tests.unit.feature_store.aggregation.feature_data import (
    START,
    from_arrow,
    make_events,
    make_queries,
    to_part,
    to_queries,
    to_rows,
)
from tests.unit.feature_store.aggregation.test_kernel import features_of

UNTIL = START + 20 * DAY


def stored(tile: Rows) -> Rows:
    """Return a tile after a way through a file."""
    sink = pa.BufferOutputStream()
    pq.write_table(to_table(tile), sink)
    return from_table(pq.read_table(pa.BufferReader(sink.getvalue())))


def crowded(rng: random.Random, events: list[Event]) -> list[Event]:
    """Return events of which many share five minutes of a key."""
    return [replace(e, time=e.time // DAY * DAY + rng.randint(0, 20) * 30_000) for e in events]


@pytest.mark.parametrize("reversals", [0.0, 0.3])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_tiles_and_later_rows_give_the_bits_of_all_rows(operation: str, reversals: float) -> None:
    rng = random.Random(operation)
    events = crowded(rng, make_events(rng, 300, reversals=reversals))
    queries = [(k, max(at, UNTIL)) for k, at in make_queries(rng, events, 40)]
    parts = [
        replace(to_part(replace(f, window_ms=window)), name=f"{n}:{window}")
        for n, f in enumerate(features_of(operation))
        for window in (7 * DAY, 13 * HOUR, None)
    ]
    early = [event for event in events if event.time < UNTIL]
    late = [event for event in events if event.time >= UNTIL]
    # Late rows of an early partition: the second tile holds some from after its end.
    cut = len(early) // 2
    tiles = [
        stored(make_tile(to_rows(content), parts, UNTIL))
        for content in (early[:cut], early[cut:] + late[:9])
    ]
    expected = aggregate(to_queries(queries), to_rows(events), parts)
    table = aggregate_tiles(to_queries(queries), tiles, to_rows(late[9:]), parts)
    for name in expected.column_names:
        assert from_arrow(table[name]) == from_arrow(expected[name]), name


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_columns_of_a_tile_are_known_before_it_is_made(operation: str) -> None:
    rng = random.Random(operation)
    rows = to_rows(crowded(rng, make_events(rng, 60, reversals=0.1)))
    keys = pa.schema([(f"key {n}", key.type) for n, key in enumerate(rows.keys)])
    for feature in features_of(operation):
        parts = [to_part(feature)]
        schema = to_table(make_tile(rows, parts, UNTIL)).schema
        expected = tile_schema(keys, parts, rows.columns.schema)
        assert {field.name: field.type for field in schema} == {
            field.name: field.type for field in expected
        }
        assert expected.names[: len(rows.keys) + 2] == schema.names[: len(rows.keys) + 2]


def test_a_tile_of_crowded_keys_is_much_smaller_than_its_rows() -> None:
    rng = np.random.default_rng(0)
    count = 20_000
    rows = Rows(
        [pa.array(rng.integers(0, 3, count))],
        START + rng.integers(0, 12, count) * 300_000 + rng.integers(0, 300_000, count),
        pa.table({"price": np.round(rng.gamma(2, 50, count), 2)}),
    )
    calls = [Call("SUM"), Call("COUNT"), Call("MAX"), Call("LAST_K", 5), Call("TOP_K", 5)]
    parts = [Part(call.name, "price", call, DAY) for call in calls]
    tile = make_tile(rows, parts, START + DAY)
    assert len(tile.times) < count / 20


@pytest.mark.parametrize("bits", [52, 53, 54, 62])
def test_sums_of_long_integers_are_exact(bits: int) -> None:
    values = [(1 << bits) + 1, -((1 << bits) - 1), (1 << bits) + 3, 5]
    rows = Rows(
        [pa.array([0, 1, 2, 2])],
        np.full(4, START) + np.array([0, 0, 0, 3]) * HOUR,
        pa.table({"whole": pa.array(values, pa.int64())}),
    )
    parts = [Part("sum", "whole", Call("SUM"), None)]
    queries = Queries([pa.array([0, 1, 2])], np.full(3, UNTIL))
    none = Rows([pa.array([], pa.int64())], np.zeros(0, np.int64), rows.columns.slice(0, 0))
    table = aggregate_tiles(queries, [stored(make_tile(rows, parts, UNTIL))], none, parts)
    assert table["sum"].to_pylist() == [*values[:2], values[2] + values[3]]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_beyond_all_floats_comes_back_with_later_rows(sign: int) -> None:
    def rows_at(time: int, *values: float) -> Rows:
        numbers = pa.array([sign * value for value in values], pa.float64())
        keys = [pa.array([0] * len(values))]
        return Rows(keys, np.full(len(values), time), pa.table({"number": numbers}))

    parts = [Part("sum", "number", Call("SUM"), None)]
    queries = Queries([pa.array([0])], np.array([UNTIL + DAY]))
    tile = stored(make_tile(rows_at(START, 1.7e308, 1.6e308, 1.5e308), parts, UNTIL))
    later = rows_at(UNTIL + 1, -1.7e308, -1.6e308)
    (answer,) = aggregate_tiles(queries, [tile], later, parts)["sum"].to_pylist()
    assert answer == sign * 1.5e308


def test_means_of_long_integers_are_exact() -> None:
    values = [(1 << 53) + 1, (1 << 53) + 1, -(1 << 54) + 4]
    rows = Rows(
        [pa.array([0, 0, 0])],
        START + np.arange(3) * HOUR,
        pa.table({"whole": pa.array(values, pa.int64())}),
    )
    parts = [Part("mean", "whole", Call("AVERAGE"), None)]
    queries = Queries([pa.array([0])], np.array([UNTIL]))
    none = Rows([pa.array([], pa.int64())], np.zeros(0, np.int64), rows.columns.slice(0, 0))
    table = aggregate_tiles(queries, [stored(make_tile(rows, parts, UNTIL))], none, parts)
    assert table["mean"].to_pylist() == [2.0]
