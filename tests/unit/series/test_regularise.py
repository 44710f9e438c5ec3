"""Series on grids, against a slow reading of the rules, one item and column at a time."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from gigacast.core.series.batch import NO_TIME, SeriesBatch
from gigacast.core.series.reason import Reason
from gigacast.core.time.frequency import Frequency
from gigacast.series.regularise import GridRules, regularise
from gigacast.series.rows import ItemRows
from gigacast.series.source import Aggregation, ReadStats
from gigacast.series.timestamp import Clock
from gigacast.series.value import CategoryCodes

DAY, HOUR = 86_400_000_000, 3_600_000_000
NAN, INF = float("nan"), float("inf")
FLOAT32_MAX = float(np.finfo(np.float32).max)
START = 19_000 * DAY  # 2022-01-08
Row = tuple[int, *tuple[float, ...]]

RULES = GridRules(
    clock=Clock(pa.timestamp("us")),
    columns=("x", "y"),
    targets=2,
    categories={},
    continues=False,
    context_length=20,
    min_length=1,
    freq=Frequency.parse("D"),
)


def rows_of(items: list[list[Row]], columns: int) -> ItemRows:
    rows = [row for item in items for row in item]
    return ItemRows(
        item_ids=pa.array([f"i{n}" for n in range(len(items))], pa.string()),
        offsets=np.cumsum([0, *map(len, items)]),
        times=np.array([row[0] for row in rows], np.int64),
        values=tuple(np.array([row[1 + c] for row in rows], np.float64) for c in range(columns)),
        primary=np.ones(len(items), np.bool_),
    )


def series_of(items: list[list[Row]], rules: GridRules) -> tuple[SeriesBatch, ReadStats]:
    stats = ReadStats()
    return regularise(rows_of(items, len(rules.columns)), rules, stats), stats


def described(batch: SeriesBatch) -> list[tuple[str, list[float], int]]:
    return [
        (
            Reason(batch.reasons[n]).name,
            batch.values[batch.offsets[n] : batch.offsets[n + 1]].tolist(),
            int(batch.last_timestamps[n]),
        )
        for n in range(len(batch))
    ]


def slow(item: list[Row], column: int, rules: GridRules) -> tuple[str, list[float], int]:
    """Follow the module's docstring for one column of one item of days."""
    timed = [row for row in item if row[0] != NO_TIME]
    if not timed:
        return ("NO_TIMESTAMP" if item else "EMPTY"), [], NO_TIME
    first, last = min(row[0] for row in timed), max(row[0] for row in timed)
    steps = []
    for day in range(first, last + 1, DAY):
        values = [row[1 + column] for row in timed if row[0] == day]
        numbers = [value for value in values if not math.isnan(value)]
        if any(abs(value) > FLOAT32_MAX for value in numbers):
            steps.append(INF)
        else:
            steps.append(float(np.float32(sum(numbers) / len(numbers))) if numbers else NAN)
    steps = steps[-rules.context_length :]
    finite = [value for value in steps if math.isfinite(value)]
    reason = "OK" if len(finite) >= rules.min_length else "TOO_SHORT"
    reason = reason if finite else "ALL_NULL"
    reason = "NOT_FINITE" if INF in steps else reason
    steps = [NAN if value == INF else value for value in steps]
    while steps and math.isnan(steps[0]):
        del steps[0]
    return reason, steps, last


def drawn(rng: np.random.Generator, columns: int) -> list[Row]:
    days = rng.choice(30, int(rng.integers(0, 12)))
    special = [NAN, NAN, INF, -INF, 1e39, -1e39]
    rows: list[Row] = []
    for day in days:
        values = [
            float(rng.choice(special)) if rng.random() < 0.2 else float(rng.integers(-9, 9))
            for _ in range(columns)
        ]
        time = NO_TIME if rng.random() < 0.1 else START + int(day) * DAY
        rows.append((time, *values))
    return rows


@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize(("context_length", "min_length"), [(100, 1), (6, 3), (1, 1)])
def test_every_series_follows_the_rules(columns: int, context_length: int, min_length: int) -> None:
    rng = np.random.default_rng(columns * context_length)
    items = [drawn(rng, columns) for _ in range(60)]
    rules = replace(
        RULES,
        columns=("x", "y", "z")[:columns],
        targets=columns,
        context_length=context_length,
        min_length=min_length,
    )
    batch, stats = series_of(items, rules)
    expected = [slow(item, column, rules) for item in items for column in range(columns)]
    for series, (reason, values, last) in zip(described(batch), expected, strict=True):
        assert (series[0], series[2]) == (reason, last)
        np.testing.assert_array_equal(series[1], values)
    assert batch.target_names.to_pylist() == list(rules.columns) * 60
    assert batch.item_ids.to_pylist() == [f"i{n}" for n in range(60) for _ in range(columns)]
    timed = [last != NO_TIME for _, _, last in expected]
    assert batch.frequency_codes.tolist() == [0 if has_time else -1 for has_time in timed]
    assert stats.series == 60 * columns
    assert stats.null_timestamps == sum(row[0] == NO_TIME for item in items for row in item)


def test_the_order_of_rows_changes_no_bit() -> None:
    values = [0.1, 1e17, -1e17, 0.2, 0.3]
    orders = [np.random.default_rng(seed).permutation(5) for seed in range(20)]
    results = {
        series_of([[(START, values[n]) for n in order]], one_column())[0].values.tobytes()
        for order in orders
    }
    assert len(results) == 1


def one_column(**changes: object) -> GridRules:
    return replace(RULES, columns=("x",), targets=1, **changes)


def test_without_a_frequency_it_is_inferred_or_the_reason_is_kept() -> None:
    two_days = [(START + n * DAY, float(n)) for n in range(2)]
    every_third = [(START + n * 3 * DAY, float(n)) for n in (0, 1, 3)]
    batch, _ = series_of([every_third, two_days], one_column(freq=None))
    assert [frequency.alias for frequency in batch.frequencies] == ["3D"]
    assert batch.frequency_codes.tolist() == [0, -1]
    (first, second) = described(batch)
    assert first[0] == "OK"
    np.testing.assert_array_equal(first[1], [0, 1, NAN, 3])
    assert second == ("NO_FREQUENCY", [0, 1], START + DAY)


def test_last_times_are_wall_times_and_a_missing_one_stays() -> None:
    """2022-01-07 23:00 in UTC is midnight of the 8th in Berlin."""
    berlin = Clock(pa.timestamp("us", "Europe/Berlin"))
    midnights = [(START + n * DAY - HOUR, 1.0) for n in range(3)]
    items = [midnights, [(NO_TIME, 1.0)], []]
    for freq in (RULES.freq, None, Frequency.parse("h")):
        batch, _ = series_of(items, one_column(clock=berlin, freq=freq))
        hour = HOUR if freq is not None and freq.alias == "h" else 0
        expected = START + 2 * DAY
        assert batch.last_timestamps.tolist() == [expected, NO_TIME, NO_TIME], hour
    plain, _ = series_of(items, one_column())
    assert plain.last_timestamps.tolist() == [START + 2 * DAY - HOUR, NO_TIME, NO_TIME]


@pytest.mark.parametrize(
    ("freq", "zone", "expected"),
    [("h", "Europe/Berlin", HOUR), ("h", None, 0), ("D", "Europe/Berlin", 0)],
)
def test_rows_that_were_aggregated_in_utc_get_wall_times(
    freq: str, zone: str | None, expected: int
) -> None:
    rules = one_column(
        clock=Clock(pa.timestamp("us", zone)),
        freq=Frequency.parse(freq),
        aggregation=Aggregation("sum"),
    )
    step = HOUR if freq == "h" else DAY
    batch, stats = series_of([[(START + n * step, float(n)) for n in range(12)]], rules)
    assert batch.last_timestamps.tolist() == [START + 11 * step + expected]
    # Bins have the frequency by definition: it is not compared with that of the rows.
    assert stats.timed_items == 0
    assert described(batch)[0][:2] == ("OK", [float(n) for n in range(12)])


def test_rows_of_a_given_frequency_are_compared_with_it() -> None:
    _, stats = series_of([[(START + n * DAY, 1.0) for n in range(12)]], one_column())
    assert stats.timed_items == 1


def test_a_history_ends_at_its_last_value_where_rows_may_continue() -> None:
    """Five steps of context before the end of the target, and the covariate's steps after it."""
    rules = replace(RULES, columns=("x", "c"), targets=1, continues=True, context_length=5)
    rows = [(START + n * DAY, float(n) if n < 10 else NAN, 100.0 + n) for n in range(13)]
    batch, _ = series_of([rows, rows[:10]], rules)
    target, covariate, ended, _ = described(batch)
    np.testing.assert_array_equal(target[1], [5, 6, 7, 8, 9, NAN, NAN, NAN])
    assert covariate[1] == [105, 106, 107, 108, 109, 110, 111, 112]
    # The steps ahead are those of the longest item; the others keep a longer history.
    assert ended[1][-5:] == [5, 6, 7, 8, 9]
    stays, _ = series_of([rows], replace(rules, continues=False))
    np.testing.assert_array_equal(described(stays)[0][1], [8, 9, NAN, NAN, NAN])


def test_the_last_text_by_name_stays_of_a_step_with_several() -> None:
    codes = CategoryCodes()
    red, blue, green = codes.encode(pa.array(["red", "blue", "green"])).tolist()
    rules = replace(RULES, columns=("x", "c"), targets=1, categories={"c": codes})
    for order in ([red, blue, green], [green, red, blue], [blue, green, red]):
        rows = [(START, 1.0, blue), *[(START + DAY, 2.0, code) for code in order]]
        batch, stats = series_of([[*rows, (START + 2 * DAY, 3.0, green)]], rules)
        assert described(batch)[1][1] == [blue, red, green]
        assert described(batch)[0][1] == [1, 2, 3]
        assert stats.duplicates == 2


def test_dates_of_the_calendar_end_the_forecasts() -> None:
    years = [int(datetime(y, 1, 1, tzinfo=UTC).timestamp()) * 10**6 for y in (7000, 8000, 9000)]
    rows = [(time, 1.0) for time in years]
    yearly = one_column(freq=Frequency.parse("1000YS"))
    assert described(series_of([rows], yearly)[0])[0][0] == "OK"
    assert described(series_of([rows], replace(yearly, horizon=1))[0])[0][0] == "IRREGULAR"


def test_targets_have_the_bases_that_are_taken_from_them_and_covariates_none():
    steps = [1.7e9 + 60.0 * n for n in range(20)]
    rules = replace(RULES, targets=1, precise=True)
    batch, _ = series_of([[(START + n * DAY, v, v) for n, v in enumerate(steps)]], rules)
    assert batch.bases is not None
    target, covariate = batch.values[:20], batch.values[20:]
    assert (target + batch.bases[0]).tolist() == steps
    # Whatever a covariate is centred by, its steps are there.
    assert batch.bases[1] == 0
    assert covariate.tolist() == [v - steps[0] for v in steps]


@pytest.mark.parametrize(("wide_numbers", "expected"), [(False, None), (True, [0, 0])])
def test_ordinary_series_have_bases_only_where_numbers_are_wide(
    wide_numbers: bool, expected: list[float] | None
) -> None:
    rules = replace(RULES, wide_numbers=wide_numbers)
    bases = series_of([[(START, 1.0, 2.0)]], rules)[0].bases
    assert (None if bases is None else bases.tolist()) == expected


def test_steps_of_large_numbers_are_kept_where_somebody_asks_for_them() -> None:
    items = [[(START + n * DAY, 1.7e9 + n / 4, float(n)) for n in range(5)]]
    plain, _ = series_of(items, RULES)
    assert plain.bases is None
    precise, _ = series_of(items, replace(RULES, precise=True))
    assert precise.bases is not None
    whole = precise.bases[0] + precise.values[:5].astype(np.float64)
    assert whole.tolist() == [row[1] for row in items[0]]
