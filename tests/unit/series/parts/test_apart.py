"""The columns that tell rows apart: those that a search through all combinations finds."""

from itertools import chain, combinations

import numpy as np
import pyarrow as pa
import pytest

from gigacast.core.time.calendar_grid import DAY_US
from gigacast.errors import SchemaError
from gigacast.series.apart import MAX_CANDIDATES, columns_apart, time_of_day
from gigacast.series.formats import Limits, open_table
from gigacast.series.source import ColumnNames, ConflictSample, SeriesSource
from tests.unit.series.reading import days, panel, read


def repeats(keys: list[tuple[int, ...]]) -> int:
    return len(keys) - len({*keys})


def slow_apart(candidates: dict[str, np.ndarray], keys: np.ndarray) -> tuple[str, ...]:
    names = sorted(candidates, key=lambda name: candidates[name].max())[:6]
    limit = repeats([(key,) for key in keys.tolist()]) / 10
    for chosen in chain.from_iterable(combinations(names, count) for count in (1, 2, 3)):
        rows = list(zip(keys.tolist(), *(candidates[n].tolist() for n in chosen), strict=True))
        if repeats(rows) <= limit:
            return chosen
    return ()


@pytest.mark.parametrize("seed", range(30))
def test_the_columns_are_those_of_a_search_through_all_combinations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(20, 60))
    keys = rng.integers(0, count // 3, count)
    names = [f"c{n}" for n in range(rng.integers(1, 9))]
    candidates = {name: rng.integers(0, rng.integers(2, 9), count) for name in names}
    assert columns_apart(candidates, keys) == slow_apart(candidates, keys)


@pytest.mark.parametrize(("remaining", "expected"), [(2, ("a",)), (3, ())])
def test_a_tenth_of_the_repeated_keys_may_remain(remaining: int, expected: tuple[str, ...]) -> None:
    keys = np.repeat(np.arange(20), 2)
    codes = np.tile([0, 1], 20)
    codes[1 : 2 * remaining : 2] = 0
    assert columns_apart({"a": codes}, keys) == expected


def test_three_columns_are_tried_and_six_candidates() -> None:
    keys = np.zeros(8, np.int64)
    bits = {name: np.arange(8) >> place & 1 for place, name in enumerate("abc")}
    assert columns_apart(bits, keys) == ("a", "b", "c")
    four = {name: np.arange(16) >> place & 1 for place, name in enumerate("abcd")}
    assert columns_apart(four, np.zeros(16, np.int64)) == ()
    # One with more values than six others is not tried.
    alike = {f"z{n}": np.zeros(8, np.int64) for n in range(MAX_CANDIDATES - 1)}
    own = {"own": np.arange(8)}
    assert columns_apart({**alike, **own}, keys) == ("own",)
    assert columns_apart({**alike, "z9": np.zeros(8, np.int64), **own}, keys) == ()


# -- what is searched ------------------------------------------------------------------------------


def merged(count: int = 20, **columns: object) -> pa.Table:
    dates = [*days("2024-01-01", count)] * 2
    table = panel(product=(dates, [*range(count), *range(100, 100 + count)]))
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return table


def refusal(table: pa.Table) -> str:
    with pytest.raises(SchemaError) as caught:
        read(table)
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "names_items"),
    [
        (["n"] * 20 + ["s"] * 20, True),
        ([1] * 20 + [2] * 20, True),
        ([None] * 20 + ["s"] * 20, True),
        ([1.5] * 20 + [2.5] * 20, False),
        ([True] * 20 + [False] * 20, True),
        (["n"] * 40, False),
        ([None] * 40, False),
        ([*range(40)], False),
    ],
)
def test_a_column_names_items_if_it_holds_few_values_that_are_no_measures(
    values: list[object], names_items: bool
) -> None:
    assert ("'lot' tells them apart" in refusal(merged(lot=values))) == names_items


def test_columns_are_named_in_the_order_of_the_source() -> None:
    dates = [*days("2024-01-01", 20)] * 4
    table = panel(a=(dates, range(80)))
    wide = [*([*range(4)] * 5), *([*range(4, 8)] * 5)]
    table = table.append_column("wide", pa.array(wide * 2))
    table = table.append_column("store", pa.array([*["n"] * 40, *["s"] * 40]))
    assert "the columns 'wide' and 'store' tell them apart" in refusal(table)


def test_a_column_that_is_there_twice_is_none() -> None:
    table = merged(lot=["n"] * 20 + ["s"] * 20)
    twice = table.append_column("lot", table["lot"])
    assert "tells them apart" not in refusal(twice)


# -- times of day ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "shift", "expected"),
    [
        ("clock", pa.string(), 0, ("timestamp", "clock")),
        (" HOUR ", pa.int64(), 0, ("timestamp", " HOUR ")),
        ("any", pa.time64("us"), 0, ("timestamp", "any")),
        ("any", pa.int64(), 0, ()),
        ("clock", pa.string(), 1, ()),
    ],
)
def test_a_time_of_day_is_beside_dates(
    name: str, kind: pa.DataType, shift: int, expected: tuple[str, ...]
) -> None:
    table = panel(a=(days("2024-01-01", 3), range(3)))
    table = table.append_column(name, pa.array([0, 1, 2]).cast(pa.int64()).cast(kind))
    opened = open_table(
        SeriesSource(lambda: table, "table", "t"), ColumnNames(), Limits(10, 1 << 20)
    )
    assert opened is not None
    times = np.array([0, DAY_US, 5 * DAY_US + shift])
    sample = ConflictSample(pa.array(["a"] * 3), times)
    assert time_of_day([opened], sample) == expected
    assert time_of_day([], sample) == ()
    assert time_of_day([opened], None) == ()
    assert time_of_day([opened], ConflictSample(pa.array([], pa.string()), times[:0])) == ()


def test_a_column_of_ids_is_no_time_of_day() -> None:
    table = panel(a=(days("2024-01-01", 3), range(3))).append_column("hour", pa.array([0, 1, 2]))
    sample = ConflictSample(pa.array(["a"]), np.array([0]))
    for names in (ColumnNames(item_id="hour"), ColumnNames(items=("item_id", "hour"))):
        opened = open_table(SeriesSource(lambda: table, "table", "t"), names, Limits(10, 1 << 20))
        assert opened is not None
        assert time_of_day([opened], sample) == ()
