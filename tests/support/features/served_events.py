"""A small group-by over events, served from a store in memory, and its brute-force answer."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from gigacast.feature_store import (
    Aggregation,
    EventSource,
    GroupBy,
    Operation,
    Query,
    TimeUnit,
    Window,
    select,
)
from gigacast.feature_store.aggregation.kernel import Queries, Rows, aggregate
from gigacast.feature_store.aggregation.row_state import parts_of
from gigacast.feature_store.online.batch_state import Span, build_batch
from gigacast.feature_store.online.features import Features
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.key import key_digest
from gigacast.feature_store.online.question import Request
from gigacast.feature_store.online.serving import (
    STATES,
    Batch,
    ServedGroupBy,
    serving_digest,
)
from gigacast.feature_store.online.store import OnlineStore
from gigacast.feature_store.uploads.writer import BatchWriter

HOUR, DAY = 3_600_000, 86_400_000
END = 20_000 * DAY
NAME = "shop.returns.v1"
Event = tuple[str, int, float | None]
"""User, time and price."""

_WINDOWS = [Window(1, TimeUnit.HOURS), Window(3, TimeUnit.DAYS), Window(14, TimeUnit.DAYS)]
GROUP_BY = GroupBy(
    sources=[
        EventSource(
            table="data.returns",
            topic="returns/fields=user,ts,price",
            query=Query(
                selects=select("user", price="price * 2"),
                wheres=["price IS NULL OR price >= 0"],
                time_column="ts",
            ),
        )
    ],
    keys=["user"],
    online=True,
    aggregations=[
        Aggregation("price", Operation.SUM, _WINDOWS),
        Aggregation("price", Operation.COUNT, _WINDOWS),
        Aggregation("price", Operation.LAST_K(3), _WINDOWS),
        Aggregation("price", Operation.MAX),
    ],
    name=NAME,
)
SCHEMA = pa.schema([("user", pa.string()), ("price", pa.float64())])
EVENTS = pa.schema([("user", pa.string()), ("ts", pa.int64()), ("price", pa.float64())])


def rows_of(events: Sequence[Event]) -> Rows:
    """Return events as rows of the kernel, selected and filtered as the source says."""
    chosen = [(u, t, None if p is None else p * 2) for u, t, p in events if p is None or p >= 0]
    return Rows(
        [pa.array([user for user, _, _ in chosen], pa.string())],
        np.array([time for _, time, _ in chosen], np.int64),
        pa.table({"price": pa.array([price for _, _, price in chosen], pa.float64())}),
    )


def backfill(events: Sequence[Event], user: str, at: int) -> Mapping[str, Any]:
    """Return the features of a backfill over all events."""
    queries = Queries([pa.array([user])], np.array([at]))
    features: Mapping[str, Any] = aggregate(
        queries, rows_of(events), parts_of(GROUP_BY)
    ).to_pylist()[0]
    return features


def serve(store: OnlineStore, events: Sequence[Event], end: int = END, mark: str = "a") -> None:
    """Upload the events before a moment, and serve them."""
    span = Span(end, 3 * DAY)
    features = Features(parts_of(GROUP_BY), SCHEMA)
    batch = Batch(f"{end}-{mark}", serving_digest(GROUP_BY, SCHEMA), "2024-10-03", end, 3 * DAY)
    writer = BatchWriter(store, NAME)
    values = build_batch(features, rows_of(events), span)
    count = writer.write(batch, [(key_digest(key), value) for key, value in values])
    writer.serve(ServedGroupBy(GROUP_BY, batch, STATES, SCHEMA, EVENTS, 0, count.keys))


def ask(store: OnlineStore, user: str, at: int) -> Mapping[str, Any]:
    """Return the features that are served."""
    [response] = Fetcher(store, refresh_s=0).fetch_group_by([Request(NAME, {"user": user}, at)])
    assert response.errors == {}
    return response.values


def record(event: Event) -> bytes:
    """Return an event as a record of a stream."""
    user, time, price = event
    return json.dumps({"user": user, "ts": time, "price": price, "more": 1}).encode()
