"""Partitions that are bad, empty or damaged are set aside, with their reasons."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gigacast.cleaning.rules import CleanRules
from gigacast.core.time.frequency import Frequency
from gigacast.job.file_job import Reading, Sources
from gigacast.lake.dataset.catalog import Lake
from gigacast.quality.measures import Limit
from gigacast.storage.store import Store
from tests.flow.cleaning.cleanings import (
    LENIENT,
    TARGET,
    clean,
    dirty,
    pandas_way,
    partitions,
    raw,
    rows_of,
    unreadable,
)
from tests.support.bars import bars, parquet_bytes

BAD = {
    "corrupted": (b"PAR1" + b"\0" * 200 + b"PAR1", "CorruptedFileError"),
    "truncated": (parquet_bytes(bars(50))[:-100], "CorruptedFileError"),
    "empty": (b"", "CorruptedFileError"),
    "text": (b"timestamp,close\n2024-01-01,1\n", "CorruptedFileError"),
    "wrong": (parquet_bytes(pd.DataFrame({"close": [1.0]})), "SchemaError"),
    "mixed": (parquet_bytes(bars(50).assign(close="n/a")), "SchemaError"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_partition_is_set_aside_with_its_reason_and_the_others_are_cleaned(
    lake: Store, name: str
) -> None:
    sources = partitions(lake)
    content, error = BAD[name]
    lake.put("2024/04/part-00000.parquet", content)
    result = clean(lake, sources=sources)
    assert [partition.partition for partition in result.set_aside] == ["2024/04/part-00000"]
    assert result.set_aside[0].judgement.reasons[0].startswith(error)
    assert result.manifest is not None
    assert [file.path for file in result.manifest.files] == [
        f"2024/{month:02d}/part-00000.parquet" for month in (1, 2, 3)
    ]
    assert result.manifest.quality_flags[0] == "1 partitions set aside"
    set_aside = json.loads(lake.get("cleaned/v1/FX/metadata.json"))["cleaning"]["set_aside"]
    assert set_aside[0]["partition"] == "2024/04/part-00000"


def test_a_partition_without_rows_becomes_an_empty_file(lake: Store) -> None:
    sources = partitions(lake)
    lake.put("2024/04/part-00000.parquet", parquet_bytes(dirty("EURUSD").iloc[:0]))
    result = clean(lake, sources=sources)
    assert result.manifest is not None
    assert [file.rows for file in result.manifest.files] == [200, 200, 200, 0] or [
        file.rows for file in result.manifest.files
    ] == [190, 190, 190, 0]
    assert result.set_aside == []


def test_a_partition_that_loses_every_row_is_set_aside_with_its_reason(lake: Store) -> None:
    sources = partitions(lake)
    lake.put("2024/04/part-00000.parquet", parquet_bytes(unreadable()))
    result = clean(lake, sources=sources)
    (lost,) = result.set_aside
    assert lost.judgement.reasons == (
        "fail: no row has a time that can be read, the first is '10/04/2024 00:00'",
    )
    assert result.changes_by_partition[lost.partition]["null_keys"] == len(unreadable())
    assert result.manifest is not None
    assert [file.rows for file in result.manifest.files] == [190] * 3


def test_when_every_partition_loses_every_row_nothing_is_published(lake: Store) -> None:
    lake.put("2024/04/part-00000.parquet", parquet_bytes(unreadable()))
    sources = Sources(lake.address)
    result = clean(lake, sources=sources)
    assert (result.manifest, len(result.set_aside)) == (None, 1)
    again = clean(lake, sources=sources)
    assert (again.manifest, again.skipped) == (None, 1)
    assert again.set_aside[0].judgement == result.set_aside[0].judgement
    assert Lake(lake).versions(TARGET) == {}


def test_a_partition_whose_rows_a_rule_drops_is_set_aside_too(lake: Store) -> None:
    frame = bars(50).assign(close=np.nan)
    lake.put("2024/04/part-00000.parquet", parquet_bytes(frame))
    rules = CleanRules(nulls="drop")
    result = clean(lake, sources=Sources(lake.address), rules=rules)
    assert result.manifest is None
    assert result.set_aside[0].judgement.reasons == (
        "fail: no row is left of 50: 50 dropped_nulls",
    )


def test_a_partition_that_never_had_rows_is_a_warning_and_makes_no_version(lake: Store) -> None:
    lake.put("2024/04/part-00000.parquet", parquet_bytes(dirty("EURUSD").iloc[:0]))
    result = clean(lake, sources=Sources(lake.address))
    assert (result.manifest, result.set_aside) == (None, [])
    assert result.partitions[0].judgement.reasons == ("no rows",)


def damaged_file(store: Store) -> str:
    """Append bytes to a cleaned file, as a bad disk might."""
    keys = [meta.key for page in store.list("cleaning/") for meta in page]
    (key, *_) = [key for key in keys if key.endswith(".parquet")]
    store.put(key, store.get(key) + b"rubbish")
    return key


def test_a_damaged_file_that_no_version_lists_is_written_again(lake: Store) -> None:
    raw(lake)
    assert clean(lake, limit=1).manifest is None
    damaged_file(lake)
    result = clean(lake)
    assert (result.failures, result.computed) == ([], 2)
    pd.testing.assert_frame_equal(rows_of(lake), pandas_way(), check_dtype=False)


def test_a_damaged_file_of_a_version_is_named_with_a_hint(lake: Store) -> None:
    raw(lake)
    clean(lake)
    key = damaged_file(lake)
    content = lake.get(key)
    result = clean(lake)
    ((_, failure),) = result.failures
    assert failure.error == "DatasetIntegrityError"
    assert (
        f"{lake.address.url}/{key} is damaged, and cleaned/v1/FX is made of it" in failure.message
    )
    assert failure.hint is not None
    assert "delete it and run this again" in failure.hint
    assert (result.manifest, lake.get(key)) == (None, content)
    lake.delete([key])  # as it says
    mended = clean(lake)
    assert (str(mended.manifest.ref), mended.new) == ("cleaned/v1.0.1/FX", True)  # type: ignore[union-attr]
    pd.testing.assert_frame_equal(rows_of(lake), pandas_way(), check_dtype=False)
    assert clean(lake).new is False


def test_partitions_beyond_thresholds_are_set_aside_and_new_thresholds_read_no_rows(
    lake: Store,
) -> None:
    sources = partitions(lake)
    frame = dirty("EURUSD", "2024-04-10", 9).iloc[::3]
    lake.put("2024/04/part-00000.parquet", parquet_bytes(frame))
    strict = replace(LENIENT, off_grid=Limit(), gaps=Limit(None, 0.2))
    reading = Reading(frequency=Frequency.parse("min"))
    result = clean(lake, sources=sources, thresholds=strict, reading=reading)
    assert [partition.partition for partition in result.set_aside] == ["2024/04/part-00000"]
    assert "gaps" in result.set_aside[0].judgement.reasons[0]
    later = clean(lake, sources=sources, reading=reading)
    assert (later.computed, later.set_aside) == (0, [])
    assert later.manifest is not None
    assert len(later.manifest.files) == 4
