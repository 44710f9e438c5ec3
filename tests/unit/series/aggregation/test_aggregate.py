"""Rows aggregated into calendar bins, compared with pandas' resample."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.core.time.frequency import Frequency
from gigacast.core.time.zone import from_wall, zone_of
from gigacast.errors import ConfigError, SchemaError
from gigacast.series.source import Aggregation, ColumnNames, ReadOptions
from tests.unit.series.reading import panel, read, reader_of

ALIASES = [
    *("h", "3h", "6h", "30min", "D", "W", "W-SUN", "W-MON", "W-WED", "B", "MS", "ME", "QS"),
    *("QS-FEB", "QE", "QE-FEB", "YS", "YS-APR", "YE", "YE-MAR", "2D", "2h"),
]
OLD = {"H": "h", "T": "min", "M": "ME", "Q": "QE", "Q-FEB": "QE-FEB", "A": "YE", "A-MAR": "YE-MAR",
       "AS": "YS", "AS-APR": "YS-APR", "Y": "YE"}  # fmt: skip
ZONES = [
    *(None, "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"),
    *("America/Sao_Paulo", "Africa/Cairo", "America/Santiago"),
]
OPERATIONS = ["sum", "mean", "last", "first", "min", "max", "count"]
STARTS = ["2018-10-20", "2023-03-20", "2023-10-20 05:00", "2024-02-27 13:30", "2023-12-30 23:00"]


def aggregated(frame, alias, how="sum", partial="keep", zone=None, **more):
    """Return the steps of each series, by wall time, or by UTC for steps shorter than a day."""
    more.setdefault("context_length", 10_000)
    table = frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame)
    options = {"freq": alias, "aggregation": Aggregation(how, partial, zone), **more}
    steps = {}
    for batch in reader_of(table, **options):
        for n in range(len(batch)):
            values = batch.values[batch.offsets[n] : batch.offsets[n + 1]]
            code = batch.frequency_codes[n]
            back = np.arange(len(values) - 1, -1, -1)
            times = np.empty(0, np.int64)
            if code >= 0:
                freq, last = batch.frequencies[code], batch.last_timestamps[n : n + 1]
                if not freq.in_wall_time:
                    last = from_wall(last, zone_of(batch.timestamp_type))
                times = freq.shift(last, -back)
            key = (batch.item_ids[n].as_py(), batch.target_names[n].as_py())
            steps[key] = pd.Series(values, pd.DatetimeIndex(times.astype("datetime64[us]")))
    return steps


def one(frame, alias, **options):
    (steps,) = aggregated(frame, alias, **options).values()
    return steps


def frame_of(times, values, item="a"):
    return pd.DataFrame({"item_id": item, "timestamp": times, "target": values})


def resampled(times, values, alias, how, **options):
    """What pandas makes of the rows: labels in wall time, or in UTC for steps below a day."""
    series = pd.Series(np.asarray(values, np.float64), pd.DatetimeIndex(times))
    series = series.groupby(level=0).mean().sort_index()
    resampler = series.resample(OLD.get(alias, alias), **options)
    bins = resampler.sum(min_count=1) if how == "sum" else getattr(resampler, how)()
    return bins.astype(np.float32)


def same(binned, expected):
    """Compare steps, whose leading missing values the reader trims."""
    expected = expected.loc[expected.first_valid_index() :]
    assert len(binned) == len(expected)
    np.testing.assert_allclose(binned.to_numpy(), expected.to_numpy(), rtol=1e-5, atol=1e-4)
    # A midnight that does not exist is the first moment after it.
    wall = expected.index.tz_localize(None).normalize()
    assert binned.index.equals(wall.as_unit("us"))


def hours(start, count, zone, step="h"):
    first = pd.Timestamp(start)
    if zone is not None:
        first = first.tz_localize(zone, nonexistent="shift_forward")
    return pd.date_range(first, periods=count, freq=step)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("alias", ["D", "W", "W-MON", "B", "MS", "ME", "QS-FEB", "YE-MAR"])
@pytest.mark.parametrize("start", STARTS)
def test_days_and_longer_bins_are_those_of_pandas_in_every_zone(zone, alias, start):
    times = hours(start, 24 * 200, zone)
    values = np.arange(len(times)) % 97 / 4
    expected = resampled(times, values, alias, "sum")
    if alias == "W" and zone in {"America/Sao_Paulo", "America/Santiago"}:
        # Where a Sunday has no midnight, pandas gives it the first hour of Monday.
        sundays = times.tz_localize(None).to_period("W").end_time.normalize()
        expected = pd.Series(values).groupby(sundays).sum().astype(np.float32)
    same(one(frame_of(times, values), alias), expected)


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "Australia/Lord_Howe"])
@pytest.mark.parametrize("alias", ["30min", "h", "2h", "3h", "6h"])
def test_bins_below_a_day_last_equally_long_where_clocks_change(zone, alias):
    winter = pd.Timestamp("2023-01-01", tz=zone)
    if zone == "Australia/Lord_Howe":
        winter = pd.Timestamp("2023-07-01", tz=zone)
    for start in ("2023-03-25", "2023-10-28", "2023-09-30", "2023-03-31"):
        times = hours(start, 4 * 24 * 4, zone, "15min")
        values = np.arange(len(times)) % 13
        expected = resampled(times, values, alias, "sum", origin=winter)
        binned = one(frame_of(times, values), alias)
        labels = expected.index if zone is None else expected.index.tz_convert("UTC")
        assert len(binned) == len(expected)
        np.testing.assert_allclose(binned.to_numpy(), expected.to_numpy())
        assert binned.index.equals(labels.tz_localize(None).as_unit("us"))


@pytest.mark.parametrize("alias", [*ALIASES, *OLD])
@pytest.mark.parametrize("how", OPERATIONS)
def test_every_alias_and_operation_is_that_of_pandas(alias, how):
    step = {"T": "20s", "30min": "10min"}.get(alias, "h")
    times = hours("2021-01-01", 24 * 900, None, step)
    random = np.random.default_rng(1)
    values = random.normal(10, 3, len(times))
    values[random.random(len(values)) < 0.1] = np.nan
    origin = {"origin": "epoch"} if alias == "2D" else {}
    expected = resampled(times, values, alias, how, **origin)
    expected = expected.loc[expected.first_valid_index() :]
    binned = one(frame_of(times, values), alias, how=how, context_length=60_000)
    np.testing.assert_allclose(binned.to_numpy(), expected.to_numpy(), rtol=1e-5, atol=1e-4)
    assert binned.index.equals(expected.index.as_unit("us"))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["D", "W-TUE", "B", "MS", "ME", "QE-FEB", "YS-APR", "6h"]),
    st.sampled_from(OPERATIONS),
    st.sampled_from([None, "Europe/Berlin", "America/Sao_Paulo"]),
    st.integers(0, 2**32 - 1),
)
def test_rows_with_gaps_nulls_and_duplicates_are_aggregated_as_by_pandas(alias, how, zone, seed):
    random = np.random.default_rng(seed)
    every = hours("2018-10-01 00:00", 24 * 100, zone)
    chosen = np.sort(random.choice(len(every), size=400, replace=False))
    doubled = np.append(chosen, random.choice(chosen, size=2))
    values = random.normal(0, 100, len(every))
    values[random.random(len(values)) < 0.2] = np.nan
    times = every[doubled]
    order = random.permutation(len(times))
    frame = frame_of(times[order], values[doubled][order])
    expected = resampled(
        times,
        values[doubled],
        alias,
        how,
        **({"origin": pd.Timestamp("2018-01-01", tz=zone)} if alias == "6h" else {}),
    )
    if zone == "America/Sao_Paulo" and alias == "6h":
        # The summer of the south begins in October; standard time is that of July.
        expected = resampled(
            times, values[doubled], alias, how, origin=pd.Timestamp("2018-07-01", tz=zone)
        )
    if not expected.notna().any():
        return
    binned = one(frame, alias, how=how)
    expected = expected.loc[expected.first_valid_index() :]
    assert len(binned) == len(expected)
    np.testing.assert_allclose(binned.to_numpy(), expected.to_numpy(), rtol=1e-5, atol=1e-3)


# -- bins at both ends -----------------------------------------------------------------------------


def daily(start, count):
    return pd.date_range(start, periods=count, freq="D")


@pytest.mark.parametrize(
    ("start", "days", "first", "last"),
    [
        ("2024-01-01", 28, "2024-01-07", "2024-01-28"),  # Monday to Sunday: whole weeks
        ("2024-01-02", 28, "2024-01-14", "2024-01-28"),
        ("2024-01-01", 27, "2024-01-07", "2024-01-21"),
    ],
)
def test_first_and_last_bins_that_the_rows_do_not_cover_are_dropped(start, days, first, last):
    frame = frame_of(daily(start, days), np.ones(days))
    chosen, dropped = one(frame, "W"), one(frame, "W", partial="drop")
    assert (dropped == 7).all()
    assert (dropped.index[0], dropped.index[-1]) == (pd.Timestamp(first), pd.Timestamp(last))
    assert chosen.sum() == days


def test_rows_of_the_working_week_cover_the_week():
    times = pd.date_range("2024-01-01", "2024-02-02", freq="B")
    assert one(frame_of(times, np.ones(len(times))), "W", partial="drop").tolist() == [5.0] * 5


def test_the_last_bin_of_irregular_rows_is_not_covered():
    moments = ["01 00:00", "01 07:13", "03 01:00", "04 09:59", "09 13:20", "17 17:03", "18 08:00"]
    times = pd.to_datetime([f"2024-01-{moment}" for moment in moments])
    binned = one(frame_of(times, np.ones(7)), "W", how="count", partial="drop")
    assert binned.tolist() == [4.0, 1.0]


def test_hours_of_a_day_on_which_clocks_change_cover_the_day():
    times = hours("2024-03-29", 24 * 4 - 1, "Europe/Berlin")  # the 31st has 23 hours
    binned = one(frame_of(times, np.ones(len(times))), "D", partial="drop")
    assert binned.tolist() == [24, 24, 23, 24]


# -- gaps, counts, duplicates, covariates ----------------------------------------------------------


def test_a_bin_without_rows_is_missing_but_counts_none():
    times = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-20"])
    frame = frame_of(times, [1.0, 2.0, 3.0])
    assert one(frame, "W").fillna(-1).tolist() == [3.0, -1.0, 3.0]
    assert one(frame, "W", how="count").tolist() == [2.0, 0.0, 1.0]


def test_a_count_of_rows_long_ago_makes_no_endless_bins():
    times = [pd.Timestamp("1700-01-01"), *daily("2024-01-01", 30)]
    binned = one(frame_of(times, np.ones(31)), "D", how="count", context_length=5)
    assert len(binned) == 5


def test_repeated_rows_count_once_and_conflicting_ones_are_refused():
    times = [*daily("2024-01-01", 14), *daily("2024-01-01", 14)]
    assert one(frame_of(times, np.ones(28)), "W").tolist() == [7.0, 7.0]
    frame = frame_of(times, np.arange(28.0))
    with pytest.raises(SchemaError, match="other values"):
        one(frame, "W")
    assert one(frame, "W", duplicates="sum").sum() == np.arange(28).sum()


@pytest.mark.parametrize("memory", [1 << 18, 1 << 30])
def test_order_of_rows_and_size_of_memory_change_no_bit(memory):
    random = np.random.default_rng(3)
    times = pd.date_range("2024-01-01", periods=9000, freq="h")
    frames = [frame_of(times, random.normal(size=9000), item) for item in "abc"]
    plain = aggregated(pd.concat(frames), "D", partial="drop", context_length=50)
    mixed = pd.concat(frames).sample(frac=1, random_state=1)
    again = aggregated(mixed, "D", partial="drop", context_length=50, memory_limit_bytes=memory)
    assert plain.keys() == again.keys()
    for key, steps in plain.items():
        assert len(steps) == 50
        pd.testing.assert_series_equal(steps, again[key], check_exact=True)


def test_covariates_get_their_mean_and_categories_the_last_text_over_the_horizon_too():
    times = daily("2024-01-01", 7 * 6)
    prices = np.arange(42.0)
    frame = frame_of(times, np.where(np.arange(42) < 28, 1.0, np.nan)).assign(
        price=prices, promo=[f"w{n // 7}" if n % 7 else None for n in range(42)]
    )
    columns = ColumnNames(known_covariates=("price", "promo"))
    options = {"freq": "W", "aggregation": Aggregation("sum"), "columns": columns, "horizon": 2}
    (batch,) = reader_of(pa.Table.from_pandas(frame), **options)
    assert batch.values.tolist() == [7.0] * 4
    price, promo = batch.covariates.values
    assert price.tolist() == [3 + 7 * week for week in range(6)]
    texts = batch.covariates.categories[1]
    assert [texts[int(code)] for code in promo] == [f"w{week}" for week in range(6)]


def test_a_history_that_ends_within_a_bin_goes_on_with_that_bin():
    times = daily("2024-01-01", 7 * 6)
    frame = frame_of(times, np.where(np.arange(42) < 24, 1.0, np.nan)).assign(price=1.0)
    columns = ColumnNames(known_covariates=("price",))
    for partial, steps in (("drop", [7.0] * 3), ("keep", [7.0, 7.0, 7.0, 3.0])):
        aggregation = Aggregation("sum", partial)
        options = {"freq": "W", "aggregation": aggregation, "columns": columns, "horizon": 2}
        (batch,) = reader_of(pa.Table.from_pandas(frame), **options)
        assert batch.values.tolist() == steps


# -- what is refused -------------------------------------------------------------------------------


def test_bins_finer_than_the_rows_are_refused():
    frame = frame_of(pd.date_range("2024-01-01", periods=40, freq="W"), np.ones(40))
    for how in ("sum", "count"):
        with pytest.raises(SchemaError, match=r"frequency D is finer than that of the rows \(W\)"):
            one(frame, "D", how=how)


def test_bins_as_long_as_the_rows_change_nothing():
    frame = frame_of(daily("2024-01-01", 40), np.arange(40.0))
    assert one(frame, "D", partial="drop").tolist() == list(range(40))


def test_without_an_aggregation_coarser_steps_are_refused_as_ever():
    frame = panel(a=(daily("2024-01-01", 60), np.ones(60)))
    with pytest.raises(SchemaError, match="frequency W is coarser"):
        read(frame, freq="W")


def test_an_aggregation_needs_bins():
    with pytest.raises(ConfigError, match="bins have no frequency"):
        ReadOptions(aggregation=Aggregation("sum"))


def test_anchors_matter_to_bins_and_not_to_steps():
    monday, sunday = Frequency.parse("W-MON"), Frequency.parse("W")
    assert monday == sunday
    assert (monday.alias, monday.anchored_alias, sunday.anchored_alias) == ("W", "W-MON", "W-SUN")
    assert Frequency.parse("QS-FEB").anchored_alias == "QS-FEB"
    assert Frequency.parse("7D").anchored_alias == "7D"


# -- zones -----------------------------------------------------------------------------------------


def test_a_named_zone_cuts_the_days_of_moments():
    times = pd.date_range("2024-03-28 23:00", periods=24 * 4 - 1, freq="h", tz="UTC")
    binned = one(frame_of(times, np.ones(len(times))), "D", zone="Europe/Berlin", partial="drop")
    assert binned.tolist() == [24, 24, 23, 24]
    assert binned.index[0] == pd.Timestamp("2024-03-29")
    texts = [time.strftime("%Y-%m-%dT%H:%M:%SZ") for time in times]
    again = one(frame_of(texts, np.ones(len(times))), "D", zone="Europe/Berlin", partial="drop")
    pd.testing.assert_series_equal(binned, again)


def test_times_without_a_zone_are_wall_time_in_the_named_one():
    moments = pd.date_range("2024-03-29", periods=24 * 4 - 1, freq="h", tz="Europe/Berlin")
    wall = moments.tz_localize(None)
    binned = one(frame_of(wall, np.ones(len(wall))), "D", zone="Europe/Berlin", partial="drop")
    assert binned.tolist() == [24, 24, 23, 24]
    assert binned.index.tolist() == [*pd.date_range("2024-03-29", periods=4)]


@pytest.mark.parametrize("freq", ["D", "h"])
def test_wall_times_that_the_named_zone_does_not_have_are_refused(freq: str) -> None:
    times = pd.date_range("2024-03-29", periods=24 * 4, freq="h")
    with pytest.raises(SchemaError, match=r"1 local time .*such as 2024-03-31T02:00:00") as refused:
        aggregated(frame_of(times, np.ones(len(times))), freq, zone="Europe/Berlin")
    assert "write UTC" in str(refused.value.hint)


def test_plain_steps_are_aggregated_in_multiples():
    table = pa.table({"item_id": ["a"] * 12, "timestamp": range(12), "target": [1.0] * 12})
    options = {"freq": "5", "aggregation": Aggregation("sum"), "timestamp_unit": "step"}
    (batch,) = reader_of(table, **options)
    assert (batch.values.tolist(), batch.last_timestamps.tolist()) == ([5.0, 5.0], [5])


def test_an_hour_that_comes_twice_is_told_apart_by_the_order_of_the_rows() -> None:
    zone = "Europe/Berlin"
    moments = pd.date_range("2024-10-20", periods=24 * 15 + 1, freq="h", tz=zone)
    wall = moments.tz_localize(None)
    values = np.arange(len(wall), dtype=np.float64)
    expected = pd.Series(values, moments).resample("D").sum()
    for rows in (slice(None), slice(None, None, -1)):  # descending rows are read from their end
        (binned,) = aggregated(frame_of(wall[rows], values[rows]), "D", zone=zone).values()
        assert binned.tolist() == expected.tolist()
        assert binned.index.tolist() == [*expected.index.tz_localize(None)]


def test_an_hour_that_comes_twice_out_of_order_is_refused() -> None:
    zone = "Europe/Berlin"
    wall = pd.date_range("2024-10-20", periods=24 * 30, freq="30min", tz=zone).tz_localize(None)
    halves = wall[wall.minute == 0].append(wall[wall.minute == 30])
    with pytest.raises(SchemaError, match="4 local times occur twice in Europe/Berlin") as refused:
        aggregated(frame_of(halves, np.ones(len(wall))), "D", zone=zone)
    assert "in order" in str(refused.value.hint)


@pytest.mark.parametrize("alias", ["h", "30min", "2h", "6h"])
@pytest.mark.parametrize("start", ["2024-10-20", "2024-03-25"])
def test_short_bins_of_wall_times_are_those_of_the_moments(alias: str, start: str) -> None:
    zone = "Europe/Berlin"
    moments = pd.date_range(start, periods=24 * 4 * 9 + 1, freq="15min", tz=zone)
    values = np.random.default_rng(1).random(len(moments))
    read = {"freq": alias, "aggregation": Aggregation("sum", "drop", zone), "context_length": 5000}
    batches = []
    for times in (moments, moments.tz_localize(None)):
        table = pa.Table.from_pandas(frame_of(times, values))
        batches += [*reader_of(table, **read)]
    zoned, wall = batches
    assert zone_of(wall.timestamp_type) == zone
    assert wall.last_timestamps.tolist() == zoned.last_timestamps.tolist()
    np.testing.assert_array_equal(wall.values, zoned.values)
    assert np.isfinite(wall.values).all()  # neither a missing nor a doubled hour
