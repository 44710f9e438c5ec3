"""What a key says about the object under it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.core.partition.name import (
    NamingPattern,
    folder_in,
    hive_levels,
    is_hive_year,
    is_level,
    levels_above,
    lineage_of,
    month_of_folder,
    month_place,
    month_prefixes,
    partitioning_of,
    year_of_folder,
)
from gigacast.core.time.month import IntRange, Month, MonthFilter
from gigacast.errors import ConfigError, SchemaError

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


# -- folders ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "month"),
    [
        ("2014/03", Month(2014, 3)),
        ("2014/01", Month(2014, 1)),
        ("2014/12", Month(2014, 12)),
        ("year=2014/month=3", Month(2014, 3)),
        ("store=12/2014/03", Month(2014, 3)),
        ("store=12/year=2014/month=03/shelf=4", Month(2014, 3)),
        ("2014/00", None),
        ("2014/13", None),
        ("year=2014/month=0", None),
        ("store/2014/03", None),
        ("2014", None),
    ],
)
def test_the_month_of_a_folder_may_have_levels_around_it(folder: str, month: Month | None) -> None:
    assert month_of_folder(folder) == month


@pytest.mark.parametrize(
    ("folder", "year", "is_hive", "above"),
    [
        ("2014/", 2014, False, ""),
        ("year=2014/", 2014, True, ""),
        ("store=12/2014/", 2014, False, "store=12/"),
        ("a=1/b=2/year=2014/", 2014, True, "a=1/b=2/"),
        ("2014", None, False, ""),
        ("store=12/", None, False, ""),
        ("logs/", None, False, ""),
    ],
)
def test_the_folder_of_a_year_has_a_spelling_and_levels_above(
    folder: str, year: int | None, is_hive: bool, above: str
) -> None:
    assert (year_of_folder(folder), is_hive_year(folder)) == (year, is_hive)
    assert levels_above(folder) == above


def test_levels_are_hive_folders_that_are_no_times() -> None:
    assert [is_level(f) for f in ("store=12/", "store=12", "store=")] == [True] * 3
    assert [is_level(f) for f in ("year=2014/", "month=3", "logs/", "=3", "")] == [False] * 5


def test_the_place_of_a_key_is_its_month_folder() -> None:
    assert month_place("2014/03/a/b.parquet") == "2014/03/"
    assert month_place("store=1/2014/03/b.parquet") == "store=1/2014/03/"
    assert [month_place(key) for key in ("2014/03.txt", "notes.txt")] == [
        "2014/03.txt",
        "notes.txt",
    ]


def test_the_lineage_of_a_partition_leaves_its_month_out() -> None:
    assert lineage_of("store=1/year=2014/month=3/shelf=2/part-0") == "store=1/shelf=2/part-0"
    assert lineage_of("2014/03/part-0") == lineage_of("2015/11/part-0") == "part-0"
    assert lineage_of("elsewhere/part-0") == "part-0"
    name = NamingPattern().parse("store=1/2014/03/part-0.parquet")
    assert name is not None
    assert name.lineage == "store=1/part-0"


@pytest.mark.parametrize(
    ("partition", "what"),
    [
        ("2014/03/part-0", "object"),
        ("2014/03/bucket=07/part-0", "object"),
        ("2014/03/month", "month"),
        ("store=1/year=2014/month=3/month", "month"),
        ("2014/03/bucket=07/month", "bucket"),
    ],
)
def test_the_name_of_a_partition_says_what_it_is(partition: str, what: str) -> None:
    assert partitioning_of(partition) == what


def test_another_month_is_spelled_as_the_folder_is() -> None:
    assert folder_in("2014/03", Month(2015, 1)) == ("2015/01",)
    assert folder_in("s=1/year=2014/month=03/t=2", Month(2015, 1)) == (
        "s=1/year=2015/month=01/t=2",
        "s=1/year=2015/month=1/t=2",
    )
    assert folder_in("elsewhere", Month(2015, 1)) == ()


def test_hive_writers_spell_the_first_nine_months_in_two_ways() -> None:
    assert month_prefixes("2014/", Month(2014, 3)) == ("2014/03/",)
    assert month_prefixes("year=2014/", Month(2014, 9)) == (
        "year=2014/month=09/",
        "year=2014/month=9/",
    )
    assert month_prefixes("year=2014/", Month(2014, 10)) == ("year=2014/month=10/",)


def test_levels_of_a_key_are_unescaped_and_may_be_missing() -> None:
    key = "store=a%2Fb/year=2014/month=03/shelf=__HIVE_DEFAULT_PARTITION__/part%20=1/x=2.parquet"
    assert hive_levels(key) == {"store": "a/b", "shelf": None, "part ": "1"}
    assert hive_levels("2014/03/a.parquet") == {}
    assert hive_levels("store=1/year=2014/month=3/store=1/a.parquet") == {"store": "1"}


def test_a_level_with_two_values_is_refused() -> None:
    with pytest.raises(SchemaError, match="'store' stands twice, as '1' and as '2'"):
        hive_levels("store=1/year=2014/month=3/store=2/a.parquet")


# -- patterns --------------------------------------------------------------------------------------


def test_seven_plain_groups_are_enough_and_other_numbers_are_not() -> None:
    assert NamingPattern(named=SEED_REGEX).parse(SEED_KEY) == NamingPattern().parse(SEED_KEY)
    with pytest.raises(ConfigError, match="naming_regex"):
        NamingPattern(named=SEED_REGEX.replace("([A-Z]+)", "[A-Z]+"))
    with pytest.raises(ConfigError, match="panel_regex: needs the named groups extension"):
        NamingPattern(panel=r"(?P<stem>.*)")


def test_patterns_are_compared_and_shown_by_their_texts() -> None:
    assert NamingPattern() == NamingPattern()
    assert NamingPattern() != NamingPattern(panel=r"(?P<stem>.*)\.(?P<extension>csv)")
    assert "re.compile" not in repr(NamingPattern())


def test_a_pattern_of_the_user_decides_on_endings_that_are_read() -> None:
    pattern = NamingPattern(panel=r"(?P<stem>.+)\.(?P<extension>parquet|xlsx)")
    assert pattern.parse("2014/03/a.parquet") is not None
    assert pattern.parse("2014/03/a.xlsx") is None
    named = NamingPattern(
        named=r"(?P<symbol>\w+)_(?P<timeframe>1min)_h(?P<horizon>\d+)_(?P<year>\d{4})"
        r"_(?P<month>\d\d)_(?P<hash>\w+)\.(?P<extension>parquet|xlsx)"
    )
    assert named.parse("2014/03/A_1min_h5_2014_03_ff.parquet") is not None
    assert named.parse("2014/03/A_1min_h5_2014_03_ff.xlsx") is None


def test_a_name_that_contradicts_its_folder_is_no_partition() -> None:
    for key in ("2014/03/A_1min_h5_2014_04_ff.parquet", "2013/03/A_1min_h5_2014_03_ff.parquet"):
        assert NamingPattern().parse(key) is None


def test_every_file_of_a_hive_folder_is_a_part_and_others_need_their_name() -> None:
    assert NamingPattern().parse("2014/03/data.parquet") is None
    name = NamingPattern().parse("year=2014/month=03/data.parquet")
    assert name is not None
    assert (name.series_name, name.symbol, name.horizon_minutes) == ("data", None, None)
