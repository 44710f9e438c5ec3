"""Features of a join against a slow oracle, and that nothing after a row's time changes it."""

import math
import random
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.feature_store import (
    Accuracy,
    Aggregation,
    EntitySource,
    EventSource,
    GroupBy,
    Join,
    JoinPart,
    Operation,
    Query,
    Source,
    select,
)
from tests.support.features.lake import Lake
from tests.support.features.oracle import DAY, HOUR, Event, Feature, feature_at

FIRST = 19_723 * DAY  # 2024-01-01
DAYS = 5
AGGREGATIONS = [
    (Operation.SUM, None),
    (Operation.COUNT, 1),
    (Operation.AVERAGE, 3),
    (Operation.LAST_K(3), 2),
    (Operation.MAX, 1),
    (Operation.UNIQUE_COUNT, 3),
]


def day_of(time: int) -> str:
    return (date(1970, 1, 1) + timedelta(milliseconds=time)).isoformat()


def make_events(seed: int, count: int) -> list[dict[str, Any]]:
    """Return events with ties, nulls, boundary times, and partitions that are a day late."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        time = FIRST + rng.randrange(DAYS * DAY)
        time = rng.choice([time, time // HOUR * HOUR, time // DAY * DAY])
        late = rng.random() < 0.1
        rows.append(
            {
                "user": rng.choice([1, 2, 3, None]),
                "value": rng.choice([None, 1.5, -2.25, 0.1, 7.0]),
                "ts": time,
                "ds": day_of(time + (DAY if late else 0)),
            }
        )
    return rows


def make_left(seed: int, count: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        time = FIRST + DAY + rng.randrange((DAYS - 1) * DAY)
        time = rng.choice([time, time // HOUR * HOUR, time // DAY * DAY])
        rows.append({"customer": rng.choice([1, 2, 3, 4, None]), "ts": time, "ds": day_of(time)})
    return rows


def group_by(name: str, accuracy: Accuracy) -> GroupBy:
    return GroupBy(
        name=name,
        sources=[
            EventSource(
                table="data.events",
                query=Query(selects=select("user", "value"), time_column="ts"),
            )
        ],
        keys=["user"],
        accuracy=accuracy,
        aggregations=[
            Aggregation(input_column="value", operation=op, windows=(days and [f"{days}d"]) or None)
            for op, days in AGGREGATIONS
        ],
    )


def make_join(*, is_events: bool = True) -> Join:
    parts = [group_by("now", Accuracy.TEMPORAL), group_by("midnight", Accuracy.SNAPSHOT)]
    query = Query(selects=select("customer"), time_column="ts" if is_events else None)
    left = (
        Source(events=EventSource(table="data.left", query=query))
        if is_events
        else Source(entities=EntitySource(snapshotTable="data.left", query=query))
    )
    return Join(
        name="pit",
        left=left,
        right_parts=[
            JoinPart(group_by=part, key_mapping={"customer": "user"}, prefix="p") for part in parts
        ],
    )


def feature_of(operation: Operation, days: int | None) -> Feature:
    return Feature(
        operation.name, "value", k=operation.k, window_ms=None if days is None else days * DAY
    )


def expected(
    left: dict[str, Any], events: list[dict[str, Any]], last: int, *, is_events: bool = True
) -> dict[str, Any]:
    """Return the features of a row: what is visible by partition and in the window by time."""
    midnight = left["ts"] // DAY * DAY
    day = (date.fromisoformat(left["ds"]) - date(1970, 1, 1)).days * DAY
    sight = {"now": (left["ts"], day_of(last)), "midnight": (midnight, day_of(midnight - DAY))}
    if not is_events:
        sight = dict.fromkeys(sight, (day + DAY, left["ds"]))
    names = {Operation.LAST_K(3): "last3"}
    values = {}
    for part, (at, limit) in sight.items():
        visible = [Event((row["user"],), row["ts"], row) for row in events if row["ds"] <= limit]
        for operation, days in AGGREGATIONS:
            name = names.get(operation, operation.name.lower())
            column = f"p_{part}_value_{name}" + (f"_{days}d" if days else "")
            key = (left["customer"],)
            values[column] = feature_at(feature_of(operation, days), visible, key, at)
    return values


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-15, abs_tol=1e-300)
    return bool(left == right)


@pytest.mark.parametrize("is_events", [True, False])
def test_every_feature_is_that_of_the_oracle(tmp_path: Path, is_events: bool) -> None:
    lake = Lake(tmp_path)
    events, left = make_events(1, 400), make_left(2, 60)
    lake.put("data.events", events)
    lake.put("data.left", left)
    join = make_join(is_events=is_events)
    lake.backfill(join)
    rows = lake.read(join)
    # Rows keep their order within a day.
    written = sorted(left, key=lambda row: row["ds"])
    assert len(rows) == len(left)
    compared = 0
    for row, written_row in zip(rows, written, strict=True):
        last = max(other["ts"] for other in left if other["ds"] == written_row["ds"])
        for column, value in expected(written_row, events, last, is_events=is_events).items():
            assert same(row[column], value), (column, written_row, row[column], value)
            compared += value is not None
    assert compared > 200


@settings(max_examples=4, deadline=None)
@given(
    seed=st.integers(0, 1000),
    at=st.integers(0, DAYS * 24 - 1),
    more=st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 2 * DAY), st.integers(0, 2)),
        min_size=1,
        max_size=20,
    ),
)
def test_nothing_after_the_time_of_a_row_changes_it(
    seed: int, at: int, more: list[tuple[int, int, int]]
) -> None:
    moment = FIRST + at * HOUR
    join = make_join()
    with TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        lake.put("data.events", make_events(seed, 60))
        lake.put("data.left", make_left(seed + 1, 20))
        lake.backfill(join)
        before = [row for row in lake.read(join) if row["ts"] <= moment]
        # Later events, in partitions of any day, also of days before.
        later = [
            {"user": user, "value": 1e6, "ts": moment + ms, "ds": day_of(moment - days * DAY)}
            for user, ms, days in more
        ]
        lake.put("data.events", later, part=1)
        lake.backfill(join)
        after = [row for row in lake.read(join) if row["ts"] <= moment]
    assert after == before


ALL_OPERATIONS = [
    *(Operation.SUM, Operation.COUNT, Operation.AVERAGE, Operation.MIN, Operation.MAX),
    *(Operation.VARIANCE, Operation.SKEW, Operation.KURTOSIS, Operation.FIRST, Operation.LAST),
    *(Operation.FIRST_K(2), Operation.LAST_K(2), Operation.TOP_K(2), Operation.BOTTOM_K(2)),
    *(Operation.UNIQUE_COUNT, Operation.HISTOGRAM, Operation.APPROX_PERCENTILE([0.5])),
]
PARTS = st.lists(
    st.tuples(
        st.sampled_from(ALL_OPERATIONS),
        st.sampled_from([None, "1h", "6h", "1d", "3d", "13d"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda part: (str(part[0]), part[2]),
)


def any_group_by(parts: list[Any], accuracy: Accuracy, *, mutations: bool) -> GroupBy:
    """Return a group-by of events, or of entities with mutations."""
    # Features up to midnight have no windows of hours.
    has_hours = accuracy == Accuracy.TEMPORAL
    aggregations = [
        Aggregation(
            input_column="text" if operation.name == "HISTOGRAM" else "value",
            operation=operation,
            windows=window and [window if has_hours or window.endswith("d") else "2d"],
            buckets=["kind"] if bucketed else None,
        )
        for operation, window, bucketed in parts
    ]
    columns = select("user", "value", "kind", "text")
    if mutations:
        query = Query(
            selects=columns,
            time_column="ts",
            mutation_time_column="mutation_ts",
            reversal_column="is_before",
        )
        source = Source(
            entities=EntitySource(
                snapshotTable="data.snapshots", mutationTable="data.mutations", query=query
            )
        )
    else:
        query = Query(selects=columns, time_column="ts")
        source = Source(events=EventSource(table="data.events", query=query))
    return GroupBy(
        name="any", sources=[source], keys=["user"], accuracy=accuracy, aggregations=aggregations
    )


def described(rows: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {**row, "kind": rng.choice(["a", "b", None]), "text": rng.choice(["x", "y"])}
        for row in rows
    ]


@settings(max_examples=5, deadline=None)
@given(
    parts=PARTS,
    accuracy=st.sampled_from(Accuracy),
    mutations=st.booleans(),
    seed=st.integers(0, 1000),
    at=st.integers(0, DAYS * 24 - 1),
)
def test_nothing_after_the_time_of_a_row_changes_it_whatever_the_definition(
    parts: list[Any], accuracy: Accuracy, mutations: bool, seed: int, at: int
) -> None:
    moment = FIRST + at * HOUR
    part = any_group_by(parts, accuracy, mutations=mutations)
    query = Query(selects=select(user="customer"), time_column="ts")
    left = Source(events=EventSource(table="data.left", query=query))
    join = Join(name="pit", left=left, right_parts=[JoinPart(group_by=part)])
    events = described(make_events(seed, 60), seed)
    with TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        lake.put("data.events", events)
        lake.put("data.snapshots", events)
        lake.put("data.mutations", [mutation_of(event, seed) for event in events])
        lake.put("data.left", make_left(seed + 1, 20))
        lake.backfill(join)
        before = [row for row in lake.read(join) if row["ts"] <= moment]
        later = described(make_events(seed + 2, 20), seed)
        for row in later:
            row["ts"] = max(row["ts"], moment)
        lake.put("data.events", later, part=1)
        changes = [{**mutation_of(row, seed), "mutation_ts": row["ts"]} for row in later]
        lake.put("data.mutations", changes, part=1)
        lake.backfill(join)
        after = [row for row in lake.read(join) if row["ts"] <= moment]
    assert str(after) == str(before)  # as text, in which NaN equals itself


def mutation_of(event: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return a change that is known some hours after the event itself."""
    known_from = event["ts"] + (seed % 7) * HOUR
    return {
        **event,
        "mutation_ts": known_from,
        "is_before": (event["ts"] + seed) % 5 == 0,
        "ds": day_of(known_from),
    }
