"""Folders of years, with Hive levels above them, are found by few listings."""

import secrets

from gigacast.core.partition.name import NamingPattern
from gigacast.core.time.month import IntRange, LatestMonth, Month, MonthFilter
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.months import (
    MonthCursor,
    find_years,
    month_at,
    walk_months,
    with_latest_month,
)
from gigacast.storage.memory import MemoryStore
from gigacast.storage.store import Folder, ObjectMeta


class CountingStore(MemoryStore):
    """A store that counts the folders it lists."""

    def __init__(self, *keys: str) -> None:
        super().__init__(secrets.token_hex(8))  # a store of its own name is empty
        self.listed = 0
        for key in keys:
            self.put(key, b"x")

    def list_folder(self, prefix: str = "") -> Folder:
        self.listed += 1
        return super().list_folder(prefix)


def test_years_are_found_below_any_levels() -> None:
    store = CountingStore(
        "notes.txt",
        "2023/01/part-0.parquet",
        "region=n/store=1/year=2024/month=01/a.parquet",
        "region=s/2024/01/part-0.parquet",
        "logs/a.txt",
    )
    years = find_years(store)
    assert sorted(years.years) == ["2023/", "region=n/store=1/year=2024/", "region=s/2024/"]
    assert (years.others, years.objects) == (["logs/"], ["notes.txt"])


def test_years_below_a_prefix_are_named_without_it() -> None:
    store = CountingStore("f/m/store=1/2024/01/part-0.parquet", "f/m/2024/01/part-0.parquet")
    assert sorted(find_years(store, "f/m/").years) == ["2024/", "store=1/2024/"]


def test_a_bucket_without_levels_costs_one_listing() -> None:
    store = CountingStore("2023/01/part-0.parquet", "2024/01/part-0.parquet")
    assert find_years(store).years == ["2023/", "2024/"]
    assert store.listed == 1


def test_trees_of_levels_without_years_are_not_walked() -> None:
    keys = [f"day={day:03d}/hour={hour:02d}/x.txt" for day in range(90) for hour in range(9)]
    store = CountingStore(*keys)
    years = find_years(store)
    assert (years.years, len(years.others)) == ([], 90)
    assert store.listed < 15


def test_all_stores_are_listed_where_stores_have_years() -> None:
    store = CountingStore(*(f"store={n:03d}/2024/01/part-0.parquet" for n in range(50)))
    assert len(find_years(store).years) == 50
    assert store.listed < 60


def test_years_are_found_below_as_many_levels_as_are_looked_into() -> None:
    def below(levels: int) -> list[str]:
        prefix = "".join(f"l{n}=1/" for n in range(levels))
        return find_years(CountingStore(f"{prefix}2024/01/part-0.parquet")).years

    assert [len(below(levels)) for levels in range(7)] == [1, 1, 1, 1, 1, 0, 0]


def test_a_level_whose_shown_folders_have_no_years_is_another_folder() -> None:
    store = CountingStore("a=1/x.txt", "b=1/2024/01/part-0.parquet", "b=2/x.txt", "c/2024/01/p.csv")
    years = find_years(store)
    assert years.years == ["b=1/2024/"]
    assert sorted(years.others) == ["a=1/", "c/"]


def test_objects_beside_levels_are_reported() -> None:
    store = CountingStore("store=1/notes.txt", "store=1/2024/01/part-0.parquet", "top.txt")
    assert sorted(find_years(store).objects) == ["store=1/notes.txt", "top.txt"]


def test_a_cursor_takes_the_objects_of_a_place_and_moves_on() -> None:
    keys = ["2014/03.txt", "2014/03/a", "2014/03/b", "2014/04/a"]
    pages = [[ObjectMeta(f"p/{key}", "e", 1, 0)] for key in keys]
    cursor = MonthCursor(pages, "p/")
    assert cursor.place == "2014/03.txt"
    assert cursor.take("2014/03/") == []
    taken = []
    while cursor.place is not None:
        place = cursor.place
        taken.append((place, [entry.key for entry in cursor.take(place)]))
    assert taken == [
        ("2014/03.txt", ["p/2014/03.txt"]),
        ("2014/03/", ["p/2014/03/a", "p/2014/03/b"]),
        ("2014/04/", ["p/2014/04/a"]),
    ]
    assert MonthCursor([]).place is None


def test_a_place_is_a_month_only_as_a_folder() -> None:
    assert month_at("2014/03/") == Month(2014, 3)
    assert month_at("store=1/year=2014/month=3/") == Month(2014, 3)
    assert [month_at(place) for place in ("2014/03", "2014/13/", "2014/03.txt")] == [None] * 3


def walked(store: MemoryStore, selection: Selection) -> list[tuple[str, int, int]]:
    folders = list(walk_months(store, NamingPattern(), selection))
    return [
        (str(folder.month), len(folder.objects), len(folder.content.partitions))
        for folder in folders
    ]


def test_months_are_walked_in_the_order_of_time_with_all_their_objects() -> None:
    store = CountingStore(
        "year=2024/month=3/a.parquet",
        "year=2024/month=12/a.parquet",
        "2023/11/part-0.parquet",
        "2023/11/notes.txt",
        "2023/notes.txt",
        "2025/01/part-0.parquet",
        "2025/01/part-1.parquet",
    )
    assert walked(store, Selection()) == [
        ("2023-11", 2, 1),
        ("2024-03", 1, 1),
        ("2024-12", 1, 1),
        ("2025-01", 2, 2),
    ]


def test_only_selected_months_are_walked_and_earlier_ones_are_no_context() -> None:
    store = CountingStore(*(f"2024/{month:02d}/part-0.parquet" for month in range(1, 13)))
    months = MonthFilter(IntRange(2024, 2024), IntRange(2, 3))
    selection = Selection(months=months, context_partitions=1)
    assert walked(store, selection) == [("2024-02", 1, 1), ("2024-03", 1, 1)]
    folders = walk_months(store, NamingPattern(), selection)
    assert [len(f.content.partitions[0].inputs) for f in folders] == [1, 1]


def test_a_year_is_listed_at_once_unless_its_months_sort_otherwise() -> None:
    prefixes: list[str] = []

    class Listing(CountingStore):
        def list(self, prefix: str = "", *, start_after: str = ""):  # type: ignore[no-untyped-def]
            prefixes.append(prefix)
            return super().list(prefix, start_after=start_after)

    store = Listing("2023/01/part-0.parquet", "year=2024/month=1/a.parquet")
    assert len(walked(store, Selection())) == 2
    hive = [f"year=2024/month={m:02d}/" for m in range(1, 13)]
    loose = [f"year=2024/month={m}/" for m in range(1, 10)]
    assert sorted(prefixes) == sorted(["2023/", *hive, *loose])


def test_a_level_may_have_an_empty_value() -> None:
    store = CountingStore("a=/l=1/b=/2024/01/part-0.parquet")
    assert find_years(store).years == ["a=/l=1/b=/2024/"]


def test_a_walked_month_names_its_partitions_by_its_folder() -> None:
    store = CountingStore("2024/01/part-0.parquet", "2024/01/part-1.parquet")
    (folder,) = walk_months(store, NamingPattern(), Selection(by_month=True))
    assert [p.name.partition for p in folder.content.partitions] == ["2024/01/month"]


def test_the_latest_month_is_that_of_the_newest_year_with_a_month() -> None:
    store = CountingStore(
        "2022/11/part-0.parquet",
        "store=1/2023/04/part-0.parquet",
        "store=2/2023/09/part-0.parquet",
        "2024/notes/a.txt",
    )

    def latest(years: IntRange | None = None) -> list[Month]:
        chosen = with_latest_month(store, Selection(months=LatestMonth(years))).months
        months = [Month(year, month) for year in (2022, 2023, 2024) for month in range(1, 13)]
        return [month for month in months if month in chosen]

    assert latest() == [Month(2023, 9)]
    assert latest(IntRange(2022, 2022)) == [Month(2022, 11)]
    assert latest(IntRange(2024, 2024)) == []
    assert latest(IntRange(2000, 2001)) == []
    named = Selection(months=MonthFilter(IntRange(2022, 2022)))
    store.listed = 0
    assert with_latest_month(store, named) is named
    assert store.listed == 0
