"""Every online store keeps these rules."""

import threading
import time
from collections.abc import Callable

import pytest

from gigacast.errors import StorageError
from gigacast.feature_store.online.store import MAX_KEY_BYTES, OnlineStore

NewOnlineStore = Callable[[], OnlineStore]


def read(store: OnlineStore, key: str) -> bytes | None:
    stored = store.get_many([key])[0]
    return stored.value if stored else None


def version(store: OnlineStore, key: str) -> int | None:
    stored = store.get_many([key])[0]
    return stored.version if stored else None


def test_values_come_back_in_the_order_of_the_keys_and_none_for_absent_ones(store):
    store.put_many([("k/a", b"1"), ("k/b", b"2")])

    values = store.get_many(["k/b", "k/none", "k/a", "k/b"])

    assert [value and value.value for value in values] == [b"2", None, b"1", b"2"]
    assert store.get_many([]) == []


def test_a_value_may_hold_any_byte_and_none_at_all(store):
    content = bytes(range(256)) * 20
    store.put_many([("k/bytes", content), ("k/empty", b"")])

    assert read(store, "k/bytes") == content
    assert read(store, "k/empty") == b""


def test_a_key_of_the_greatest_length_is_taken(store):
    key = "k/" + "x" * (MAX_KEY_BYTES - 2)
    store.put_many([(key, b"1")])

    assert read(store, key) == b"1"


def test_another_connection_reads_what_was_written(open_again: NewOnlineStore):
    open_again().put_many([("k/a", b"1")])

    assert read(open_again(), "k/a") == b"1"


def test_more_values_than_one_request_takes_are_written_and_read(store):
    items = {f"k/{n:04}": str(n).encode() for n in range(257)}
    store.put_many(items.items())

    values = store.get_many([*items])

    assert [value.value for value in values if value] == [*items.values()]


def test_a_later_value_replaces_the_former_one(store):
    store.put_many([("k/a", b"1"), ("k/a", b"2")])
    assert read(store, "k/a") == b"2"

    store.put_many([("k/a", b"3")])

    assert read(store, "k/a") == b"3"


def test_a_conditional_write_needs_the_version_that_was_read(store):
    assert store.put_if("k/a", None, b"1")
    first = version(store, "k/a")

    assert not store.put_if("k/a", None, b"other")
    assert store.put_if("k/a", first, b"2")
    assert not store.put_if("k/a", first, b"late")

    assert read(store, "k/a") == b"2"


def test_a_version_that_was_deleted_does_not_come_back(store):
    store.put_if("k/a", None, b"1")
    former = version(store, "k/a")
    store.drop("k/")
    store.put_if("k/a", None, b"2")

    assert not store.put_if("k/a", former, b"late")
    assert not store.put_if("k/none", former, b"late")

    assert read(store, "k/a") == b"2"


def test_an_unconditional_write_breaks_the_condition_of_those_who_read_before(store):
    store.put_many([("k/a", b"1")])
    former = version(store, "k/a")
    store.put_many([("k/a", b"1")])

    assert not store.put_if("k/a", former, b"2")


def test_of_many_writers_that_count_up_none_loses_a_count(open_again: NewOnlineStore):
    def count_up(store: OnlineStore) -> None:
        for _ in range(10):
            while True:
                stored = store.get_many(["k/n"])[0]
                number = int(stored.value) if stored else 0
                after = str(number + 1).encode()
                if store.put_if("k/n", stored.version if stored else None, after):
                    break

    stores = [open_again() for _ in range(4)]
    threads = [threading.Thread(target=count_up, args=[store]) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert read(stores[0], "k/n") == b"40"


def test_a_scan_yields_the_keys_below_its_prefix_and_between_its_bounds(store):
    keys = ["k/a", "k/b/1", "k/b/2", "k/b*", "k/c", "ka"]
    store.put_many([(key, key.encode()) for key in keys])

    assert sorted(key for key, _ in store.scan("k/")) == sorted(keys[:5])
    assert sorted(key for key, _ in store.scan("k/b/")) == ["k/b/1", "k/b/2"]
    assert sorted(key for key, _ in store.scan("k/b*")) == ["k/b*"]
    assert sorted(key for key, _ in store.scan("k/", "k/b/", "k/b/2")) == ["k/b/1"]
    assert {key: value.value for key, value in store.scan("k/b/")}["k/b/1"] == b"k/b/1"


def test_a_scan_of_many_keys_yields_each_once(store):
    store.put_many([(f"k/{n}", b"") for n in range(2500)])

    keys = [key for key, _ in store.scan("k/")]

    assert len(keys) == len({*keys}) == 2500


def test_a_drop_deletes_what_is_below_its_prefix_and_nothing_else(store):
    store.put_many([(f"k/old/{n}", b"") for n in range(60)])
    store.put_many([("k/older", b"1"), ("k/new/1", b"1")])

    assert store.drop("k/old/") == 60

    assert sorted(key for key, _ in store.scan("k/")) == ["k/new/1", "k/older"]
    assert store.drop("k/none/") == 0


def test_an_expired_value_counts_as_absent_everywhere(store):
    past, future = int(time.time()) - 10, int(time.time()) + 1000
    store.put_many([("k/past", b"1")], expires_at=past)
    store.put_many([("k/future", b"1")], expires_at=future)

    assert read(store, "k/past") is None
    assert read(store, "k/future") == b"1"
    assert [key for key, _ in store.scan("k/")] == ["k/future"]
    assert store.put_if("k/past", None, b"2", expires_at=future)
    assert read(store, "k/past") == b"2"


def test_a_value_may_be_read_while_others_are_written(open_again: NewOnlineStore):
    writer, reader = open_again(), open_again()
    writer.put_many([("k/a", b"1")])

    def items():
        yield "k/b", b"1"
        assert read(reader, "k/a") == b"1"
        yield "k/c", b"1"

    thread = threading.Thread(target=lambda: writer.put_many(items()))
    thread.start()
    thread.join()

    assert read(reader, "k/c") == b"1"


def test_a_store_that_cannot_be_reached_says_so_by_name(broken_store: OnlineStore):
    with pytest.raises(StorageError, match="online store"):
        broken_store.get_many(["k/a"])
    with pytest.raises(StorageError, match="online store"):
        broken_store.put_many([("k/a", b"1")])
    with pytest.raises(StorageError, match="online store"):
        broken_store.put_if("k/a", None, b"1")
