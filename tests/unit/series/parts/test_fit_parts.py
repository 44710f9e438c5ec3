"""The parts of the fit of a frequency: against loops over the rows of each item."""

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gigacast.core.series.reason import Reason
from gigacast.core.time.calendar_grid import DAY_US
from gigacast.core.time.frequency import Frequency
from gigacast.errors import SchemaError
from gigacast.series.fit import (
    _have_finer_rows,
    _is_full_grid,
    _share_an_offset,
    _sparse_items,
    check_fit,
    drop_endless,
    drop_misfits,
    typical_length,
)
from gigacast.series.inference import Inferred
from gigacast.series.rows import ItemRows
from gigacast.series.source import ReadStats

STEPS, DAYS, MONTHS = Frequency.steps(3), Frequency.parse("D"), Frequency.parse("MS")


def items_of(*times: list[int]) -> ItemRows:
    flat = np.array([time for own in times for time in own], np.int64)
    offsets = np.cumsum([0, *map(len, times)], dtype=np.int64)
    ids = pa.array([f"i{n}" for n in range(len(times))])
    return ItemRows(
        ids, offsets, flat, (np.zeros(len(flat), np.float32),), np.ones(len(times), bool)
    )


def inferred_of(
    *frequencies: Frequency, codes: list[int], regular: list[bool] | None = None
) -> Inferred:
    reasons = np.where(np.array(codes) < 0, Reason.NO_FREQUENCY, Reason.OK).astype(np.int8)
    flags = np.array([False] * len(codes) if regular is None else regular)
    return Inferred(frequencies, np.array(codes), reasons, flags)


# -- shortcuts -------------------------------------------------------------------------------------


def test_regular_series_and_such_without_a_frequency_are_left_alone() -> None:
    stats = ReadStats()
    regular = inferred_of(STEPS, codes=[0, 0], regular=[True, True])
    assert drop_misfits(items_of([0, 3], [3, 6]), regular, stats) is regular
    without = inferred_of(codes=[-1, -1])
    assert drop_misfits(items_of([0], [1]), without, stats) is without
    assert stats.timed_items == 0


def test_a_full_grid_is_regular_and_counted() -> None:
    stats = ReadStats()
    inferred = inferred_of(STEPS, codes=[0, 0, 0])
    fitted = drop_misfits(items_of([0, 3, 6], [], [1, 4]), inferred, stats)
    assert fitted.regular.tolist() == [True] * 3
    assert fitted.codes.tolist() == [0, 0, 0]
    assert stats.timed_items == 2
    assert drop_misfits(items_of([0, 3], [1], [2]), inferred, None).regular.all()


@pytest.mark.parametrize(
    ("times", "frequencies", "codes", "expected"),
    [
        (([0, 3, 6], [1, 4]), (STEPS,), [0, 0], True),
        (([0, 3, 7], [1, 4]), (STEPS,), [0, 0], False),
        (([0, 3, 6], [1, 5]), (STEPS,), [0, 0], False),
        (([], [0, 3], [], [9], []), (STEPS,), [0] * 5, True),
        (([0, 3, 6], [1, 4]), (STEPS,), [0, -1], False),
        (([0, 3, 6], [1, 4]), (STEPS, DAYS), [0, 0], False),
        (([0, DAY_US], [5, 5 + DAY_US]), (DAYS,), [0, 0], True),
        (([0, DAY_US], [5, 5 + DAY_US]), (MONTHS,), [0, 0], False),
    ],
)
def test_a_grid_is_full_if_each_step_of_one_frequency_has_a_row(
    times: Any, frequencies: Any, codes: list[int], expected: bool
) -> None:
    inferred = inferred_of(*frequencies, codes=codes)
    assert _is_full_grid(items_of(*times), inferred) is expected


# -- finer rows ------------------------------------------------------------------------------------


def slow_finer(times: list[int], steps: list[int]) -> bool:
    pairs = list(zip(times, steps, strict=True))
    shared = sum(
        now[1] == former[1] and now[0] != former[0] for former, now in itertools.pairwise(pairs)
    )
    distinct = len({*times})
    return shared * 10 > distinct and (shared > 1 or distinct <= 3)


@pytest.mark.parametrize("seed", range(12))
def test_rows_are_finer_if_more_than_a_tenth_share_a_step_with_another_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times, steps = [], []
    for _ in range(40):
        count = int(rng.integers(0, 25))
        own = np.sort(rng.integers(0, 60, count))
        width = int(rng.choice([1, 1, 2, 6]))
        times.append(own.tolist())
        # Steps count from the last row back.
        steps.append(((own[-1] - own) // width).tolist() if count else [])
    got = _have_finer_rows(items_of(*times), np.array([s for own in steps for s in own], np.int64))
    expected = [slow_finer(t, s) for t, s in zip(times, steps, strict=True)]
    assert got.tolist() == expected
    assert len({*expected}) == 2


def test_one_stray_row_of_a_short_series_is_no_other_frequency() -> None:
    for count in (2, 3, 4, 9, 10, 11, 20, 21):
        times = [*range(count)]
        steps = np.array([*range(count, 1, -1), 2])
        expected = slow_finer(times, steps.tolist())
        assert _have_finer_rows(items_of(times), steps).tolist() == [expected] == [count <= 3]


# -- another grid ----------------------------------------------------------------------------------


def slow_share(off: list[int], near: int, *, is_equal: bool) -> bool:
    far = [
        abs(now) > near and (not is_equal or place == 0 or now == off[place - 1])
        for place, now in enumerate(off)
    ]
    if is_equal and len(off) > 1:
        far[0] = far[1]
    return len(off) > 3 and sum(far) * 10 >= (len(off) - 2) * 9


@pytest.mark.parametrize("frequency", [Frequency.steps(40), Frequency.fixed(60), MONTHS])
def test_rows_share_an_offset_if_nearly_all_are_as_far_from_the_grid(frequency: Frequency) -> None:
    rng = np.random.default_rng(1)
    is_months = frequency.kind == "months"
    near = 4 * DAY_US if is_months else frequency.count // 20
    items = []
    for _ in range(60):
        count = int(rng.integers(0, 14))
        off = np.full(count, rng.choice([0, near, near + 1, -near - 1]))
        off[rng.random(count) < 0.1] = 0
        items.append(off.tolist())
    offsets = np.cumsum([0, *map(len, items)], dtype=np.int64)
    flat = np.array([o for own in items for o in own], np.int64)
    got = _share_an_offset(flat, offsets, frequency).tolist()
    assert got == [slow_share(own, near, is_equal=not is_months) for own in items]
    assert len({*got}) == 2


# -- coarser rows ----------------------------------------------------------------------------------


def test_items_are_sparse_if_enough_times_are_two_steps_apart() -> None:
    rng = np.random.default_rng(2)
    steps = [
        np.sort(rng.choice(200, int(rng.integers(0, 14)), replace=True))[::-1].tolist()
        for _ in range(90)
    ]
    items = items_of(*[[-s for s in own] for own in steps])
    got = _sparse_items(items, np.array([s for own in steps for s in own], np.int64))

    def is_sparse(own: list[int]) -> bool:
        gaps = [a - b for a, b in itertools.pairwise(own) if a != b]
        # Rows of one time alone have no gap at all.
        return len(own) >= 10 and all(gap > 1 for gap in gaps)

    assert got.tolist() == [n for n, own in enumerate(steps) if is_sparse(own)]
    assert 0 < len(got) < 60


@pytest.mark.parametrize(
    ("text", "length"),
    [("h", DAY_US // 24), ("D", DAY_US), ("B", DAY_US), ("2W", 14 * DAY_US), ("MS", 30 * DAY_US),
     ("QE", 90 * DAY_US)],
)  # fmt: skip
def test_a_typical_step_has_the_length_of_its_unit(text: str, length: int) -> None:
    assert typical_length(Frequency.parse(text)) == length
    assert typical_length(STEPS) == 3


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finer", "coarser", "says"),
    [(0, 0, None), (2, 2, None), (3, 0, "coarser"), (0, 3, "finer"), (4, 4, "coarser")],
)
def test_a_frequency_is_refused_if_it_is_that_of_less_than_half_of_the_items(
    finer: int, coarser: int, says: str | None
) -> None:
    stats: Any = SimpleNamespace(
        finer_items=finer, coarser_items=coarser, timed_items=4, rows_freq="h"
    )
    check_fit(stats, None, "x")
    if says is None:
        check_fit(stats, DAYS, "x")
        return
    with pytest.raises(SchemaError, match=rf"^x: the frequency D is {says} .* \(h\), in . of 4"):
        check_fit(stats, DAYS, "x")
    stats.rows_freq = None
    with pytest.raises(SchemaError, match="of the rows, in"):
        check_fit(stats, DAYS, "x")


# -- endless horizons ------------------------------------------------------------------------------


def test_a_horizon_that_reaches_the_limit_has_no_frequency() -> None:
    items = items_of([0, 10], [0, 11], [0, 90], [])
    inferred = inferred_of(Frequency.steps(10), codes=[0, 0, -1, 0], regular=[True] * 4)
    dropped = drop_endless(items, inferred, 3, 41)
    assert dropped.codes.tolist() == [0, -1, -1, 0]
    assert dropped.reasons.tolist() == [
        Reason.OK, Reason.IRREGULAR, Reason.NO_FREQUENCY, Reason.OK
    ]  # fmt: skip
    assert dropped.regular.tolist() == [True, False, True, True]
    assert drop_endless(items, inferred, 3, 42) is inferred
    # Without a horizon nothing runs past anything.
    assert drop_endless(items, inferred, 0, 5) is inferred
