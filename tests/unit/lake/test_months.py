"""Folders of years, with Hive levels above them, are found by few listings."""

import secrets

from gigacast.lake.plan.months import find_years
from gigacast.storage.memory import MemoryStore
from gigacast.storage.store import Folder


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
