"""Every store: listings, addresses and checks."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gigacast.errors import (
    BucketNotFoundError,
    StorageError,
)
from gigacast.storage.opening import open_store
from gigacast.storage.store import Folder, Store
from tests.contract.store_backends import NewStore, fill, listed_keys


def test_an_empty_store_lists_no_pages(store: Store) -> None:
    assert list(store.list()) == []
    assert list(store.list("some/prefix")) == []
    assert store.list_folder() == Folder((), ())


def test_keys_are_listed_in_byte_order_across_folders(store: Store) -> None:
    keys = ["a-b", "a.b", "a/b", "a/b-c/d", "a/b.c", "a0", "ab", "b/a", "é", "\ufffd", "😀"]
    fill(store, *reversed(keys))
    assert listed_keys(store) == keys == sorted(keys, key=str.encode)


def test_a_prefix_is_text_and_not_a_folder(store: Store) -> None:
    fill(store, "2014/01/a", "2014/02/b", "2014/1", "2015/01/a", "201")
    assert listed_keys(store, "2014/0") == ["2014/01/a", "2014/02/b"]
    assert listed_keys(store, "2014/01/a") == ["2014/01/a"]
    assert listed_keys(store, "2014") == ["2014/01/a", "2014/02/b", "2014/1"]
    assert listed_keys(store, "2014/01/") == ["2014/01/a"]
    assert listed_keys(store, "../") == []


def test_a_listing_starts_after_a_key(store: Store) -> None:
    keys = ["a-b", "a/b", "a/c/d", "a0", "b"]
    fill(store, *keys)
    for start_after in [*keys, "a", "a/", "a/c", "a/c/", "A", "a/zz", "c", "a//b"]:
        expected = [key for key in keys if key > start_after]
        assert listed_keys(store, start_after=start_after) == expected
    assert listed_keys(store, "a/", start_after="a/b") == ["a/c/d"]
    assert listed_keys(store, "a", start_after="a/b") == ["a/c/d", "a0"]


def test_a_long_listing_comes_in_pages(store: Store) -> None:
    keys = [f"part-{i:05d}" for i in range(1003)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b"x"), keys))
    pages = list(store.list())
    assert [len(page) for page in pages] == [1000, 3]
    assert [meta.key for page in pages for meta in page] == keys
    assert listed_keys(store, start_after=keys[998]) == keys[999:]


def test_one_level_has_its_folders_and_its_objects(store: Store) -> None:
    fill(store, "a/1", "a/2", "a/b/3", "a/b-c/4", "a-x", "z")
    top = store.list_folder()
    assert top.folders == ("a/",)
    assert [meta.key for meta in top.objects] == ["a-x", "z"]
    below = store.list_folder("a/")
    assert below.folders == ("a/b-c/", "a/b/")
    assert [meta.key for meta in below.objects] == ["a/1", "a/2"]
    assert store.list_folder("missing/") == Folder((), ())
    assert store.list_folder("../") == Folder((), ())


def test_a_folder_without_objects_is_not_listed(store: Store) -> None:
    fill(store, "a/b/c", "d")
    store.delete(["a/b/c"])
    assert store.list_folder().folders == ()


def test_a_folder_prefix_ends_in_a_slash(store: Store) -> None:
    with pytest.raises(StorageError, match="does not end in"):
        store.list_folder("a")


_PART = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\\ufffe\uffff\x7f"),
    min_size=1,
    max_size=6,
)
_USABLE = _PART.filter(lambda part: part not in {".", ".."} and not part.startswith(".gigacast."))
_KEYS = st.lists(_USABLE, min_size=1, max_size=3).map("/".join)


def _is_possible(keys: set[str]) -> bool:
    """Tell whether no key is a folder of another: no folder store could hold both."""
    return not any(
        f"{folder_key}/" in f"{key}/"[: len(folder_key) + 1]
        for key in keys
        for folder_key in keys - {key}
    )


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    keys=st.sets(_KEYS, min_size=1, max_size=6).filter(_is_possible),
    prefix=st.one_of(st.just(""), _KEYS),
    start_after=st.one_of(st.just(""), _KEYS),
)
def test_any_listing_is_the_sorted_keys_that_match(
    new_store: NewStore, keys: set[str], prefix: str, start_after: str
) -> None:
    store = new_store()
    fill(store, *keys)
    for some_prefix in (prefix, *(key[: len(key) // 2 + 1] for key in keys)):
        expected = [key for key in keys if key.startswith(some_prefix) and key > start_after]
        listing = listed_keys(store, some_prefix, start_after)
        assert listing == sorted(expected, key=str.encode)


def test_opening_an_address_again_shows_the_same_objects(store: Store) -> None:
    fill(store, "a/b")
    assert listed_keys(open_store(store.address)) == ["a/b"]


def test_a_child_address_is_rooted_below(store: Store) -> None:
    child = open_store(store.address.child("a/b"))
    child.put("c", b"content")
    assert store.get("a/b/c") == b"content"
    assert listed_keys(child) == ["c"]
    assert store.head("a/b/c").etag == child.head("c").etag


def test_a_sibling_with_a_longer_name_is_not_below(store: Store) -> None:
    fill(store, "a/x", "ab/y")
    assert listed_keys(open_store(store.address.child("a"))) == ["x"]


def test_check_passes_where_the_root_exists(store: Store) -> None:
    store.check()


def test_check_names_a_root_that_does_not_exist(backend: str, store: Store) -> None:
    if backend == "memory":
        pytest.skip("memory exists wherever it is opened")
    address = store.address.child("missing")
    if backend != "folder":
        scheme = address.url.partition("://")[0]
        address = replace(address, url=f"{scheme}://no-such-bucket-anywhere")
    with pytest.raises(BucketNotFoundError, match=r"missing|no-such-bucket-anywhere"):
        open_store(address).check()
