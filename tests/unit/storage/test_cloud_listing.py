"""Listings of other clouds that hold what obstore cannot spell."""

import logging
from collections.abc import Iterator

import pytest

from gigacast.errors import StorageError
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store
from tests.contract.store_backends import listed_keys
from tests.support.clouds.azure import AzureServer
from tests.support.clouds.gcs import GcsServer
from tests.support.clouds.objects import CloudServer


@pytest.fixture(params=[GcsServer, AzureServer], ids=["gs", "az"], scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[CloudServer]:
    """A server of either cloud."""
    with request.param() as started:
        yield started


def bucket_of(server: CloudServer, *keys: str) -> Store:
    """Return a store below ``root`` of a new bucket with an object under each key."""
    address = server.new_address("root")
    bucket = address.url.split("/")[2]
    for key in keys:
        server.objects.write(bucket, key, b"" if key.endswith("/") else b"content")
    return open_store(address)


def test_folder_markers_are_no_objects(server: CloudServer) -> None:
    markers = ["root/", "root/2014/", "root/2014/01/", "root/2015/"]
    store = bucket_of(
        server, *markers, "root/2014-x", "root/2014/01/a", "root/2014/b", "root/2015", "rootless"
    )
    assert listed_keys(store) == ["2014-x", "2014/01/a", "2014/b", "2015"]
    assert listed_keys(store, "2014/") == ["2014/01/a", "2014/b"]
    assert listed_keys(store, "201") == ["2014-x", "2014/01/a", "2014/b", "2015"]
    assert [meta.key for meta in store.list_folder().objects] == ["2014-x", "2015"]
    assert store.list_folder().folders == ("2014/", "2015/")
    assert [meta.key for meta in store.list_folder("2014/").objects] == ["2014/b"]


def test_an_empty_object_beside_a_marker_of_its_name_is_listed_once(server: CloudServer) -> None:
    store = bucket_of(server, "root/2014/", "root/2014/a")
    store.put("2014", b"")
    store.put("2014-x", b"x")
    assert listed_keys(store) == ["2014", "2014-x", "2014/a"]


def test_a_key_that_cannot_be_listed_is_an_error_that_says_what_to_do(server: CloudServer) -> None:
    store = bucket_of(server, "root/good/a", "root/bad//x", "root/odd/tab\tstop")
    for listing in (
        lambda: listed_keys(store),
        lambda: store.list_folder("bad/"),
        lambda: listed_keys(store, "odd/"),
    ):
        with pytest.raises(StorageError, match="cannot be listed") as raised:
            listing()
        assert "rename" in str(raised.value.hint)
        assert "\n" not in str(raised.value)
    assert listed_keys(store, "good/") == ["good/a"]


def test_keys_with_backslashes_are_skipped_with_one_warning(
    server: CloudServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = bucket_of(server, "root/a\\b/x", "root/2014/c\\d", "root/2014/100%")
    with caplog.at_level(logging.WARNING):
        assert listed_keys(store) == ["2014/100%"]
    assert "skipped 2 objects" in caplog.text


def test_a_text_of_a_name_is_listed_from_its_place_where_the_service_can(
    server: CloudServer,
) -> None:
    keys = [f"root/a/part{number}" for number in range(4)]
    store = bucket_of(server, *keys, "root/a/part/x", "root/a/q")
    server.seen.clear()
    assert [meta.key for page in store.list("a/part2") for meta in page] == ["a/part2"]
    requests = [path for _, path in server.seen]
    assert len(requests) == 1
    assert ("start-after" in requests[0]) == isinstance(server, GcsServer)


def test_deleting_many_with_some_gone_deletes_the_others(server: CloudServer) -> None:
    store = bucket_of(server, *(f"root/{number:03}" for number in range(300)))
    store.delete(f"{number:03}" for number in range(20, 320))
    assert listed_keys(store) == [f"{number:03}" for number in range(20)]
