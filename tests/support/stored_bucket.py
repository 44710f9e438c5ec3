"""A bucket that an earlier release wrote, kept in ``tests/data/stored_bucket``, and its use.

``folder/`` is a folder store, whose ETags are made of sizes and times of modification: these times
are in ``mtimes.json``, and `restore_folder` puts them back. ``objects/`` lay in S3, where ETags
are made of the content. ``expected.json`` is the program's output for both at that time.
``tests/data/make_stored_bucket.py`` has written it all.
"""

import contextlib
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow as pa

import gigacast
from gigacast.__main__ import main
from gigacast.datasets import read_partitioned_dataset
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.job.spec import make_spec
from gigacast.settings.assembly import job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments

TESTS = next(folder for folder in Path(__file__).parents if folder.name == "tests")
DATA = TESTS / "data" / "stored_bucket"
FOLDER, OBJECTS, MTIMES = DATA / "folder", DATA / "objects", DATA / "mtimes.json"
STORED_URL = "file:///tmp/stored-lake"
"""URL of the folder when it was written."""

S3_BUCKET = "stored-lake"
S3_URL = f"s3://{S3_BUCKET}"
LOADER_CONFIG = """\
run: {{bucket: '{url}', prefix: fx}}
parquet_loader: {{schema: {{datetime_column: null, target_columns: [target_close]}}}}
"""

NANO = "--model gigacast-bolt-nano/d958e16694eb --device cpu --precision float32"
NAIVE = "--model seasonal-naive"
FORECASTS = {
    "nano": f"--prefix sales {NANO} --horizon 6 --quantiles 0.1,0.5,0.9",
    "wide": f"--prefix sales {NAIVE} --horizon 7 --layout wide --non_negative --quantiles 0.1,0.9 "
    "--months 2",
    "month": f"--prefix sales {NAIVE} --horizon 3 --quantiles 0.5 --partition_by month "
    "--context_partitions 1",
    "registry": "--prefix sales --model tiny --device cpu --precision float32 --horizon 4 "
    "--quantiles 0.5 --months 1",
    "symbol": f"--prefix fx {NAIVE} --quantiles 0.5",
    "dataset": f"--prefix lake --input_prefix cleaned/latest/QUOTES {NAIVE} --horizon 5 "
    "--targets close --quantiles 0.5",
}
"""Flags of every forecast in the folder, without the bucket's, by what is special about it."""

COVARIATES = (
    "--prefix shops --model tiny-2 --device cpu --precision float32 --horizon 4 --quantiles 0.5 "
    "--targets sales --past_covariates load --known_covariates price,day"
)
"""Flags of a forecast by chronos' own code, whose version is in the spec."""

BACKTEST = (
    "backtest --prefix sales --model gigacast-bolt-nano/d958e16694eb --model tiny/v1.0 "
    "--device cpu --precision float32 --horizon 3 --windows 2 --quantiles 0.1,0.5,0.9 "
    "--segment month --sample_partitions 1"
)
EVALUATE = "evaluate --prefix sales --model gigacast-bolt-nano/d958e16694eb"
QUALITY = {
    "dataset": "data quality raw/MES --every --prefix lake --schema ohlcv --freq min",
    "partitions": "data quality --prefix sales --accuracy",
}
CLEAN = (
    "data clean raw/MES cleaned/MES --every --prefix lake --schema ohlcv --freq min "
    "--outliers clip --fail missing=never --fail noncompliant=never"
)
FEATURES = {
    "recipe": "data features cleaned/v1/QUOTES features/v1/mine --prefix lake --recipe {recipe}",
    "like": "data features cleaned/v1.1/QUOTES features/v2/mine --prefix lake "
    "--like features/v1/mine",
}
RECIPE = """\
name: mine
keep: [close]
training: {share: 0.5}
scale: {method: standard}
features:
- {kind: return, column: close}
- {kind: rolling, column: close, window: 5, statistic: mean}
"""
ARRAYS = {"done": f"--prefix sales {NAIVE} --horizon 6 --quantiles 0.5", "planned": ""}
ARRAYS["planned"] = ARRAYS["done"].replace("--horizon 6", "--horizon 2")

READINGS = {
    **{f"plan {name}": f"plan {flags}" for name, flags in FORECASTS.items()},
    "plan what is left": f"plan --prefix sales {NAIVE} --horizon 12 --quantiles 0.5",
    "status": f"status {FORECASTS['nano']}",
    "status of what failed": f"status --prefix broken {NAIVE} --horizon 2",
    "prune": f"prune {FORECASTS['nano']}",
    "prune superseded": f"prune {FORECASTS['symbol']}",
    "models": "models list --prefix sales",
    "model": "models show tiny --prefix sales",
    "verified models": "models verify tiny --prefix sales",
    "datasets": "data versions --prefix lake",
    "cleaned": "data describe cleaned/MES --prefix lake",
    "appended": "data describe cleaned/v1.1/QUOTES --prefix lake",
    "features": "data describe features/v2/mine --prefix lake",
    "lineage of cleaned": "data lineage cleaned/MES --prefix lake",
    "lineage of features": "data lineage features/v2/mine --prefix lake",
    "difference": "data diff cleaned/v1/QUOTES cleaned/v1.1/QUOTES --prefix lake",
    "contract": "data validate cleaned/v1.1/QUOTES --prefix lake",
    "discovered": "data discover --prefix fx",
}
"""Commands that only read, run with ``--json``, by the things that they show."""

_NAIVE = {"model": "seasonal-naive", "horizon": 6}
_NANO = {
    "model": "gigacast-bolt-nano/d958e16694eb",
    "device": "cpu",
    "precision": "float32",
    "horizon": 6,
}
SPECS: dict[str, dict[str, Any]] = {
    "naive": _NAIVE,
    "nano": _NANO,
    "nano in bfloat16": {**_NANO, "precision": "bfloat16"},
    "the model's own horizon": {**_NANO, "horizon": None},
    "levels": {**_NANO, "quantiles": [0.9, 0.1, 0.25]},
    "levels beyond the trained ones": {
        **_NANO,
        "quantiles": [0.01, 0.5],
        "extrapolate_levels": True,
    },
    "context": {**_NANO, "context_length": 24},
    "context of months before": {**_NAIVE, "context_partitions": 2},
    "whole months": {**_NAIVE, "partition_by": "month"},
    "frequency": {**_NAIVE, "freq": "D"},
    "columns": {
        **_NAIVE,
        "item_column": "item_id",
        "timestamp_column": "timestamp",
        "targets": ["target"],
    },
    "unit of time": {**_NAIVE, "timestamp_unit": "ms"},
    "least length": {**_NAIVE, "min_length": 5},
    "dropped": {**_NAIVE, "fallback": "drop"},
    "non-negative whole numbers": {**_NAIVE, "non_negative": True, "integer": True},
    "wide": {**_NAIVE, "layout": "wide"},
    "seed": {**_NAIVE, "seed": 7},
    "joint targets that are ignored": {
        **_NAIVE,
        "joint_targets": True,
        "unsupported_covariates": "ignore",
    },
    "covariates that are ignored": {
        **_NAIVE,
        "known_covariates": ["price"],
        "unsupported_covariates": "ignore",
    },
    "a version of the registry": {
        "model": "tiny/v1.1",
        "device": "cpu",
        "precision": "float32",
        "horizon": 6,
    },
    "what is active": {"model": "tiny", "device": "cpu", "precision": "float32", "horizon": 6},
    "nothing that counts": {**_NAIVE, "n_jobs": 3, "batch_size": 5, "years": "2024"},
}
"""Options of `gigacast.plan` for the sales, by what they change."""

GROUPED = ForecasterInfo(
    name="some-model",
    version="v1",
    digest="0" * 64,
    engine="some-engine-1",
    device="cpu",
    precision="float32",
    context_length=8192,
    prediction_length=64,
    levels=(0.1, 0.5, 0.9),
    takes_groups=True,
)
_KNOWN = {"known_covariates": ["price", "day"], "horizon": 6}
GROUPED_SPECS: dict[str, dict[str, Any]] = {
    "alone": {"horizon": 6},
    "known": _KNOWN,
    "past and known": {**_KNOWN, "past_covariates": ["load"]},
    "missing futures": {**_KNOWN, "missing_future": "past"},
    "joint targets": {"horizon": 6, "targets": ["sales", "returns"], "joint_targets": True},
    "all at once": {
        **_KNOWN,
        "past_covariates": ["load"],
        "targets": ["sales", "returns"],
        "joint_targets": True,
        "quantiles": [0.5],
        "context_length": 100,
    },
}
"""Options of a model that takes covariates, by what they change."""

DATASETS = (
    "raw/MES/2024-01-15",
    "raw/MES/2024-02-15",
    "cleaned/v1/MES",
    "cleaned/v1.1/MES",
    "cleaned/v1/QUOTES",
    "cleaned/v1.1/QUOTES",
    "features/v1/mine",
    "features/v2/mine",
)


def command_output(flags: str, url: str, *, code: int = 0, **texts: object) -> str:
    """Run the program on a bucket and return its output."""
    arguments = [part.format(**texts) for part in flags.split()]
    out = io.StringIO()
    argv = ["gigacast", *arguments, "--bucket", url]
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out):
        try:
            main()
        except SystemExit as ended:
            assert ended.code == code, f"{argv} ended with {ended.code}"  # noqa: PT017
    return out.getvalue()


def command_json(flags: str, url: str, *, code: int = 0, **texts: object) -> Any:
    """Run the program with ``--json`` and return the values that it prints."""
    return json.loads(command_output(f"{flags} --json", url, code=code, **texts))


def placeless(value: Any, url: str) -> Any:
    """Return plain values without the place that the bucket has now."""
    text = json.dumps(value).replace(url, "{bucket}")
    return json.loads(text.replace(url.removeprefix("file://"), "{folder}"))


def expected() -> dict[str, Any]:
    """Return the expected output, which was recorded when the bucket was written."""
    content: dict[str, Any] = json.loads((DATA / "expected.json").read_text())
    return content


def files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield every file below a folder, with its key."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            yield path.relative_to(folder).as_posix(), path


def restore_folder(folder: Path) -> str:
    """Lay the bucket into a folder, with the times that its receipts name; return its URL."""
    shutil.copytree(FOLDER, folder)
    for key, mtime_ns in json.loads(MTIMES.read_text()).items():
        os.utime(folder / key, ns=(mtime_ns, mtime_ns))
    return f"file://{folder}"


def content_of(folder: Path) -> dict[str, bytes]:
    """Return the bytes of everything in a folder, by key."""
    return {key: path.read_bytes() for key, path in files_in(folder)}


def specs_of(options: dict[str, Any], url: str) -> list[str]:
    """Return the specs that a plan for the sales names."""
    return sorted(gigacast.plan(url, prefix="sales", **options).plan.specs)


def grouped_spec(options: dict[str, Any]) -> str:
    """Return the spec of a model that takes covariates, whatever software is installed."""
    job = job_of(load_settings(nest_arguments({"bucket": "memory://specs", **options})))
    return make_spec(GROUPED, job.method, job.selection).id(6)


def numbers_of(url: str, flags: str, spec: str) -> dict[str, Any]:
    """Return some of the numbers of a set of forecasts: its first rows, and the sum of medians."""
    words = flags.split()
    prefix, model = (words[words.index(f"--{name}") + 1] for name in ("prefix", "model"))
    frame = gigacast.read_forecasts(url, prefix=prefix, model=model, spec=spec)
    medians = np.array([np.sum(value) for value in frame["predictions"].dropna()], np.float64)
    columns = [str(name) for name in frame.columns]
    total = float(np.nansum(medians))
    return {"columns": columns, "rows": len(frame), "first": first_rows(frame), "sum": total}


def rows_of(url: str, dataset: str) -> dict[str, Any]:
    """Return some of the rows of a dataset: the first ones, and what its numbers add up to."""
    frame = read_partitioned_dataset(f"{url}/lake/{dataset}")
    numbers = frame.select_dtypes("number").astype(float).sum()
    types = {str(name): str(kind) for name, kind in frame.dtypes.items()}
    sums = numbers.to_dict()
    return {"types": types, "rows": len(frame), "first": first_rows(frame), "sums": sums}


def first_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the first rows of a frame as plain values."""
    rows = pa.Table.from_pandas(frame.head(2), preserve_index=False).to_pylist()
    plain: list[dict[str, Any]] = json.loads(json.dumps(rows, default=str))
    return plain
