"""Which keys are usable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.errors import StorageError
from gigacast.storage.key import check_folder_prefix, check_key, is_usable, unusable_among


@pytest.mark.parametrize("key", ["a", "a/b.c", "..a", "a..", ".a/b", "é/😀", "a b", "..."])
def test_usable_keys_pass(key: str) -> None:
    assert is_usable(key)
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", "/", "/a", "a/", "a//b", ".", "a/.", "./a", "a/../b", "\\"])
def test_unusable_keys_are_refused_with_a_hint(key: str) -> None:
    assert not is_usable(key)
    with pytest.raises(StorageError) as raised:
        check_key(key)
    assert raised.value.hint


def test_a_key_is_measured_in_bytes() -> None:
    assert check_key("é" * 512)
    with pytest.raises(StorageError, match="1024 bytes"):
        check_key("é" * 513)


def test_a_folder_prefix_is_empty_or_ends_in_a_slash() -> None:
    assert check_folder_prefix("") == ""
    assert check_folder_prefix("a/") == "a/"
    with pytest.raises(StorageError):
        check_folder_prefix("a")


@given(st.lists(st.text(st.sampled_from("a/.\\\n\x00\x7f\xa0\ufffeä\U0001f600 %"), max_size=6)))
def test_a_page_of_keys_is_judged_like_each_of_them(keys: list[str]) -> None:
    assert unusable_among(keys) == [key for key in keys if not is_usable(key)]
