"""Covariates as they are read: beside their series, on its grid, and never further than known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.covariate import Covariates, concat_covariates
from gigacast.core.series.holdout import hold_out
from gigacast.errors import SchemaError
from gigacast.series.reader import read_series
from gigacast.series.source import ColumnNames, ReadOptions, SeriesSource
from tests.support.companions import ALL, COLUMNS, panel, read


def beside(batch: SeriesBatch) -> Covariates:
    assert batch.covariates is not None
    return batch.covariates


def column(batch: SeriesBatch, name: str, length: int) -> list[list[object]]:
    """The past of one covariate of each series, as it was written."""
    actual = beside(batch)
    place = actual.names.index(name)
    texts = actual.categories[place]
    rows = actual.windows(actual.items, length)[:, place]
    if texts is None:
        return rows.tolist()
    return [[texts[int(code)] if code >= 0 else None for code in row] for row in rows]


def test_series_end_at_their_last_value_and_known_covariates_continue() -> None:
    frame = panel(ahead=12)
    batch = read(frame, horizon=12)
    assert batch.lengths.tolist() == [90, 73, 56]
    last = frame.dropna(subset="target").groupby("item_id")["timestamp"].max()
    assert batch.last_arrow().to_pylist() == [t.to_pydatetime() for t in last]
    covariates = beside(batch)
    assert covariates.names == ("temperature", "weather", "event", "open", "price")
    ahead = covariates.future(np.arange(3), 12)
    for number, item in enumerate("abc"):
        rows = frame[frame["item_id"] == item].tail(12)
        np.testing.assert_allclose(ahead[number, 4], rows["price"], rtol=1e-6)
        assert np.isnan(ahead[number, :2]).all()  # known so far only
    assert not covariates.lack_future(12).any()
    assert covariates.lack_future(13).all()


def test_past_covariates_are_aligned_with_the_steps_of_their_series() -> None:
    frame = panel()
    batch = read(frame)
    for number, item in enumerate("abc"):
        rows = frame[frame["item_id"] == item].iloc[:-12]
        for name in ("weather", "event"):
            expected = [None if pd.isna(text) else text for text in rows[name]]
            assert column(batch, name, len(rows))[number] == expected
        expected = ["true" if flag else "false" for flag in rows["open"]]
        assert column(batch, "open", len(rows))[number] == expected
        np.testing.assert_allclose(
            column(batch, "temperature", len(rows))[number], rows["temperature"], rtol=1e-6
        )


def test_covariates_beyond_the_horizon_cost_no_context() -> None:
    frame = panel(items=("a",), steps=60, ahead=400)
    short = read(frame, horizon=5, context_length=50)
    assert short.lengths.tolist() == [50]
    np.testing.assert_array_equal(short.values, read(frame, horizon=400).values[-50:])
    assert np.isnan(beside(short).future(np.array([0]), 6)[0, 4, 5])  # nothing is kept beyond


def test_without_known_covariates_missing_values_at_the_end_stay() -> None:
    frame = panel(ahead=3)
    columns = replace(COLUMNS, known_covariates=())
    batch = read(frame, columns)
    assert batch.lengths.tolist() == [93, 76, 59]
    assert beside(batch).known == 0


def test_several_targets_end_with_the_last_value_of_any() -> None:
    frame = panel(targets=("x", "y"), ahead=6)
    frame.loc[frame.groupby("item_id").tail(8).index, "y"] = np.nan  # two steps earlier than x
    columns = ColumnNames(targets=("x", "y"), known_covariates=("price",))
    batch = read(frame, columns, horizon=6, joint=True)
    assert batch.target_names.to_pylist() == ["x", "y"] * 3
    assert np.isnan([values[-1] for values in batch][1::2]).all()
    assert np.isfinite([values[-1] for values in batch][::2]).all()
    assert beside(batch).items.tolist() == [0, 0, 1, 1, 2, 2]


def test_batches_of_any_size_have_the_same_covariates_and_complete_items() -> None:
    frame = panel(items=[f"i{n:02d}" for n in range(11)], steps=200, targets=("x", "y"))
    columns = replace(COLUMNS, targets=("x", "y"))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    options = ReadOptions(columns=columns, horizon=12, joint=True, batch_series=5, batch_rows=64)
    parts = list(read_series([SeriesSource.of_table(table)], options))
    assert {len(part) % 2 for part in parts} == {0}
    full_series = read(frame, columns, joint=True)
    rows = 0
    for part in parts:
        mine = beside(part).windows(beside(part).items, 30)
        theirs = beside(full_series).windows(beside(full_series).items, 30)[rows : rows + len(part)]
        np.testing.assert_array_equal(mine[:, [0, 4]], theirs[:, [0, 4]])
        rows += len(part)
        # What is handed out holds its own steps, not those of all that was read.
        assert beside(part).values.shape[1] <= len(part) * 212
    assert rows == len(full_series)


def test_rows_in_any_order_give_the_same_covariates() -> None:
    frame = panel()
    shuffled = frame.sample(frac=1.0, random_state=1)
    for name in ALL:
        assert repr(column(read(frame), name, 40)) == repr(column(read(shuffled), name, 40))


def test_a_series_divided_at_an_origin_keeps_known_covariates_after_it() -> None:
    frame = panel(items=("a",), ahead=0)
    columns = ColumnNames(past_covariates=("temperature",), known_covariates=("price",))
    holdout = hold_out(read(frame, columns, horizon=8), 8)
    ahead = beside(holdout.contexts).future(np.array([0]), 8)[0]
    np.testing.assert_allclose(ahead[1], frame["price"].iloc[-8:], rtol=1e-6)
    assert np.isnan(ahead[0]).all()
    past = beside(holdout.contexts).windows(np.array([0]), 5)[0, 0]
    np.testing.assert_allclose(past, frame["temperature"].iloc[-13:-8], rtol=1e-6)


def test_numbers_and_categories_are_told_apart_in_text_files() -> None:
    frame = panel(items=("a",))
    text = frame.to_csv(index=False).encode()
    options = ReadOptions(columns=COLUMNS, horizon=12)
    source = SeriesSource(lambda: pa.BufferReader(text), "csv", "t.csv")
    (batch,) = read_series([source], options)
    assert [texts is None for texts in beside(batch).categories] == [
        True,
        False,
        False,
        False,
        True,
    ]
    assert column(batch, "event", 20) == column(read(frame), "event", 20)


def test_lists_of_covariates_may_be_longer_than_their_targets() -> None:
    table = pa.table(
        {
            "item_id": ["a"],
            "start": [pd.Timestamp("2024-01-01")],
            "freq": ["D"],
            "target": [[1.0, 2.0, 3.0, 4.0]],
            "price": [[9.0, 8.0, 7.0, 6.0, 5.0, 4.0]],
        }
    )
    options = ReadOptions(columns=ColumnNames(known_covariates=("price",)), horizon=2)
    (batch,) = read_series([SeriesSource.of_table(table)], options)
    assert batch.lengths.tolist() == [4]
    assert beside(batch).future(np.array([0]), 2)[0].tolist() == [[5.0, 4.0]]


def read_lists(lengths: dict[str, int], *, timed: bool = False) -> SeriesBatch:
    """Read one row of lists beside a known ``price`` and a past ``stock``, if there are such."""
    columns = {name: [np.arange(float(length))] for name, length in lengths.items()}
    times: dict[str, list[object]] = {"start": [pd.Timestamp("2024-01-01")], "freq": ["D"]}
    if timed:
        longest = max(lengths.values())
        times = {"timestamp": [list(pd.date_range("2024-01-01", periods=longest))]}
    names = ColumnNames(
        targets=tuple(name for name in lengths if name.startswith("target")),
        past_covariates=tuple(name for name in lengths if name == "stock"),
        known_covariates=tuple(name for name in lengths if name == "price"),
    )
    source = SeriesSource.of_table(pa.table({"item_id": ["a"], **times, **columns}))
    (batch,) = read_series([source], ReadOptions(columns=names))
    return batch


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize(
    ("lengths", "history"),
    [
        ({"target": 40, "stock": 40}, 40),
        ({"target": 40, "stock": 0}, 40),
        ({"target": 40, "price": 40}, 40),
        ({"target": 40, "stock": 40, "price": 47}, 40),
        ({"target": 40, "stock": 45, "price": 47}, 40),
        ({"target": 40, "target_b": 40, "price": 47}, 40),
    ],
)
def test_lists_of_a_history_are_as_long_as_their_target(lengths, history, timed):
    batch = read_lists(lengths, timed=timed)
    assert set(batch.lengths.tolist()) == {history}
    assert batch.last_arrow().to_pylist()[0].day == 9  # 40 days after 1 January


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize(
    "lengths",
    [
        {"target": 40, "stock": 39},
        {"target": 40, "stock": 41},
        {"target": 40, "price": 39},
        {"target": 40, "stock": 39, "price": 47},
        {"target": 40, "target_b": 39, "price": 47},
        {"target": 39, "target_b": 40, "stock": 40},
    ],
)
def test_a_list_shorter_than_the_history_beside_it_is_refused(lengths, timed):
    with pytest.raises(SchemaError, match=r"item 'a' has \d+ .* and \d+ .* in its lists"):
        read_lists(lengths, timed=timed)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (ColumnNames(past_covariates=("wind",)), "no column 'wind'"),
        (ColumnNames(known_covariates=("target",)), "'target' is both a target and a covariate"),
        (ColumnNames(past_covariates=("timestamp",)), "has the unusable type timestamp"),
    ],
)
def test_an_unusable_covariate_is_named(columns: ColumnNames, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        read(panel(), columns)


def test_a_covariate_is_a_category_in_all_sources_or_in_none() -> None:
    frame = panel(items=("a",))
    second = frame.assign(event=1.5)
    tables = [pa.Table.from_pandas(f, preserve_index=False) for f in (frame, second)]
    sources = [SeriesSource.of_table(table, name=str(n)) for n, table in enumerate(tables)]
    with pytest.raises(SchemaError, match=r"covariate 'event' \(numbers\) are not those of 0"):
        list(read_series(sources, ReadOptions(columns=COLUMNS)))


def test_joined_batches_without_covariates_have_none() -> None:
    assert concat_covariates([None, None]) is None
