"""The scale of a forecast is the seasonal error of its series before its first step."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.backtesting.evaluation import scale
from gigacast.backtesting.evaluation.join import Forecasts, read_forecasts
from gigacast.backtesting.evaluation.scale import scales_before
from gigacast.core.series.batch import SeriesBatch
from gigacast.series.reader import read_series
from gigacast.series.source import ReadOptions, SeriesSource

START = pd.Timestamp("2024-01-01")
SPRING = pd.Timestamp("2024-03-28 12:00")  # clocks of Berlin go forward on the 31st


def batches_of(frame: pd.DataFrame) -> list[SeriesBatch]:
    source = SeriesSource.of_table(pa.Table.from_pandas(frame, preserve_index=False))
    return list(read_series([source], ReadOptions(context_length=1000, freq=None)))


def forecasts_at(origins: list[tuple[str, pd.Timestamp]], horizon: int = 2) -> Forecasts:
    """Return forecasts whose first step is at a time, of several origins of a series."""
    rows = [
        {
            "item_id": item,
            "timestamp": first + pd.Timedelta(days=step),
            "target_name": "target",
            "predictions": np.float32(0),
            "0.5": np.float32(0),
        }
        for item, first in origins
        for step in range(horizon)
    ]
    table = pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False)
    return read_forecasts(table, horizon)


def slow_scale(values: list[float]) -> float:
    """Return the mean absolute difference of values a week apart."""
    changes = [abs(b - a) for a, b in zip(values, values[7:], strict=False)]
    finite = [change for change in changes if not np.isnan(change)]
    return sum(finite) / len(finite) if finite and sum(finite) else np.nan


@given(
    values=st.lists(st.one_of(st.integers(0, 9), st.just(np.nan)), min_size=3, max_size=30),
    firsts=st.lists(st.integers(1, 34), min_size=1, max_size=5),
)
def test_later_values_do_not_count(values: list[float], firsts: list[int]) -> None:
    values = [*values[:2], 1.0, *values[2:]]
    days = pd.date_range(START, periods=len(values))
    frame = pd.concat(
        [
            pd.DataFrame({"item_id": "a", "timestamp": days, "target": values}),
            pd.DataFrame({"item_id": "b", "timestamp": days, "target": 7.0}),
        ]
    )
    origins = [("a", START + pd.Timedelta(days=first)) for first in firsts]
    forecasts = forecasts_at([*origins, ("z", START)])
    expected = [slow_scale(values[:first]) for first in firsts]
    got = scales_before(batches_of(frame), forecasts)
    np.testing.assert_allclose(got, [*expected, np.nan], rtol=1e-6)


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_hours_are_counted_as_instants(zone: str | None) -> None:
    """A night in which clocks change has an hour more or less, and no value moves."""
    times = pd.date_range("2024-03-29", periods=96, freq="h", tz=zone)
    values = np.arange(96) % 24 + np.arange(96) // 24 * 2.0
    frame = pd.DataFrame({"item_id": "a", "timestamp": times, "target": values})
    table = pa.table(
        {
            "item_id": ["a"] * 2,
            "timestamp": pa.array(times[[72, 73]]),
            "target_name": ["target"] * 2,
            "predictions": pa.array([0.0, 0.0], pa.float32()),
            "0.5": pa.array([0.0, 0.0], pa.float32()),
        }
    )
    expected = np.abs(values[24:72] - values[:48]).mean()
    assert scales_before(batches_of(frame), read_forecasts(table, 2)) == pytest.approx([expected])


def test_as_many_steps_count_as_in_a_backtest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "HISTORY", 10)
    monkeypatch.setattr(scale, "_MOST_VALUES", 25)
    values = [float(n * n % 13) for n in range(40)]
    frame = pd.DataFrame(
        {"item_id": "a", "timestamp": pd.date_range(START, periods=40), "target": values}
    )
    origins = [20, 25, 40]
    forecasts = forecasts_at([("a", START + pd.Timedelta(days=n)) for n in origins])
    expected = [slow_scale(values[n - 10 : n]) for n in origins]
    assert all(a != b for a, b in pairwise(expected))
    assert scales_before(batches_of(frame), forecasts) == pytest.approx(expected)


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
@pytest.mark.parametrize("freq", ["D", "h"])
def test_the_times_of_all_values_are_instants(freq: str, zone: str | None) -> None:
    days = pd.date_range(SPRING, periods=8 if freq == "D" else 96, freq=freq, tz=zone)
    values = np.arange(len(days), dtype=float)
    frame = pd.concat(
        [
            pd.DataFrame({"item_id": name, "timestamp": days[skip:], "target": values[skip:]})
            for name, skip in (("a", 0), ("b", 2))
        ]
    )
    (batch,) = batches_of(frame)
    owner = np.repeat(np.arange(2), batch.lengths)
    within = np.concatenate([np.arange(length) for length in batch.lengths])
    instants = pd.DatetimeIndex(frame["timestamp"])
    if zone is not None:
        instants = instants.tz_convert("UTC").tz_localize(None)
    expected = instants.as_unit("us").asi8
    assert scale._times(batch, owner, within).tolist() == expected.tolist()


def test_without_a_frequency_no_value_is_before_a_forecast() -> None:
    (batch,) = batches_of(pd.DataFrame({"item_id": ["a"], "timestamp": [START], "target": [1.0]}))
    assert batch.frequency_codes.tolist() == [-1]
    times = scale._times(batch, np.array([0]), np.array([0]))
    assert times.tolist() == [np.iinfo(np.int64).max]


def test_series_are_looked_at_in_pieces_of_a_bounded_number_of_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scale, "_MOST_VALUES", 10)
    lengths = np.array([4, 6, 1, 0, 9, 25, 3, 10, 10])
    pieces = [list(range(9))[piece] for piece in scale._chunks(lengths)]
    # As many as fit, and at least one.
    assert pieces == [[0, 1], [2, 3, 4], [5], [6], [7], [8]]
    assert [*scale._chunks(lengths[:0])] == []
