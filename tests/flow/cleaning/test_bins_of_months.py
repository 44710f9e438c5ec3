"""Calendar bins in `data clean`: those of pandas, and the same however rows lie in files."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gigacast.cleaning.rules import CleanRules
from gigacast.cleaning.run import CleanJob, CleanResult, clean_dataset
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.month import IntRange, MonthFilter
from gigacast.errors import ConfigError
from gigacast.job.file_job import FileJob, Reading, Sources, sources_of_dataset
from gigacast.lake.plan.discovery import Selection
from gigacast.series.source import ColumnNames
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.flow.cleaning.cleanings import LENIENT, rows_of
from tests.support.bars import ME, parquet_bytes, publish

HOWS = ["sum", "mean", "last", "first", "min", "max", "count"]
COLUMNS = ColumnNames(item_id="item", timestamp="time")


@pytest.fixture
def lake(tmp_path: Path) -> Store:
    return store_in(tmp_path)


def store_in(folder: Path | str) -> Store:
    return open_store(StoreAddress(f"file://{folder}"))


def rules_of(alias: str, operation: str = "sum", **more: Any) -> CleanRules:
    """Return rules that change nothing but the bins."""
    plain: dict[str, Any] = {"nulls": "keep", "outliers": "keep", "optimise": False}
    frequency = Frequency.parse(alias)
    return CleanRules(**plain, aggregate=operation, frequency=frequency, **more)  # type: ignore[arg-type]


def clean(store: Store, rules: CleanRules, *, zone: str | None = None, **files: Any) -> CleanResult:
    reading = Reading(columns=COLUMNS, frequency=rules.frequency, zone=zone)
    job = FileJob(Sources(store.address), store.address, reading=reading, **files)
    target = DatasetRef.parse("cleaned/BINS")
    result = clean_dataset(CleanJob(job, target, rules, LENIENT), ME)
    assert not result.failures
    return result


def put_months(store: Store, frame: pd.DataFrame) -> None:
    """Write a file per month of UTC."""
    for month, rows in frame.groupby(frame["time"].dt.strftime("%Y/%m")):
        store.put(f"{month}/part-0.parquet", parquet_bytes(rows))


def bins_in(store: Store) -> pd.DataFrame:
    rows = rows_of(store, DatasetRef.parse("cleaned/BINS"))
    return rows.sort_values(["item", "time"]).reset_index(drop=True)


def days(
    item: str, start: str, stop: str, zone: str | None = None, step: str = "D"
) -> pd.DataFrame:
    times = pd.date_range(start, stop, freq=step, tz=zone)
    times = times if zone is None else times.tz_convert("UTC")
    return pd.DataFrame({"item": item, "time": times, "sold": np.arange(len(times)) % 11 + 1.0})


def by_pandas(frame: pd.DataFrame, alias: str, operation: str, zone: str = "UTC") -> pd.DataFrame:
    """Aggregate each item's rows in a zone, item by item; bins without rows are left out."""
    parts = []
    for item, own in frame.groupby("item"):
        times = pd.DatetimeIndex(own["time"])
        utc = times if times.tz is not None else times.tz_localize("UTC")
        series = pd.Series(own["sold"].to_numpy(), utc.tz_convert(zone)).sort_index()
        bins = series.resample(alias)
        values = bins.sum(min_count=1) if operation == "sum" else getattr(bins, operation)()
        values = values[bins.size() > 0]
        parts.append(
            pd.DataFrame(
                {"item": item, "time": values.index.tz_convert("UTC"), "sold": values.to_numpy()}
            )
        )
    return pd.concat(parts, ignore_index=True)


def same(actual: pd.DataFrame, expected: pd.DataFrame) -> None:
    expected = expected.sort_values(["item", "time"]).reset_index(drop=True)
    assert actual["item"].tolist() == expected["item"].tolist()
    assert actual["time"].tolist() == expected["time"].tolist()
    np.testing.assert_allclose(actual["sold"].astype(float), expected["sold"].astype(float))


ALIASES = ["W", "W-MON", "W-THU", "B", "MS", "QE-FEB", "QS", "YE-MAR"]


@pytest.mark.parametrize(("alias", "operation"), list(zip(ALIASES, [*HOWS, "sum"], strict=True)))
def test_bins_that_span_files_of_months_are_those_of_pandas_over_all_rows(
    alias: str, operation: str, lake: Store
) -> None:
    frame = pd.concat(
        [days("a", "2023-11-08", "2024-05-20"), days("b", "2024-01-30", "2024-04-02")]
    )
    put_months(lake, frame)
    clean(lake, rules_of(alias, operation, partial_bins="keep"))
    same(bins_in(lake), by_pandas(frame, alias, operation))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu"])
@pytest.mark.parametrize("alias", ["D", "W-SUN", "ME"])
def test_days_of_a_zone_that_begin_in_another_month_are_whole(
    alias: str, zone: str, lake: Store
) -> None:
    # Clocks change within the span in Berlin (27 March) and Sao Paulo (18 February 2018).
    frame = days("a", "2018-01-17", "2018-04-10 23:00", zone, "h")
    put_months(lake, frame)
    clean(lake, rules_of(alias, partial_bins="keep"), zone=zone)
    same(bins_in(lake), by_pandas(frame, alias, "sum", zone))


@pytest.mark.parametrize("partial", ["drop", "keep"])
def test_only_the_ends_of_a_series_may_be_partial(partial: str, lake: Store) -> None:
    # 2024-01-03 is a Wednesday, 2024-03-20 too: weeks that end on Sundays are cut at both ends.
    frame = days("a", "2024-01-03", "2024-03-20")
    put_months(lake, frame)
    result = clean(lake, rules_of("W", partial_bins=partial))
    expected = by_pandas(frame, "W", "sum")
    same(bins_in(lake), expected if partial == "keep" else expected.iloc[1:-1])
    assert result.changes.get("partial_bins", 0) == (0 if partial == "keep" else 2)
    # Three days of January's last week and four of February's are in weeks that end in the next.
    assert result.changes["carried"] == 3 + 4


def test_quarters_of_months_are_in_the_file_of_their_last_month(lake: Store) -> None:
    frame = days("a", "2024-01-01", "2024-06-30")
    put_months(lake, frame)
    result = clean(lake, rules_of("QE"))
    same(bins_in(lake), by_pandas(frame, "QE", "sum"))
    assert not result.set_aside
    assert {p.partition: p.quality.keys.rows for p in result.partitions if p.quality} == {
        f"2024/{month:02d}/part-0": int(month in {3, 6}) for month in range(1, 7)
    }


def test_a_changed_or_new_neighbour_makes_the_files_around_it_pending_and_no_others(
    lake: Store,
) -> None:
    frame = days("a", "2024-01-01", "2024-06-30")
    put_months(lake, frame)
    assert clean(lake, rules_of("W")).computed == 6
    assert clean(lake, rules_of("W")).computed == 0
    changed = frame.assign(sold=frame["sold"].where(frame["time"].dt.month != 2, 50.0))
    february = changed[changed["time"].dt.month == 2]
    lake.put("2024/02/part-0.parquet", parquet_bytes(february))
    assert clean(lake, rules_of("W")).computed == 3
    same(bins_in(lake), by_pandas(changed, "W", "sum"))
    longer = pd.concat([changed, days("a", "2024-07-01", "2024-07-31")])
    put_months(lake, longer[longer["time"].dt.month == 7])
    assert clean(lake, rules_of("W")).computed == 2
    # The last week ends in August.
    same(bins_in(lake), by_pandas(longer, "W", "sum").iloc[:-1])


def test_selected_months_see_the_rows_of_those_beside_them(lake: Store) -> None:
    frame = days("a", "2023-11-01", "2024-03-31")
    put_months(lake, frame)
    january = Selection(months=MonthFilter(IntRange(2024, 2024), IntRange(1, 1)))
    result = clean(lake, rules_of("W"), selection=january)
    weeks = by_pandas(frame, "W", "sum")
    same(bins_in(lake), weeks[weeks["time"].dt.strftime("%Y-%m") == "2024-01"])
    assert result.computed == 1


def test_receipts_and_lineage_name_every_file_that_was_read_once(lake: Store) -> None:
    put_months(lake, days("a", "2024-01-01", "2024-04-30"))
    february = Selection(months=MonthFilter(IntRange(2024, 2024), IntRange(2, 2)))
    result = clean(lake, rules_of("W"), selection=february)
    assert result.manifest is not None
    assert [origin.key for origin in result.manifest.dependencies] == [
        f"2024/{month}/part-0.parquet" for month in ("01", "03", "02")
    ]
    result = clean(lake, rules_of("W"))
    assert result.manifest is not None
    assert len(result.manifest.dependencies) == 4


def test_files_of_months_of_a_dataset_are_neighbours_too(lake: Store) -> None:
    frame = days("a", "2024-01-03", "2024-04-17")
    publish(lake, "raw/SHOP/2024-05-01", frame, contract=None, partition_by=["month"])
    ref = DatasetRef.parse("raw/SHOP")
    files = FileJob(
        sources_of_dataset(lake.address, ref), lake.address, reading=Reading(columns=COLUMNS)
    )
    target = DatasetRef.parse("cleaned/BINS")
    result = clean_dataset(CleanJob(files, target, rules_of("W"), LENIENT), ME)
    assert result.computed == 4
    same(bins_in(lake), by_pandas(frame, "W", "sum").iloc[1:-1])


def test_neighbours_in_other_forms_are_read_by_value_or_refused_by_name(lake: Store) -> None:
    frame = days("a", "2024-01-01", "2024-02-29").assign(sold=lambda rows: rows["sold"].astype(int))
    put_months(lake, frame)
    february = frame[frame["time"].dt.month == 2]
    # Times as text, halves among whole numbers, and no column of the city.
    put_months(lake, frame[frame["time"].dt.month == 1].assign(city="Rome"))
    text = february["time"].dt.strftime("%Y-%m-%dT%H:%M:%S")
    halves = february.assign(time=text, sold=february["sold"] / 2)
    lake.put("2024/02/part-0.parquet", parquet_bytes(halves))
    clean(lake, rules_of("W", partial_bins="keep"))
    expected = frame.assign(
        sold=frame["sold"].where(frame["time"].dt.month == 1, frame["sold"] / 2)
    )
    same(bins_in(lake), by_pandas(expected, "W", "sum"))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"columns": {"item_id": "unique_id", "timestamp": "ds"}}, "unique_id (string), ds"),
        ({"texts": "target"}, "types differ"),
    ],
)
def test_a_neighbour_with_other_columns_is_refused_by_name(
    change: dict[str, Any], cause: str, lake: Store
) -> None:
    names = {"item": "item_id", "time": "timestamp", "sold": "target"}
    frame = days("a", "2024-01-01", "2024-02-29").rename(columns=names)
    january = frame[frame["timestamp"].dt.month == 1]
    february = frame[frame["timestamp"].dt.month == 2].rename(columns=change.get("columns", {}))
    if "texts" in change:
        february = february.assign(target="many")
    lake.put("2024/01/part-0.parquet", parquet_bytes(january))
    lake.put("2024/02/part-0.parquet", parquet_bytes(february))
    job = FileJob(Sources(lake.address), lake.address, reading=Reading())
    target = DatasetRef.parse("cleaned/BINS")
    result = clean_dataset(CleanJob(job, target, rules_of("W"), LENIENT), ME)
    reasons = [reason for p in result.set_aside for reason in p.judgement.reasons]
    assert len(reasons) == 2
    for reason in reasons:
        assert cause in reason
        assert "2024/01/part-0.parquet" in reason
        assert "2024/02/part-0.parquet" in reason


def test_snapshots_that_may_share_bins_refuse_to_keep_parts_of_them(lake: Store) -> None:
    refs = tuple(DatasetRef.parse(f"raw/FX/2024-01-{day}") for day in ("01", "02"))
    job = FileJob(Sources(lake.address, refs), lake.address)
    rules = rules_of("W", partial_bins="keep")
    with pytest.raises(ConfigError, match=r"partial_bins=.keep.*several snapshots"):
        clean_dataset(CleanJob(job, DatasetRef.parse("cleaned/BINS"), rules), ME)


def test_the_least_of_large_integers_keeps_every_digit(lake: Store) -> None:
    times = pd.date_range("2024-01-01", periods=14)
    numbers = pa.array([2**53 + 1 + n if n != 9 else None for n in range(14)], pa.int64())
    sold = numbers.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    frame = pd.DataFrame({"item": "a", "time": times, "sold": sold})
    lake.put("2024/01/part-0.parquet", parquet_bytes(frame))
    for operation, expected in (("min", [1, 8]), ("max", [7, 14])):
        clean(lake, rules_of("W", operation))
        assert [int(value) - 2**53 for value in bins_in(lake)["sold"]] == expected


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    alias=st.sampled_from(["6h", "D", "W-TUE", "2W", "B", "MS", "QS-FEB"]),
    operation=st.sampled_from(HOWS),
    partial=st.sampled_from(["drop", "keep"]),
    duplicates=st.sampled_from(["first", "last"]),
    zone=st.sampled_from([None, "Europe/Berlin", "Australia/Lord_Howe"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_files_of_months_give_the_bins_of_one_file(
    alias: str, operation: str, partial: str, duplicates: str, zone: str | None, seed: int
) -> None:
    random = np.random.default_rng(seed)
    every = pd.date_range("2024-01-01", "2024-04-30 23:00", freq="h")
    parts = []
    for item in "abc"[: random.integers(1, 4)]:
        # Series begin and end anywhere, regular or with holes of days, but of no whole month.
        start, stop = np.sort(random.choice(len(every), 2, replace=False))
        own = every[start : stop + 1]
        own = own[random.random(len(own)) < random.choice([1.0, 0.2])]
        again = random.choice(own, size=min(len(own), 3)) if len(own) else own[:0]
        times = own.append(pd.DatetimeIndex(again))
        values = random.normal(10, 3, len(times)).round(3)
        values[random.random(len(values)) < 0.1] = np.nan
        rows = pd.DataFrame({"item": item, "time": times, "sold": values})
        parts.append(rows.iloc[random.permutation(len(rows))])
    frame = pd.concat(parts, ignore_index=True)
    frame["time"] = frame["time"].dt.tz_localize("UTC")
    if frame.empty:
        return
    rules = rules_of(alias, operation, partial_bins=partial, duplicates=duplicates)
    actual = []
    for is_cut in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            store = store_in(folder)
            if is_cut:
                put_months(store, frame)
            else:
                store.put("2024/01/part-0.parquet", parquet_bytes(frame))
            result = clean(store, rules, zone=zone)
            actual.append(None if result.manifest is None else bins_in(store))
    if actual[0] is None or actual[1] is None:
        assert actual == [None, None]
        return
    pd.testing.assert_frame_equal(actual[1], actual[0], check_dtype=False)
