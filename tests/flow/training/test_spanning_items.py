"""Training refuses items whose rows are in several parts, and reads them whole when told how."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gigacast.errors import SchemaError
from gigacast.settings.assembly import job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from gigacast.trainers.corpus import Corpus
from gigacast.training.data import Reading, find_partitions, write_corpus
from gigacast.training.span import SpanGuard


def rows(items: dict[str, range], **columns: Any) -> pd.DataFrame:
    """Return days of January (1 to 31) and February (from 32) of items; values are the days."""
    start = pd.Timestamp("2023-12-31")
    frames = [
        pd.DataFrame(
            {
                "item_id": item,
                "timestamp": [start + pd.Timedelta(days=day) for day in days],
                "target": np.array(days, float),
            }
        )
        for item, days in items.items()
    ]
    return pd.concat(frames).assign(**columns)


def corpus_of(tmp_path: Path, files: dict[str, pd.DataFrame], **options: Any) -> Corpus:
    for key, frame in files.items():
        path = tmp_path / "bucket" / f"{key}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(path, index=False)
    (tmp_path / "corpus").mkdir()
    url = (tmp_path / "bucket").as_uri()
    job = job_of(load_settings(nest_arguments({"bucket": url, **options})))
    data = find_partitions(job, open_store(StoreAddress(url)))
    return write_corpus(data.groups(), Reading(job.method), tmp_path / "corpus", 4)


def series_of(corpus: Corpus) -> list[list[float]]:
    pairs = zip(corpus.offsets[:-1], corpus.offsets[1:], strict=True)
    return sorted(corpus.values[start:stop].tolist() for start, stop in pairs)


CUT = {
    "2024/01/part-0": rows({"a": range(1, 16), "b": range(1, 32)}),
    "2024/01/part-1": rows({"c": range(1, 32), "a": range(16, 32)}),
}
MOVED = {
    "2024/01/part-0": rows({"a": range(1, 32)}),
    "2024/01/part-1": rows({"b": range(1, 32)}),
    "2024/02/part-0": rows({"b": range(32, 50)}),
    "2024/02/part-1": rows({"a": range(32, 50)}),
}


@pytest.mark.parametrize("files", [CUT, MOVED], ids=["of a month", "of two months"])
def test_items_of_several_parts_are_refused_with_the_remedy_that_reads_them(
    files: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    with pytest.raises(SchemaError, match=r"part-0.* and .*part-1.* share items, such as '") as no:
        corpus_of(tmp_path, files)
    assert no.value.hint == "read the parts of a month together by --partition_by month"
    (tmp_path / "again").mkdir()
    corpus = corpus_of(tmp_path / "again", files, partition_by="month")
    targets = pd.concat(files.values()).groupby("item_id")["target"]
    assert series_of(corpus) == sorted(sorted(values) for _, values in targets)


@pytest.mark.parametrize(
    ("first", "second", "merges"),
    [
        ("shop=0/2024/01/part-0", "shop=1/2024/01/part-0", False),
        ("year=2024/month=1/shop=0/x", "year=2024/month=1/shop=1/x", True),
    ],
    ids=["above the month", "below the month"],
)
def test_ids_that_a_hive_level_tells_apart_are_refused_until_it_is_named(
    first: str, second: str, merges: bool, tmp_path: Path
) -> None:
    files = {first: rows({"a": range(1, 20)}), second: rows({"a": range(1, 25)})}
    with pytest.raises(SchemaError, match="share items, such as 'a'") as no:
        corpus_of(tmp_path, files)
    assert "--item_columns item_id,shop" in str(no.value.hint)
    assert ("--partition_by month" in str(no.value.hint)) == merges
    (tmp_path / "again").mkdir()
    corpus = corpus_of(tmp_path / "again", files, item_columns="item_id,shop")
    assert series_of(corpus) == [[*range(1, 20)], [*range(1, 25)]]


def test_a_part_without_ids_among_parts_with_ids_is_refused(tmp_path: Path) -> None:
    bare = rows({"a": range(1, 20)}).drop(columns="item_id")
    files = {"2024/01/part-0": bare, "2024/01/part-1": rows({"b": range(1, 20)})}
    with pytest.raises(SchemaError, match=r"part-0\.parquet has no column of item ids, as .*-1"):
        corpus_of(tmp_path, files)


def test_files_of_symbols_may_share_ids(tmp_path: Path) -> None:
    names = ("2024/01/EURUSD_1d_h15_2024_01_ab", "2024/01/EURUSD_1h_h15_2024_01_cd")
    files = {name: rows({"EURUSD": range(1, 20)}) for name in names}
    assert len(corpus_of(tmp_path, files)) == 2


def test_every_shared_item_of_many_groups_is_noticed() -> None:
    import pyarrow as pa

    for place in range(12):
        guard = SpanGuard()
        for group in range(12):
            guard.begin(f"part-{group}", f"2024/01/part-{group}")
            guard.add(pa.array([f"{group}-{item}" for item in range(group % 4 + 1)]), ("id",))
        guard.begin("part-x", "2024/01/part-x")
        guard.add(pa.array(["new"]), ("id",))
        with pytest.raises(SchemaError, match=rf"part-{place} and .*part-x share items"):
            guard.add(pa.array(["other", f"{place}-0"]), ("id",))
