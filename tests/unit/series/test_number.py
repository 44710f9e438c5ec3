"""Timestamps written as numbers: which calendar or unit a column is in."""

import contextlib
import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.number import CALENDAR_FORMS, number_range, unit_of
from gigacast.errors import SchemaError
from gigacast.series.timestamp import clock_of
from tests.unit.series.reading import moment, read

FORMATS = {
    "yyyymm": ("%Y%m", "MS"),
    "date": ("%Y%m%d", "D"),
    "yyyymmddHH": ("%Y%m%d%H", "h"),
    "yyyymmddHHMM": ("%Y%m%d%H%M", "min"),
    "yyyymmddHHMMSS": ("%Y%m%d%H%M%S", "s"),
    "yyyymmddHHMMSSmmm": ("%Y%m%d%H%M%S000", "s"),
}
SENTINELS = {"yyyymm": 999912, "date": 99991231, "yyyymmddHH": 9999123123}


def spell(moments, form: str) -> list[int]:
    return [int(t.strftime(FORMATS[form][0])) for t in moments]


def unit(*numbers) -> str:
    return unit_of(number_range(pa.array(numbers)))


def table(times, ids=None) -> pa.Table:
    values = np.arange(float(len(times)))
    return pa.table({"item_id": ids or ["a"] * len(times), "timestamp": times, "target": values})


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("as_float", [False, True])
def test_numbers_that_spell_dates_are_read_as_dates(form, as_float):
    moments = pd.date_range("2023-11-28 21:58:40", periods=70, freq=FORMATS[form][1])
    moments = moments.floor("D") if form in {"yyyymm", "date"} else moments
    numbers = pa.array(np.array(spell(moments, form), float if as_float else int))
    if as_float and form.endswith("mmm"):  # 17 digits are more than a float64 has
        with pytest.raises(SchemaError, match="cannot hold"):
            clock_of(numbers.type, "part", None, number_range(numbers))
        return
    clock = clock_of(numbers.type, "part", None, number_range(numbers))
    assert (clock.unit, clock.output_type) == (form, pa.timestamp("us"))
    precision = {"yyyymmddHH": "h", "yyyymmddHHMM": "min"}.get(form, "s")
    expected = moments.floor(precision).as_unit("us").asi8
    assert clock.read(numbers).tolist() == expected.tolist()


@given(
    st.sampled_from(list(FORMATS)),
    st.integers(1890, 2210),
    st.lists(st.integers(0, 62), min_size=5, max_size=5),
    st.integers(0, 999),
)
def test_a_number_is_a_date_only_if_the_calendar_has_it(form, year, fields, millisecond):
    digits = f"{year:04d}" + "".join(f"{field:02d}" for field in fields) + f"{millisecond:03d}"
    scale = CALENDAR_FORMS[form].scale
    number = int(digits[: len(str(scale)) + 3])
    used = [*fields[: (len(str(scale)) - 1) // 2], *[0] * 5][:5]
    used[1] = 1 if form == "yyyymm" else used[1]
    expected = NO_TIME
    with contextlib.suppress(ValueError):
        micros = millisecond * 1000 if form.endswith("mmm") else 0
        parsed = dt.datetime(year, *used, micros, tzinfo=dt.UTC)
        if 1900 <= year <= 2200:
            expected = round(parsed.timestamp() * 1e6)
    assert CALENDAR_FORMS[form].read(np.array([number]))[0] == expected


@pytest.mark.parametrize("form", SENTINELS)
@pytest.mark.parametrize("marker", [0, -1, None])
def test_missing_moments_and_open_ends_do_not_hide_a_calendar(form, marker):
    odd = SENTINELS[form] if marker is None else marker
    moments = pd.date_range("2024-01-01", periods=12, freq=FORMATS[form][1])
    numbers = pa.array([odd, *spell(moments, form)])
    clock = clock_of(numbers.type, "part", None, number_range(numbers))
    assert (clock.unit, clock.read(numbers)[0]) == (form, NO_TIME)


@pytest.mark.parametrize("odd", [5, 20240, 123456789, 18991231])
def test_another_number_among_dates_is_refused_by_name(odd):
    dates = spell(pd.date_range("2024-01-01", periods=12), "date")
    with pytest.raises(SchemaError, match=f"table: 12 of 13 .* yyyymmdd, 1 are others.*{odd}"):
        read(table([*dates, odd]))
    assert read(table([*dates, odd]), timestamp_unit="step")["a", "target"].freq == "1"


def test_an_odd_number_of_one_item_does_not_change_the_dates_of_another():
    dates = spell(pd.date_range("2024-01-01", periods=31), "date")
    series = read(table([*dates, 99991231], ["a"] * 31 + ["b"]))
    assert series["a", "target"].last == moment("2024-01-31")
    assert series["b", "target"].reason == "no_timestamp"


@pytest.mark.parametrize(
    "numbers",
    [range(100), range(0, 400_000, 7), range(200_000, 200_300), range(20_000_000, 20_100_000, 11)],
)
def test_counters_are_steps_even_if_some_numbers_spell_a_date(numbers):
    assert unit(*numbers) == "step"


@pytest.mark.parametrize(
    ("start", "step"),
    [("1976-03-01", "D"), ("1978-01-11", "h"), ("2030-05-01", "D"), ("2039-01-01", "h")],
)
@pytest.mark.parametrize("name", ["s", "ms", "us", "ns"])
def test_times_since_1970_are_no_calendar_even_where_their_digits_could_be_one(start, step, name):
    times = pd.date_range(start, periods=40, freq=step).as_unit(name)
    assert unit(*times.asi8.tolist()) == name


@pytest.mark.parametrize(("name", "factor"), [("s", 1), ("ms", 1000), ("us", 10**6)])
def test_an_open_end_does_not_change_the_unit_since_1970(name, factor):
    days = [(1_704_067_200 + 86_400 * n) * factor for n in range(5)]
    assert unit(*days, 253_402_214_400 * factor) == name
    assert read(table([*days, 253_402_214_400 * factor]))["a", "target"].values == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(("lower", "upper"), [(1, 1000), (1000, 10**6), (1, 10**6), (10**6, 10**9)])
def test_a_column_of_two_units_is_refused(lower, upper):
    days = [1_704_067_200 + 86_400 * n for n in range(6)]
    numbers = [n * lower for n in days[:3]] + [n * upper for n in days[3:]]
    with pytest.raises(SchemaError, match="since 1970, others of"):
        read(table(numbers))


def test_long_histories_from_1970_on_are_of_one_unit():
    days = [86_400_000 * n for n in range(0, 20_000, 3)]
    assert unit(*days) == "ms"


@pytest.mark.parametrize("unit", [None, "step"])
@pytest.mark.parametrize("times", [2015 + np.arange(9) / 4, np.arange(9) + 0.5])
def test_steps_with_a_fraction_are_refused(times, unit):
    with pytest.raises(SchemaError, match=r"with a fraction, such as"):
        read(table(times), timestamp_unit=unit)


def test_rounding_noise_of_floats_is_not_a_fraction():
    assert read(table(np.cumsum(np.full(30, 0.1)) * 10))["a", "target"].freq == "1"


def test_floats_too_short_for_their_numbers_are_refused():
    dates = np.array(spell(pd.date_range("2024-01-01", periods=9), "date"), np.float32)
    with pytest.raises(SchemaError, match="cannot hold numbers as great as 20240108"):
        read(table(dates))


def test_the_evidence_does_not_depend_on_the_division_into_batches():
    numbers = [*spell(pd.date_range("2024-01-01", periods=9), "date"), 0, 99991231]
    parts = [number_range(pa.array([n])) for n in numbers]
    full_range = number_range(pa.array(numbers))
    total = parts[0]
    for part in parts[1:]:
        total += part
    assert unit_of(total) == unit_of(full_range) == "date"
    assert (total.count, total.calendars[1]) == (full_range.count, full_range.calendars[1])


def test_a_column_without_numbers_has_no_evidence():
    assert number_range(pa.array([None, np.nan, np.inf], pa.float64())) is None
    assert unit_of(None) == "step"
