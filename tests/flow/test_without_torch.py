"""What runs, and what names its extra, where torch and the stock Chronos code are not installed."""

import json
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
from gigacast.cli.program import main
from gigacast.errors import MissingExtraError
from gigacast.forecasters.lean.shape import numpy_engine

engine = numpy_engine()

times = pd.date_range("2024-01-01", periods=60, freq="D")
frame = pd.concat(
    pd.DataFrame({"item_id": f"s{n}", "timestamp": times, "target": np.sin(np.arange(60) / 3 + n)})
    for n in range(3)
)
lake = pathlib.Path(sys.argv[1])
(lake / "2024" / "01").mkdir(parents=True)
frame.to_parquet(lake / "2024" / "01" / "part-00000.parquet", index=False)
url = lake.as_uri()

def command(*words):
    try:
        main([*words, "--bucket", url])
    except SystemExit as end:
        return end.code

assert len(gigacast.forecast(frame, horizon=5)) == 15
pending = gigacast.plan(url, horizon=5)
assert (len(pending.plan.tasks), pending.prepared.info.engine) == (1, engine), pending.prepared.info
assert command("plan", "--horizon", "5") == 0
run = gigacast.forecast(url, horizon=5)
assert (run.status, run.totals.partitions) == ("completed", 1), run
assert run.info.engine == engine, run.info
assert command("show", "2024/01/part-00000") == 0
assert command("forecast", "--horizon", "5") == 0
assert gigacast.forecast(url, horizon=5).totals.partitions == 0
assert len(gigacast.read_forecasts(url)) == 15
assert gigacast.backtest(url, horizon=5, windows=1).status == "completed"
assert gigacast.detect_anomalies(url, horizon=5, rolling=True).failures == []
gigacast.ModelManager(bucket=url).publish_model(pathlib.Path(sys.argv[2]), "mine", "v1")
assert gigacast.forecast(frame, horizon=5, model="mine", bucket=url).shape[0] == 15

for action in (
    lambda: gigacast.forecast(frame, horizon=5, model_engine="torch"),
    lambda: gigacast.forecast(frame, horizon=5, model_engine="stock"),
    lambda: gigacast.forecast(frame, horizon=5, model=sys.argv[3]),
    lambda: gigacast.finetune(url, name="tuned"),
):
    try:
        action()
    except MissingExtraError as error:
        assert error.hint == "pip install 'gigacast[torch]'", error
    else:
        raise AssertionError(action)
assert command("verify", "--horizon", "5") == 1
assert not {"torch", "chronos", "transformers"} & {n for n, m in sys.modules.items() if m}
"""
CHRONOS2 = {
    "chronos_pipeline_class": "Chronos2Pipeline",
    "chronos_config": {
        "context_length": 512,
        "input_patch_size": 16,
        "input_patch_stride": 16,
        "output_patch_size": 16,
        "max_output_patches": 4,
        "quantiles": [0.1, 0.5, 0.9],
        "use_reg_token": True,
    },
}


def test_forecasts_need_no_torch_and_what_needs_it_says_so(tmp_path: Path) -> None:
    package = Path(gigacast.__file__).parent
    nano = package / "forecasters" / "weights" / "gigacast-bolt-nano"
    chronos2 = tmp_path / "chronos2"
    chronos2.mkdir()
    (chronos2 / "config.json").write_text(json.dumps(CHRONOS2))
    (chronos2 / "model.safetensors").write_bytes(b"")
    arguments = [sys.executable, "-c", PROGRAM, str(tmp_path / "lake"), str(nano), str(chronos2)]
    paths = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run(arguments, env=paths, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
