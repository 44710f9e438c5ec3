"""The search for the partition of an item: by bounds, newest first, within a number of reads."""

import io
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.core.footer import VerifiedParquet
from gigacast.core.series.item_key import ItemKey
from gigacast.errors import DataNotFoundError
from gigacast.forecasting.read import Generation
from gigacast.forecasting.stored import search
from gigacast.forecasting.stored.search import names_of_items, partition_of_item
from gigacast.lake.plan.manifest import ManifestEntry, encode_table, to_table
from gigacast.storage.memory import MemoryStore

GENERATION = Generation("m", "v", "h1-q1-00000000", 0)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(str(uuid4()))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The row groups of each reading."""
    groups: list[list[int]] = []
    reading = VerifiedParquet.read_row_groups

    def counted(self: VerifiedParquet, row_groups: list[int], **options: Any) -> Any:
        groups.append(row_groups)
        return reading(self, row_groups, **options)

    monkeypatch.setattr(VerifiedParquet, "read_row_groups", counted)
    return groups


def finished(
    store: MemoryStore, contents: dict[str, Any], size: int = 2, **options: Any
) -> Generation:
    """Write forecasts with the ids of each partition, and their manifest."""
    entries = []
    for partition, ids in contents.items():
        content = io.BytesIO()
        table = ids if isinstance(ids, pa.Table) else pa.table({"item_id": ids})
        pq.write_table(table, content, row_group_size=size, **options)
        key = f"forecasts/{partition}.parquet"
        etag = store.put(key, content.getvalue())
        entries.append(ManifestEntry(partition, key, etag, len(table), 1))
    store.put(GENERATION.key, encode_table(to_table(entries)))
    return GENERATION


def refusal(store: MemoryStore, item: str) -> DataNotFoundError:
    with pytest.raises(DataNotFoundError) as caught:
        partition_of_item(store, GENERATION, item)
    return caught.value


# -- partitions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.int64(), pa.dictionary(pa.int32(), pa.string())]
)
def test_the_newest_partition_with_an_item_is_found(kind: pa.DataType, store: MemoryStore) -> None:
    def ids(*numbers: int) -> pa.Array:
        return pa.array(numbers).cast(pa.int64() if pa.types.is_integer(kind) else pa.string())

    finished(
        store,
        {
            "2023/12/part-0": ids(-7, 1),
            "2024/01/part-0": ids(1, 2, 2, 3),
            "2024/01/part-1": ids(4, 5),
            "2024/02/part-0": ids(3, 4, 6),
        },
    )
    expected = {"-7": "2023/12", "1": "2024/01", "2": "2024/01", "3": "2024/02", "4": "2024/02"}
    for item, folder in expected.items():
        assert partition_of_item(store, GENERATION, item) == f"{folder}/part-0"
    assert partition_of_item(store, GENERATION, "5") == "2024/01/part-1"
    for item in ("7", "-", "x", "", "1.0"):
        refusal(store, item)


def test_a_file_that_is_named_after_the_item_is_looked_at_first(
    store: MemoryStore, reads: list[list[int]]
) -> None:
    finished(
        store, {"2024/01/EUR_1min_h5": ["EUR"], **{f"2024/02/p-{n}": ["EUR"] for n in range(9)}}
    )
    assert partition_of_item(store, GENERATION, "EUR") == "2024/01/EUR_1min_h5"
    # Of partitions of one month the first is taken, and those without a month are the oldest.
    finished(store, {"other": ["a"], "2024/01/b": ["a"], "2024/01/c": ["a"]})
    assert partition_of_item(store, GENERATION, "a") == "2024/01/b"


def test_months_are_in_the_order_of_time(store: MemoryStore) -> None:
    finished(store, {f"{year}/{month:02d}/p": ["a"] for year in (2022, 2023) for month in (1, 12)})
    assert partition_of_item(store, GENERATION, "a") == "2023/12/p"
    finished(store, {"2023/01/p": ["a"], "2022/12/p": ["a"]})
    assert partition_of_item(store, GENERATION, "a") == "2023/01/p"


def test_several_columns_are_an_item(store: MemoryStore, reads: list[list[int]]) -> None:
    key = ItemKey(("shop", "sku"), (pa.int64(), pa.string()))
    table = pa.table({"shop": [1, 2, 3], "sku": ["tea", "a/b", "x"]})
    table = table.replace_schema_metadata(key.metadata)
    finished(store, {"2024/01/p": table})
    assert partition_of_item(store, GENERATION, "1/tea") == "2024/01/p"
    assert partition_of_item(store, GENERATION, "2/a~1b") == "2024/01/p"
    # No bound tells where such an item is.
    assert reads == [[0, 1], [0, 1]]
    assert "there are: 1/tea, 2/a~1b, 3/x" in str(refusal(store, "1/x"))


# -- the number of reads ---------------------------------------------------------------------------


def test_only_row_groups_whose_bounds_hold_an_item_are_read(
    store: MemoryStore, reads: list[list[int]]
) -> None:
    finished(store, {"2024/01/p": ["a", "b", "d", "f", "f", "h"], "2024/01/q": ["x", "y"]})
    for item, groups in (("a", [0]), ("b", [0]), ("d", [1]), ("f", [1, 2]), ("h", [2])):
        reads.clear()
        assert partition_of_item(store, GENERATION, item) == "2024/01/p"
        assert reads == [groups]
    reads.clear()
    error = refusal(store, "c")  # between two row groups
    assert reads == []
    assert "there are: a, b, d, f, h" in str(error)
    error = refusal(store, "e")
    assert reads == [[1]]
    assert "there are: d, f, x, y" in str(error)


def test_without_bounds_all_row_groups_are_read(store: MemoryStore, reads: list[list[int]]) -> None:
    finished(store, {"2024/01/p": ["a", "b", "c"]}, write_statistics=False)
    assert partition_of_item(store, GENERATION, "b") == "2024/01/p"
    assert reads == [[0, 1]]
    assert "there are: a, b, c" in str(refusal(store, "z"))


def test_row_groups_and_footers_are_bounded(
    store: MemoryStore, reads: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST_GROUPS", 16)
    monkeypatch.setattr(search, "_READERS", 2)
    ids = [letter for _ in range(12) for letter in "az"]
    finished(store, {f"2024/{month:02d}/p": ids for month in range(1, 10)})
    # Two at a time, eight row groups each: the first two months take all.
    error = refusal(store, "m")
    assert sorted(reads) == [list(range(8))] * 2
    assert "in the 2 partitions of 9 that were looked at; there are: a, z" in str(error)
    # What is left over, be it one, is used by the next two.
    monkeypatch.setattr(search, "MOST_GROUPS", 17)
    assert "in the 4 partitions of 9 that were looked at" in str(refusal(store, "m"))
    monkeypatch.setattr(search, "MOST_FOOTERS", 3)
    monkeypatch.setattr(search, "MOST_GROUPS", 1000)
    reads.clear()
    assert "in the 3 partitions of 9 that" in str(refusal(store, "m"))
    assert sum(map(len, reads)) == 36
    # What is left is shared, and one row group of each is always read.
    monkeypatch.setattr(search, "MOST_FOOTERS", 256)
    monkeypatch.setattr(search, "MOST_GROUPS", 1)
    reads.clear()
    assert "in the 2 partitions of 9 that" in str(refusal(store, "m"))
    assert reads == [[0], [0]]


def test_the_whole_set_that_was_looked_at_has_no_part(store: MemoryStore) -> None:
    finished(store, {"2024/01/p": ["tea", "coffee"]})
    error = refusal(store, "coffe")
    assert "no item 'coffe' in the 1 partition that" in str(error)
    assert error.hint == "did you mean coffee?"
    assert "ls partitions" in refusal(store, "zzz").hint
    finished(store, {"2024/01/p": [f"k{n}" for n in range(9)]}, size=9)
    assert "there are: k0, k1, k2, k3, k4 (" in str(refusal(store, "k55"))
    finished(store, {})
    assert "there are: none" in str(refusal(store, "a"))


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "like", "names", "groups"),
    [
        (1, "", ["b"], 1),
        (2, "", ["b", "a"], 1),
        (3, "", ["b", "a", "ca"], 2),
        (9, "", ["b", "a", "ca", "d"], 3),
        (1, "a", ["a"], 1),
        (2, "a", ["a", "ca"], 2),
        (3, "a", ["a", "ca"], 3),
        (1, "x", [], 3),
    ],
)
def test_the_first_names_are_those_of_the_first_row_groups(
    count: int, like: str, names: Sequence[str], groups: int, store: MemoryStore,
    reads: list[list[int]],
) -> None:  # fmt: skip
    finished(store, {"2024/01/p": ["b", "a", "a", "ca", "d", "b"]})
    meta = store.head("forecasts/2024/01/p.parquet")
    row = {"key": meta.key, "etag": meta.etag}
    assert names_of_items(store, row, count, like) == names
    assert reads == [[number] for number in range(groups)]
