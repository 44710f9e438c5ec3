"""A refresh of a partition: what is kept has its numbers, what changed is computed and noted."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.core.partition.task import Task
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.covariate import Covariates
from gigacast.core.series.forecast import ForecastBatch
from gigacast.core.series.reason import Reason
from gigacast.forecasters.budget import needs_one_shape
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.forecasting.refresh.former import Form
from gigacast.forecasting.refresh.note import ROW_BYTES
from gigacast.forecasting.refresh.task import Refresh, RefreshOptions
from gigacast.lake.layout import digests_key
from gigacast.storage.memory import MemoryStore
from tests.support.tiny_models import series_batch

INFO = SeasonalNaive().info
KEY = "forecasts/m/1/h2-q2-0123abcd/2024/01/part-0.parquet"
TASK = Task("2024/01/part-0", "2024-01", (), 1, 2, "h2-q2-0123abcd", KEY)
OPTIONS = RefreshOptions(INFO, Form(2, (0.1, 0.9), "seasonal_naive"), None, False, True, 1 << 30)
SERIES = [[1.0, 2.0], [3.0], [4.0, 5.0, 6.0], [7.0, 8.0]]


@pytest.fixture
def store(request: pytest.FixtureRequest) -> MemoryStore:
    return MemoryStore(request.node.name)


class Model:
    """Forecasts the sum of a series, told apart by its call; refuses the series of one value."""

    def __init__(self, call: float) -> None:
        self.call = call
        self.computed: list[list[float]] = []

    def __call__(self, batch: SeriesBatch) -> ForecastBatch:
        rows = [batch.values[a:b] for a, b in zip(batch.offsets, batch.offsets[1:], strict=False)]
        self.computed += [row.tolist() for row in rows]
        sums = np.array([row.sum() for row in rows], np.float32).reshape(-1, 1)
        median = sums + np.array([0, 100], np.float32) + np.float32(self.call)
        quantiles = median[..., None] + np.array([-1, 1], np.float32)
        short = np.array([len(row) == 1 for row in rows])
        reasons = np.where(short, Reason.TOO_SHORT, Reason.OK).astype(np.int8)
        return ForecastBatch(batch, (0.1, 0.9), quantiles, median, reasons)


def refreshed(
    store: MemoryStore, batches: list[SeriesBatch], model: Model, options: RefreshOptions = OPTIONS
) -> tuple[list[ForecastBatch], int]:
    """Forecast the batches of a partition, and publish forecast and note."""
    refresh = Refresh(store, TASK, options)
    forecasts = [refresh.forecast(batch, model) for batch in batches]
    refresh.close()
    median = np.concatenate([f.median for f in forecasts]).ravel()
    quantiles = np.concatenate([f.quantiles for f in forecasts]).reshape(-1, 2)
    table = pa.table({"predictions": median, "0.1": quantiles[:, 0], "0.9": quantiles[:, 1]})
    content = io.BytesIO()
    pq.write_table(table, content)
    refresh.write_note(store.put(KEY, content.getvalue()))
    return forecasts, refresh.kept


def test_unchanged_series_keep_their_numbers_and_reasons(store: MemoryStore) -> None:
    first, kept_count = refreshed(store, [series_batch(SERIES)], Model(0))
    assert kept_count == 0
    changed = [SERIES[0], SERIES[1], [9.0, 9.0], SERIES[3]]
    second = Model(1000)
    (forecast,), kept_count = refreshed(store, [series_batch(changed)], second)
    assert (kept_count, second.computed) == (3, [[9.0, 9.0]])
    assert forecast.median.tolist() == [[3, 103], [3, 103], [1018, 1118], [15, 115]]
    assert forecast.quantiles.tolist() == [
        [[m - 1, m + 1] for m in row] for row in forecast.median.tolist()
    ]
    assert forecast.reasons.tolist() == first[0].reasons.tolist() == [0, Reason.TOO_SHORT, 0, 0]
    assert forecast.levels == (0.1, 0.9)
    assert (forecast.median.dtype, forecast.quantiles.dtype) == (np.float32, np.float32)
    # What the second run has kept and computed, the third keeps.
    third = Model(2000)
    (again,), kept_count = refreshed(store, [series_batch(changed)], third)
    assert (kept_count, third.computed) == (4, [])
    np.testing.assert_array_equal(again.median, forecast.median)


def test_counts_of_batches_add_up(store: MemoryStore) -> None:
    batch = series_batch(SERIES)
    parts = [batch.slice(0, 2), batch.slice(2, 4)]
    refreshed(store, parts, Model(0))
    _, kept_count = refreshed(store, parts, Model(1))
    assert kept_count == 4


def test_where_nothing_may_be_kept_all_is_computed_and_noted(store: MemoryStore) -> None:
    refreshed(store, [series_batch(SERIES)], Model(0))
    (forecast,), kept_count = refreshed(
        store, [series_batch(SERIES)], Model(50), replace(OPTIONS, may_keep=False)
    )
    assert (kept_count, forecast.median[0].tolist()) == (0, [53, 153])
    _, kept_count = refreshed(store, [series_batch(SERIES)], Model(0))
    assert kept_count == 4


def test_a_base_is_part_of_a_series(store: MemoryStore) -> None:
    batch = replace(series_batch(SERIES), bases=np.array([1e9, 0, 0, 0]))
    refreshed(store, [batch], Model(0))
    assert refreshed(store, [batch], Model(0))[1] == 4
    model = Model(0)
    refreshed(store, [replace(batch, bases=np.array([2e9, 0, 0, 0]))], model)
    assert model.computed == [SERIES[0]]


def test_of_more_series_than_the_memory_allows_there_is_no_note(store: MemoryStore) -> None:
    limit = 8 * len(SERIES) * ROW_BYTES  # an eighth is for notes
    for limit_bytes, is_noted in ((limit - 1, False), (limit, True)):
        options = replace(OPTIONS, limit_bytes=limit_bytes)
        refreshed(store, [series_batch(SERIES)], Model(0), options)
        listed = [entry.key for page in store.list() for entry in page]
        assert (digests_key(KEY) in listed) == is_noted


@pytest.mark.parametrize(
    "change",
    [
        {"info": {"digest": "other"}},
        {"info": {"engine": "other"}},
        {"info": {"device": "cuda"}},
        {"info": {"precision": "bfloat16"}},
        {"batch_size": 7},
        {"form": {"levels": (0.2, 0.9)}},
        {"task": {"spec": "h2-q2-ffffffff"}},
        {"task": {"horizon": 3}},
    ],
    ids=str,
)
def test_everything_besides_the_series_that_decides_numbers_is_in_the_head(
    change: dict[str, Any],
) -> None:
    task, options = replace(TASK, **change.pop("task", {})), OPTIONS
    for name, value in change.items():
        former = getattr(options, name)
        options = replace(
            options, **{name: replace(former, **value) if isinstance(value, dict) else value}
        )
    assert options.head(task) != OPTIONS.head(TASK)


def test_the_head_of_a_note_stays_what_it_is() -> None:
    # Another one would make every note that is stored useless without a sign.
    info = replace(INFO, digest="d", engine="e", device="cpu", precision="float32")
    head = replace(OPTIONS, info=info).head(TASK)
    assert head == "5a9374fac079b73b"
    elsewhere = replace(OPTIONS, info=info, limit_bytes=1, joint=True, may_keep=False)
    assert elsewhere.head(TASK) == head


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, False),
        ({"levels": (0.5,)}, True),
        ({"samples": 1}, True),
        ({"takes_groups": True}, True),
    ],
)
def test_networks_and_samplers_are_called_in_one_shape(
    change: dict[str, Any], expected: bool
) -> None:
    assert needs_one_shape(replace(INFO, **change)) is expected


def test_targets_that_are_forecast_together_change_together(store: MemoryStore) -> None:
    def batch(values: list[list[float]]) -> SeriesBatch:
        covariates = Covariates(
            names=(),
            known=0,
            categories=(),
            values=np.zeros((0, 4), np.float32),
            offsets=np.array([0, 2, 4]),
            ends=np.array([2, 4]),
            items=np.array([0, 0, 1]),
        )
        return replace(series_batch(values), covariates=covariates)

    joint = replace(OPTIONS, joint=True)
    refreshed(store, [batch([[1.0, 2], [3.0, 4], [5.0, 6]])], Model(0), joint)
    model = Model(0)
    _, kept_count = refreshed(store, [batch([[1.0, 2], [3.0, 5], [5.0, 6]])], model, joint)
    assert (kept_count, model.computed) == (1, [[1, 2], [3, 5]])
