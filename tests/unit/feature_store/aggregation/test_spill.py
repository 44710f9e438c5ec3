"""Rows beyond memory give the same features, leave no file behind, and keys go to steady groups."""

import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gigacast.errors import DataError
from gigacast.feature_store.aggregation import spill
from gigacast.feature_store.aggregation.kernel import Queries, Rows, aggregate
from gigacast.feature_store.aggregation.operation import OPERATIONS, Call
from gigacast.feature_store.aggregation.row_state import Part
from gigacast.feature_store.aggregation.spill import Columns, Limits, aggregate_batches, group_of
from tests.support.features.oracle import DAY, Feature
from tests.unit.feature_store.aggregation.feature_data import (
    from_arrow,
    make_events,
    make_queries,
    to_part,
    to_queries,
    to_rows,
)
from tests.unit.feature_store.aggregation.test_kernel import features_of

COLUMNS = Columns(("key", "name"), "ts", "reverse")


def make_batches(
    seed: int,
) -> tuple[list[pa.RecordBatch], list[tuple[tuple[int, str], int]], object]:
    rng = random.Random(seed)
    events = make_events(rng, 300, reversals=0.1)
    rows = to_rows(events)
    table = rows.columns
    for name, column in zip(COLUMNS.keys, rows.keys, strict=True):
        table = table.append_column(name, column)
    table = table.append_column("ts", pa.array(rows.times))
    table = table.append_column("reverse", pa.array(rows.reverse))
    return table.to_batches(max_chunksize=40), make_queries(rng, events, 50), rows


@pytest.mark.parametrize("limits", [Limits(1 << 30), Limits(20_000), Limits(1), Limits(1 << 30, 2)])
def test_features_are_the_same_within_any_limit_of_memory(limits: Limits, tmp_path: Path) -> None:
    batches, queries, rows = make_batches(3)
    features = [
        replace(f, window_ms=7 * DAY) for name in OPERATIONS for f in features_of(name)[::4]
    ]
    parts = [replace(to_part(feature), name=str(n)) for n, feature in enumerate(features)]
    expected = aggregate(to_queries(queries), rows, parts)
    limits = replace(limits, folder=tmp_path)
    table = aggregate_batches(to_queries(queries), iter(batches), COLUMNS, parts, limits)
    assert [from_arrow(column) for column in table.columns] == [
        from_arrow(column) for column in expected.columns
    ]
    assert [*tmp_path.iterdir()] == []


def test_features_of_groups_in_memory_are_the_same_and_no_file_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches, queries, rows = make_batches(4)
    features = [f for name in ("SUM", "LAST_K", "UNIQUE_COUNT") for f in features_of(name)]
    parts = [replace(to_part(feature), name=str(n)) for n, feature in enumerate(features)]
    expected = aggregate(to_queries(queries), rows, parts)
    sizes: list[int] = []

    def record(some: Queries, rows: Rows, parts: Sequence[Part]) -> pa.Table:
        sizes.append(len(rows.times))
        return aggregate(some, rows, parts)

    monkeypatch.setattr(spill, "aggregate", record)
    monkeypatch.setattr(spill, "BLOCK", 1 << 10)
    monkeypatch.setattr(spill, "ScratchFolder", None)  # calling it is an error
    table = aggregate_batches(to_queries(queries), iter(batches), COLUMNS, parts)
    assert [from_arrow(column) for column in table.columns] == [
        from_arrow(column) for column in expected.columns
    ]
    assert len(sizes) > 4
    assert sum(sizes) == 300


def test_no_file_is_left_after_an_error(tmp_path: Path) -> None:
    batches, queries, _ = make_batches(3)
    ragged = batches[0].set_column(
        batches[0].schema.get_field_index("vector"),
        "vector",
        pa.array([[0.0] * (n % 4) for n in range(len(batches[0]))], pa.list_(pa.float64())),
    )
    part = to_part(Feature("SUM", "vector", element_wise=True))
    limits = Limits(1, folder=tmp_path)
    with pytest.raises(DataError, match="places"):
        aggregate_batches(to_queries(queries), iter([ragged, *batches]), COLUMNS, [part], limits)
    assert [*tmp_path.iterdir()] == []


KEYS = {
    "double": pa.array([0.0, -0.0, float("nan"), -float("nan"), 1.5, None, float("inf")]),
    "float": pa.array([0.0, -0.0, float("nan"), 0.1, None], pa.float32()),
    "half": pa.array(np.array([0.0, -0.0, 1.5], np.float16)),
    "decimal": pa.array([Decimal("1.10"), Decimal("-1.10"), None], pa.decimal128(20, 2)),
    "short decimal": pa.array([Decimal("1.10"), Decimal("0.00"), None], pa.decimal32(5, 2)),
    "long decimal": pa.array([Decimal("1.10"), Decimal(-1), None], pa.decimal256(50, 2)),
    "day": pa.array([1, None, -5], pa.date32()),
    "moment of a day": pa.array([86_400_000, None], pa.date64()),
    "time": pa.array([1, None, -5], pa.timestamp("ns")),
    "time in a zone": pa.array([1, None, -5], pa.timestamp("us", "UTC")),
    "time of day": pa.array([1, None, 5], pa.time64("us")),
    "short time of day": pa.array([1, None, 5], pa.time32("ms")),
    "duration": pa.array([1, None, 5], pa.duration("s")),
    "boolean": pa.array([True, False, None]),
    "bytes": pa.array([b"", b"\0", b"\0\0", b"ab", None]),
    "bytes of one length": pa.array([b"aa", b"ab", None], pa.binary(2)),
    "nothing": pa.nulls(3),
    "large number": pa.array([2**64 - 1, 2**63, 0, None], pa.uint64()),
    "small number": pa.array([-1, 1, None], pa.int8()),
    "text": pa.array(["", "a", "é", None]),
    "long text": pa.array(["", "a", None], pa.large_string()),
    "coded text": pa.array(["a", "b", None]).dictionary_encode(),
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_every_type_have_the_same_features_from_disk(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = KEYS[kind]
    keys = values.take(pa.array(rng.integers(0, len(values), 300)))
    numbers = rng.integers(0, 9, 300)
    table = pa.table({"key": keys, "other": numbers % 3, "ts": np.arange(300), "x": numbers})
    asked = [values.take(pa.array(rng.integers(0, len(values), 50))), pa.array(numbers[:50] % 4)]
    for width in (1, 2):
        queries = Queries(asked[:width], np.full(50, 5 * DAY))
        columns = Columns(("key", "other")[:width], "ts")
        parts = [Part("sum", "x", Call("SUM"))]
        batches = table.to_batches(max_chunksize=50)
        expected = aggregate_batches(queries, batches, columns, parts, Limits())
        for limits in (Limits(1, folder=tmp_path), Limits(20_000, folder=tmp_path)):
            spilled = aggregate_batches(queries, batches, columns, parts, limits)
            assert spilled.equals(expected)
        totals: dict[str, int] = {}
        columns_of_rows = (table[name].to_pylist() for name in (*columns.keys, "x"))
        for *key, number in zip(*columns_of_rows, strict=True):
            if (text := spell(key)) is not None:
                totals[text] = totals.get(text, 0) + number
        wanted = [spell(key) for key in zip(*(a.to_pylist() for a in queries.keys), strict=True)]
        assert expected["sum"].to_pylist() == [
            None if key is None else totals.get(key) for key in wanted
        ]


def spell(key: Sequence[object]) -> str | None:
    """Return a key as a text: equal keys have equal ones, and one with a null has none."""
    if None in key:
        return None
    return repr([float(v) + 0.0 if isinstance(v, float | np.floating) else v for v in key])


def test_groups_of_keys_are_the_same_for_slices_and_spread_well() -> None:
    texts = pa.array([f"user-{n}" for n in range(20_000)])
    numbers = pa.array(np.arange(20_000))
    for keys in ([texts], [numbers], [numbers, texts]):
        groups = group_of(keys)
        np.testing.assert_array_equal(group_of([key.slice(7, 100) for key in keys]), groups[7:107])
        sizes = np.bincount(groups, minlength=64)
        assert sizes.min() > 200
        assert sizes.max() < 450
