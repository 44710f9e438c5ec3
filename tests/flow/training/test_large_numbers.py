"""Series of large numbers that change little train a model as the same series near zero do."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

import gigacast
from gigacast.job.forecast_job import Method
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from gigacast.trainers.finetuning.chronos2 import LazySeries
from gigacast.training.api import ChronosTrainer
from gigacast.training.data import Reading, TableData, write_corpus
from gigacast.training.job import FinetuneResult
from tests.flow.training.trainings import QUICK
from tests.support.panels import put_frame
from tests.support.tiny_models import tiny_bolt

LEVEL, STEPS = 1.7e9, 120


def meters(level: float) -> pd.DataFrame:
    """Counters that grow by about 60 an hour."""
    times = pd.date_range("2024-01-01", periods=STEPS, freq="h")
    frames = []
    for n in range(4):
        growth = np.random.default_rng(n).integers(0, 120, STEPS - 1)
        values = level + np.append(0, growth).cumsum()
        frames.append(pd.DataFrame({"item_id": n, "timestamp": times, "target": values}))
    return pd.concat(frames, ignore_index=True)


def trained(folder: Path, level: float, model: Path, **options: Any) -> FinetuneResult:
    (folder / f"{level:.0f}").mkdir(parents=True)
    store: Store = open_store(StoreAddress((folder / f"{level:.0f}").as_uri()))
    put_frame(store, "2024/01/part-0.parquet", meters(level))
    chosen = {**QUICK, "steps": 2, "validate_every": 1, **options}
    return gigacast.finetune(store.address.url, model=str(model), name="mine", **chosen)


def test_a_meter_trains_a_bolt_as_one_that_starts_at_zero(tmp_path: Path, models: Path) -> None:
    model = tiny_bolt(models)
    high, low = (trained(tmp_path, level, model) for level in (LEVEL, 0.0))
    # Contexts of 1.7e9 in steps of 128 have no scale, and were left out of the loss.
    assert high.done.curve == low.done.curve
    assert high.published is not None
    assert low.published is not None
    assert high.published.manifest.digest == low.published.manifest.digest
    # Losses are the same, and the values that they are a share of are not.
    assert high.wql_before is not None
    assert low.wql_before is not None
    tail = meters(0.0).groupby("item_id").tail(QUICK["horizon"])["target"]
    share = tail.mean() / (tail.mean() + LEVEL)
    np.testing.assert_allclose(high.wql_before, low.wql_before * share, rtol=1e-6)


def test_a_chronos_2_reads_the_same_corpus(tmp_path: Path) -> None:
    corpora = []
    for level in (LEVEL, 0.0):
        rows = TableData(pa.Table.from_pandas(meters(level), preserve_index=False))
        folder = tmp_path / f"{level:.0f}"
        folder.mkdir()
        corpora.append(write_corpus(rows.groups(), Reading(Method()), folder, 20))
    high, low = corpora
    series = [LazySeries(corpus, 12, np.arange(4), 0)[2]["context"] for corpus in corpora]
    np.testing.assert_array_equal(*map(np.asarray, series))
    assert low.bases is None
    assert high.bases is not None
    np.testing.assert_array_equal(high.bases, LEVEL)


def test_arrays_to_train_on_and_to_forecast_keep_the_steps(tmp_path: Path) -> None:
    meters(LEVEL).to_parquet(tmp_path / "meters.parquet")
    values = ChronosTrainer().load_training_data(tmp_path / "meters.parquet")
    expected = meters(LEVEL)["target"].to_numpy().reshape(4, STEPS)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, expected)
    loader = gigacast.ChronosLoader()
    np.testing.assert_array_equal(
        loader.load_context_from_parquet(tmp_path / "meters.parquet"), expected
    )
    meters(0.0).to_parquet(tmp_path / "ordinary.parquet")
    assert ChronosTrainer().load_training_data(tmp_path / "ordinary.parquet").dtype == np.float32
