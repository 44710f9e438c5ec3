"""Quality of whole datasets and buckets, and both commands as people use them."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.core.contract.predefined import OHLCV_SCHEMA
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.time.frequency import Frequency
from gigacast.errors import DataNotFoundError
from gigacast.job.file_job import FileJob, Reading, Sources, sources_of_dataset
from gigacast.quality.measures import Limit, Thresholds
from gigacast.quality.partition import Measures
from gigacast.quality.run import QualityJob, QualityResult, measure_quality
from gigacast.runtime.parallel import JoblibExecutor
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store
from tests.flow.quality.partitions import put
from tests.support.bars import bars, parquet_bytes, publish
from tests.support.moto_server import MotoServer
from tests.support.panels import hourly_panel

NOW = datetime(2024, 1, 20, tzinfo=UTC)

READING = Reading(frequency=Frequency.parse("min"))


def measure(store: Store, **options: Any) -> QualityResult:
    executor = options.pop("executor", None)
    reading = options.pop("reading", READING)
    files = FileJob(options.pop("sources", Sources(store.address)), store.address, reading=reading)
    job = QualityJob(files, **options)
    return measure_quality(job, clock=lambda: NOW, executor=executor)


def verdicts(result: QualityResult) -> dict[str, str]:
    return {
        partition.partition[-4:]: str(partition.verdict) for partition in result.report.partitions
    }


def test_each_defect_is_measured_and_named(lake: Store) -> None:
    good = bars(300)
    put(lake, "good", good)
    put(lake, "null", good.assign(close=good["close"].mask(good.index % 10 == 0)))
    put(lake, "twin", pd.concat([good, good.iloc[:9]]).sort_values("timestamp"))
    put(lake, "back", good.iloc[::-1])
    put(lake, "gaps", good.drop(index=range(100, 150)))
    put(lake, "outs", good.assign(volume=np.where(good.index < 15, 1e9, good["volume"])))
    put(
        lake,
        "late",
        good.assign(timestamp=good["timestamp"] + pd.to_timedelta(good.index % 2, "s")),
    )
    put(lake, "rule", good.assign(high=np.where(good.index < 30, 0, good["high"])))
    put(lake, "none", good.iloc[:0])
    result = measure(lake, measures=Measures(contract=OHLCV_SCHEMA))
    reasons = {
        partition.partition[-4:]: partition.judgement.reasons
        for partition in result.report.partitions
    }
    reasons_text = {name: "; ".join(reason_list) for name, reason_list in reasons.items()}
    expected = {
        "null": "warn: missing in close 10%",
        "twin": "warn: duplicates 2.91%",
        "back": "warn: unordered 99.7%",
        "gaps": "warn: gaps 16.7%",
        "outs": "warn: outliers in volume 5%",
        "late": "warn: off_grid 50%",
        "rule": "fail: noncompliant 10%",
        "none": "no rows",
    }
    assert {name: text for name, text in expected.items() if text not in reasons_text[name]} == {}
    assert reasons_text["good"] == ""
    failing = {partition.partition[-4:] for partition in result.report.set_aside}
    assert failing == {"null", "back", "rule"}  # the contract wants no null, and its order
    assert all(reasons_text[name].startswith("fail: noncompliant") for name in failing)


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_ids_in_delta_encoded_pages_are_measured_like_others(lake: Store, encoding: str) -> None:
    panel = hourly_panel("2024-01", ["a", "b", "c"])
    put(lake, "good", panel)
    buffer = io.BytesIO()
    options = {"use_dictionary": False, "column_encoding": {"item_id": encoding}}
    pq.write_table(pa.Table.from_pandas(panel), buffer, **options)
    lake.put("2024/01/part-delt.parquet", buffer.getvalue())
    result = measure(lake, reading=Reading(frequency=Frequency.parse("h")))
    assert result.failures == []
    delta, good = (partition.judgement for partition in result.report.partitions)
    assert delta == good


def test_freshness_is_judged_at_the_time_of_the_run(lake: Store) -> None:
    put(lake, "good", bars(300))
    fresh = replace(Thresholds(), stale_hours=Limit(1.0, None))
    assert verdicts(measure(lake)) == {"good": "ok"}
    result = measure(lake, thresholds=fresh)
    assert result.computed == 0
    assert "hours since the latest row" in result.report.partitions[0].judgement.reasons[0]


def test_only_changed_partitions_are_measured_again(lake: Store) -> None:
    put(lake, "good", bars(300))
    put(lake, "more", bars(200))
    assert (measure(lake).computed, measure(lake).computed) == (2, 0)
    put(lake, "more", bars(201))
    again = measure(lake)
    assert (again.computed, again.skipped) == (1, 1)
    assert measure(lake, measures=Measures(iqr=2.0)).computed == 2


def test_several_processes_measure_the_same_as_one_on_every_store(
    lake: Store, moto_server: MotoServer
) -> None:
    remote = open_store(moto_server.new_address())
    for store in (lake, remote):
        put(store, "good", bars(300))
        put(store, "gaps", bars(300).drop(index=range(10, 90)))
    local_result, remote_result = measure(lake), measure(remote, executor=JoblibExecutor(2, 1))
    assert [p.quality for p in local_result.report.partitions] == [
        p.quality for p in remote_result.report.partitions
    ]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "CorruptedFileError"),
        (b"PAR1 but no more", "CorruptedFileError"),
        (parquet_bytes(bars(100))[:-40], "CorruptedFileError"),
        (parquet_bytes(pd.DataFrame({"x": [1]})), "SchemaError"),
    ],
    ids=["empty", "not parquet", "truncated", "no timestamps"],
)
def test_a_partition_that_cannot_be_read_is_reported_and_the_others_are_measured(
    lake: Store, content: bytes, error: str
) -> None:
    put(lake, "good", bars(300))
    lake.put("2024/01/part-bad.parquet", content)
    result = measure(lake)
    aside = result.report.set_aside
    assert [entry.partition for entry in aside] == ["2024/01/part-bad"]
    assert aside[0].judgement.reasons[0].startswith(error)
    assert result.computed == 1
    audit = json.loads(lake.get(f"audit/{result.run_id}.json"))
    assert (audit["status"], audit["files_failed"]) == ("failed", 1)
    assert audit["totals"]["quality"]["set_aside"][0]["partition"] == "2024/01/part-bad"


def test_the_report_is_stored_in_three_forms(lake: Store) -> None:
    put(lake, "good", bars(300))
    put(lake, "gaps", bars(300).drop(index=range(10, 290)))
    result = measure(lake)
    key = result.report.location.removeprefix(f"{lake.address.url}/")
    plain = json.loads(lake.get(f"{key}.json"))
    assert [partition["verdict"] for partition in plain["partitions"]] == ["fail", "ok"]
    assert plain["partitions"][0]["measures"]["keys"]["missing_steps"] == 280
    table = pq.read_table(io.BytesIO(lake.get(f"{key}.parquet"))).to_pandas()
    assert table["gaps_share"].tolist() == pytest.approx([280 / 300, 0])
    assert "| 2024/01/part-gaps | fail | 20 | 1 |" in lake.get(f"{key}.md").decode()


def test_a_dataset_is_judged_by_its_own_calendar_and_a_panel_by_series(lake: Store) -> None:
    frame = pd.concat([bars(100).assign(symbol="A"), bars(100).assign(symbol="B", close=1e6)])
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    sources = sources_of_dataset(lake.address, DatasetRef.parse("raw/FX"))
    quality = measure(lake, sources=sources).report.partitions[0].quality
    assert quality is not None
    assert quality.keys.series == 2
    assert all(not sum(column.outliers.values()) for column in quality.columns)
    with pytest.raises(DataNotFoundError):
        sources_of_dataset(lake.address, DatasetRef.parse("raw/NOTHING"))


def test_a_forest_counts_anomalous_rows(lake: Store) -> None:
    pytest.importorskip("sklearn")
    frame = bars(300)
    frame.loc[50, ["open", "high", "low", "close"]] = 1e4
    put(lake, "good", frame)
    quality = measure(lake, measures=Measures(forest=0.7)).report.partitions[0].quality
    assert quality is not None
    assert quality.anomalies is not None
    assert 1 <= quality.anomalies <= 10
