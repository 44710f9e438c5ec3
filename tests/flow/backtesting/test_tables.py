"""Results that hold a table give it away, to Arrow and to pandas."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import gigacast
from gigacast.quality.run import QualityResult
from tests.flow.reporting.lake import put_lake

OPTIONS: dict[str, Any] = {"horizon": 7, "context_partitions": 1}
NAIVE = {"model": "seasonal-naive"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    url = put_lake(tmp_path_factory.mktemp("tables") / "lake")
    plan = gigacast.plan(url, **OPTIONS, **NAIVE, months="1:2")
    gigacast.forecast(url, **OPTIONS, **NAIVE, months="1:2")
    return {
        "plan": plan,
        "nothing to do": gigacast.plan(url, **OPTIONS, **NAIVE, months="1:2"),
        "backtest": gigacast.backtest(url, models=["seasonal-naive"], segment="month", **OPTIONS),
        "evaluate": gigacast.evaluate(url),
        "anomalies": gigacast.detect_anomalies(url),
    }


@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [
        ("plan", 2, ["partition", "month", "spec"]),
        ("nothing to do", 0, ["partition", "month", "spec"]),
        ("backtest", 4, ["segment", "model"]),
        ("evaluate", 12, ["by", "label", "model"]),
        ("anomalies", None, ["partition", "item", "target", "kind"]),
    ],
)
def test_a_result_is_a_table_and_a_frame(
    results: dict[str, Any], name: str, rows: int | None, columns: list[str]
) -> None:
    table, frame = results[name].to_table(), results[name].to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == table.column_names
    assert table.column_names[: len(columns)] == columns
    assert len(frame) == table.num_rows == (len(results[name].worst) if rows is None else rows)
    assert results[name]._repr_html_().startswith('<div class="gigacast">')


def test_the_frame_of_a_backtest_is_that_of_its_leaderboard(results: dict[str, Any]) -> None:
    result = results["backtest"]
    pd.testing.assert_frame_equal(result.to_pandas(), result.leaderboard.to_pandas())


def test_a_prediction_is_a_row_per_series_and_step() -> None:
    contexts = [np.arange(20.0), np.full(5, np.nan)]
    prediction = gigacast.ChronosLoader(model="seasonal-naive").predict(
        contexts, prediction_length=3, quantile_levels=[0.1, 0.9]
    )
    frame = prediction.to_pandas()
    assert list(frame.columns) == ["series", "step", "predictions", "0.1", "0.9"]
    assert frame["series"].tolist() == [0, 0, 0, 1, 1, 1]
    assert frame["step"].tolist() == [1, 2, 3, 1, 2, 3]
    np.testing.assert_array_equal(frame["predictions"], prediction.median.ravel())
    np.testing.assert_array_equal(frame["0.9"], prediction.quantiles[:, :, 1].ravel())


def test_a_quality_run_has_the_table_of_its_report() -> None:
    assert {"to_table", "to_pandas"} <= vars(QualityResult).keys()
