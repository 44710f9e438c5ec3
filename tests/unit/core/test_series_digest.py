"""Digests of series: everything that decides a forecast counts, and nothing else does."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gigacast.core.series import digest as digests_module
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.covariate import Covariates
from gigacast.core.series.digest import series_digests
from gigacast.core.time.frequency import Frequency
from tests.support.tiny_models import series_batch

SERIES = ([1.0, 2.0, np.nan], [], [0.5] * 5, [1.0, 2.0])


@pytest.fixture
def batch() -> SeriesBatch:
    covariates = Covariates(
        names=("weather", "price"),
        known=1,
        categories=(("dry", "wet"), None),
        values=np.array([[0, 1, -1, np.nan, 0, 1, 1, 0], range(8)], np.float32),
        offsets=np.array([0, 5, 8]),
        ends=np.array([3, 7]),
        items=np.array([0, 0, 1, 1]),
    )
    return replace(series_batch(SERIES), covariates=covariates)


def keys_of(batch: SeriesBatch, *, joint: bool = False) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in series_digests(batch, joint=joint)]


def changed(batch: SeriesBatch, altered: SeriesBatch, *, joint: bool = False) -> list[int]:
    pairs = zip(keys_of(batch, joint=joint), keys_of(altered, joint=joint), strict=True)
    return [place for place, (before, after) in enumerate(pairs) if before != after]


def with_value(array: Any, place: Any, value: float) -> Any:
    copy = array.copy()
    copy[place] = value
    return copy


def test_digests_stay_what_they_are() -> None:
    # Another value would make every stored one useless without a sign.
    digests = series_digests(series_batch([[1.0, 2.0]], items=["a"]))
    assert digests.tolist() == [[17866476310726587757, 16475836435813346417]]
    assert digests_module.REVISION == 1


def test_those_with_covariates_stay_as_well(batch: SeriesBatch) -> None:
    assert hashlib.sha256(series_digests(batch).tobytes()).hexdigest()[:16] == "8448520b1c43eee7"
    assert (
        hashlib.sha256(series_digests(batch, joint=True).tobytes()).hexdigest()[:16]
        == "a9080d41262be5db"
    )


def test_both_halves_and_all_series_differ(batch: SeriesBatch) -> None:
    digests = series_digests(batch)
    assert digests.dtype == np.uint64
    assert len(np.unique(digests)) == digests.size == 8


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        (lambda b: {"values": with_value(b.values, 0, 1.5)}, [0]),
        (lambda b: {"values": with_value(b.values, 2, 0.0)}, [0]),
        (lambda b: {"values": with_value(b.values, 9, -2.0)}, [3]),
        (lambda b: {"values": with_value(b.values, 4, np.nextafter(np.float32(0.5), 1))}, [2]),
        (lambda b: {"item_ids": pa.array(["item-0", "item-1", "item-2", "item-4"])}, [3]),
        (lambda b: {"target_names": pa.array(["target", "sales", "target", "target"])}, [1]),
        (lambda b: {"last_timestamps": np.array([0, 0, 1, 0])}, [2]),
        (lambda b: {"reasons": np.array([0, 3, 0, 0], np.int8)}, [1]),
        (lambda b: {"frequency_codes": np.array([0, 0, 0, -1])}, [3]),
        (lambda b: {"frequencies": (Frequency.parse("2D"),)}, [0, 1, 2, 3]),
        (lambda b: {"timestamp_type": pa.timestamp("us", "UTC")}, [0, 1, 2, 3]),
        (lambda b: {"item_ids": b.item_ids.cast(pa.large_string())}, [0, 1, 2, 3]),
    ],
)
def test_what_decides_a_forecast_changes_its_digest(
    batch: SeriesBatch, changes: Any, places: list[int]
) -> None:
    assert changed(batch, replace(batch, **changes(batch))) == places


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        (lambda c: {"values": with_value(c.values, (1, 0), 9)}, [0, 1]),
        (lambda c: {"values": with_value(c.values, (0, 7), 1)}, [2, 3]),
        (lambda c: {"values": with_value(c.values, (0, 2), np.nan)}, [0, 1]),
        (lambda c: {"values": with_value(c.values, (0, 3), -1)}, [0, 1]),
        (lambda c: {"ends": np.array([4, 7])}, [0, 1]),
        (lambda c: {"known": 2}, [0, 1, 2, 3]),
        (lambda c: {"names": ("weather", "cost")}, [0, 1, 2, 3]),
        (lambda c: {"categories": (("dry", "snow"), None)}, [0, 1, 2, 3]),
    ],
)
def test_so_do_the_covariates_of_its_item(
    batch: SeriesBatch, changes: Any, places: list[int]
) -> None:
    assert batch.covariates is not None
    altered = replace(batch.covariates, **changes(batch.covariates))
    assert changed(batch, replace(batch, covariates=altered)) == places


def test_codes_of_categories_do_not_matter_and_their_texts_do(batch: SeriesBatch) -> None:
    covariates = batch.covariates
    assert covariates is not None
    weather = covariates.values[0]
    swapped = np.where(weather >= 0, 1 - weather, weather)
    altered = replace(
        covariates,
        categories=(("wet", "dry"), None),
        values=np.stack([swapped, covariates.values[1]]),
    )
    assert changed(batch, replace(batch, covariates=altered)) == []


def test_a_series_has_its_digest_in_any_batch(batch: SeriesBatch) -> None:
    expected = keys_of(batch)
    parts = ((0, 1), (1, 3), (3, 4), (2, 2))
    assert [key for a, b in parts for key in keys_of(batch.slice(a, b))] == expected
    order = np.array([3, 0, 2, 1, 3])
    assert keys_of(batch.take(order)) == [expected[n] for n in order]
    empty = replace(batch, covariates=None).slice(2, 2)
    assert series_digests(empty).shape == (0, 2)


def test_the_chunks_in_which_words_are_hashed_do_not_matter(
    batch: SeriesBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = keys_of(batch)
    for words in (1, 2, 3, 4, 7):
        monkeypatch.setattr(digests_module, "_CHUNK_WORDS", words)
        assert keys_of(batch) == expected


def test_long_series_count_to_their_ends() -> None:
    values = np.arange(5000, dtype=np.float32)
    batch = series_batch([values, values[:1024], values[:1025]])
    for place in (0, 1023, 1024, 2047, 2048, 4999):
        assert changed(batch, series_batch([with_value(values, place, -1), *list(batch)[1:]])) == [
            0
        ]
    # A value at another place, and a trailing zero, are another series.
    moved = series_batch([values[::-1], np.append(values[:1024], 0), values[:1025]])
    assert changed(batch, moved) == [0, 1]


def test_targets_that_are_forecast_together_count_for_each_other(batch: SeriesBatch) -> None:
    altered = replace(batch, values=with_value(batch.values, 0, 1.5))
    assert changed(batch, altered) == [0]
    assert changed(batch, altered, joint=True) == [0, 1]
    assert set(keys_of(batch)).isdisjoint(keys_of(batch, joint=True))
    # Of single series nothing is forecast together.
    assert keys_of(series_batch(SERIES), joint=True) == keys_of(series_batch(SERIES))


def test_empty_texts_are_texts() -> None:
    batch = series_batch([[1.0], [1.0]], items=["", "a"])
    assert len(set(keys_of(batch))) == 2
    nulls = replace(batch, item_ids=pa.array([None, "a"], pa.string()))
    assert keys_of(nulls) == keys_of(batch)
