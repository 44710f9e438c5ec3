"""Jobs with real Chronos models: any process, any cut, the same numbers; the reference agrees."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.panels import hourly_panel, put_frame, put_panels
from tests.support.tiny_models import tiny_bolt, tiny_chronos2, tiny_t5
from tests.support.warm_python import TORCH, warm_python

LEVELS = [f"0.{n}" for n in range(1, 10)]


def read(store: Store) -> pd.DataFrame:
    frame = gigacast.read_forecasts(store.address.url)
    return frame.sort_values(["item_id", "timestamp"]).reset_index(drop=True)


def test_a_model_under_the_prefix_is_used_and_named_everywhere(bucket: Store, models: Path) -> None:
    put_panels(bucket, months=["2024-01"], parts=1)
    for path in tiny_bolt(models).iterdir():
        bucket.put(f"models/tiny-bolt/v1.0/{path.name}", path.read_bytes())
    result = gigacast.forecast(bucket.address.url, model="tiny-bolt/v1.0", horizon=6)
    assert (result.info.name, result.info.version) == ("tiny-bolt", "v1.0")
    (task,) = result.plan.tasks
    assert task.output_key.startswith("forecasts/tiny-bolt/v1.0/h6-q9-")
    (key,) = [entry.key for page in bucket.list("timings/") for entry in page]
    receipt = json.loads(bucket.get(key))
    assert receipt["digest"] == result.info.digest
    assert len(receipt["digest"]) == 64


@pytest.mark.parametrize("make", [tiny_bolt, tiny_chronos2])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_reference_pipeline_gives_the_same_forecasts(
    bucket: Store, models: Path, make: object, precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put_panels(bucket)
    flags = ["--bucket", bucket.address.url, "--model", str(make(models)), "--horizon", "70"]  # type: ignore[operator]
    flags += ["--precision", precision, "--quantiles", "0.1,0.25,0.5,0.9"]
    assert run([*flags, "--quiet"]) == 0
    assert run(["verify", *flags, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["series"] == 12
    assert report["worst"] < report["tolerance"] == {"float32": 1e-4, "bfloat16": 0.1}[precision]


def forecast_elsewhere(url: str, model: str) -> int:
    """Forecast in another process and return its exit code."""
    words = ["--bucket", url, "--model", model, "--horizon", "5", "--precision", "float32"]
    return warm_python(TORCH).start("gigacast", words).wait()


@pytest.mark.parametrize("make", [tiny_bolt, tiny_t5])
def test_the_same_series_get_the_same_numbers_in_any_partition_batch_and_process(
    tmp_path: Path, models: Path, make: object
) -> None:
    frame = hourly_panel(items=[f"i{n}" for n in range(6)], steps=60)
    frame = frame[~((frame["item_id"] == "i3") & (frame.index % 60 < 37))]  # one is shorter
    options = {"model": str(make(models)), "horizon": 5, "precision": "float32"}  # type: ignore[operator]
    cuts = {"one": [6], "two": [2, 4], "shuffled": [6]}
    got = {}
    for name, sizes in cuts.items():
        (tmp_path / name).mkdir()
        store = open_store(StoreAddress(f"file://{tmp_path}/{name}"))
        items = iter(sorted(frame["item_id"].unique()))
        for part, size in enumerate(sizes):
            own = frame[frame["item_id"].isin([next(items) for _ in range(size)])]
            if name == "shuffled":
                own = own.sample(frac=1, random_state=1)
            put_frame(store, f"2024/01/part-{part:05d}.parquet", own)
        if name == "two" and make is tiny_t5:
            # Each process of joblib would import the stock pipeline, which takes seconds.
            assert forecast_elsewhere(store.address.url, str(options["model"])) == 0
        else:
            jobs = {"n_jobs": 2, "executor": "joblib"} if name == "two" else {"batch_size": 2}
            result = gigacast.forecast(store.address.url, **options, **jobs)  # type: ignore[arg-type]
            assert result.status == "completed", result.failures
        got[name] = read(store)
    for order in ("two", "shuffled"):
        assert list(got[order]["item_id"]) == list(got["one"]["item_id"])
        np.testing.assert_allclose(got[order][LEVELS], got["one"][LEVELS], rtol=1e-5, atol=1e-5)


def test_levels_outside_the_trained_range_need_extrapolation_and_are_marked(
    bucket: Store, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import io

    import pyarrow.parquet as pq

    put_panels(bucket, months=["2024-01"], parts=1)
    flags = ["--bucket", bucket.address.url, "--model", str(tiny_bolt(models)), "--horizon", "4"]
    flags += ["--quantiles", "0.01,0.5,0.99"]
    assert run([*flags, "--quiet"]) == 2
    assert "0.01" in capsys.readouterr().err
    assert run([*flags, "--extrapolate_levels", "--quiet"]) == 0
    (key,) = [e.key for page in bucket.list("forecasts/") for e in page if "part-" in e.key]
    metadata = pq.read_schema(io.BytesIO(bucket.get(key))).metadata
    assert metadata[b"gigacast.extrapolated_levels"] == b"0.01,0.99"


def test_counts_are_whole_and_never_negative(bucket: Store, models: Path) -> None:
    frame = hourly_panel()
    frame["target"] = (frame["target"] - 11).round().clip(lower=0)
    put_frame(bucket, "2024/01/part-00000.parquet", frame)
    options = {"model": str(tiny_bolt(models)), "horizon": 8, "non_negative": True, "integer": True}
    gigacast.forecast(bucket.address.url, **options)  # type: ignore[arg-type]
    numbers = read(bucket)[[*LEVELS, "predictions"]].to_numpy()
    assert (numbers >= 0).all()
    assert (numbers == np.round(numbers)).all()
    assert (np.diff(numbers[:, :9], axis=1) >= 0).all()


def test_a_broken_model_folder_stops_the_run_before_it_starts(
    bucket: Store, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_panels(bucket, months=["2024-01"], parts=1)
    broken = tmp_path / "broken"
    broken.mkdir()
    source = tiny_bolt(models)
    (broken / "config.json").write_bytes((source / "config.json").read_bytes())
    (broken / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes()[:5000])
    for executor in ("inline", "joblib"):
        flags = ["--bucket", bucket.address.url, "--model", str(broken), "--executor", executor]
        assert run([*flags, "--quiet"]) == 2
        err = capsys.readouterr().err
        assert "safetensors" in err
        assert "Traceback" not in err


def test_the_median_does_not_depend_on_the_other_levels(models: Path) -> None:
    """Random weights cross all the time: what is chosen must not change what is kept."""
    options = {"model": str(tiny_bolt(models)), "horizon": 12, "precision": "float32"}
    panel = gigacast.forecast(hourly_panel(), **options)  # type: ignore[arg-type]
    for levels in ([0.5], [0.1, 0.5, 0.9], [0.3]):
        some = gigacast.forecast(hourly_panel(), quantiles=levels, **options)  # type: ignore[arg-type]
        shared = ["predictions", *(f"{level}" for level in levels)]
        pd.testing.assert_frame_equal(some[shared], panel[shared])
