"""Leaderboards over files of losses made by hand."""

import io
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.backtesting.leaderboard.breakdown import Segmenter
from gigacast.backtesting.leaderboard.build import Side, make_leaderboard
from gigacast.backtesting.leaderboard.result import Leaderboard
from gigacast.backtesting.losses import losses_schema
from gigacast.core.partition.task import InputObject, Task
from gigacast.errors import DataNotFoundError
from gigacast.series.source import ColumnNames
from gigacast.storage.memory import MemoryStore
from gigacast.storage.store import Store

LEVELS = (0.1, 0.5, 0.9)
SCHEMA = losses_schema([pa.field("item_id", pa.string())], pa.timestamp("us"), LEVELS, {})


@pytest.fixture
def store() -> Store:
    return MemoryStore("leaderboard")


def row(item: str, loss: float, *, scale: float | None = 1.0) -> dict[str, object]:
    """A forecast of one step whose actual is 10."""
    sums = {"error": loss, "square": loss**2, "relative": 0.0, "excess": loss, "magnitude": 10.0}
    named = {f"loss_{level}": loss for level in LEVELS}
    named |= {f"below_{level}": 1 for level in LEVELS} | {"inside_80%": 0}
    key = {"item_id": item, "target_name": "target", "window": 0, "frequency": "D", "length": 40}
    return {**key, "steps": 1, "missed": 0, "scale": scale, **sums, **named}


def side(store: Store, name: str, **partitions: list[dict[str, object]]) -> Side:
    outputs = {}
    for partition, rows in partitions.items():
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), sink)
        store.put(f"{name}/{partition}", sink.getvalue())
        inputs = (InputObject(partition, "e", 1, "parquet"),)
        task = Task(partition, "2024-01", inputs, 1, 1, "s", f"{name}/{partition}")
        outputs[partition] = (task, f"{name}/{partition}")
    return Side(name, outputs)


def board(store: Store, *sides: Side) -> Leaderboard:
    segmenter = Segmenter("partition", store, ColumnNames())
    return make_leaderboard(store, sides, LEVELS, segmenter, baseline="naive")


def test_partitions_with_other_series_are_left_out_by_name(store: Store) -> None:
    result = board(
        store,
        side(store, "naive", p=[row("a", 2)], q=[row("a", 2)], r=[row("a", 2), row("b", 2)]),
        side(store, "mine", p=[row("a", 1)], q=[row("b", 1)], r=[row("a", 1)], s=[row("a", 1)]),
    )
    assert result.partitions == 1
    assert result.left_out == ["s", "q", "r"]
    assert "Left out: s, q, r" in result.to_markdown()
    assert [(s.model, s.figures.wql) for s in result.standings] == [("mine", 0.1), ("naive", 0.2)]
    assert result.standings[0].skill_wql == pytest.approx(0.5)


def test_a_scale_that_is_undefined_is_counted_and_not_averaged_in(store: Store) -> None:
    rows = [row("a", 2.0), row("b", 100.0, scale=None)]
    (naive,) = board(store, side(store, "naive", p=rows)).standings
    assert (naive.figures.mase, naive.figures.undefined, naive.figures.forecasts) == (2.0, 1, 2)
    assert "leave out 1 forecasts" in board(store, side(store, "naive", p=rows)).to_markdown()


def test_undefined_figures_are_null_in_json_and_empty_in_tables(store: Store) -> None:
    rows = [row("a", 1.0, scale=None)]
    result = board(store, side(store, "naive", p=rows))
    assert math.isnan(result.standings[0].figures.mase)
    assert result.to_json()["standings"][0]["figures"]["mase"] is None
    assert "nan" not in result.to_markdown()


def test_without_a_comparable_partition_the_error_has_a_hint(store: Store) -> None:
    with pytest.raises(DataNotFoundError, match="long enough") as caught:
        board(store, side(store, "naive", p=[]), side(store, "mine", p=[]))
    assert "--horizon" in str(caught.value.hint)
