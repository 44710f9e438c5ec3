"""Parts of the kernel that only many or large groups meet."""

import random

import numpy as np
import pyarrow as pa
import pytest

from gigacast.errors import DataError
from gigacast.feature_store.aggregation import range_operation
from gigacast.feature_store.aggregation.limbs import Ranges
from gigacast.feature_store.aggregation.range_operation import (
    extreme_of_ranges,
    lists_of,
    maps_of,
    pieces,
    spread,
)
from tests.unit.feature_store.aggregation.feature_data import make_events
from tests.unit.feature_store.aggregation.test_kernel import check, features_of


def drawn_ranges(rng: random.Random, rows: int, count: int) -> Ranges:
    pairs = [sorted(rng.sample(range(rows + 1), 2)) for _ in range(count)]
    return Ranges(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8, 9, 33])
@pytest.mark.parametrize("choose", [np.minimum, np.maximum])
def test_extremes_are_those_of_the_values_of_each_range(choose: np.ufunc, rows: int) -> None:
    rng = random.Random(rows)
    values = np.array([rng.randrange(-50, 50) for _ in range(rows)])
    ranges = drawn_ranges(rng, rows, 60)
    slow = [choose.reduce(values[a:b]) for a, b in zip(ranges.start, ranges.stop, strict=True)]
    assert extreme_of_ranges(choose, values, ranges).tolist() == slow
    none = Ranges(np.empty(0, np.int64), np.empty(0, np.int64))
    assert len(extreme_of_ranges(choose, values, none)) == 0


def test_lists_and_maps_have_their_lengths_and_empty_ones_are_null() -> None:
    lengths = np.array([2, 0, 1])
    assert lists_of(pa.array([1, 2, 3]), lengths).to_pylist() == [[1, 2], None, [3]]
    maps = maps_of(pa.array(["a", "b", "c"]), pa.array([1, 2, 3]), lengths)
    assert maps.to_pylist() == [[("a", 1), ("b", 2)], None, [("c", 3)]]


def test_more_values_than_offsets_can_count_are_refused() -> None:
    for lengths in ([1 << 31], [(1 << 31) - 1, 1], [1 << 40]):
        with pytest.raises(DataError, match=r"more than 2\*\*31 values"):
            lists_of(pa.nulls(0), np.array(lengths))


def test_the_last_offset_that_fits_is_accepted() -> None:
    offsets = range_operation._offsets(np.array([(1 << 31) - 2, 1]))
    assert offsets.to_pylist() == [0, (1 << 31) - 2, (1 << 31) - 1]


def test_features_of_full_ranges_are_spread_over_all() -> None:
    full = np.array([True, False, True])
    assert spread(pa.array([5, 6]), full).to_pylist() == [5, None, 6]


@pytest.mark.parametrize("groups", [1, 4, 10, 10_000])
@pytest.mark.parametrize("distinct", [1, 3, 50])
def test_pieces_are_all_ranges_in_order_and_fit_unless_one_is_too_large(
    monkeypatch: pytest.MonkeyPatch, groups: int, distinct: int
) -> None:
    monkeypatch.setattr(range_operation, "GROUPS", groups)
    ranges = drawn_ranges(random.Random(groups), 12, 40)
    parts = list(pieces(ranges, distinct))
    assert [n for part in parts for n in range(part.start, part.stop)] == list(range(40))
    sizes = np.minimum(ranges.stop - ranges.start, distinct)
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        assert sizes[part].sum() <= groups or part.stop - part.start == 1
        if following is not None:  # no smaller than it must be
            assert sizes[part.start : part.stop + 1].sum() > groups
    assert list(pieces(Ranges(np.empty(0, int), np.empty(0, int)), distinct)) == []


@pytest.mark.parametrize("operation", ["SUM", "COUNT", "HISTOGRAM", "APPROX_HISTOGRAM_K", "LAST_K"])
@pytest.mark.parametrize("reversals", [0.0, 0.3])
def test_groups_computed_in_pieces_give_the_features_of_all_at_once(
    monkeypatch: pytest.MonkeyPatch, operation: str, reversals: float
) -> None:
    monkeypatch.setattr(range_operation, "GROUPS", 5)
    rng = random.Random(operation)
    features = [
        feature
        for feature in features_of(operation)
        if feature.bucket or feature.column in {"number", "table", "text"}
    ]
    check(features, make_events(rng, 40, reversals=reversals), rng)
