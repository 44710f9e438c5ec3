"""What every engine of the feature store does: the local one, and Spark where it is installed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from gigacast.errors import ConfigError, DataError, GigacastError, SchemaError
from gigacast.feature_store.aggregation.kernel import Queries
from gigacast.feature_store.aggregation.operation import Call
from gigacast.feature_store.aggregation.row_state import Part
from gigacast.feature_store.aggregation.spill import Limits
from gigacast.feature_store.engine.engine import (
    END_OF_DAY,
    REVERSE,
    TIME,
    DaySpan,
    Engine,
    Partition,
    Scan,
)
from gigacast.feature_store.engine.local import LocalEngine
from gigacast.feature_store.engine.tile_store import TileStore
from gigacast.storage.store import Store
from tests.support.features.engines import DAY, FIRST, HOUR, make, read
from tests.support.features.spark import needs_spark

pytestmark = pytest.mark.timeout(900)  # Java starts with the first test


def test_rows_come_in_the_order_of_the_files_with_the_columns_of_the_selects(
    engine: Engine, store: Store
) -> None:
    many = pa.table({"user": [3, 1, 2], "price": [1.5, None, -2.5], "at": [5, 6, 7]})
    more = pa.table({"user": [9, 8, 7], "price": [0.5, 4.0, 1.0], "at": [8, 9, 10]})
    reading = read(
        store,
        *(many, more),
        columns={"user": "user", "double": "price * 2", "big": "IF(price > 1, 'y', 'n')"},
        times={TIME: "at"},
        wheres=("user <> 8", "at < 10"),
    )
    rows = engine.rows(reading)
    assert rows.to_pydict() == {
        "user": [3, 1, 2, 9],
        "double": [3.0, None, -5.0, 1.0],
        "big": ["y", "n", "n", "n"],
        TIME: [5, 6, 7, 8],
    }
    assert rows.schema.remove_metadata() == engine.schema(reading)
    assert rows.schema.field("user").type == pa.int64()


def test_all_columns_keep_their_values_and_the_day_of_their_folder(
    engine: Engine, store: Store
) -> None:
    table = pa.table(
        {
            "small": pa.array([1, None], pa.int8()),
            "large": pa.array([2**63, 5], pa.uint64()),
            "half": pa.array([0.1, None], pa.float32()),
            "text": pa.array(["a`b\n", None], pa.large_string()),
            "day": pa.array([19000, None], pa.date32()),
            "moment": pa.array([1_700_000_000_123, None], pa.timestamp("ms")),
            "cents": pa.array([125, None]).cast(pa.decimal128(20, 0)).cast(pa.decimal128(22, 2)),
            "list": pa.array([[1, None], None], pa.list_(pa.int64())),
            "map": pa.array([[("k", 1.5)], None], pa.map_(pa.string(), pa.float64())),
        }
    )
    rows = engine.rows(read(store, table))
    for name in table.column_names:
        assert rows[name].to_pylist() == table[name].to_pylist(), name
    assert rows["ds"].to_pylist() == ["2024-01-01"] * 2
    for name in set(table.column_names) - {"text", "list", "map"}:
        assert rows.schema.field(name).type == table.schema.field(name).type, name


def test_text_files_are_read_as_tables(engine: Engine, store: Store) -> None:
    table = pa.table({"user": [1, 2], "price": [1.25, 2.5], "name": ["x", "y"]})
    reading = read(store, table, file="csv")
    assert engine.rows(reading).select(table.column_names).to_pydict() == table.to_pydict()


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("moment", [FIRST + 1500, None]),
        ("CAST(moment AS DATE)", [FIRST, None]),
        ("millis", [FIRST + 7, FIRST + 8]),
        (END_OF_DAY, [FIRST + DAY - 1] * 2),
    ],
)
def test_times_are_milliseconds_whatever_they_were(
    engine: Engine, store: Store, at: str, expected: list[int | None]
) -> None:
    moments = pa.array([(FIRST + 1500) * 1000, None], pa.timestamp("us"))
    table = pa.table({"moment": moments, "millis": [FIRST + 7.0, FIRST + 8.0]})
    reading = read(store, table, columns={"millis": "millis"}, times={TIME: at})
    assert engine.rows(reading)[TIME].to_pylist() == expected
    assert engine.schema(reading).field(TIME).type == pa.int64()


def test_rows_of_files_outside_folders_are_those_of_the_days(engine: Engine, store: Store) -> None:
    table = pa.table({"user": [1, 2, 3], "at": [FIRST - 1, FIRST, FIRST + DAY]})
    reading = read(store, table, columns={"user": "user"}, times={TIME: "at"})
    within = replace(reading, days=DaySpan("2024-01-01", "2024-01-01"), partition_column="none")
    assert engine.rows(within)["user"].to_pylist() == [2]


def test_a_division_by_zero_is_null(engine: Engine, store: Store) -> None:
    reading = read(store, pa.table({"a": [1.0, 2.0], "b": [0.0, 4.0]}), columns={"q": "a / b"})
    assert engine.rows(reading)["q"].to_pylist() == [None, 0.5]


def test_a_function_of_one_query_is_not_seen_by_another(kind: str, store: Store) -> None:
    setups = {
        "local": "CREATE FUNCTION twice(x) AS x * 2",
        "spark": "CREATE TEMPORARY FUNCTION twice(x DOUBLE) RETURNS DOUBLE RETURN x * 2",
    }
    engine = make(kind)
    reading = read(store, pa.table({"a": [1.0, 2.5]}), columns={"b": "twice(a)"})
    with_function = replace(reading, setups=(setups[kind],))
    assert engine.rows(with_function)["b"].to_pylist() == [2.0, 5.0]
    with pytest.raises(ConfigError, match=r"(?i)twice"):
        engine.rows(reading)


def test_faults_of_sql_name_the_definition_and_the_columns(engine: Engine, store: Store) -> None:
    table = pa.table({"user": [1], "name": ["x"]})
    with pytest.raises(ConfigError, match=r"group-by team\.rows.*no column price") as caught:
        engine.rows(read(store, table, columns={"price": "price"}))
    assert "user" in str(caught.value.hint)
    with pytest.raises(ConfigError, match=r"group-by team\.rows"):
        engine.rows(read(store, table, columns={"price": "no_function(user)"}))
    with pytest.raises(ConfigError, match="expected one SQL expression"):
        engine.rows(read(store, table, columns={"price": "1 FROM other"}))


def test_files_of_different_types_are_refused(engine: Engine, store: Store) -> None:
    reading = read(store, pa.table({"a": [1]}), pa.table({"a": ["x"]}), columns={"a": "a"})
    with pytest.raises(SchemaError, match="other columns or types than files before"):
        engine.rows(reading)


def test_a_file_that_changed_after_it_was_listed_is_refused(engine: Engine, store: Store) -> None:
    reading = read(store, pa.table({"a": [1]}), columns={"a": "a"})
    read(store, pa.table({"a": [1, 2, 3]}))
    with pytest.raises(GigacastError):
        engine.rows(reading)


PARTS = (
    Part("n", "price", Call("COUNT"), DAY),
    Part("sum", "price", Call("SUM"), DAY),
    Part("whole", "amount", Call("SUM"), 3 * HOUR),
    Part("mean", "amount", Call("AVERAGE"), None),
    Part("top", "price", Call("TOP_K", 3), 2 * DAY),
    Part("last", "name", Call("LAST_K", 2), DAY),
    Part("first", "name", Call("FIRST"), None),
    Part("spread", "price", Call("VARIANCE"), 30 * DAY),
    Part("kinds", "name", Call("HISTOGRAM"), None),
    Part("by", "price", Call("SUM"), None, "name"),
    Part("different", "amount", Call("UNIQUE_COUNT"), DAY),
)


def events(count: int, day: int, seed: int) -> pa.Table:
    """Return rows of a day: a hot key, null keys and values, and sums that depend on order."""
    random = np.random.default_rng(seed)
    users = np.where(random.random(count) < 0.5, 0, random.integers(0, 30, count))
    prices = random.normal(size=count) * 10.0 ** random.integers(-9, 9, count)
    times = FIRST + day * DAY + np.sort(random.integers(0, DAY, count))
    return pa.table(
        {
            "user": pa.array(users, mask=random.random(count) < 0.05),
            "price": pa.array(prices, mask=random.random(count) < 0.1),
            "amount": random.integers(-(2**40), 2**40, count),
            "name": random.choice(["a", "b", "ü"], count),
            "at": pa.array(times, mask=random.random(count) < 0.02),
            "back": random.random(count) < 0.1,
        }
    )


def scan_of(engine: Engine, store: Store, *, with_ended: bool = True) -> Scan:
    columns = {name: name for name in ("user", "price", "amount", "name")} | {REVERSE: "back"}
    days = [events(400, day, day) for day in range(3)]
    reading = read(store, *days, columns=columns, times={TIME: "at"})
    ended = tuple(
        Partition(replace(reading, files=(file,)), f"tiles/{n}.parquet", FIRST + (n + 1) * DAY)
        for n, file in enumerate(reading.files[:2])
    )
    last = replace(reading, files=reading.files[2:])
    schema = engine.schema(reading)
    if not with_ended:
        return Scan(("user",), schema, (), (reading,))
    return Scan(("user",), schema, ended, (last,))


def ask(count: int = 200) -> Queries:
    random = np.random.default_rng(7)
    users = pa.array(random.integers(0, 35, count), mask=random.random(count) < 0.05)
    return Queries([users], FIRST + 2 * DAY + random.integers(0, DAY, count))


def bits(table: pa.Table) -> list[Any]:
    """Return values that are equal only if all bits are."""
    return [repr(row) for row in table.to_pylist()]


@pytest.mark.parametrize("tiles", ["none", "kept"])
def test_features_have_the_bits_of_the_local_engine_over_all_rows(
    kind: str, store: Store, tiles: str
) -> None:
    expected_engine = LocalEngine(Limits())
    plain = scan_of(expected_engine, store, with_ended=False)
    expected = expected_engine.aggregate(ask(), plain, PARTS)
    kept = TileStore(store) if tiles == "kept" else None
    engine = make(kind, kept)
    scan = scan_of(engine, store)
    if kept is not None:
        engine.make_tile(scan.ended[0], scan, PARTS)
        assert kept.has(scan.ended[0].key)
    features = engine.aggregate(ask(), scan, PARTS)
    assert features.schema == expected.schema
    assert bits(features) == bits(expected)
    assert features["n"].null_count < features.num_rows


@needs_spark
def test_a_tile_of_one_engine_answers_in_the_other(store: Store) -> None:
    local, spark = make("local", TileStore(store, 0)), make("spark", TileStore(store, 0))
    scan = scan_of(local, store)
    spark.make_tile(scan.ended[0], scan, PARTS)
    local.make_tile(scan.ended[1], scan, PARTS)
    before = {meta.key: meta.etag for page in store.list("tiles/") for meta in page}
    assert len(before) == 2
    assert bits(local.aggregate(ask(), scan, PARTS)) == bits(spark.aggregate(ask(), scan, PARTS))
    assert {meta.key: meta.etag for page in store.list("tiles/") for meta in page} == before


def test_no_queries_give_no_rows_of_the_same_types(engine: Engine, store: Store) -> None:
    scan = scan_of(engine, store)
    features = engine.aggregate(ask(0), scan, PARTS)
    assert features.num_rows == 0
    assert features.schema == engine.aggregate(ask(3), scan, PARTS).schema


def test_keys_of_rows_come_once(engine: Engine, store: Store) -> None:
    scan = scan_of(engine, store)
    expected: set[int | None] = set()
    for day in range(3):
        expected |= set(events(400, day, day)["user"].to_pylist())
    keys = engine.keys(scan, PARTS)["user"].to_pylist()
    assert len(keys) == len(set(keys))
    assert set(keys) - {None} == expected - {None}


def test_a_sum_that_does_not_fit_names_the_fault(engine: Engine, store: Store) -> None:
    table = pa.table({"user": [1, 1], "amount": [2**62, 2**62], "at": [FIRST, FIRST]})
    reading = read(store, table, columns={"user": "user", "amount": "amount"}, times={TIME: "at"})
    scan = Scan(("user",), engine.schema(reading), (), (reading,))
    queries = Queries([pa.array([1])], np.array([FIRST + DAY]))
    with pytest.raises(DataError, match="64 bits"):
        engine.aggregate(queries, scan, [Part("sum", "amount", Call("SUM"))])


def test_a_join_takes_the_last_row_of_a_key(engine: Engine) -> None:
    left = pa.table({"user": [1, None, 2, 1]})
    right = pa.table({"id": [1, 1, None, 3], "city": ["x", "y", "z", "w"]})
    joined = engine.join(left, right, [("user", "id")])
    assert joined.to_pydict() == {"city": ["y", None, None, "y"]}


def test_derivations_come_in_the_order_of_the_rows(engine: Engine) -> None:
    rows = pa.table(
        {"a": [4.0, 1.0, None, 9.0], "k": [[("x", 1)], None, [], [("y", 2)]], "b": [1, 2, 3, 0]},
        schema=pa.schema(
            [("a", pa.float64()), ("k", pa.map_(pa.string(), pa.int64())), ("b", pa.int64())]
        ),
    )
    projected = engine.project(rows, {"k": "k", "ratio": "a / b", "c": "b + 1"}, "join team.x")
    assert projected["k"].to_pylist() == rows["k"].to_pylist()
    assert projected["ratio"].to_pylist() == [4.0, 0.5, None, None]
    assert projected["c"].to_pylist() == [2, 3, 4, 1]
    with pytest.raises(ConfigError, match=r"join team\.x"):
        engine.project(rows, {"d": "missing + 1"}, "join team.x")
