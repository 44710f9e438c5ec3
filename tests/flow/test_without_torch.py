"""What runs, and what names its extra, where torch and the stock Chronos code are not installed."""

import os
import subprocess
import sys
from pathlib import Path

import gigacast

PROGRAM = """
import sys

# As if they were not installed.
sys.modules.update(dict.fromkeys(("torch", "chronos", "transformers", "openvino")))

import pathlib
import numpy as np
import pandas as pd
import gigacast
from gigacast.errors import MissingExtraError

times = pd.date_range("2024-01-01", periods=60, freq="D")
frame = pd.concat(
    pd.DataFrame({"item_id": f"s{n}", "timestamp": times, "target": np.sin(np.arange(60) / 3 + n)})
    for n in range(3)
)
lake = pathlib.Path(sys.argv[1])
(lake / "2024" / "01").mkdir(parents=True)
frame.to_parquet(lake / "2024" / "01" / "part-00000.parquet", index=False)
url = lake.as_uri()

assert len(gigacast.forecast(frame, horizon=5)) == 15
run = gigacast.forecast(url, horizon=5)
assert (run.status, run.totals.partitions) == ("completed", 1), run
assert run.info.engine.startswith("gigacast-bolt-numpy")
assert gigacast.forecast(url, horizon=5).totals.partitions == 0
assert len(gigacast.read_forecasts(url)) == 15
assert gigacast.backtest(url, horizon=5, windows=1).status == "completed"
gigacast.ModelManager(bucket=url).publish_model(pathlib.Path(sys.argv[2]), "mine", "v1")
assert gigacast.forecast(frame, horizon=5, model="mine", bucket=url).shape[0] == 15

for action in (
    lambda: gigacast.forecast(frame, horizon=5, model_engine="torch"),
    lambda: gigacast.finetune(url, name="tuned"),
):
    try:
        action()
    except MissingExtraError as error:
        assert error.hint == "pip install 'gigacast[torch]'", error
    else:
        raise AssertionError(action)
"""


def test_forecasts_need_no_torch_and_what_needs_it_says_so(tmp_path: Path) -> None:
    package = Path(gigacast.__file__).parent
    nano = package / "forecasters" / "weights" / "gigacast-bolt-nano"
    arguments = [sys.executable, "-c", PROGRAM, str(tmp_path / "lake"), str(nano)]
    paths = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run(arguments, env=paths, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
