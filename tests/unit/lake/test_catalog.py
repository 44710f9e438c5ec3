"""States of a dataset's versions, of one listing where it holds few objects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.core.dataset.ref import DatasetRef
from gigacast.lake.dataset import catalog
from gigacast.lake.dataset.catalog import Lake
from gigacast.storage.memory import MemoryStore

NAMES = [
    "manifest.json",
    "PUBLISHING",
    "DEPRECATED",
    "RETIRED",
    "part-0.parquet",
    "a/manifest.json",
]
KEYS = st.one_of(
    st.builds(
        "{}/{}/{}/{}".format,
        st.sampled_from(["cleaned", "features"]),
        st.sampled_from(["v1", "v2", "v10", "v0.1", "other"]),
        st.sampled_from(["x", "xy"]),
        st.sampled_from(NAMES),
    ),
    st.builds(
        "raw/x/{}/{}".format, st.sampled_from(["2024-01-31", "by hand"]), st.sampled_from(NAMES)
    ),
    st.sampled_from(["cleaned/v3", "cleaned/v3/readme", "raw/x/readme"]),
)


class CountingStore(MemoryStore):
    """A store that counts its listings."""

    listings = 0

    def list(self, prefix="", *, start_after=""):  # type: ignore[no-untyped-def]
        self.listings += 1
        return super().list(prefix, start_after=start_after)

    def list_folder(self, prefix=""):  # type: ignore[no-untyped-def]
        self.listings += 1
        return super().list_folder(prefix)


@given(st.sets(KEYS, max_size=12), st.sampled_from(["cleaned/x", "features/x", "raw/x"]))
def test_one_listing_says_what_a_listing_of_each_version_says(keys: set[str], text: str) -> None:
    store = CountingStore("one")
    for key in keys:
        store.put(key, b"content")
    lake, ref = Lake(store), DatasetRef.parse(text)
    states = lake.versions(ref)
    assert store.listings == 1
    with pytest.MonkeyPatch.context() as patch:
        # As if there were more objects than a listing has.
        patch.setattr(catalog, "islice", lambda pages, count: [[], []])
        each = lake.versions(ref)
    assert list(states.items()) == list(each.items())
