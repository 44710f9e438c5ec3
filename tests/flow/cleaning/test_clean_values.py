"""Values, times and types that cleaning makes of the rows."""

import io
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.cleaning.rules import CleanRules
from gigacast.core.contract.predefined import OHLCV_SCHEMA
from gigacast.core.time.frequency import Frequency
from gigacast.job.file_job import Reading, Sources
from gigacast.lake.dataset.catalog import Lake
from gigacast.quality.measures import Limit
from gigacast.series.source import ColumnNames
from gigacast.storage.store import Store
from tests.flow.cleaning.cleanings import LENIENT, TARGET, clean, dirty, rows_of
from tests.support.bars import bars, parquet_bytes, publish

TIMES = pd.date_range("2024-03-09", periods=5, freq="h")


@pytest.mark.parametrize(
    ("times", "zone"),
    [
        (TIMES.as_unit("ns"), None),
        (TIMES.tz_localize("UTC").tz_convert("Asia/Tokyo"), None),
        (TIMES.strftime("%Y-%m-%d %H:%M:%S"), None),
        (TIMES.strftime("%Y-%m-%dT%H:%M:%SZ"), "America/New_York"),
        ((TIMES + pd.Timedelta("2h")).strftime("%Y-%m-%dT%H:%M:%S+02:00"), None),
        (TIMES.as_unit("s").asi8, None),
        (TIMES.as_unit("ms").asi8, None),
        (TIMES.as_unit("us").asi8, "America/New_York"),
        (TIMES.as_unit("ns").asi8.astype(float), None),
        (
            TIMES.tz_localize("UTC").tz_convert("America/New_York").tz_localize(None),
            "America/New_York",
        ),
        (TIMES + pd.Timedelta("10s"), None),
    ],
    ids=[
        *("naive", "zoned", "text", "text in UTC", "text with offset", "s", "ms", "us", "ns"),
        *("wall", "late"),
    ],
)
def test_times_of_every_form_become_utc_on_the_grid(
    lake: Store, times: Any, zone: str | None
) -> None:
    frame = pd.DataFrame({"ds": times, "close": np.arange(5.0)})
    lake.put("2024/03/part-00000.parquet", parquet_bytes(frame))
    rules = CleanRules(align="nearest", frequency=Frequency.parse("h"), zone=zone)
    reading = Reading(zone=zone, frequency=rules.frequency)
    clean(lake, sources=Sources(lake.address), rules=rules, reading=reading)
    cleaned_times = rows_of(lake)["ds"]
    assert str(cleaned_times.dt.tz) == "UTC"
    assert cleaned_times.dt.tz_localize(None).tolist() == TIMES.tolist()


BERLIN = pd.date_range("2024-10-26 23:00", periods=6, freq="h", tz="UTC").tz_convert(
    "Europe/Berlin"
)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("as_text", [False, True])
def test_the_repeated_hour_is_resolved_by_the_order_of_rows(
    lake: Store, newest_first: bool, as_text: bool
) -> None:
    local = BERLIN.tz_localize(None)
    times = local.strftime("%Y-%m-%d %H:%M:%S") if as_text else local
    frame = pd.DataFrame({"ds": times, "close": np.arange(6.0)})
    frame = frame[::-1] if newest_first else frame
    lake.put("2024/10/part-00000.parquet", parquet_bytes(frame))
    reading = Reading(zone="Europe/Berlin")
    clean(lake, sources=Sources(lake.address), rules=CleanRules(zone=reading.zone), reading=reading)
    rows = rows_of(lake)
    assert rows["ds"].tolist() == BERLIN.tz_convert("UTC").tolist()
    assert rows["close"].tolist() == list(range(6))


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        (["2024-10-27 01:00", "2024-10-27 02:30", "2024-10-27 03:00"], "occurs twice"),
        (["2024-03-31 01:00", "2024-03-31 02:30", "2024-03-31 03:00"], "does not exist"),
    ],
)
def test_local_times_that_the_order_cannot_resolve_are_refused(
    lake: Store, times: list[str], problem: str
) -> None:
    frame = pd.DataFrame({"ds": pd.to_datetime(times), "close": np.arange(3.0)})
    lake.put("2024/10/part-00000.parquet", parquet_bytes(frame))
    reading = Reading(zone="Europe/Berlin")
    rules = CleanRules(zone=reading.zone)
    result = clean(lake, sources=Sources(lake.address), rules=rules, reading=reading)
    assert f"1 local time {problem} in Europe/Berlin" in result.failures[0][1].message


def test_dates_are_days_of_their_zone_even_if_a_day_has_no_midnight(lake: Store) -> None:
    # In Havana clocks go forward at midnight of 10 March 2024, and back at 01:00 of 3 November.
    days = pd.DatetimeIndex(["2024-03-09", "2024-03-10", "2024-11-03", "2024-11-04"])
    frame = pd.DataFrame({"ds": days, "close": np.arange(4.0)})
    lake.put("2024/03/part-00000.parquet", parquet_bytes(frame))
    reading = Reading(zone="America/Havana")
    clean(lake, sources=Sources(lake.address), rules=CleanRules(zone=reading.zone), reading=reading)
    cleaned_days = rows_of(lake)["ds"].dt.tz_convert("America/Havana").dt.strftime("%Y-%m-%d")
    assert cleaned_days.tolist() == days.strftime("%Y-%m-%d").tolist()


def test_a_contract_sets_types_drops_bad_rows_and_holds_for_the_others(lake: Store) -> None:
    frame = dirty("EURUSD").astype({"close": str})
    frame.loc[5, "close"] = "a lot"
    frame.loc[7, "high"] = 1.0
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    result = clean(lake, rules=CleanRules(contract=OHLCV_SCHEMA))
    assert result.changes["unreadable"] == 1
    assert result.changes["broken_rows"] >= 1
    assert result.manifest is not None
    assert result.manifest.contract == OHLCV_SCHEMA.to_dict()
    rows = rows_of(lake)
    assert rows["close"].dtype == np.float64
    assert (rows["high"] >= rows[["open", "close", "low"]].max(axis=1)).all()
    missing = clean(lake, rules=CleanRules(contract=replace(OHLCV_SCHEMA, columns=(
        *OHLCV_SCHEMA.columns, replace(OHLCV_SCHEMA.columns[-1], name="bid"))
    )))  # fmt: skip
    assert missing.set_aside[0].judgement.reasons[0].startswith("MissingRequiredColumnError")


def test_columns_are_narrowed_and_texts_are_dictionaries(lake: Store) -> None:
    frame = dirty("EURUSD").assign(count=1, ratio=0.1)
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    clean(lake, rules=CleanRules(outliers="keep", float_tolerance=1e-6))
    key = Lake(lake).read(TARGET).files[0].key
    schema = pq.read_schema(io.BytesIO(lake.get(key)))
    assert schema.field("count").type == pa.int8()
    assert schema.field("ratio").type == pa.float32()
    assert pa.types.is_dictionary(schema.field("symbol").type)
    assert Lake(lake).read(TARGET).schema.field("symbol").type == pa.string()


def test_ids_that_became_floats_are_refused(lake: Store) -> None:
    frame = pd.concat([bars(50).assign(item_id=n) for n in (1.0, 2.0)])
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    result = clean(lake)
    assert result.manifest is None
    (failure,) = (failure for _, failure in result.failures)
    assert "column 'item_id' of type double cannot hold item ids" in failure.message
    assert "whole numbers" in str(failure.hint)


STRICT_KEYS = replace(LENIENT, duplicates=Limit(0, 0.05), null_keys=Limit(0, 0.05))


def panel(**columns: list[Any]) -> pd.DataFrame:
    """Rows of each combination of some columns, with values of their own."""
    parts = []
    for combination in itertools.product(*columns.values()):
        own = dict(zip(columns, combination, strict=True))
        parts.append(bars(40, seed=len(parts)).assign(**own))
    return pd.concat(parts)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"ticker": ["A", "B", "C"]}, "ticker tells them apart: use --item_column ticker"),
        ({"site": [1, 2]}, "site tells them apart: use --item_column site"),
        ({"store": ["x", "y"], "sku": [7, 8, 9]}, "store and sku tell them apart"),
    ],
)
def test_items_of_unnamed_columns_are_not_dropped_as_duplicates(
    lake: Store, columns: dict[str, list[Any]], message: str
) -> None:
    frame = panel(**columns)
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    result = clean(lake, thresholds=STRICT_KEYS)
    assert result.manifest is None
    (partition,) = result.set_aside
    (reason,) = partition.judgement.reasons
    assert reason.startswith(f"fail: {len(frame) - 40} of {len(frame)} rows had a series and time")
    assert message in reason
    if len(columns) == 1:
        reading = Reading(columns=ColumnNames(item_id=next(iter(columns))))
        named = clean(lake, thresholds=STRICT_KEYS, reading=reading)
        assert named.manifest is not None
        assert named.manifest.rows == len(frame)
    allowed = clean(lake, thresholds=replace(STRICT_KEYS, duplicates=Limit()))
    assert allowed.manifest is not None
    assert (allowed.manifest.rows, allowed.computed) == (40, 0)


def test_rows_moved_to_the_same_time_by_the_grid_do_not_conflict(lake: Store) -> None:
    ticks = bars(300, step="7s").assign(trade_id=[f"t{n}" for n in range(300)])
    publish(lake, "raw/FX/2024-01-15", ticks, contract=None)
    rules = CleanRules(align="floor", frequency=Frequency.parse("min"))
    result = clean(lake, rules=rules, thresholds=STRICT_KEYS)
    assert result.manifest is not None
    assert result.manifest.rows == ticks["timestamp"].dt.floor("min").nunique()


def test_rows_with_unreadable_times_are_judged_by_the_thresholds(lake: Store) -> None:
    frame = bars(60)
    frame["timestamp"] = frame["timestamp"].astype(str).where(frame.index % 2 == 0, "30/01/2024")
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    (partition,) = clean(lake, thresholds=STRICT_KEYS).set_aside
    assert partition.judgement.reasons == (
        "fail: 30 of 60 rows had no series or no time that can be read",
    )


def test_values_of_another_type_than_the_contracts_count_as_missing(lake: Store) -> None:
    frame = bars(60)
    frame["volume"] = frame["volume"].astype(str).where(frame.index % 3 == 0, "n/a")
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    rules = CleanRules(contract=OHLCV_SCHEMA)
    (partition,) = clean(
        lake, rules=rules, thresholds=replace(LENIENT, missing=Limit(0, 0.2))
    ).set_aside
    assert partition.judgement.reasons[0] == (
        "fail: 40 of 60 values of volume were not of the contract's type"
    )


def test_repeated_rows_are_dropped_also_with_text_columns(lake: Store) -> None:
    frame = bars(50).assign(venue="X")
    publish(lake, "raw/FX/2024-01-15", pd.concat([frame, frame]), contract=None)
    result = clean(lake, thresholds=STRICT_KEYS)
    assert result.manifest is not None
    assert (result.manifest.rows, result.changes["duplicates"]) == (50, 50)
    assert not result.set_aside


@pytest.mark.parametrize(
    ("rules", "values"),
    [
        ({"nulls": "interpolate", "outliers": "keep"}, [1.0, None, None, 2.0, 3.0]),
        ({"nulls": "interpolate", "outliers": "keep"}, [16777216.0, None, 16777218.0]),
        ({"outliers": "clip", "limit": 1 / 3}, [0.0, 1.0, 2.0, 3.0, 4.0, 1000.0]),
    ],
)
def test_without_a_tolerance_filled_values_are_not_rounded_either(
    lake: Store, rules: dict[str, Any], values: list[float | None]
) -> None:
    times = pd.date_range("2024-01-01", periods=len(values), freq="h")
    frame = pd.DataFrame({"timestamp": times, "y": values})
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    expected = frame["y"].interpolate().to_numpy()
    if rules["outliers"] == "clip":
        low, high = np.quantile(expected, (0.25, 0.75))
        reach = (high - low) / 3
        expected = np.clip(expected, low - reach, high + reach)
    assert not np.array_equal(expected, expected.astype(np.float32))
    result = clean(lake, rules=CleanRules(**rules))
    assert result.manifest is not None
    assert rows_of(lake, result.manifest.ref)["y"].to_numpy() == pytest.approx(expected, rel=1e-14)
    with_tolerance = clean(lake, rules=CleanRules(**rules, float_tolerance=1e-6))
    assert with_tolerance.manifest is not None
    assert with_tolerance.manifest.schema.field("y").type == pa.float32()
