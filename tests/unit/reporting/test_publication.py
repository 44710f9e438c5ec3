"""Pages in the bucket: the index and the latest page, under races and crashes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gigacast.errors import CorruptedFileError
from gigacast.report.document import Document, Paragraph
from gigacast.report.html.page import Frame
from gigacast.reporting.publication import Entry, publish_page, read_index, render_index
from gigacast.storage.memory import MemoryStore, forget_memory
from tests.support.faulty_store import WRITES, Fault, FaultyStore, SimulatedCrash

FRAME = Frame("Forecast run")


def entry(name: str, hour: int = 3) -> Entry:
    return Entry(name, "Forecast run", "completed", "good", f"2026-11-30T{hour:02}:00:00+00:00")


def publish(store: Any, name: str, hour: int = 3) -> str:
    return publish_page(store, entry(name, hour), Document((Paragraph(name),), name), FRAME)


def names(store: Any) -> list[str]:
    return [entry.name for entry in read_index(store)[0]]


def latest(store: Any) -> bytes:
    content: bytes = store.get("reports/latest.html")
    return content


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    yield MemoryStore("publication")
    forget_memory("publication")


def test_the_index_lists_pages_the_newest_first(store: MemoryStore) -> None:
    assert publish(store, "run-1", 3) == "reports/run-1.html"
    publish(store, "run-3", 5)
    publish(store, "run-2", 4)
    assert names(store) == ["run-3", "run-2", "run-1"]
    index = store.get("reports/index.html").decode()
    assert [index.index(f'href="run-{n}.html"') for n in (3, 2, 1)] == sorted(
        index.index(f'href="run-{n}.html"') for n in (1, 2, 3)
    )


def test_the_index_says_what_it_is_and_does_not_lead_to_itself(store: MemoryStore) -> None:
    publish(store, "run-1", 3)
    index = store.get("reports/index.html").decode()
    assert "<h1>All reports</h1>" in index
    assert '<p class="kind">Reports</p>' in index
    assert 'href="index.html"' not in index


def test_a_page_made_again_is_listed_once_and_an_old_one_is_not_the_latest(
    store: MemoryStore,
) -> None:
    publish(store, "run-1", 3)
    publish(store, "run-2", 4)
    newest = latest(store)
    publish(store, "run-1", 3)
    assert names(store) == ["run-2", "run-1"]
    assert latest(store) == newest == store.get("reports/run-2.html")


def test_two_runs_that_end_at_once_are_both_listed(store: MemoryStore) -> None:
    publish(store, "run-0")

    class Racing(FaultyStore):
        """A store in which another run publishes before the first swap of the index."""

        raced = False

        def put_if_match(self, key: str, content: Any, etag: str) -> str:
            if not self.raced:
                self.raced = True
                publish(store, "run-1", 4)
            return super().put_if_match(key, content, etag)

    publish(Racing(store), "run-2", 5)
    assert names(store) == ["run-2", "run-1", "run-0"]


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
@pytest.mark.parametrize("when", ["before", "after"])
def test_after_a_crash_the_index_names_no_page_that_is_not_there(
    store: MemoryStore, nth: int, when: Any
) -> None:
    publish(store, "run-1", 3)
    faulty = FaultyStore(store, [Fault(WRITES, nth=nth, when=when)])
    with pytest.raises(SimulatedCrash):
        publish(faulty, "run-2", 4)
    keys = {object_.key for page in store.list("reports/") for object_ in page}
    assert {f"reports/{name}.html" for name in names(store)} <= keys
    publish(store, "run-2", 4)
    assert names(store) == ["run-2", "run-1"]
    assert latest(store) == store.get("reports/run-2.html")


def test_the_index_keeps_the_newest_pages(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gigacast.reporting.publication.MAX_ENTRIES", 2)
    for hour in range(3, 7):
        publish(store, f"run-{hour}", hour)
    assert names(store) == ["run-6", "run-5"]


@pytest.mark.parametrize("content", [b"[]x", b"{}", b'[{"name": 3}]', json.dumps([1]).encode()])
def test_a_damaged_index_is_named_with_its_remedy(store: MemoryStore, content: bytes) -> None:
    store.put("reports/index.json", content)
    with pytest.raises(CorruptedFileError, match=r"reports/index\.json") as caught:
        publish(store, "run-1")
    assert caught.value.hint
    assert "delete it" in caught.value.hint


def test_names_from_a_shared_index_are_texts_and_their_links_stay_in_the_folder() -> None:
    page = render_index([entry('javascript:alert(1)//../"><script>')])
    assert "<script>" not in page
    assert 'href="javascript%3Aalert%281%29%2F%2F..%2F%22%3E%3Cscript%3E.html"' in page
