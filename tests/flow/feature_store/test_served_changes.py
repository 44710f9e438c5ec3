"""Entities whose changes are streamed, reversals among them, answer as the vector says."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.feature_store import (
    Aggregation,
    Derivation,
    EntitySource,
    GroupBy,
    Operation,
    Query,
    TimeUnit,
    Window,
)
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.memory import MemoryOnlineStore
from gigacast.feature_store.online.question import Request
from gigacast.feature_store.stream.apply import StreamApplier
from gigacast.feature_store.stream.memory import MemoryStream
from gigacast.feature_store.stream.run import run_stream
from gigacast.feature_store.table import Tables
from gigacast.feature_store.uploads.plan import UploadJob
from gigacast.feature_store.uploads.run import upload
from gigacast.storage.store import StoreAddress
from tests.support.features.vectors import read_vector

DAY_AFTER = 1_618_012_800_000  # 2021-04-10
ONE_DAY = [Window(1, TimeUnit.DAYS)]


def make_group_by(selects: dict[str, str], derivations: list[list[str]]) -> GroupBy:
    return GroupBy(
        sources=[
            EntitySource(
                snapshotTable="data.ratings",
                mutationTable="data.changes",
                mutationTopic="changes",
                query=Query(
                    selects=selects,
                    time_column="ts",
                    mutation_time_column="mutation_time",
                    reversal_column="is_before_reversal",
                ),
            )
        ],
        keys=["listing_id"],
        online=True,
        aggregations=[
            Aggregation("rating", Operation.SUM),
            Aggregation("rating", Operation.AVERAGE, ONE_DAY),
            Aggregation("rating", Operation.SKEW, ONE_DAY),
        ],
        derivations=[Derivation(name, text) for name, text in derivations],
        name="shop.listings.v1",
    )


def put(lake: Path, name: str, columns: list[str], rows: list[list[Any]]) -> None:
    for day in sorted({row[-1] for row in rows}):
        table = [dict(zip(columns[:-1], row, strict=False)) for row in rows if row[-1] == day]
        folder = lake / "data" / name / f"ds={day}"
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(table), folder / "part-0.parquet")


@pytest.fixture
def vector(tmp_path: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_vector("fetch_mutations_fixed")
    for name, table in (("ratings", content["snapshot"]), ("changes", content["mutations"])):
        put(tmp_path, name, table["columns"], table["rows"])
    return content


def test_changes_and_their_reversals_are_served_at_the_millisecond(
    tmp_path: Path, vector: dict[str, Any]
) -> None:
    tables = Tables.at(StoreAddress(f"file://{tmp_path}"))
    group_by = make_group_by(vector["selects"], vector["derivations"])
    store = MemoryOnlineStore()
    result = upload(UploadJob(tables, (group_by,), "2021-04-09"), store=store)
    assert not result.failures
    columns = vector["mutations"]["columns"]
    changes = [
        json.dumps(dict(zip(columns, row, strict=True))).encode()
        for row in vector["mutations"]["rows"]
    ]
    stream = MemoryStream("changes", {"0": changes})
    report = run_stream(StreamApplier(store, "shop.listings.v1", "changes"), stream)
    # The changes of the day before are in the snapshot.
    assert (report.counts.applied, report.counts.before_batch) == (5, 3)

    requests = [
        Request("shop.listings.v1", {"listing_id": str(listing)}, at)
        for listing, at in vector["left"]
    ]
    responses = Fetcher(store).fetch_group_by(requests)

    # The derivation renames the average.
    names = ["rating_sum", "rating_average_1d_same", "rating_skew_1d"]
    answers = [[response.values[name] for name in names] for response in responses]
    assert answers == [row[2:] for row in vector["expected"]["rows"]]


def test_a_change_that_is_taken_back_leaves_no_trace(tmp_path: Path) -> None:
    rows = [[1, DAY_AFTER - 1000, 4, "2021-04-09"]]
    put(tmp_path, "ratings", ["listing", "ts", "rating", "ds"], rows)
    columns = ["listing", "ts", "rating", "mutation_time", "is_before_reversal", "ds"]
    first = [1, DAY_AFTER + 5, 7, DAY_AFTER + 5, False, "2021-04-10"]
    put(tmp_path, "changes", columns, [first])
    back = [1, DAY_AFTER + 5, 7, DAY_AFTER + 9, True, "2021-04-10"]
    # The row of the snapshot is taken back, too, and comes again with another value.
    old = [1, DAY_AFTER - 1000, 4, DAY_AFTER + 20, True, "2021-04-10"]
    new = [1, DAY_AFTER - 1000, 6, DAY_AFTER + 20, False, "2021-04-10"]
    group_by = make_group_by({"listing_id": "listing", "rating": "rating"}, [])
    store = MemoryOnlineStore()
    tables = Tables.at(StoreAddress(f"file://{tmp_path}"))
    assert not upload(UploadJob(tables, (group_by,), "2021-04-09"), store=store).failures
    values = [
        json.dumps(dict(zip(columns, row, strict=True))).encode() for row in (first, back, old, new)
    ]
    run_stream(StreamApplier(store, "shop.listings.v1", "c"), MemoryStream("c", {"0": values}))

    sums = [
        Fetcher(store)
        .fetch_group_by([Request("shop.listings.v1", {"listing_id": 1}, DAY_AFTER + at)])[0]
        .values["rating_sum"]
        for at in (0, 6, 10, 21)
    ]

    assert sums == [4, 11, 4, 6]
