"""Series that never change, such as a product that nobody buys any more."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.support.panels import put_frame

CONSTANTS = {"dead": 0.0, "small": 1e-7, "seven": 7.0, "large": -3e9}


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_verify_passes_the_forecasts_of_constant_series(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], precision: str
) -> None:
    days = pd.date_range("2024-01-01", periods=31, freq="D")
    values = {**CONSTANTS, "sold once": np.r_[np.zeros(30), 5.0], "empty": np.nan}
    frames = [
        pd.DataFrame({"item_id": item, "timestamp": days, "target": value})
        for item, value in values.items()
    ]
    url = tmp_path.as_uri()
    put_frame(open_store(StoreAddress(url)), "2024/01/part-00000.parquet", pd.concat(frames))
    gigacast.forecast(url, horizon=7, precision=precision)
    assert run(["verify", "--bucket", url, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    # The series without a value is the fallback's, which no reference has.
    assert (report["series"], report["skipped"], report["differences"]) == (5, 1, [])
    forecasts = gigacast.read_forecasts(url).groupby("item_id")["predictions"]
    for item, value in CONSTANTS.items():
        np.testing.assert_allclose(forecasts.get_group(item), value, rtol=1e-5, atol=1e-5)
