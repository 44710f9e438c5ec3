"""Frames are drawn, evaluated and shown in notebooks from Python."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import gigacast
from gigacast.errors import ConfigError, DataNotFoundError, MissingExtraError, SchemaError
from gigacast.series.frame import to_pandas
from tests.support.panels import hourly_panel, seasonal_naive

NAIVE: dict[str, Any] = {"model": "seasonal-naive", "horizon": 6}


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    return hourly_panel(items=["a", "b"], steps=60)


@pytest.fixture(scope="module")
def predictions(panel: pd.DataFrame) -> pd.DataFrame:
    past = panel.groupby("item_id").head(48)
    return gigacast.forecast(past, level=[80, 95], **NAIVE)


def test_central_intervals_name_the_quantiles(predictions: pd.DataFrame) -> None:
    levels = [name for name in predictions if name[0].isdigit()]
    assert levels == ["0.025", "0.1", "0.5", "0.9", "0.975"]
    loaded = gigacast.ChronosLoader(model="seasonal-naive").predict(np.arange(9.0), 2, level=[80])
    assert loaded.levels == (0.1, 0.5, 0.9)


@pytest.mark.parametrize("library", ["pandas", "pyarrow"])
def test_a_drawing_has_context_forecast_and_what_came(
    library: str, panel: pd.DataFrame, predictions: pd.DataFrame
) -> None:
    frames: list[Any] = [panel.sample(frac=1, random_state=0), predictions]
    if library == "pyarrow":
        frames = [pa.Table.from_pandas(frame, preserve_index=False) for frame in frames]
    (look,) = gigacast.plot(*frames, items="b", steps=10).looks
    own = panel[panel["item_id"] == "b"]
    np.testing.assert_allclose(look.context, own["target"][38:48], rtol=1e-6)
    np.testing.assert_allclose(look.actuals, own["target"][48:54], rtol=1e-6)
    oracle = seasonal_naive(own.head(48), 6)
    np.testing.assert_allclose(look.median, oracle["predictions"], rtol=1e-6)
    assert look.levels == (0.025, 0.1, 0.5, 0.9, 0.975)


def test_without_predictions_the_frame_is_forecast(panel: pd.DataFrame, tmp_path: Path) -> None:
    drawing = gigacast.plot(panel, count=2, **NAIVE)
    assert [look.item_id for look in drawing.looks] == ["a", "b"]
    assert all(look.actuals is None for look in drawing.looks)
    assert drawing.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert drawing._repr_html_().count("<img") == 2


def test_predictions_with_names_of_nixtla_are_drawn(panel: pd.DataFrame) -> None:
    past = panel.groupby("item_id").head(48)
    named = gigacast.forecast(past, names="nixtla", **NAIVE)
    (look,) = gigacast.plot(panel, named).looks
    assert look.actuals is not None


def test_what_cannot_be_drawn_is_refused(panel: pd.DataFrame, predictions: pd.DataFrame) -> None:
    with pytest.raises(DataNotFoundError, match="no item 'c'"):
        gigacast.plot(panel, predictions, items=["c"])
    with pytest.raises(DataNotFoundError, match="the data has no such series"):
        gigacast.plot(panel[panel["item_id"] == "b"], predictions, items="a")
    with pytest.raises(SchemaError, match="'predictions'"):
        gigacast.plot(panel, panel)


def test_evaluate_takes_a_frame_and_its_predictions(
    panel: pd.DataFrame, predictions: pd.DataFrame
) -> None:
    figures = gigacast.evaluate(panel, predictions)
    pd.testing.assert_frame_equal(figures, gigacast.evaluate(predictions, actuals=panel))
    errors = predictions.merge(panel, on=["item_id", "timestamp"])
    rmse = float(np.sqrt(np.mean((errors["predictions"] - errors["target"]) ** 2)))
    assert figures.loc[figures["by"] == "version", "rmse"].item() == pytest.approx(rmse, rel=1e-5)
    with pytest.raises(ConfigError, match="two frames"):
        gigacast.evaluate(panel)
    with pytest.raises(ConfigError, match="two frames"):
        gigacast.evaluate(panel, predictions, actuals=panel)


def test_results_show_themselves_in_notebooks(panel: pd.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "2024" / "01"
    folder.mkdir(parents=True)
    panel.to_parquet(folder / "part-0.parquet", index=False)
    plan = gigacast.plan(tmp_path.as_uri(), **NAIVE)
    assert "1 partition" in plan._repr_html_()
    assert list(plan.to_pandas()["partition"]) == ["2024/01/part-0"]
    run = gigacast.forecast(tmp_path, **NAIVE)
    assert "completed" in run._repr_html_()
    board = gigacast.backtest(tmp_path, models=["seasonal-naive"], horizon=6)
    assert "Leaderboard" in board._repr_html_()
    assert board.leaderboard.to_pandas()["model"].unique().tolist() == ["seasonal-naive"]
    assert "<table>" in board.leaderboard._repr_html_()
    figures = gigacast.evaluate(tmp_path)
    assert "<table>" in figures._repr_html_()
    assert set(figures.to_pandas()["by"]) <= {"version", "month", "step", "origin"}


def test_without_pandas_a_table_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    class Table:
        def to_pandas(self) -> None:
            raise ImportError("no pandas")

    assert "pandas" in sys.modules
    with pytest.raises(MissingExtraError) as caught:
        to_pandas(Table())  # type: ignore[arg-type]
    assert caught.value.hint == "pip install pandas"
