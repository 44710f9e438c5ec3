"""What runs ahead stays close, hands its errors on, and stops when it is left."""

import threading
import time
from collections.abc import Iterator

import pytest

from gigacast.storage.prefetch import Prefetched


def test_items_come_in_order() -> None:
    with Prefetched(iter(range(1000)), 3) as ahead:
        assert list(ahead) == list(range(1000))


def test_it_stays_at_most_the_given_number_of_items_ahead() -> None:
    produced: list[int] = []

    def source() -> Iterator[int]:
        for n in range(100):
            produced.append(n)
            yield n

    with Prefetched(source(), 2) as ahead:
        reader = iter(ahead)
        for n in range(10):
            assert next(reader) == n
            time.sleep(0.01)
            assert len(produced) <= n + 1 + 2 + 1  # taken, queued, and one in its hand


def test_an_error_is_raised_in_the_place_of_its_item() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("in the middle")

    with Prefetched(source(), 5) as ahead:
        reader = iter(ahead)
        assert next(reader) == 1
        with pytest.raises(ValueError, match="in the middle"):
            next(reader)


def test_leaving_early_ends_the_thread_and_lets_the_source_clean_up() -> None:
    cleaned = threading.Event()

    def source() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            cleaned.set()

    before = threading.active_count()
    with Prefetched(source(), 2) as ahead:
        next(iter(ahead))
    assert cleaned.is_set()
    assert threading.active_count() == before


def test_two_chained_prefetches_end_together() -> None:
    def doubled(items: Prefetched[int]) -> Iterator[int]:
        with items:
            yield from (2 * item for item in items)

    before = threading.active_count()
    with Prefetched(doubled(Prefetched(iter(range(10**6)), 2)), 2) as ahead:
        assert next(iter(ahead)) == 0
    assert threading.active_count() == before
