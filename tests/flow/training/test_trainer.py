"""`ChronosTrainer` and what it is given: files, frames and symbols."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gigacast import ChronosLoader, ChronosTrainer, ModelManager
from gigacast.errors import ConfigError, DataNotFoundError
from tests.flow.training.trainings import QUICK, keys, make_bucket, panel
from tests.support.panels import put_frame
from tests.support.tiny_models import tiny_bolt

# -- the examples of the requirements --------------------------------------------------------------


def test_a_trainer_trains_on_a_csv_and_the_loader_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIGACAST_RUN__DEVICE", "cpu")
    Path("data/raw").mkdir(parents=True)
    panel("2024-01-01", 150, "ab").to_csv("data/raw/sample_data.csv", index=False)
    context_data = np.sin(np.arange(100))
    short = {"steps": 2, "validate_every": 2, "horizon": 12}  # the example's own would take minutes

    trainer = ChronosTrainer()
    trainer.load_training_data("data/raw/sample_data.csv")
    trained = trainer.train(**short)  # type: ignore[typeddict-item]

    loader = ChronosLoader()
    predictions = loader.predict(context_data)

    assert predictions.median.shape == (1, 64)
    assert trained.published is not None
    assert trained.published.manifest.model == "gigacast-bolt-nano-tuned"
    assert ModelManager().active_version("gigacast-bolt-nano-tuned") is None
    version = f"gigacast-bolt-nano-tuned/{trained.published.manifest.version}"
    tuned = ChronosLoader(model=version, bucket=f"file://{Path.cwd()}")
    expected = tuned.predict(context_data).median
    assert expected.shape == (1, 64)
    # Without a bucket the loader looks where the trainer and the manager publish.
    assert np.array_equal(ChronosLoader(model=version).predict(context_data).median, expected)


def test_a_trainer_trains_on_the_partitions_of_a_symbol(tmp_path: Path, models: Path) -> None:
    store = make_bucket(tmp_path)
    for month, steps in (("2014-01", 90), ("2014-02", 70)):
        times = pd.date_range(f"{month}-01", periods=steps, freq="min")
        frame = pd.DataFrame({"ds": times, "target_close": np.sin(np.arange(float(steps)))})
        year, number = month.split("-")
        key = f"{year}/{number}/SYMBOL_1min_h15_{year}_{number}_769b531dbb2ff3cb.parquet"
        put_frame(store, key, frame)
    config = tmp_path / "config.yaml"
    config.write_text(f"parquet_loader: {{data_paths: {{root_dir: '{tmp_path}/bucket'}}}}\n")

    trainer = ChronosTrainer(parquet_config_path=config, model=str(tiny_bolt(models)))
    assert trainer.load_training_data_from_parquet(symbol="SYMBOL", year=2014, month=1).shape == (
        90,
    )
    with pytest.raises(DataNotFoundError, match="no partition"):
        trainer.load_training_data_from_parquet(symbol="SYMBOL", year=2015)
    with pytest.raises(ConfigError, match="give file_path, or symbol"):
        trainer.load_training_data_from_parquet()
    key = "2014/01/SYMBOL_1min_h15_2014_01_769b531dbb2ff3cb.parquet"
    contexts = trainer.load_training_data_from_parquet(tmp_path / "bucket" / key)
    np.testing.assert_allclose(contexts, np.sin(np.arange(90)), rtol=1e-6)
    result = trainer.train(**{**QUICK, "steps": 2, "validate_every": 2, "name": "t"})  # type: ignore[typeddict-item]
    assert result.published is not None
    assert keys(store)[0].startswith("models/t/")


def test_a_trainer_without_data_or_with_a_bucket_is_an_error_with_a_hint() -> None:
    with pytest.raises(ConfigError, match="no training data") as info:
        ChronosTrainer().train()
    assert "load_training_data" in str(info.value.hint)
    with pytest.raises(ConfigError, match=r"no \.csv, \.parquet or \.json file"):
        ChronosTrainer().load_training_data("my-bucket")
