"""The bucketing job: what it says of itself, which folders it takes, and what it does again."""

import io
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.bucketing.run import (
    BucketJob,
    BucketResult,
    files_of,
    plan_bucketing,
    run_bucketing,
)
from gigacast.core.partition.task import Task
from gigacast.core.time.month import IntRange, MonthFilter
from gigacast.errors import ConfigError, CorruptedFileError
from gigacast.job.forecast_job import ForecastJob, Method, Resources
from gigacast.lake.plan.discovery import Selection
from gigacast.report.terminal import render_terminal
from gigacast.runtime.executor import Failure
from gigacast.series.source import ColumnNames
from gigacast.storage.memory import MemoryStore

PLACE = "memory://lake/bucketed"


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore(str(uuid4()))
    for month in (1, 2):
        for part in range(2):
            put(store, f"2024/{month:02d}/part-{part}.parquet")
    return store


def put(store: MemoryStore, key: str, rows: int = 3) -> None:
    moments = pa.array(range(rows), pa.timestamp("us"))
    table = pa.table({"item_id": ["a"] * rows, "timestamp": moments, "target": [1.0] * rows})
    content = io.BytesIO()
    pq.write_table(table, content)
    store.put(key, content.getvalue())


def job_of(
    store: MemoryStore, *, buckets: int = 4, into: str = "bucketed", **changes: Any
) -> BucketJob:
    place = store.address
    job = ForecastJob(place, place, place, resources=Resources("inline"))
    return BucketJob(files_of(replace(job, **changes)), buckets, into)


def result_of(**changes: Any) -> BucketResult:
    plain = BucketResult("r", 3, 0, 70, [], [], "bucketed", PLACE)
    return replace(plain, **changes)


def failed(partition: str, message: str) -> tuple[Task, Failure]:
    task = Task(partition, "2024-01", (), 1, 0, "spec", "key")
    return task, Failure("SchemaError", message)


# -- results ---------------------------------------------------------------------------------------


def text_of(result: BucketResult) -> str:
    return render_terminal(result.to_document())


def test_a_result_says_what_was_divided_and_how_it_is_read() -> None:
    text = text_of(result_of())
    assert "3 objects" in text
    assert PLACE in text
    assert "--input_prefix bucketed --partition_by bucket" in text
    assert "done before" not in text
    again = text_of(result_of(computed=0, skipped=1))
    assert ["done", "before", "1", "object"] in [line.split() for line in again.splitlines()]


def test_no_more_than_ten_orphans_are_named() -> None:
    text = text_of(result_of(orphans=[f"2024/01/part-{n}" for n in range(12)]))
    assert text.count("is gone") == 10
    assert "2024/01/part-9 is gone; its rows are still in the buckets" in " ".join(text.split())


def test_equal_failures_are_named_once() -> None:
    failures = [failed(f"2024/01/p-{n}", "no column of item ids") for n in range(3)]
    failures += [failed("2024/02/p", "other")]
    result = result_of(failures=failures)
    text = " ".join(text_of(result).split())
    assert "failed: 2024/01/p-0 and 2 more, equally: no column of item ids" in text
    assert "failed: 2024/02/p: other" in text
    assert result.to_json()["failures"][3] == {
        "partition": "2024/02/p",
        "error": "SchemaError",
        "message": "other",
    }
    several = result_of(failures=[failed("2024/03/p", name) for name in "abcdefghijkl"])
    assert text_of(several).count("failed: ") == 10


def test_the_values_of_a_result_are_its_fields() -> None:
    assert result_of(orphans=["2024/01/p"]).to_json() == {
        "run_id": "r",
        "computed": 3,
        "skipped": 0,
        "rows": 70,
        "failures": [],
        "orphans": ["2024/01/p"],
        "into": "bucketed",
        "location": PLACE,
    }


# -- runs ------------------------------------------------------------------------------------------


def test_objects_are_divided_once_and_changed_ones_again(store: MemoryStore) -> None:
    first = run_bucketing(job_of(store))
    assert (first.computed, first.skipped, first.rows, first.failures) == (4, 0, 12, [])
    assert first.location == f"{store.address.url}/bucketed"
    assert (first.into, first.orphans) == ("bucketed", [])
    put(store, "2024/01/part-1.parquet", rows=5)
    second = run_bucketing(job_of(store))
    assert (second.computed, second.skipped, second.rows) == (1, 3, 5)


def test_the_spec_of_a_division_stays_what_it_is(store: MemoryStore) -> None:
    # Another one would divide all objects of users again.
    run_bucketing(job_of(store, buckets=5))
    lists = [entry.key for page in store.list("bucketing/bucketed/") for entry in page]
    assert "bucketing/bucketed/807854f8/2024/01/part-0.json" in lists


def test_the_name_of_other_columns_divides_nothing_again(store: MemoryStore) -> None:
    run_bucketing(job_of(store))
    named = Method(columns=ColumnNames(timestamp="timestamp", targets=("target",)))
    assert run_bucketing(job_of(store, method=named)).skipped == 4
    # The columns of items do: another column would put rows elsewhere.
    named = Method(columns=ColumnNames(item_id="item_id"))
    with pytest.raises(ConfigError, match="divided by other settings"):
        plan_bucketing(job_of(store, method=named))
    assert run_bucketing(job_of(store, into="named", method=named)).computed == 4


def test_a_folder_has_one_number_of_buckets(store: MemoryStore) -> None:
    plan_bucketing(job_of(store))
    plan_bucketing(job_of(store))
    with pytest.raises(ConfigError, match="divided by other settings") as caught:
        plan_bucketing(job_of(store, buckets=5))
    assert "another --into" in caught.value.hint or "into" in caught.value.hint
    plan_bucketing(job_of(store, buckets=5, into="five"))
    (mark,) = [e.key for page in store.list("bucketing/five") for e in page]
    store.put(mark, b"[")
    with pytest.raises(CorruptedFileError):
        plan_bucketing(job_of(store, buckets=5, into="five"))


@pytest.mark.parametrize("into", ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "forecasts",
                                  "timings/x"])  # fmt: skip
def test_a_folder_that_cannot_hold_buckets_is_refused(into: str, store: MemoryStore) -> None:
    with pytest.raises(ConfigError, match="not a folder that can hold buckets"):
        plan_bucketing(job_of(store, into=into))
    assert plan_bucketing(job_of(store, into="a/b..c")).orphans == []


# -- objects that are gone -------------------------------------------------------------------------


def test_an_object_that_is_gone_is_named_if_all_of_its_month_are_looked_at(
    store: MemoryStore,
) -> None:
    run_bucketing(job_of(store))
    store.delete(["2024/01/part-1.parquet", "2024/02/part-0.parquet"])
    both = ["2024/01/part-1", "2024/02/part-0"]
    assert plan_bucketing(job_of(store)).orphans == both
    put(store, "2024/02/part-7.parquet")  # pending, and no orphan
    assert plan_bucketing(job_of(store)).orphans == both
    january = Selection(months=MonthFilter(months=IntRange(1, 1)))
    assert plan_bucketing(job_of(store, selection=january)).orphans == both[:1]
    assert plan_bucketing(job_of(store, limit=1)).orphans == []
    # Whoever chose some symbols has not looked at the others.
    chosen = Selection(symbols=frozenset({"EURUSD"}))
    put(store, "2024/01/EURUSD_1min_h15_2024_01_ab12.parquet")
    assert plan_bucketing(job_of(store, selection=chosen)).orphans == []
