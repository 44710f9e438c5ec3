"""Wall times in a named zone: the order of rows resolves them, however they are divided."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gigacast.core.series.batch import NO_TIME
from gigacast.errors import SchemaError
from gigacast.series.aggregation.wall import in_moments
from gigacast.series.rows import ItemRows

ZONE = "Europe/Berlin"
START = pd.Timestamp("2024-10-27 00:00", tz=ZONE)


def part(ids: list[str], times: np.ndarray) -> ItemRows:
    runs = np.arange(len(ids) + 1, dtype=np.int64)
    return ItemRows(
        pa.array(ids, pa.string()), runs, times, (times * 1.0,), np.ones(len(ids), np.bool_)
    )


def resolved(ids: list[str], times: np.ndarray, cuts: list[int]) -> dict[str, list[int]]:
    """Return the moments of each item, of rows in parts that end at some cuts."""

    def parts() -> Iterator[tuple[ItemRows, str]]:
        for start, stop in zip([0, *cuts], [*cuts, len(ids)], strict=True):
            yield part(ids[start:stop], times[start:stop]), "some.csv"

    times_of: dict[str, list[int]] = {}
    for rows in in_moments(parts(), ZONE):
        counts = np.diff(rows.offsets)
        for item, time in zip(
            np.repeat(rows.item_ids.to_pylist(), counts), rows.times, strict=True
        ):
            times_of.setdefault(str(item), []).append(int(time))
    return times_of


def wall(moments: pd.DatetimeIndex) -> np.ndarray:
    return moments.tz_localize(None).as_unit("us").asi8


@pytest.mark.parametrize("layout", ["neighbouring", "interleaved"])
def test_parts_may_end_anywhere_in_the_hour_that_comes_twice(layout: str) -> None:
    moments = pd.date_range(START, periods=20, freq="30min")
    ids, times = [], []
    pairs = [(item, place) for item in "ab" for place in range(20)]
    for item, place in (
        sorted(pairs, key=lambda pair: pair[::-1]) if layout != "neighbouring" else pairs
    ):
        ids.append(item)
        times.append(wall(moments)[place])
    expected = {item: moments.as_unit("us").asi8.tolist() for item in "ab"}
    for cut in range(1, 40):
        for other in {cut, min(cut + 1, 40), 40}:
            assert resolved(ids, np.array(times), [cut, other]) == expected
    assert resolved(ids, np.array(times), list(range(1, 40))) == expected


def test_rows_without_a_time_and_series_of_days_stay() -> None:
    days = wall(pd.date_range("2024-10-26", periods=3, tz=ZONE))
    times = np.concatenate([days, [NO_TIME]])
    instants = resolved(["a", "a", "a", "a"], times, [2])
    expected = pd.date_range("2024-10-26", periods=3, tz=ZONE).as_unit("us").asi8.tolist()
    assert instants == {"a": [*expected, NO_TIME]}


def test_an_hour_that_the_order_does_not_tell_apart_is_refused_with_its_file() -> None:
    once = np.array([wall(pd.DatetimeIndex([START]))[0] + 9_000_000_000])
    with pytest.raises(SchemaError, match=r"some.csv: 1 local time occurs twice in Europe/Berlin"):
        resolved(["a"], once, [])
