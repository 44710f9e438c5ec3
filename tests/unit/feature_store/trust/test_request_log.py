"""The log of served answers: a share of them, by hour, in bounded memory, and never in the way."""

import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.errors import ConfigError, StorageError
from gigacast.feature_store.online.question import Request, Response
from gigacast.feature_store.trust.record import SCHEMA, hour_of, record_of, table_of
from gigacast.feature_store.trust.request_log import LogLimits, RequestLog
from gigacast.storage.memory import MemoryStore
from gigacast.storage.parquet.read import read_table

HOUR = 3_600_000
NOON = 1_706_702_400_000  # 2024-01-31 12:00
LONG = LogLimits(flush_s=3600)


def response(at: int = NOON, **values: Any) -> Response:
    return Response(Request("shop.join", {"user": 5}), at, values)


def log_rows(store: MemoryStore) -> dict[str, list[dict[str, Any]]]:
    keys = sorted(m.key for page in store.list("feature_store/logs/") for m in page)
    folders: dict[str, list[dict[str, Any]]] = {}
    for key in keys:
        rows = read_table(store, key).to_pylist()
        folders.setdefault(key.rpartition("/")[0], []).extend(rows)
    return folders


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(uuid.uuid4().hex)


def test_answers_are_written_by_hour_when_the_log_is_closed(store: MemoryStore) -> None:
    log = RequestLog(store, limits=LONG, clock=lambda: NOON / 1000)
    for at in (NOON, NOON + HOUR - 1, NOON + HOUR):
        log.record("shop.join", "digest", response(at, amount=0.1), {"part": NOON})
    log.close()

    folders = log_rows(store)
    start = "feature_store/logs/shop.join/ds=2024-01-31"
    assert {name: len(rows) for name, rows in folders.items()} == {
        f"{start}/hr=12": 2,
        f"{start}/hr=13": 1,
    }
    [row] = folders[f"{start}/hr=13"]
    assert row == {
        "at": NOON + HOUR,
        "logged_ms": NOON,
        "definition": "digest",
        "keys": '{"user":"5"}',
        "values": '{"amount":0.1}',
        "errors": "{}",
        "batch_ends": json.dumps({"part": NOON}, separators=(",", ":")),
        "freshness_ms": None,
    }
    assert log.counts.written == 3


def test_a_share_of_the_answers_is_logged(store: MemoryStore) -> None:
    chances: Iterator[float] = iter([0.09, 0.1, 0.04, 0.05, 0.0])
    log = RequestLog(store, 0.1, limits=LONG, chance=lambda: next(chances))
    for share in (1.0, 1.0, 0.5, 0.5, 0.0):
        log.record("shop.join", "digest", response(), {}, share)
    log.close()
    assert log.counts.written == 2


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_what_is_no_share_is_refused(store: MemoryStore, share: float) -> None:
    with pytest.raises(ConfigError, match="is no share"):
        RequestLog(store, share)


class FailingStore(MemoryStore):
    """A store that fails as long as it is told to."""

    is_down = True

    def put(self, key: str, content: Any) -> str:
        if self.is_down:
            raise StorageError("down")
        return super().put(key, content)


def test_a_store_that_is_down_costs_bounded_memory_and_no_answer() -> None:
    store = FailingStore(uuid.uuid4().hex)
    size = record_of("digest", response(), {}, 0).size_bytes
    log = RequestLog(store, limits=LogLimits(max_bytes=3 * size, flush_s=3600))
    for _ in range(5):
        log.record("shop.join", "digest", response(), {})
    with pytest.raises(StorageError):
        log.flush()
    assert log.counts.dropped == 2
    log.record("shop.join", "digest", response(), {})
    assert log.counts.dropped == 3

    store.is_down = False
    log.flush()
    log.record("shop.join", "digest", response(), {})
    log.close()
    assert (log.counts.written, log.counts.dropped) == (4, 3)
    assert sum(map(len, log_rows(store).values())) == 4


def test_what_cannot_be_written_at_the_end_is_counted() -> None:
    log = RequestLog(FailingStore(uuid.uuid4().hex), limits=LONG)
    log.record("shop.join", "digest", response(), {})
    with pytest.raises(StorageError):
        log.close()
    log.record("shop.join", "digest", response(), {})
    assert log.counts.dropped == 2


def test_full_memory_is_written_by_the_thread(store: MemoryStore) -> None:
    size = record_of("digest", response(), {}, 0).size_bytes
    log = RequestLog(store, limits=LogLimits(flush_bytes=2 * size, flush_s=3600))
    arrived = threading.Event()
    put = store.put

    def note(key: str, content: Any) -> str:
        etag = put(key, content)
        arrived.set()
        return etag

    store.put = note  # type: ignore[method-assign]
    for _ in range(2):
        log.record("shop.join", "digest", response(), {})
    assert arrived.wait(10)
    log.close()
    assert log.counts.written == 2


def test_threads_share_a_log_and_lose_nothing(store: MemoryStore) -> None:
    log = RequestLog(store, limits=LogLimits(flush_bytes=2000, flush_s=0.001))

    def work(n: int) -> None:
        for _ in range(50):
            log.record("shop.join", "digest", response(n=n), {})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert log.counts.written == 200
    rows = [json.loads(row["values"])["n"] for rows in log_rows(store).values() for row in rows]
    assert sorted(rows) == sorted([0, 1, 2, 3] * 50)


JSON_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
)


@given(st.dictionaries(st.text(min_size=1), JSON_VALUES, max_size=4), st.integers(0, 2**45))
def test_a_record_holds_every_value_to_the_last_digit(values: dict[str, Any], at: int) -> None:
    answer = Response(Request("j", {}), at, {**values, "p_exception": "no"}, {"p": "no"})
    [row] = table_of([record_of("d", answer, {}, 0)]).to_pylist()
    expected = {name: value for name, value in values.items() if name != "p_exception"}
    assert json.loads(row["values"]) == expected
    assert json.loads(row["errors"]) == {"p": "no"}
    day, hour = hour_of(at)
    assert len(day) == 10
    assert len(hour) == 2


@pytest.mark.parametrize(
    ("key", "text"), [(5, "5"), ("5", "5"), (True, "true"), (1.5, "1.5"), (None, None)]
)
def test_keys_are_texts_of_one_type(key: Any, text: str | None) -> None:
    answer = Response(Request("j", {"user": key}), 0)
    assert json.loads(record_of("d", answer, {}, 0).keys) == {"user": text}


def test_maps_are_lists_of_pairs() -> None:
    answer = Response(Request("j", {}), 0, {"counts": {"a": 1}})
    assert json.loads(record_of("d", answer, {}, 0).values) == {
        "counts": [{"key": "a", "value": 1}]
    }


def test_no_records_are_a_table_of_the_same_columns() -> None:
    assert table_of([]).equals(pa.table([[]] * len(SCHEMA), schema=SCHEMA))
