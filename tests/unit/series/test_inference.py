"""The frequency of a series, told by its timestamps."""

import numpy as np
import pandas as pd
import pytest

from gigacast.core.series.reason import Reason
from gigacast.core.time.frequency import Frequency
from gigacast.series.inference import infer_frequencies

PANDAS = [
    "s", "5min", "h", "6h", "D", "2D", "W-MON", "4W-SUN", "B", "MS", "ME", "2ME", "QS", "QE-FEB",
    "YS", "YE-JUN",
]  # fmt: skip
OURS = [
    "s",
    "5min",
    "h",
    "6h",
    "D",
    "2D",
    "W",
    "4W",
    "B",
    "MS",
    "ME",
    "2ME",
    "QS",
    "QE",
    "YS",
    "YE",
]


def infer(*series, steps=False) -> list:
    arrays = [np.asarray(values, np.int64) for values in series]
    offsets = np.cumsum([0, *(len(values) for values in arrays)])
    inferred = infer_frequencies(np.concatenate(arrays), offsets, steps=steps)
    return [
        inferred.frequencies[code].alias if code >= 0 else Reason(reason).label
        for code, reason in zip(inferred.codes, inferred.reasons, strict=True)
    ]


def at(*dates) -> np.ndarray:
    return pd.DatetimeIndex(dates).as_unit("us").asi8


def grid(freq, periods=30, start="2023-03-07 00:00") -> np.ndarray:
    return at(*pd.date_range(start, periods=periods, freq=freq))


def test_every_frequency_is_inferred_from_a_full_grid():
    assert infer(*(grid(freq) for freq in PANDAS)) == OURS


@pytest.mark.parametrize("seed", range(5))
def test_holes_do_not_hide_a_frequency(seed):
    rng = np.random.default_rng(seed)
    keep = np.sort(np.concatenate([np.arange(8), rng.choice(np.arange(8, 60), 40, replace=False)]))
    assert infer(*(grid(freq, 60)[keep] for freq in PANDAS)) == OURS


def test_a_series_has_the_same_frequency_alone_and_in_a_batch():
    assert [infer(grid(freq))[0] for freq in PANDAS] == OURS


def test_three_timestamps_are_needed():
    few = [[], grid("D", 1), grid("D", 2), grid("D", 3)]
    assert infer(*few) == ["no_frequency", "no_frequency", "no_frequency", "D"]


def test_a_hole_of_decades_does_not_change_the_frequency():
    assert infer(np.concatenate([grid("D", 50, "1950-01-01"), grid("D", 50)])) == ["D"]


def test_one_working_week_is_daily_and_two_are_business_days():
    assert infer(grid("B", 5, "2024-03-04"), grid("B", 6, "2024-03-04")) == ["D", "B"]


def test_a_single_weekend_makes_it_daily():
    assert infer(np.sort(np.append(grid("B", 40, "2024-03-04"), at("2024-03-09")))) == ["D"]


def test_few_days_that_happen_to_miss_weekends_are_daily():
    sparse = at("2024-03-04", "2024-03-05", "2024-03-14", "2024-03-27", "2024-04-03")
    assert infer(sparse) == ["D"]


def test_months_may_fall_on_any_day_and_be_clipped():
    fixed = [
        at(*(pd.Timestamp("2023-01-31") + pd.DateOffset(months=n, day=day) for n in range(8)))
        for day in (15, 30)
    ]
    assert infer(*fixed) == ["M@15", "M@30"]


def test_the_last_and_first_business_days_are_month_ends_and_starts():
    assert infer(grid("BME", 30), grid("BMS", 30), grid("BQE", 12)) == ["ME", "MS", "QE"]


def test_equal_gaps_are_months_only_on_the_same_day_of_each_month():
    assert infer(*(grid("30D", n, "2023-05-04") for n in (3, 4))) == ["30D", "30D"]
    assert infer(grid("364D", 4, "2021-01-04"), grid("91D", 3, "2023-01-01")) == ["52W", "13W"]
    assert infer(at("2021-01-04", "2023-01-02", "2024-01-01")) == ["52W"]  # with a hole
    assert infer(at("2020-08-31", "2020-09-30", "2020-10-30")) == ["30D"]
    assert infer(grid("MS", 3, "2023-07-01"), grid("YS", 4, "2021-01-01")) == ["MS", "YS"]
    assert infer(at("2023-12-05", "2024-01-05", "2024-02-05")) == ["M@5"]


def test_every_28_days_is_not_a_month_unless_the_day_agrees():
    assert infer(grid("28D", 12), at("2023-01-01", "2023-02-01", "2023-03-01")) == ["4W", "MS"]


def test_a_jittering_clock_gets_the_nearest_usual_step():
    rng = np.random.default_rng(0)
    jitter = rng.integers(-1_000_000, 1_000_000, 200)
    assert infer(grid("min", 200) + jitter) == ["min"]


def test_daily_data_kept_in_utc_across_summer_time_is_daily():
    local = pd.date_range("2024-01-01", periods=200, freq="D", tz="Europe/Berlin")
    assert infer(at(*local.tz_convert(None))) == ["D"]


def test_a_stray_point_does_not_hide_the_grid():
    assert infer(np.sort(np.append(grid("D", 60), at("2023-03-20 00:00:01")))) == ["D"]


def test_points_on_no_grid_are_irregular():
    rng = np.random.default_rng(3)
    random = np.sort(rng.choice(10**12, 50, replace=False))
    bursts = np.sort(np.concatenate([grid("D", 20), grid("D", 20) + 1_000_000]))
    assert infer(random, bursts) == ["irregular", "irregular"]


def test_plain_numbers_have_steps():
    assert infer([1, 2, 3, 7], [0, 10, 20], [0, 2, 5, 7], [1, 2, 4000, 90000], steps=True) == [
        "1", "10", "1", "irregular",
    ]  # fmt: skip


def test_each_frequency_is_there_once():
    for names in (["D"] * 3, ["D", "h", "D", "W-MON", "h"]):
        arrays = [grid(name) for name in names]
        offsets = np.cumsum([0, *map(len, arrays)])
        frequencies = infer_frequencies(np.concatenate(arrays), offsets, steps=False).frequencies
        assert len(frequencies) == len({*frequencies}) == len({*names})


MS, S, MIN, H, D = 1_000, 10**6, 60 * 10**6, 3600 * 10**6, 86_400 * 10**6
USUAL = [
    *(MS * n for n in (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500)),
    *(S * n for n in (1, 2, 5, 10, 15, 20, 30)),
    *(MIN * n for n in (1, 2, 3, 5, 10, 15, 20, 30)),
    *(H * n for n in (1, 2, 3, 4, 6, 8, 12)),
    *(D, 7 * D),
]


def jittered(step: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([seed, step])
    return np.arange(60) * step + (step * rng.uniform(-0.01, 0.01, 60)).round().astype(np.int64)


def test_every_usual_step_is_that_of_a_clock_that_jitters_around_it():
    arrays = [jittered(step) for step in USUAL]
    offsets = np.cumsum([0, *map(len, arrays)])
    inferred = infer_frequencies(np.concatenate(arrays), offsets, steps=False)
    counts = [inferred.frequencies[code].count for code in inferred.codes]
    assert counts == USUAL
    assert {frequency.kind for frequency in inferred.frequencies} == {"fixed"}


@pytest.mark.parametrize("step", [7 * S, 45 * S, 7 * MIN, 25 * MIN, 45 * MIN, 5 * H, 10 * H, 3 * D])
def test_another_step_is_the_median_gap_and_none_of_the_usual_ones(step: int):
    times = jittered(step)[:9]  # few, so that the median's own error does not add up
    assert infer(times) == [Frequency.fixed(int(np.sort(np.diff(times))[3])).alias]
