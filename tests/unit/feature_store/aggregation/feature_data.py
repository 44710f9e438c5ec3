"""Random rows with what makes aggregation hard: nulls, ties, times on the edges of windows, a key
with most of the rows, NaN, signed zeros, and lists, maps and buckets.
"""

import random
from typing import Any

import numpy as np
import pyarrow as pa

from gigacast.feature_store.aggregation.kernel import Queries, Rows
from gigacast.feature_store.aggregation.operation import Call
from gigacast.feature_store.aggregation.row_state import Part
from tests.support.features.oracle import DAY, HOUR, Event, Feature

SCHEMA = pa.schema(
    [
        ("whole", pa.int64()),
        ("narrow", pa.int16()),
        ("number", pa.float64()),
        ("single", pa.float32()),
        ("text", pa.string()),
        ("flag", pa.bool_()),
        ("raw", pa.binary()),
        ("bucket", pa.string()),
        ("numbers", pa.list_(pa.float64())),
        ("texts", pa.list_(pa.string())),
        ("vector", pa.list_(pa.float64())),
        ("table", pa.map_(pa.string(), pa.int32())),
    ]
)
WINDOWS = (HOUR, 13 * HOUR, 7 * DAY, 12 * DAY, None)
START = 1_696_118_400_000


def _or_null(rng: random.Random, value: Any, share: float = 0.2) -> Any:
    return None if rng.random() < share else value


def _number(rng: random.Random, *, strange: bool) -> float:
    if strange and rng.random() < 0.04:
        return rng.choice([float("nan"), float("inf"), float("-inf"), -0.0])
    if rng.random() < 0.3:
        return float(rng.randint(-3, 3))
    return rng.gauss(0, 1) * 10.0 ** rng.randint(-8, 8)


def make_row(rng: random.Random, key: int, *, strange: bool = True) -> dict[str, Any]:
    """Return the columns of a row; lists to be aggregated element-wise have a length per key."""
    texts = ["a", "b", "ab", "é", "", "Z"]
    return {
        "whole": _or_null(rng, rng.choice([rng.randint(-5, 5), rng.randint(-(1 << 55), 1 << 55)])),
        "narrow": _or_null(rng, rng.randint(-300, 300)),
        "number": _or_null(rng, _number(rng, strange=strange)),
        "single": _or_null(rng, float(np.float32(_number(rng, strange=False)))),
        "text": _or_null(rng, rng.choice(texts)),
        "flag": _or_null(rng, rng.random() < 0.5),
        "raw": _or_null(rng, rng.choice([b"", b"\0", b"\xff", b"a"])),
        "bucket": _or_null(rng, rng.choice(["x", "y", "z"])),
        "numbers": _or_null(
            rng, [_or_null(rng, _number(rng, strange=strange)) for _ in range(rng.randint(0, 3))]
        ),
        "texts": _or_null(
            rng, [_or_null(rng, rng.choice(texts)) for _ in range(rng.randint(0, 4))]
        ),
        "vector": _or_null(rng, [_number(rng, strange=False) for _ in range(key % 3 + 1)]),
        "table": _or_null(
            rng, [(name, _or_null(rng, rng.randint(-9, 9))) for name in rng.sample("pqr", 2)]
        ),
    }


def make_events(
    rng: random.Random, count: int, *, reversals: float = 0.0, strange: bool = True
) -> list[Event]:
    """Return rows of some keys, a third of them of key 0, many at equal times and on edges."""
    events = []
    for _ in range(count):
        key = 0 if rng.random() < 0.35 else rng.randint(0, 5)
        time = START + rng.randint(0, 30 * DAY)
        if rng.random() < 0.4:
            time = time // HOUR * HOUR
        if events and rng.random() < 0.2:
            time = rng.choice(events).time
        name = _or_null(rng, f"n{key}", 0.03)
        reverse = rng.random() < reversals
        events.append(Event((key, name), time, make_row(rng, key, strange=strange), reverse))
    return events


def make_queries(
    rng: random.Random, events: list[Event], count: int
) -> list[tuple[tuple[Any, ...], int]]:
    """Return keys and times of queries: at random, on events, and windows' lengths after events."""
    queries: list[tuple[tuple[Any, ...], int]] = []
    for _ in range(count):
        event = rng.choice(events)
        window = rng.choice(WINDOWS) or 0
        time = rng.choice(
            [
                START + rng.randint(-DAY, 35 * DAY),
                event.time,
                event.time + 1,
                event.time + window,
                event.time // HOUR * HOUR + window,
            ]
        )
        key = event.key if rng.random() < 0.9 else (rng.randint(0, 9), _or_null(rng, "n9"))
        queries.append((key, time))
    return queries


def to_rows(events: list[Event]) -> Rows:
    """Return events as the kernel takes them."""
    columns = {
        name: pa.array([event.row[name] for event in events], SCHEMA.field(name).type)
        for name in SCHEMA.names
    }
    return Rows(
        to_keys([event.key for event in events]),
        np.array([event.time for event in events], np.int64),
        pa.table(columns, schema=SCHEMA),
        np.array([event.reverse for event in events], np.bool_),
    )


def to_keys(keys: list[tuple[Any, ...]]) -> list[pa.Array]:
    """Return keys as columns."""
    return [
        pa.array([key[0] for key in keys], pa.int64()),
        pa.array([key[1] for key in keys], pa.string()),
    ]


def to_queries(queries: list[tuple[tuple[Any, ...], int]]) -> Queries:
    """Return queries as the kernel takes them."""
    return Queries(
        to_keys([key for key, _ in queries]), np.array([time for _, time in queries], np.int64)
    )


def to_part(feature: Feature) -> Part:
    """Return what the kernel is told of a feature."""
    call = Call(feature.operation, feature.k, feature.percentiles)
    return Part(
        "feature",
        feature.column,
        call,
        feature.window_ms,
        feature.bucket,
        element_wise=feature.element_wise,
    )


def plain(value: Any) -> Any:
    """Return a value so that equal bits, types and orders compare equal, and nothing else does."""
    if isinstance(value, dict):
        return [[plain(name), plain(item)] for name, item in value.items()]
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        # NaN has many bits and means one thing.
        return "NaN" if value != value else (value + 0.0).hex()  # noqa: PLR0124
    return value


def from_arrow(column: pa.ChunkedArray) -> list[Any]:
    """Return features of the kernel as the oracle writes them: maps as lists of pairs."""
    return [plain(value) for value in column.to_pylist()]


def with_pairs(value: Any) -> Any:
    """Return a feature of the oracle or of states with maps as lists of pairs."""
    return plain([list(pair) for pair in value.items()] if isinstance(value, dict) else value)
