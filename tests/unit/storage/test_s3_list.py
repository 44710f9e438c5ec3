"""Listing buckets that hold what obstore cannot spell."""

import logging

import boto3
import pytest

from gigacast.storage.opening import open_store
from gigacast.storage.s3 import list as s3_list
from gigacast.storage.store import Store, StoreAddress
from tests.contract.store_backends import listed, listed_keys
from tests.support.moto_server import MotoServer


def bucket_of(moto_server: MotoServer, *keys: str) -> Store:
    """Return a store below ``root`` of a new bucket with an object under each key."""
    bucket = moto_server.create_bucket()
    client = boto3.client("s3")
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=b"" if key.endswith("/") else b"content")
    return open_store(StoreAddress(f"s3://{bucket}/root"))


ODD = [
    "root/",
    "root/2014/",
    "root/2014/01/",
    "root/2014/01/a",
    "root/2014//x",
    "root/2014/../y",
    "root//z",
    "root/2015/b",
    "root/c",
    "rootless",
]


def test_unusable_keys_are_skipped_with_one_warning_and_folder_markers_without(
    moto_server: MotoServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = bucket_of(moto_server, *ODD)
    with caplog.at_level(logging.WARNING):
        assert listed_keys(store) == ["2014/01/a", "2015/b", "c"]
    assert "skipped 3 objects" in caplog.text
    assert listed_keys(store, "2014/") == ["2014/01/a"]
    assert listed_keys(store, "20") == ["2014/01/a", "2015/b"]
    assert listed_keys(store, start_after="2014/01/a") == ["2015/b", "c"]
    assert listed_keys(store, start_after="2014//") == ["2014/01/a", "2015/b", "c"]


def test_keys_with_backslashes_or_control_characters_are_skipped_among_others(
    moto_server: MotoServer, caplog: pytest.LogCaptureFixture
) -> None:
    """obstore reads and lists them like any key, but no other store can hold them."""
    odd = ["root/a\\b/x", "root/2014/a\\b", "root/2014/tab\tstop", "root/e\\f"]
    good = ["root/2014/100%", "root/2014/a%20b", "root/2014/a b", "root/2014/k\u00e4se"]
    store = bucket_of(moto_server, *odd, *good)
    with caplog.at_level(logging.WARNING):
        assert listed_keys(store) == sorted(key.removeprefix("root/") for key in good)
    assert "skipped 4 objects" in caplog.text
    assert store.list_folder().folders == ("2014/",)
    assert store.list_folder().objects == ()
    assert len(store.list_folder("2014/").objects) == 4
    assert store.get("2014/a%20b") == b"content"


def test_one_level_beside_unusable_keys(moto_server: MotoServer) -> None:
    store = bucket_of(moto_server, *ODD)
    top = store.list_folder()
    assert top.folders == ("2014/", "2015/")
    assert [meta.key for meta in top.objects] == ["c"]
    assert store.list_folder("2014/").folders == ("2014/01/",)
    assert store.list_folder("2014/01/").objects[0].key == "2014/01/a"


def test_both_clients_describe_an_object_alike(moto_server: MotoServer) -> None:
    store = bucket_of(moto_server, "root/a/b")
    assert listed(store, "a/") == listed(store, "a/b") == [store.head("a/b")]


def test_pages_before_an_odd_key_are_not_listed_again(
    moto_server: MotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_list, "PAGE_KEYS", 3)
    store = bucket_of(
        moto_server, *(f"root/{i}" for i in range(7)), "root/7//x", "root/8", "root/9"
    )
    pages = [[meta.key for meta in page] for page in store.list()]
    assert pages == [["0", "1", "2"], ["3", "4", "5"], ["6", "8"], ["9"]]
