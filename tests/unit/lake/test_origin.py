"""Forecasts that are replaced are kept: one copy each, the last ones; no plan lists them."""

from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.errors import TransientStorageError
from gigacast.lake.layout import origin_key, output_id, parse_origin_key
from gigacast.lake.plan import origin
from gigacast.lake.plan.origin import (
    UNKNOWN,
    cutoff_text,
    last_made,
    list_origins,
    newest_cutoff,
    publish_kept,
    surplus_of,
    trim_origins,
)
from gigacast.storage.memory import MemoryStore
from gigacast.storage.parquet.writer import table_bytes
from tests.support.faulty_store import FaultyStore
from tests.unit.lake.plans import PART, REQUEST, SPEC, do, plan_of

EPOCH = datetime.fromisoformat("1970-01-01")
KEY = f"forecasts/{SPEC.model}/{SPEC.version}/{SPEC.id(7)}/{PART}"


def forecast_of(*cutoffs: date | None, text: str = "") -> bytes:
    """Return a forecast with these cutoffs; ``text`` makes other bytes."""
    column = pa.array(cutoffs, pa.date32()).cast(pa.timestamp("us"))
    return table_bytes(pa.table({"cutoff": column, "text": [text] * len(cutoffs)}))


def night(day: int, text: str = "") -> bytes:
    return forecast_of(date(2024, 1, day), text=text)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> FaultyStore:
    return FaultyStore(MemoryStore(request.node.name))


def kept(store: FaultyStore) -> list[tuple[str | None, bytes]]:
    return [(o.day, store.get(o.meta.key)) for o in list_origins(store, KEY)]


def test_a_replaced_forecast_is_kept_under_its_cutoff(store: FaultyStore) -> None:
    for day in (1, 2, 3):
        etag = publish_kept(store, KEY, night(day))
    assert (store.get(KEY), etag) == (night(3), store.head(KEY).etag)
    assert kept(store) == [("2024-01-02", night(2)), ("2024-01-01", night(1))]


def test_the_first_forecast_of_a_partition_costs_one_request(store: FaultyStore) -> None:
    publish_kept(store, KEY, night(1), is_first=True)
    assert [kind for kind, _ in store.log] == ["put_if_absent"]


def test_a_forecast_of_the_same_bytes_is_left_as_it_is(store: FaultyStore, tmp_path: Path) -> None:
    first = publish_kept(store, KEY, night(1))
    (tmp_path / "again").write_bytes(night(1))
    for content in (tmp_path / "again", night(1)):
        store.log.clear()
        assert publish_kept(store, KEY, content) == first
        assert kept(store) == []
        assert not any(kind.startswith("put") for kind, _ in store.log)


def test_a_forecast_that_nobody_knew_of_is_kept_as_well(store: FaultyStore) -> None:
    store.put(KEY, night(1))
    publish_kept(store, KEY, night(2), is_first=True)
    assert (store.get(KEY), kept(store)) == (night(2), [("2024-01-01", night(1))])


def test_of_one_cutoff_the_forecast_made_last_comes_first(store: FaultyStore) -> None:
    for text in ("x", "a", "m"):
        publish_kept(store, KEY, night(1, text))
    publish_kept(store, KEY, night(2))
    assert [content for _, content in kept(store)] == [night(1, t) for t in "max"]


def test_a_large_forecast_is_kept_too(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "SINGLE_BYTES", 0)
    monkeypatch.setattr(origin, "_CHUNK_BYTES", 7)
    for day in (1, 2):
        publish_kept(store, KEY, night(day), is_first=day == 1)
    publish_kept(store, KEY, night(3), is_first=True)  # nobody knew of the others
    assert store.get(KEY) == night(3)
    assert kept(store) == [("2024-01-02", night(2)), ("2024-01-01", night(1))]


def test_a_forecast_that_others_replace_again_and_again_is_given_up(store: FaultyStore) -> None:
    class Busy(MemoryStore):
        def put_if_match(self, key: str, content: bytes | Path, etag: str) -> str:
            self.put(key, f"{etag} by another".encode())
            return super().put_if_match(key, content, etag)

    busy = Busy("busy-origins")
    busy.put(KEY, night(1))
    with pytest.raises(TransientStorageError, match="replaced again and again"):
        publish_kept(busy, KEY, night(2))


def test_a_damaged_forecast_is_replaced_and_not_kept(store: FaultyStore) -> None:
    store.put(KEY, b"PAR1 and no more")
    publish_kept(store, KEY, night(1))
    assert (store.get(KEY), kept(store)) == (night(1), [])


def test_the_last_ones_are_kept(store: FaultyStore) -> None:
    for day in range(1, 10):
        etag = publish_kept(store, KEY, night(day))
        trim_origins(store, KEY, etag, 4)
    assert [day for day, _ in kept(store)] == ["2024-01-08", "2024-01-07", "2024-01-06"]


def test_a_copy_of_the_current_forecast_is_neither_counted_nor_deleted(store: FaultyStore) -> None:
    for day in range(1, 6):
        etag = publish_kept(store, KEY, night(day))
    copy = origin_key(KEY, "2024-01-05T000000", etag)
    store.put(copy, night(5))
    origins = list_origins(store, KEY)
    assert [o.day for o in origins][:2] == ["2024-01-05", "2024-01-04"]
    surplus = surplus_of(origins, etag, 3)
    assert [parse_origin_key(key).cutoff[:10] for key in surplus] == [  # type: ignore[union-attr]
        "2024-01-02",
        "2024-01-01",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (pa.scalar(np.datetime64("2024-01-31T09:30", "us")), "2024-01-31T093000"),
        (pa.scalar(np.datetime64("2024-01-31", "ns")), "2024-01-31T000000"),
        (pa.scalar(date(2024, 1, 31)), "2024-01-31T000000"),
        (
            pa.scalar(np.datetime64("2024-01-31T20", "s")).cast(pa.timestamp("s", "Asia/Tokyo")),
            "2024-02-01T050000",
        ),
        (pa.scalar(17), f"{17:020d}"),
        (pa.scalar(0), "0" * 20),
        (pa.scalar(-1), UNKNOWN),
        (pa.scalar(None, pa.timestamp("us")), UNKNOWN),
    ],
    ids=str,
)
def test_cutoffs_are_named_by_their_wall_time(value: pa.Scalar, text: str) -> None:
    assert cutoff_text(value) == text


@given(st.lists(st.datetimes(min_value=EPOCH), min_size=2, max_size=6))
def test_names_of_cutoffs_sort_as_their_times(times: list[datetime]) -> None:
    texts = [cutoff_text(pa.scalar(t, pa.timestamp("us"))) for t in sorted(times)]
    assert texts == sorted(texts)
    assert all(parse_origin_key(origin_key(KEY, text, "etag")) for text in texts)


def test_the_newest_cutoff_names_a_forecast(tmp_path: Path) -> None:
    path = tmp_path / "forecast.parquet"
    path.write_bytes(forecast_of(date(2024, 1, 3), None, date(2024, 1, 9), date(2023, 12, 1)))
    assert newest_cutoff(path) == "2024-01-09T000000"
    path.write_bytes(table_bytes(pa.table({"predictions": [1.0]})))
    assert newest_cutoff(path) == UNKNOWN


_ROWS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([None, 1, 2])), max_size=6)


@given(st.lists(_ROWS, min_size=1, max_size=4))
def test_of_forecasts_of_a_series_and_cutoff_the_last_one_counts(
    files: list[list[tuple[str, int | None]]],
) -> None:
    tables = [
        pa.table(
            {
                "item": pa.array([item for item, _ in rows], pa.string()).dictionary_encode(),
                "cutoff": pa.array([cutoff for _, cutoff in rows], pa.int64()),
            }
        )
        for rows in files
    ]
    expected = [
        [row for row in rows if not any(row in later for later in files[n + 1 :])]
        for n, rows in enumerate(files)
    ]
    got = [table.to_pylist() for table in last_made(tables, ["item", "cutoff"])]
    assert [[tuple(row.values()) for row in rows] for rows in got] == expected


def test_a_plan_lists_no_history(store: FaultyStore) -> None:
    """A thousand nightly origins cost a plan no request, and no key to look at."""
    parts = [f"2024/01/part-{n:05d}.parquet" for n in range(5)]
    for part in parts:
        store.put(part, b"input")
    for task in plan_of(store).tasks:
        do(store, task)
        for number in range(1000):
            store.put(origin_key(task.output_key, f"2021-01-01T{number:06d}", str(number)), b"")
    before = len(store.log)
    assert plan_of(store).totals.done == 5
    assert sorted(store.log[before:]) == sorted(_requests_without_history())


def _requests_without_history() -> list[tuple[str, str]]:
    plain = FaultyStore(MemoryStore("plan-without-history"))
    for n in range(5):
        plain.put(f"2024/01/part-{n:05d}.parquet", b"input")
    for task in plan_of(plain).tasks:
        do(plain, task)
    before = len(plain.log)
    plan_of(plain, REQUEST)
    return plain.log[before:]


def test_keys_of_history_say_which_forecast_they_keep() -> None:
    key = origin_key(KEY, "2024-01-31T000000", "an etag")
    folder = f"origins/{KEY.removeprefix('forecasts/')}/"
    assert key == f"{folder}2024-01-31T000000.{output_id('an etag')}.parquet"
    assert parse_origin_key(key) == (KEY, "2024-01-31T000000", output_id("an etag"))
    assert parse_origin_key("origins/m/v/h1/_manifests/run.parquet") is None
    assert parse_origin_key(KEY) is None
