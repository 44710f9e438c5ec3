"""Rows that become known later are seen by the queries after that, and reversals take rows back."""

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gigacast.feature_store.aggregation import mutation
from gigacast.feature_store.aggregation.kernel import Queries, Rows
from gigacast.feature_store.aggregation.mutation import aggregate_known
from gigacast.feature_store.aggregation.operation import OPERATIONS, Call
from gigacast.feature_store.aggregation.row_state import Part
from tests.support.features.oracle import DAY, feature_at
from tests.unit.feature_store.aggregation.feature_data import (
    from_arrow,
    make_events,
    make_queries,
    to_part,
    to_queries,
    to_rows,
    with_pairs,
)
from tests.unit.feature_store.aggregation.test_kernel import features_of
from tests.unit.feature_store.aggregation.test_vectors import read


@pytest.mark.parametrize("operation", OPERATIONS)
def test_queries_see_the_rows_that_are_known_before_them(
    operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few pairs at once, so that queries come in many pieces.
    monkeypatch.setattr(mutation, "PAIRS", 50)
    rng = random.Random(operation)
    events = make_events(rng, 80, reversals=0.2)
    known_at = [event.time + rng.choice([-DAY, 0, 1, 3 * DAY]) for event in events]
    queries = make_queries(rng, events, 15)
    features = [replace(f, window_ms=w) for f in features_of(operation) for w in (7 * DAY, None)]
    parts = [replace(to_part(feature), name=str(n)) for n, feature in enumerate(features)]
    table = aggregate_known(to_queries(queries), to_rows(events), np.array(known_at), parts)
    for n, feature in enumerate(features):
        brute = [
            with_pairs(
                feature_at(
                    feature, [e for e, k in zip(events, known_at, strict=True) if k < at], key, at
                )
            )
            for key, at in queries
        ]
        assert from_arrow(table[str(n)]) == brute, feature


@pytest.mark.parametrize(
    "name",
    ["simplest_case", "update_value_case", "decayed_window_case", "no_snapshot_just_mutation"],
)
def test_entities_with_mutations_give_the_vectors_averages(name: str) -> None:
    vector = read(f"mutations_{name}")
    length = 4 * DAY if vector["aggregation"]["windows"] else None
    part = Part("average", "rating", Call("AVERAGE"), length)
    for left, expected in zip(_records(vector["left"]), _records(vector["expected"]), strict=True):
        midnight = left["ts"] // DAY * DAY
        day_before = str(np.datetime64(midnight - DAY, "ms").astype("datetime64[D]"))
        snapshot = [row for row in _records(vector["snapshot"]) if row["ds"] == day_before]
        later = [row for row in _records(vector["mutations"]) if row["mutation_ts"] >= midnight]
        content = [*snapshot, *later]
        rows = Rows(
            [pa.array([row["listing_id"] for row in content], pa.int64())],
            np.array([row["ts"] for row in content], np.int64),
            pa.table({"rating": pa.array([row["rating"] for row in content], pa.int64())}),
            np.array([row.get("is_before", False) for row in content], np.bool_),
        )
        known_at = np.array([row.get("mutation_ts", midnight - 1) for row in content], np.int64)
        query = Queries([pa.array([left["listing_id"]])], np.array([left["ts"]], np.int64))
        table = aggregate_known(query, rows, known_at, [part])
        assert table["average"].to_pylist() == [expected["rating_average"]], left


def _records(table: Any) -> list[dict[str, Any]]:
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
