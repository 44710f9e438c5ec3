"""The bytes that reading an object takes from S3, counted on a server that stands in for it."""

import io
import re
from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.series.reader import read_series
from gigacast.series.source import ColumnNames, ReadOptions, SeriesSource
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import WHOLE_BYTES, open_object, read_batches
from gigacast.storage.store import ObjectMeta, Store, StoreAddress
from tests.unit.storage.stub_server import Reply, Seen, StubServer

ITEMS, STEPS, COLUMNS = 1000, 200, 6
NAMES = tuple(f"target_{number}" for number in range(COLUMNS))


class ObjectServer(StubServer):
    """Serves one object by ranges, and counts the bytes it sends."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body, self.sent_bytes = body, 0

    def take(self, request: Seen) -> Reply:
        headers = {"ETag": '"one"', "Last-Modified": "Sat, 21 Nov 2026 00:00:00 GMT"}
        header = {name.lower(): text for name, text in request.headers.items()}.get("range", "")
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", header)
        if span is None:
            self.sent_bytes += len(self.body)
            return Reply(200, self.body, headers)
        start, stop = int(span[1]), min(int(span[2]) + 1, len(self.body))
        self.sent_bytes += stop - start
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(self.body)}"
        return Reply(206, self.body[start:stop], headers)


def panel(rows_of_a_group: int) -> bytes:
    """Rows whose ids take little room, in row groups as writers make them, over `WHOLE_BYTES`."""
    rng = np.random.default_rng(0)
    days = np.arange(STEPS).astype("M8[D]").astype("M8[us]")
    ids = np.repeat(np.arange(ITEMS), STEPS)
    table = pa.table(
        {
            "item_id": pa.array([f"{number:05d}" for number in range(ITEMS)]).take(pa.array(ids)),
            "timestamp": np.tile(days, ITEMS),
            **{name: rng.normal(size=len(ids)) for name in NAMES},
        }
    )
    buffer = io.BytesIO()
    options = {"compression": "none", "use_dictionary": ["item_id"]}
    pq.write_table(table, buffer, row_group_size=rows_of_a_group, **options)
    return buffer.getvalue()


@pytest.fixture(params=[20_000, 200_000])
def served(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[ObjectServer, Store, ObjectMeta]]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    body = panel(request.param)
    assert len(body) > WHOLE_BYTES
    with ObjectServer(body) as server:
        store = open_store(StoreAddress("s3://lake", server.url, "us-east-1"))
        yield server, store, ObjectMeta("part-0.parquet", "one", len(body), 0)


def test_reading_all_rows_fetches_the_object_once(
    served: tuple[ObjectServer, Store, ObjectMeta],
) -> None:
    server, store, meta = served
    assert sum(batch.num_rows for batch in read_batches(store, meta)) == ITEMS * STEPS
    assert server.sent_bytes <= 1.01 * len(server.body)


def test_reading_all_series_fetches_the_object_once(
    served: tuple[ObjectServer, Store, ObjectMeta],
) -> None:
    server, store, meta = served
    source = SeriesSource(partial(open_object, store, meta), "parquet", meta.key)
    options = ReadOptions(columns=ColumnNames("item_id", "timestamp", NAMES), context_length=STEPS)
    # The schema, the ids and the rows are read one after another.
    assert sum(len(batch) for batch in read_series([source], options)) == ITEMS * COLUMNS
    # Three footers, of 64 KiB at most each, count for more in an object of 11 MB.
    assert server.sent_bytes <= 1.01 * len(server.body) + (2 * 64 << 10)


def test_copying_an_object_fetches_it_once(
    served: tuple[ObjectServer, Store, ObjectMeta],
) -> None:
    server, store, meta = served
    with open_object(store, meta) as file:
        assert file.read() == server.body
    assert server.sent_bytes == len(server.body)
