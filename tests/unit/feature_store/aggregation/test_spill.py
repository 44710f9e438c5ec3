"""Rows beyond memory give the same features, leave no file behind, and keys go to steady groups."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gigacast.errors import DataError
from gigacast.feature_store.aggregation.kernel import aggregate
from gigacast.feature_store.aggregation.operation import OPERATIONS
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


def test_groups_of_keys_are_the_same_for_slices_and_spread_well() -> None:
    texts = pa.array([f"user-{n}" for n in range(20_000)])
    numbers = pa.array(np.arange(20_000))
    for keys in ([texts], [numbers], [numbers, texts]):
        groups = group_of(keys)
        np.testing.assert_array_equal(group_of([key.slice(7, 100) for key in keys]), groups[7:107])
        sizes = np.bincount(groups, minlength=64)
        assert sizes.min() > 200
        assert sizes.max() < 450
