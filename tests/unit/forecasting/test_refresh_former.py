"""Former forecasts: the numbers of unchanged series, whatever the layout and the row groups."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.core.footer import VerifiedParquet
from gigacast.core.series.reason import Reason
from gigacast.forecasting.refresh.former import Form, FormerForecast
from gigacast.forecasting.refresh.note import Note
from gigacast.storage.memory import MemoryStore

KEY = "forecasts/part-0.parquet"
H, LEVELS = 3, (0.1, 0.9)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> MemoryStore:
    return MemoryStore(request.node.name)


def digests_of(count: int) -> np.ndarray:
    return np.arange(2 * count, dtype=np.uint64).reshape(count, 2)


def numbers_of(count: int) -> np.ndarray:
    """Median and quantiles of series, float32 [N, H, 3]."""
    return np.random.default_rng(count).normal(size=(count, H, 3)).astype(np.float32)


def table_of(numbers: np.ndarray, layout: str, kind: pa.DataType | None = None) -> pa.Table:
    kind = kind or pa.float32()
    columns: dict[str, pa.Array] = {}
    for place, name in enumerate(("predictions", "0.1", "0.9")):
        flat = pa.array(numbers[..., place].ravel(), kind)
        offsets = pa.array(np.arange(len(numbers) + 1, dtype=np.int32) * numbers.shape[1])
        columns[name] = flat if layout == "long" else pa.ListArray.from_arrays(offsets, flat)
    return pa.table(columns)


def stored(store: MemoryStore, table: pa.Table, groups: int = 4) -> str:
    content = io.BytesIO()
    pq.write_table(table, content, row_group_size=groups)
    return store.put(KEY, content.getvalue())


def opened(
    store: MemoryStore, etag: str, count: int, *, fallback: str = "seasonal_naive", failed: int = 0
) -> FormerForecast:
    """The former forecast of series, the first of which the model has not forecast."""
    reasons = np.full(count, Reason.OK, np.int8)
    reasons[:failed] = Reason.MODEL_FAILED
    note = Note(etag, digests_of(count), reasons)
    return FormerForecast(store, KEY, note, Form(H, LEVELS, fallback))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The row groups that were read, in order."""
    groups: list[int] = []
    reading = VerifiedParquet.read_row_groups

    def counted(self: VerifiedParquet, row_groups: list[int], **options: Any) -> Any:
        groups.extend(row_groups)
        return reading(self, row_groups, **options)

    monkeypatch.setattr(VerifiedParquet, "read_row_groups", counted)
    return groups


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["long", "wide"])
@pytest.mark.parametrize("groups", [1, 2, 4, 7, 100])
def test_numbers_are_those_of_the_file_in_the_order_in_which_they_are_asked_for(
    layout: str, groups: int, store: MemoryStore
) -> None:
    numbers = numbers_of(9)
    former = opened(store, stored(store, table_of(numbers, layout), groups), 9)
    places_asked = np.array([8, 0, 3, 4, 1])
    new = digests_of(20)[15:16]
    places, got = former.find(np.concatenate([digests_of(9)[places_asked], new]))
    assert places.tolist() == [8, 0, 3, 4, 1, -1]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, numbers[places_asked])
    assert former.reasons(places[:2]).tolist() == [Reason.OK, Reason.OK]
    places, got = former.find(new)
    assert (places.tolist(), got.shape) == ([-1], (0, H, 3))
    former.close()


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_doubles_stay_doubles_and_means_are_the_last_column(
    layout: str, store: MemoryStore
) -> None:
    numbers = numbers_of(3).astype(np.float64) + 1e9
    table = table_of(numbers, layout, pa.float64())
    table = table.append_column("mean", table["predictions"])
    note = Note(stored(store, table), digests_of(3), np.zeros(3, np.int8))
    former = FormerForecast(store, KEY, note, Form(H, LEVELS, "drop", mean=True))
    _, got = former.find(digests_of(3))
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, np.concatenate([numbers, numbers[..., :1]], axis=-1))


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_series_that_were_dropped_are_kept_without_numbers(layout: str, store: MemoryStore) -> None:
    numbers = numbers_of(6)
    etag = stored(store, table_of(numbers[2:], layout))
    former = opened(store, etag, 6, fallback="drop", failed=2)
    places, got = former.find(digests_of(6))
    assert places.tolist() == [0, 1, 2, 3, 4, 5]
    assert np.isnan(got[:2]).all()
    np.testing.assert_array_equal(got[2:], numbers[2:])
    assert former.reasons(places).tolist() == [Reason.MODEL_FAILED] * 2 + [Reason.OK] * 4
    # Those that were dropped need no reading at all.
    assert former.find(digests_of(6)[:2])[0].tolist() == [0, 1]
    # With a fallback they have rows as all others.
    with_fallback = opened(store, stored(store, table_of(numbers, layout)), 6, failed=2)
    np.testing.assert_array_equal(with_fallback.find(digests_of(6))[1], numbers)


# -- reading ---------------------------------------------------------------------------------------


def test_four_row_groups_are_held_and_the_one_used_longest_ago_goes_first(
    store: MemoryStore, reads: list[int]
) -> None:
    former = opened(store, stored(store, table_of(numbers_of(12), "wide"), 2), 12)
    for place in (0, 2, 4, 6, 1, 3, 5, 7):
        former.find(digests_of(12)[place : place + 1])
    assert reads == [0, 1, 2, 3]
    # The fifth takes the place of the first; then the first takes that of the third, for the second
    # was used in between.
    for place in (8, 2, 0, 2, 4):
        former.find(digests_of(12)[place : place + 1])
    assert reads == [0, 1, 2, 3, 4, 0, 2]


@pytest.mark.parametrize(("layout", "size"), [("wide", 10), ("long", 10 * H)])
def test_a_shuffled_batch_reads_no_more_than_twice_its_own_and_four_row_groups(
    layout: str, size: int, store: MemoryStore, reads: list[int]
) -> None:
    former = opened(store, stored(store, table_of(numbers_of(90), layout), size), 90)
    places, _ = former.find(digests_of(90)[::10])
    assert places.tolist() == [0, 10, 20, 30, 40, 50, -1, -1, -1]
    assert reads == [0, 1, 2, 3, 4, 5]
    # Of a batch of more series more is read, and of one in order everything.
    both = np.concatenate([digests_of(90)[::10], digests_of(200)[150:152]])
    assert (former.find(both)[0] >= 0).sum() == 8
    assert (former.find(digests_of(90))[0] >= 0).all()


def test_a_series_over_the_border_of_what_is_read_is_left_out(store: MemoryStore) -> None:
    # Rows of a series, which are three, in groups of four: the last series allowed reaches over.
    former = opened(store, stored(store, table_of(numbers_of(40), "long"), 4), 40)
    places, _ = former.find(digests_of(40)[[1, 5, 9, 13, 17]])
    needed = sorted({group for n in (1, 5, 9, 13, 17) for group in (3 * n // 4, (3 * n + 2) // 4)})
    allowed = set(needed[: 2 * 4 + 4])
    expected = [n if {3 * n // 4, (3 * n + 2) // 4} <= allowed else -1 for n in (1, 5, 9, 13, 17)]
    assert places.tolist() == expected


# -- files that are something else -----------------------------------------------------------------


@pytest.mark.parametrize("layout", ["long", "wide"])
@pytest.mark.parametrize(
    "change",
    [
        lambda numbers, layout: table_of(numbers[:-1], layout),
        lambda numbers, layout: table_of(numbers, layout).drop_columns(["0.9"]),
        lambda numbers, layout: table_of(numbers, layout).set_column(
            1, "0.1", table_of(numbers, layout, pa.float64())["0.1"]
        ),
        lambda numbers, layout: table_of(numbers, layout, pa.float16()),
    ],
    ids=["a series less", "a level less", "doubles beside floats", "half floats"],
)
def test_in_a_file_of_another_form_nothing_is_found(
    change: Any, layout: str, store: MemoryStore
) -> None:
    former = opened(store, stored(store, change(numbers_of(5), layout)), 5)
    places, got = former.find(digests_of(5))
    assert (places.tolist(), len(got)) == ([-1] * 5, 0)
    assert former.find(digests_of(5))[0].tolist() == [-1] * 5
    former.close()


def test_lists_of_another_length_are_no_forecast(store: MemoryStore) -> None:
    longer = np.concatenate([numbers_of(5), numbers_of(5)], axis=1)
    former = opened(store, stored(store, table_of(longer, "wide")), 5)
    assert former.find(digests_of(5))[0].tolist() == [-1] * 5
    table = table_of(numbers_of(2), "wide")
    for lists in ([[1.0], [2.0]], [[1.0], [2.0] * H]):
        column = pa.array(lists, pa.list_(pa.float32()))
        for place, name in enumerate(table.column_names):
            former = opened(store, stored(store, table.set_column(place, name, column)), 2)
            assert former.find(digests_of(2))[0].tolist() == [-1, -1]


def test_a_file_that_was_replaced_or_is_gone_is_another(store: MemoryStore) -> None:
    table = table_of(numbers_of(4), "long")
    etag = stored(store, table)
    replaced = opened(store, etag, 4)
    stored(store, table_of(numbers_of(5)[1:], "long"))
    assert (replaced.find(digests_of(4))[0] >= 0).sum() in (0, 4)
    assert opened(store, etag, 4).find(digests_of(4))[0].tolist() == [-1] * 4
    store.delete([KEY])
    assert opened(store, etag, 4).find(digests_of(4))[0].tolist() == [-1] * 4
