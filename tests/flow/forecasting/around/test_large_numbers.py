"""Series of large numbers that change little: forecasts keep the steps that float32 loses."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner

import gigacast
from gigacast.cli.program import program
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import Store, StoreAddress
from tests.support.panels import put_frame
from tests.support.tiny_models import session_folder, tiny_bolt

H, LEVEL = 5, 1.7e9
NUMPY: dict[str, Any] = {"model_engine": "numpy", "horizon": H}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bolt(session_folder(tmp_path_factory), context_length=64, prediction_length=16))


def meters(*items: str, level: float = LEVEL) -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=48, freq="h")
    frames = []
    for item in items:
        steps = np.random.default_rng(sum(map(ord, item))).integers(0, 120, 48)
        values = level + np.append(0, steps[1:]).cumsum()
        frames.append(pd.DataFrame({"item_id": item, "timestamp": times, "target": values}))
    return pd.concat(frames, ignore_index=True)


def numbers(forecast: pd.DataFrame) -> np.ndarray:
    columns = [name for name in forecast if str(name).startswith("0.")]
    return forecast[columns].to_numpy(np.float64)


@pytest.mark.parametrize(
    "options", [{}, {"enhance": "auto"}, {"integer": True, "non_negative": True, "mean": True}]
)
def test_a_meter_is_forecast_as_one_that_starts_at_zero(
    model: str, options: dict[str, Any]
) -> None:
    high = gigacast.forecast(meters("a", "b"), model=model, **NUMPY, **options)
    low = gigacast.forecast(meters("a", "b", level=0.0), model=model, **NUMPY, **options)
    assert high["predictions"].dtype == np.float64
    assert low["predictions"].dtype == np.float32
    # What is clipped at zero is the whole value, not the distance to a base.
    is_clipped = numbers(low) == 0
    assert is_clipped.any() == bool(options.get("non_negative"))
    above = numbers(high)[~is_clipped] - LEVEL
    np.testing.assert_allclose(above, numbers(low)[~is_clipped], atol=1 if options else 0.01)


def test_ordinary_series_beside_a_meter_have_the_numbers_they_had(model: str) -> None:
    ordinary = meters("b", level=20.0)
    both = gigacast.forecast(pd.concat([meters("a"), ordinary]), model=model, **NUMPY)
    alone = gigacast.forecast(ordinary, model=model, **NUMPY)
    beside = numbers(both[both["item_id"] == "b"])
    np.testing.assert_allclose(beside, numbers(alone), atol=1e-3)


def test_floats_of_32_bits_have_lost_their_steps_before(model: str) -> None:
    frame = meters("a").astype({"target": np.float32})
    assert gigacast.forecast(frame, model=model, **NUMPY)["predictions"].dtype == np.float32


def test_arrays_of_the_loader_keep_their_steps(model: str) -> None:
    loader = gigacast.ChronosLoader(model=model)
    values = meters("a")["target"].to_numpy()
    high, low = loader.predict(values, H), loader.predict(values - LEVEL, H)
    assert high.median.dtype == np.float64
    assert low.median.dtype == np.float32
    np.testing.assert_allclose(high.quantiles - LEVEL, low.quantiles, atol=0.01)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(StoreAddress(f"file://{tmp_path}"))


def test_a_bucket_holds_them_as_doubles_which_are_verified_and_evaluated(
    store: Store, model: str
) -> None:
    # The meter comes last: the file was begun with floats, and is begun again.
    put_frame(store, "2024/01/part-0.parquet", pd.concat([meters("a", level=20.0), meters("b")]))
    put_frame(store, "2024/01/part-1.parquet", meters("c", level=20.0))
    url = store.address.url
    run = gigacast.forecast(url, model=model, batch_size=1, **NUMPY)
    assert run.status == "completed"
    kinds = {}
    for task in run.plan.tasks:
        table = read_table(store, task.output_key)
        kinds[task.partition.rpartition("/")[2]] = table.schema.field("predictions").type
    assert kinds == {"part-0": pa.float64(), "part-1": pa.float32()}
    stored = gigacast.read_forecasts(url)
    frame = gigacast.forecast(meters("b"), model=model, **NUMPY)
    np.testing.assert_allclose(
        numbers(stored[stored["item_id"] == "b"]) - LEVEL, numbers(frame) - LEVEL, atol=0.01
    )
    assert gigacast.forecast(url, model=model, **NUMPY).totals.series == 0
    words = ["verify", "--bucket", url, "--model", model, "--model_engine", "numpy"]
    result = CliRunner().invoke(program, [*words, "--horizon", str(H)])
    assert result.exit_code == 0, result.output
    later = meters("b").assign(timestamp=lambda f: f["timestamp"] + pd.Timedelta(48, "h"))
    later["target"] = frame["predictions"].iloc[0] + 10
    scored = gigacast.evaluate(frame, actuals=later.head(1))
    assert scored.loc[0, "rmse"] == pytest.approx(10, abs=0.01)
