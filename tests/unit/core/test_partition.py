"""What a key says about the object under it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.core.partition.name import NamingPattern, month_of_folder
from gigacast.core.time.month import IntRange, Month, MonthFilter
from gigacast.errors import ConfigError

SEED_REGEX = r"([A-Z]+)_([0-9]+min)_h([0-9]+)_([0-9]{4})_([0-9]{2})_([a-f0-9]+)\.(parquet|json)$"
SEED_KEY = "2014/03/SYMBOL_1min_h15_2014_03_769b531dbb2ff3cb.parquet"


@pytest.mark.parametrize("pattern", [NamingPattern(), NamingPattern(named=SEED_REGEX)])
def test_the_name_of_an_object_contains_symbol_timeframe_horizon_month_and_generation(
    pattern: NamingPattern,
) -> None:
    name = pattern.parse(SEED_KEY)
    assert name is not None
    assert name.symbol == "SYMBOL"
    assert name.timeframe == "1min"
    assert name.horizon_minutes == 15
    assert name.month == Month(2014, 3)
    assert name.generation == "769b531dbb2ff3cb"
    assert name.partition == "2014/03/SYMBOL_1min_h15"


@pytest.mark.parametrize(
    ("key", "partition"),
    [
        ("2014/03/part-00042.parquet", "2014/03/part-00042"),
        ("2014/03/part-00000-1a2b-c000.snappy.parquet", "2014/03/part-00000-1a2b-c000.snappy"),
        ("year=2014/month=3/data_0.csv", "year=2014/month=3/data_0"),
        ("year=2014/month=03/part-0.json", "year=2014/month=03/part-0"),
    ],
)
def test_panel_parts_are_named_by_their_stem(key: str, partition: str) -> None:
    name = NamingPattern().parse(key)
    assert name is not None
    assert (name.partition, name.symbol) == (partition, None)


@pytest.mark.parametrize(
    "key",
    [
        "2014/03/readme.txt",
        "2014/13/part-0.parquet",
        "2014/00/part-0.parquet",
        "2014/part-0.parquet",
        "2014/03/sub/part-0.parquet",
        "part-0.parquet",
        "2014/03/_SUCCESS",
        "year=2014/month=03/_delta.parquet",
        "year=2014/month=03/.hidden.parquet",
        "2014/03/SYMBOL_1min_h15_2014_04_769b531dbb2ff3cb.parquet",
        "2014/03/SYMBOL_1min_h15_2014_03_769b531dbb2ff3cb.parquet.tmp",
    ],
)
def test_other_keys_are_not_partitions(key: str) -> None:
    assert NamingPattern().parse(key) is None


def test_the_pattern_is_configurable_by_named_groups() -> None:
    pattern = NamingPattern(
        named=r"(?P<year>\d{4})(?P<month>\d\d)-(?P<symbol>\w+)-(?P<timeframe>\w+)"
        r"-(?P<horizon>\d+)-(?P<hash>\w+)\.(?P<extension>parquet)"
    )
    name = pattern.parse("2014/03/201403-abc-5min-30-x.parquet")
    assert name is not None
    assert (name.symbol, name.timeframe, name.horizon_minutes) == ("abc", "5min", 30)


@pytest.mark.parametrize("regex", ["(", r"(?P<symbol>\w+)\.parquet"])
def test_a_pattern_that_cannot_work_is_refused_by_field(regex: str) -> None:
    with pytest.raises(ConfigError, match="naming_regex"):
        NamingPattern(named=regex)


@given(st.integers(1, 9998), st.integers(1, 12), st.integers(-60, 60))
def test_months_shift_forth_and_back(year: int, month: int, by: int) -> None:
    start = Month(year + 100, month)
    assert start.shift(by).shift(-by) == start
    assert (start.shift(by) > start) == (by > 0)


@given(st.integers(1000, 9999), st.integers(1, 12))
def test_a_months_folder_names_it(year: int, month: int) -> None:
    assert month_of_folder(Month(year, month).folder) == Month(year, month)
    assert month_of_folder(f"year={year}/month={month}") == Month(year, month)


def test_ranges_are_closed_and_refused_backwards() -> None:
    assert 2016 in IntRange.parse("2014:2016", "years")
    assert 2017 not in IntRange.parse("2014:2016", "years")
    assert IntRange.parse("7", "months") == IntRange(7, 7)
    for text in ("2016:2014", "x", "", "1:2:3", "-1"):
        with pytest.raises(ConfigError, match="years"):
            IntRange.parse(text, "years")


def test_a_range_of_months_applies_to_each_year() -> None:
    chosen = MonthFilter(IntRange(2014, 2015), IntRange(1, 6))
    assert Month(2015, 6) in chosen
    assert Month(2014, 7) not in chosen
    assert Month(2016, 1) not in chosen
