"""Rows that the frequency does not describe: they are refused or flagged, never made to fit."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gigacast.errors import SchemaError
from tests.unit.series.reading import moment, panel, read, reader_of


def table(**items) -> pa.Table:
    return panel(**{name: (times, np.arange(float(len(times)))) for name, times in items.items()})


def grid(freq: str, periods: int = 40, start: str = "2024-01-01") -> pd.DatetimeIndex:
    return pd.date_range(start, periods=periods, freq=freq)


COARSER = [
    ("W", "D", "D"), ("D", "h", "h"), ("MS", "D", "D"), ("ME", "W-SUN", "W"), ("QE", "ME", "ME"),
    ("B", "D", "D"), ("h", "15min", "15min"), ("YS", "QS", "QS"), ("2D", "D", "D"),
]  # fmt: skip
FINER = [
    ("D", "W", "W"), ("h", "D", "D"), ("D", "MS", "MS"), ("MS", "QS", "QS"), ("12h", "D", "D"),
    ("15min", "h", "h"), ("B", "W-MON", "W"), ("min", "B", "B"),
]  # fmt: skip


@pytest.mark.parametrize(("freq", "data", "named"), COARSER)
def test_a_frequency_coarser_than_the_rows_is_refused_and_both_are_named(freq, data, named):
    with pytest.raises(SchemaError, match=f"frequency {freq} is coarser .* rows \\({named}\\)"):
        read(table(a=grid(data)), freq=freq)


@pytest.mark.parametrize(("freq", "data", "named"), FINER)
def test_a_frequency_finer_than_the_rows_is_refused_and_both_are_named(freq, data, named):
    with pytest.raises(SchemaError, match=f"frequency {freq} is finer .* rows \\({named}\\)"):
        read(table(a=grid(data)), freq=freq)


def test_steps_of_numbers_are_refused_like_times():
    numbers = table(a=grid("D")).set_column(1, "timestamp", pa.array(range(0, 200, 5)))
    with pytest.raises(SchemaError, match=r"frequency 10 is coarser .* rows \(5\)"):
        read(numbers, freq="10")
    with pytest.raises(SchemaError, match=r"frequency 1 is finer .* rows \(5\)"):
        read(numbers, freq="1")
    assert read(numbers, freq="5")["a", "target"].values == tuple(range(40))


@pytest.mark.parametrize("memory", [1, 2**29])
def test_the_refusal_does_not_depend_on_batches(memory):
    many = table(**{f"i{n}": grid("D", 14) for n in range(30)})
    with pytest.raises(SchemaError, match="in 30 of 30 items"):
        read(many, freq="W", batch_rows=10, batch_series=2, memory_limit_bytes=memory)


def test_one_finer_series_among_others_is_flagged_and_not_averaged():
    items = {f"i{n}": grid("W", 20) for n in range(3)}
    series = read(table(odd=grid("D", 20), **items), freq="W")
    assert (series["odd", "target"].reason, series["odd", "target"].freq) == ("irregular", None)
    assert series["odd", "target"].values == tuple(range(20))
    assert series["i0", "target"].reason == "ok"


@pytest.mark.parametrize(
    ("freq", "data"), [("D", "B"), ("MS", "BMS"), ("ME", "BME"), ("QE", "BQE"), ("B", "B")]
)
def test_days_and_their_business_days_fit_each_other(freq, data):
    series = read(table(a=grid(data)), freq=freq)["a", "target"]
    assert (series.reason, series.freq) == ("ok", freq)


def test_sparse_rows_fit_the_frequency_that_is_given():
    rng = np.random.default_rng(5)
    sold = np.cumsum(rng.integers(2, 9, 40))
    series = read(table(a=grid("D", 400)[sold]), freq="D")["a", "target"]
    assert (series.reason, len(series.values)) == ("ok", sold[-1] - sold[0] + 1)


def test_a_clock_that_jitters_fits_its_frequency():
    rng = np.random.default_rng(0)
    hours = grid("h", 60) + pd.to_timedelta(rng.integers(0, 60, 60), unit="s")
    days = grid("D", 60) + pd.to_timedelta(rng.integers(0, 9, 60), unit="h")
    assert read(table(a=hours), freq="h")["a", "target"].reason == "ok"
    assert read(table(a=days), freq="D")["a", "target"].reason == "ok"


@pytest.mark.parametrize("freq", ["D", None])
def test_a_last_row_off_the_grid_flags_the_series(freq):
    times = grid("D", 30).append(pd.DatetimeIndex(["2024-01-31 15:30"]))
    series = read(table(a=times, b=grid("D", 30), c=grid("D", 30)), freq=freq)
    assert series["a", "target"].reason == "irregular"
    assert series["b", "target"].reason == "ok"


def test_an_earlier_row_off_the_grid_does_not_flag_the_series():
    times = grid("D", 30).append(pd.DatetimeIndex(["2024-01-20 15:30"])).sort_values()
    assert read(table(a=times), freq="D")["a", "target"].reason == "ok"


@pytest.mark.parametrize(("freq", "data"), [("ME", "MS"), ("MS", "ME"), ("MS", "SMS")])
def test_months_on_another_day_are_flagged(freq, data):
    times = grid(data, 30)[1::2] if data == "SMS" else grid(data, 30)
    assert read(table(a=times), freq=freq)["a", "target"].reason == "irregular"


def test_a_few_business_days_with_one_saturday_fit():
    times = grid("B", 20).append(pd.DatetimeIndex(["2024-01-06"])).sort_values()
    reader = reader_of(table(a=times), freq="B")
    assert [batch.reasons.tolist() for batch in reader] == [[0]]
    assert (reader.stats.snapped, reader.stats.duplicates) == (1, 1)


def test_a_list_that_starts_on_a_weekend_begins_on_the_next_business_day():
    starts = [moment("2024-01-06 09:00"), moment("2024-01-07"), moment("2024-01-08")]
    lists = pa.table(
        {"item_id": list("abc"), "start": starts, "target": [[1.0, 2, 3, 4, 5, 6]] * 3}
    )
    series = read(lists, freq="B")
    assert [series[item, "target"].last for item in "abc"] == [
        moment("2024-01-15 09:00"), moment("2024-01-15"), moment("2024-01-15")
    ]  # fmt: skip
    expected = pd.date_range("2024-01-07", periods=6, freq="B")[-1]
    assert series["b", "target"].last == expected


def test_a_horizon_beyond_the_calendar_flags_the_series():
    times = [moment(f"{year}-01-01") for year in (1000, 3000, 5000, 7000, 9000)]
    columns = {"item_id": ["a"] * 5, "timestamp": times, "target": [1.0] * 5}
    assert read(pa.table(columns), horizon=1)["a", "target"].reason == "irregular"
    assert read(pa.table(columns))["a", "target"].reason == "ok"
