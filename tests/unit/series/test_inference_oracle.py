"""Frequencies of batches are those of a slow reading of the rules, one series at a time."""

import itertools
import math
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from gigacast.core.time.calendar_grid import MONTH_END
from gigacast.core.time.frequency import Frequency
from gigacast.series.inference import infer_frequencies

Times = list[int]
SECOND, HOUR, DAY = 1_000_000, 3_600_000_000, 86_400_000_000
USUAL = [
    *(n * 1000 for n in (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500)),
    *(n * SECOND for n in (1, 2, 5, 10, 15, 20, 30)),
    *(n * 60 * SECOND for n in (1, 2, 3, 5, 10, 15, 20, 30)),
    *(n * HOUR for n in (1, 2, 3, 4, 6, 8, 12)),
    DAY,
    7 * DAY,
]
START = int(datetime(2023, 3, 7, tzinfo=UTC).timestamp()) * SECOND


# -- the rules, as the module's docstring has them -------------------------------------------------


def frequency_of(times: Times, *, steps: bool = False) -> Frequency | str:
    if len(times) < 3:
        return "too few"
    if steps:
        return fixed(times, steps=True) or "irregular"
    return months(times) or business(times) or fixed(times) or nearly_fixed(times) or "irregular"


def gaps_of(times: Times) -> list[int]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def moment(time: int) -> datetime:
    return datetime(1970, 1, 1) + timedelta(microseconds=time)  # noqa: DTZ001 - wall time


def months(times: Times) -> Frequency | None:
    moments, gaps = [moment(time) for time in times], gaps_of(times)
    numbers = [m.year * 12 + m.month for m in moments]
    lengths = [monthrange(m.year, m.month)[1] for m in moments]
    days = [m.day for m in moments]
    if len(set(numbers)) < len(numbers) or min(gaps) < 25 * DAY:
        return None
    step = math.gcd(*gaps_of(numbers))
    if len({m.time() for m in moments}) == 1:
        if days == lengths:
            return Frequency.months(step, MONTH_END)
        if days == [min(max(days), length) for length in lengths]:
            return Frequency.months(step, max(days))
    if all(gap % min(gaps) == 0 for gap in gaps):
        return None
    if all(day > length - 4 for day, length in zip(days, lengths, strict=True)):
        return Frequency.months(step, MONTH_END)
    return Frequency.months(step, 1) if max(days) <= 4 else None


def fixed(times: Times, *, steps: bool = False) -> Frequency | None:
    gaps = gaps_of(times)
    step = math.gcd(*gaps)
    usual = [gap for gap in gaps if gap <= 16 * step]
    if len(set(gaps)) > 1 and (3 * len(usual) < 2 * len(gaps) or min(gaps) > 2 * step):
        return None
    return Frequency.steps(step) if steps else Frequency.fixed(step)


def business(times: Times) -> Frequency | None:
    if len(set(gaps_of(times))) == 1 or fixed(times) != Frequency.fixed(DAY):
        return None
    days = [moment(time).date() for time in times]
    span = [days[0] + timedelta(n) for n in range((days[-1] - days[0]).days + 1)]
    possible = [day for day in span if day.weekday() < 5]
    weeks = {day.isocalendar()[:2] for day in days}
    is_business = all(day.weekday() < 5 for day in days) and len(weeks) > 1
    return Frequency.business() if is_business and 2 * len(days) >= len(possible) else None


def nearly_fixed(times: Times) -> Frequency | None:
    gaps = gaps_of(times)
    median = sorted(gaps)[(len(gaps) - 1) // 2]
    nearest = min(reversed(USUAL), key=lambda step: abs(step - median))
    step = nearest if 20 * abs(median - nearest) <= nearest else median
    distances = [(times[-1] - time) % step for time in times]
    near = [d for d in distances if 20 * min(d, step - d) <= step]
    usual = [gap for gap in gaps if step <= 2 * gap and gap <= 16 * step]
    fits = 10 * len(near) >= 9 * len(times) and 3 * len(usual) >= 2 * len(gaps)
    return Frequency.fixed(step) if fits else None


# -- series near the borders of the rules ----------------------------------------------------------


def from_gaps(gaps: list[int], start: int = START) -> Times:
    return np.cumsum([start, *gaps]).tolist()


def with_holes(rng: np.random.Generator) -> Iterator[Times]:
    for _ in range(60):
        step = int(rng.choice(USUAL)) * int(rng.integers(1, 4))
        factors = rng.choice([1, 1, 2, 3, 15, 16, 17, 40], int(rng.integers(2, 12)))
        yield from_gaps([step * int(factor) for factor in factors])


def jittering(rng: np.random.Generator) -> Iterator[Times]:
    for step in USUAL:
        count = int(rng.integers(3, 41))
        jitter = rng.integers(-step // 22, step // 22 + 1, count)
        yield (START + np.arange(count) * step + jitter).tolist()
        far = jitter.copy()
        far[rng.integers(0, count - 1, max(1, count // 10))] += step // 9
        yield sorted(set((START + np.arange(count) * step + far).tolist()))


def near_usual_steps(_: np.random.Generator) -> Iterator[Times]:
    """Gaps about 5 % from each usual step, and one that makes the divisor a microsecond."""
    for step in USUAL:
        for side in (-1, 1):
            for more in (-1, 0, 1):
                gap = step + side * (step // 20 + more)
                yield from_gaps([gap, gap, gap, gap - 1, gap, gap])
                yield from_gaps([step, step, step + 1, step, gap, step])
    for low, high in itertools.pairwise(USUAL):
        yield from_gaps([(low + high) // 2] * 3 + [(low + high) // 2 + 1])


def around_grids(_: np.random.Generator) -> Iterator[Times]:
    """Stray points, from none to too many, at 5 % from the grid; gaps of half and of 16 steps."""
    step = 1000 * SECOND + 20
    for count in (9, 10, 11, 19, 20, 21):
        for stray in range(4):
            for off in (step // 20, step // 20 + 1):
                times = START + np.arange(count) * step
                times[1 : 1 + 2 * stray : 2] += off
                times[count // 2] += 1
                yield sorted(times.tolist())
    for odd in (step // 2, step // 2 + 1, 16 * step, 16 * step + 1):
        for count in range(1, 6):
            yield from_gaps([step, *[odd] * count, *[step] * 5, step + 1])


def of_days(rng: np.random.Generator) -> Iterator[Times]:
    days = np.arange(60)
    for start in range(7):
        for count in (3, 5, 6, 10, 30):
            weekdays = days[(days + start) % 7 < 5][:count] + 19428 + start
            yield (weekdays * DAY).tolist()
            drawn = np.sort(rng.choice(weekdays, max(3, count // 2), replace=False))
            yield (drawn * DAY + HOUR).tolist()
            yield (np.append(weekdays, weekdays[-1] + int(rng.integers(1, 4))) * DAY).tolist()


def sparse_business_days(_: np.random.Generator) -> Iterator[Times]:
    """About half of the business days of some weeks, with a pair so that the divisor is a day."""
    monday = 19422  # 2023-03-06
    for weeks in (2, 3, 4):
        possible = [monday + 7 * w + d for w in range(weeks) for d in range(5)]
        for count in range(3, len(possible) // 2 + 3):
            drawn = sorted({*possible[:2], *possible[-(count - 2) :]})
            yield [day * DAY for day in drawn]
            yield [(day + 3) * DAY for day in drawn]


def of_months(rng: np.random.Generator) -> Iterator[Times]:
    for step in (1, 2, 3, 12):
        for day in (1, 4, 5, 15, 27, 28, 29, 30, 31):
            for clock in (0, 6 * HOUR):
                numbers = range(2020 * 12 + 6, 2020 * 12 + 6 + 8 * step, step)
                yield [on_day(number, day) + clock for number in numbers]
    for low, high in ((1, 4), (1, 5), (-3, 0), (-4, 0), (10, 20)):
        for _ in range(12):
            numbers = np.sort(rng.choice(30, 5, replace=False)) + 2021 * 12
            drawn = rng.integers(low, high + 1, 5)
            yield [on_day(int(n), int(d)) for n, d in zip(numbers, drawn, strict=True)]
    for gap in (25, 28, 29, 30, 31):
        for start in (0, 24, 28):
            yield from_gaps([gap * DAY] * 3, START + start * DAY)
            yield from_gaps([gap * DAY, 31 * DAY, 30 * DAY], START + start * DAY)


def on_day(number: int, day: int) -> int:
    """Return a day of a month: 0 is the last one, and later ones than exist are the last, too."""
    year, month = divmod(number, 12)
    length = monthrange(year, month + 1)[1]
    day = length + day if day <= 0 else min(day, length)
    return int(datetime(year, month + 1, day, tzinfo=UTC).timestamp()) * SECOND


def of_small_numbers(rng: np.random.Generator) -> Iterator[Times]:
    for _ in range(150):
        scale = int(rng.choice([1, 7, SECOND, DAY]))
        numbers = np.unique(rng.integers(0, 60, int(rng.integers(2, 12))))
        yield (numbers * scale + START).tolist()


FAMILIES = [
    with_holes,
    jittering,
    near_usual_steps,
    around_grids,
    of_days,
    sparse_business_days,
    of_months,
    of_small_numbers,
]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("steps", [False, True], ids=["times", "numbers"])
def test_a_batch_has_the_frequencies_of_a_slow_reading_of_the_rules(family, steps):
    series = [times for seed in range(2) for times in family(np.random.default_rng(seed))]
    expected = [frequency_of(times, steps=steps) for times in series]
    assert inferred(series, steps=steps) == expected


def test_the_families_meet_every_rule():
    series = [times for family in FAMILIES for times in family(np.random.default_rng(0))]
    results = [frequency_of(times) for times in series]
    kinds = {r.kind if isinstance(r, Frequency) else r for r in results}
    assert kinds == {"fixed", "business", "months", "irregular", "too few"}
    assert sum(nearly_fixed(times) is not None for times in series) > 100


def inferred(series: list[Times], *, steps: bool) -> list[Frequency | str]:
    offsets = np.cumsum([0, *map(len, series)])
    result = infer_frequencies(np.concatenate(series), offsets, steps=steps)
    few = np.diff(offsets) < 3
    return [
        result.frequencies[code] if code >= 0 else ("too few" if short else "irregular")
        for code, short in zip(result.codes, few, strict=True)
    ]


def test_regular_are_the_series_of_one_gap_that_are_no_months():
    series = [
        from_gaps([DAY] * 4),
        from_gaps([DAY, DAY, 2 * DAY]),
        [on_day(2023 * 12 + n, 1) for n in range(6, 9)],
        [START, START + DAY],
        from_gaps([7, 7]),
    ]
    offsets = np.cumsum([0, *map(len, series)])
    result = infer_frequencies(np.concatenate(series), offsets, steps=False)
    assert result.regular.tolist()[:3] == [True, False, False]
    assert result.regular.tolist()[4]
