"""Rows that are in no series are said, whoever reads them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gigacast
from gigacast.job.forecast_job import Method
from gigacast.series.frame import table_of
from gigacast.training.data import FileData, Reading, TableData, write_corpus

FRAME = pd.DataFrame(
    {
        "item_id": ["a"] * 20 + ["b"] * 20,
        "timestamp": [*pd.date_range("2024-01-01", periods=20).astype(str)] * 2,
        "target": np.arange(40.0),
    }
)
LEFT_OUT = "rows without an item id or a readable time are left out: 3"


def with_gaps() -> pd.DataFrame:
    frame = FRAME.copy()
    frame.loc[:1, "item_id"] = None
    frame.loc[30, "timestamp"] = "soon"
    return frame


def test_training_says_how_many_rows_it_leaves_out(tmp_path: Path) -> None:
    frame = with_gaps()
    frame.to_parquet(tmp_path / "a.parquet")
    for number, data in enumerate((TableData(table_of(frame)), FileData(tmp_path / "a.parquet"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.warns(UserWarning, match=LEFT_OUT):
            corpus = write_corpus(data.groups(), Reading(Method()), folder, 1)
        assert np.diff(corpus.offsets).tolist() == [18, 20]  # the missing day is a gap


def test_an_evaluation_says_how_many_actuals_it_leaves_out() -> None:
    forecasts = gigacast.forecast(FRAME[FRAME["timestamp"] < "2024-01-18"], horizon=3,
                                  model="seasonal-naive")  # fmt: skip
    whole = gigacast.evaluate(forecasts, actuals=FRAME)
    with pytest.warns(UserWarning, match=LEFT_OUT):
        figures = gigacast.evaluate(forecasts, actuals=with_gaps())
    assert figures["forecasts"].tolist() == whole["forecasts"].tolist()
