"""Stores whose If-Match on PUT does not work are noticed, and never give an old set silently."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

import gigacast
from gigacast.errors import InputChangedError, PreconditionFailedError, StorageError
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.moto_server import MotoServer
from tests.support.old_ceph import Judgement, OldCeph
from tests.support.panels import put_panels

Open = Callable[[Judgement], tuple[StoreAddress, OldCeph]]
NAIVE = {"model": "seasonal-naive", "horizon": 6}


@pytest.fixture
def behind(moto_server: MotoServer) -> Iterator[Open]:
    """A function that puts a proxy in front of a new bucket."""
    address = moto_server.new_address()
    with ExitStack() as stack:

        def start(judgement: Judgement) -> tuple[StoreAddress, OldCeph]:
            proxy = stack.enter_context(OldCeph(moto_server.endpoint_url, judgement))
            return replace(address, endpoint_url=proxy.url), proxy

        yield start


def forecast(address: StoreAddress) -> int:
    options = {**NAIVE, "endpoint_url": address.endpoint_url}
    result = gigacast.forecast(address.url, **options)  # type: ignore[arg-type]
    return result.totals.partitions


def read(address: StoreAddress) -> int:
    return len(gigacast.read_forecasts(address.url, endpoint_url=address.endpoint_url))


def swapped(store: Store) -> str:
    etag = store.put("key", b"old")
    return store.put_if_match("key", b"new", etag)


def test_a_store_that_understands_if_match_is_asked_once(behind: Open) -> None:
    address, proxy = behind("quoted")
    store = open_store(address)
    assert swapped(store) == store.head("key").etag
    assert proxy.refused == []


def test_a_store_that_wants_no_quotes_gets_none_and_that_is_said_once(
    behind: Open, caplog: pytest.LogCaptureFixture
) -> None:
    address, proxy = behind("bare")
    for _ in range(3):
        store = open_store(address)  # as planning, work and closing have each its own
        assert swapped(store) == store.head("key").etag
        assert store.get("key") == b"new"
    assert len(proxy.refused) == 2
    assert [r.message for r in caplog.records if "without quotes" in r.message] == [
        f"{address.url}: the store compares If-Match without quotes; it is sent so from now on"
    ]


@pytest.mark.parametrize("judgement", ["quoted", "bare", "never"])
def test_a_condition_that_does_not_hold_is_a_lost_race_everywhere(
    behind: Open, judgement: Judgement
) -> None:
    store = open_store(behind(judgement)[0])
    old = store.put("key", b"old")
    store.put("key", b"another")
    for _ in range(2):
        with pytest.raises(PreconditionFailedError):
            store.put_if_match("key", b"new", old)
    assert store.get("key") == b"another"


def test_a_store_that_refuses_every_condition_is_named(behind: Open) -> None:
    store = open_store(behind("never")[0])
    with pytest.raises(StorageError, match="refuses to replace it, although its ETag") as raised:
        swapped(store)
    assert not isinstance(raised.value, PreconditionFailedError)
    assert "update the store" in str(raised.value)
    assert store.get("key") == b"old"


def test_runs_on_a_store_that_wants_no_quotes_end_as_on_any_other(behind: Open) -> None:
    address, _ = behind("bare")
    put_panels(open_store(address), ("2024-01",), parts=1)
    assert (forecast(address), read(address)) == (1, 18)
    put_panels(open_store(address), ("2024-02",), parts=1)
    assert (forecast(address), read(address)) == (1, 36)


def test_an_old_set_is_never_read_as_the_latest(behind: Open) -> None:
    address, _ = behind("never")
    put_panels(open_store(address), ("2024-01",), parts=1)
    assert (forecast(address), read(address)) == (1, 18)  # the first manifest replaces nothing
    put_panels(open_store(address), ("2024-02",), parts=1)
    with pytest.raises(StorageError, match="refuses to replace it"):
        forecast(address)
    with pytest.raises(InputChangedError, match="could not write this manifest"):
        read(address)
    # The same bucket through a store that works: the rerun forecasts nothing and mends the rest.
    working, _ = behind("quoted")
    assert (forecast(working), read(working)) == (0, 36)
