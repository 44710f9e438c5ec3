"""Whole jobs with covariates: folder and S3, refused and ignored, backtested, verified, redone."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.errors import ConfigError, SchemaError
from gigacast.forecasting.prepare import prepare
from gigacast.forecasting.run import RunResult, run_forecast
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.plan.audit import read_audit
from gigacast.lake.plan.receipt import Receipt
from gigacast.settings.assembly import job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.folder.store import FolderStore
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store
from tests.support.companions import panel
from tests.support.moto_server import MotoServer
from tests.support.tiny_models import session_folder, tiny_bolt, tiny_chronos2

WITH = {
    "past_covariates": ["temperature", "weather"],
    "known_covariates": "price,event,open",
    "horizon": 12,
    "device": "cpu",
    "precision": "float32",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_chronos2(session_folder(tmp_path_factory)))


@pytest.fixture(scope="module")
def bolt(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bolt(session_folder(tmp_path_factory)))


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "folder":
        yield FolderStore(tmp_path)
        return
    with MotoServer() as server:
        yield open_store(server.new_address())


def put(store: Store, frame: pd.DataFrame, name: str = "part-0") -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), buffer)
    store.put(f"2024/03/{name}.parquet", buffer.getvalue())


def job_in(store: Store, model: str, **options: Any) -> ForecastJob:
    arguments = {"bucket": store.address.url, "model": model, **WITH, **options}
    return job_of(load_settings(nest_arguments(arguments)))


def forecasts(result: RunResult, store: Store) -> pd.DataFrame:
    keys = [e.key for page in store.list("forecasts/") for e in page if "_manifest" not in e.key]
    (key,) = [key for key in keys if next(iter(result.plan.specs)) in key]
    return pq.read_table(io.BytesIO(store.get(key))).to_pandas()


def receipts(store: Store) -> list[Receipt]:
    keys = [e.key for page in store.list("timings/") for e in page]
    return [Receipt.from_json(store.get(key), key) for key in keys]


def test_a_job_with_covariates_is_recorded_verified_and_not_repeated(
    store: Store, model: str
) -> None:
    frame = panel()
    put(store, frame)
    job = job_in(store, model)
    result = run_forecast(job)
    assert (result.status, result.totals.series, result.ignored) == ("completed", 3, ())
    rows = forecasts(result, store)
    first = frame.dropna(subset="target").groupby("item_id")["timestamp"].max() + pd.Timedelta("1h")
    assert rows.groupby("item_id")["timestamp"].min().to_dict() == first.to_dict()
    (receipt,) = receipts(store)
    beside = {"past": ["temperature", "weather"], "known": ["event", "open", "price"]}
    assert receipt.covariates == beside
    assert read_audit(store, result.run_id).plan["covariates"] == beside
    assert run_forecast(job).totals.partitions == 0
    # Other covariates are another forecast; none at all are the one it ever was.
    for covariates in (
        {"known_covariates": "price"},
        {"past_covariates": "", "known_covariates": ""},
    ):
        again = run_forecast(job_in(store, model, **covariates))
        assert again.totals.partitions == 1
        difference = forecasts(again, store)["0.5"] - rows["0.5"]
        assert np.abs(difference).max() > 0
    assert gigacast_code("verify", store, model, "--series", "3") == 0


def gigacast_code(command: str, store: Store, model: str, *more: str) -> int:
    flags = ["--bucket", store.address.url, "--model", model, "--device", "cpu"]
    for name in ("past_covariates", "known_covariates"):
        value = WITH[name]
        flags += [f"--{name}", value if isinstance(value, str) else ",".join(value)]  # type: ignore[arg-type]
    if store.address.endpoint_url:
        flags += ["--endpoint_url", store.address.endpoint_url]
    command_line = [*([command] if command else []), *flags, "--horizon", "12"]
    return run([*command_line, "--precision", "float32", *more])


def test_joint_targets_are_forecast_together_and_recorded(tmp_path: Path, model: str) -> None:
    store = FolderStore(tmp_path)
    put(store, panel(targets=("x", "y"), ahead=0))
    bare = {"past_covariates": "", "known_covariates": "", "targets": "x,y"}
    alone = run_forecast(job_in(store, model, **bare))
    joint = run_forecast(job_in(store, model, **bare, joint_targets=True))
    assert joint.totals.series == alone.totals.series == 6
    single, joint_rows = forecasts(alone, store), forecasts(joint, store)
    assert np.abs(single["0.5"] - joint_rows["0.5"]).max() > 1e-4
    assert {tuple(r.covariates.get("joint", ())) for r in receipts(store)} == {(), ("x", "y")}


def test_a_model_of_single_series_refuses_or_ignores_covariates_by_setting(
    tmp_path: Path, bolt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FolderStore(tmp_path)
    put(store, panel(ahead=0))
    with pytest.raises(ConfigError, match=r"forecasts each series alone: it has no use for temp"):
        run_forecast(job_in(store, bolt))
    assert gigacast_code("", store, bolt) == 2
    assert "--unsupported_covariates ignore" in capsys.readouterr().err
    assert gigacast_code("", store, bolt, "--unsupported_covariates", "ignore") == 0
    assert "ignored         temperature, weather, event, open, price" in capsys.readouterr().out
    (receipt,) = receipts(store)
    assert len(receipt.covariates["ignored"]) == 5
    # Past ones leave no trace: what is made is what is made without them.
    past = {"known_covariates": "", "unsupported_covariates": "ignore"}
    assert run_forecast(job_in(store, bolt, **past)).totals.partitions == 1
    plain = {"past_covariates": "", "known_covariates": ""}
    assert run_forecast(job_in(store, bolt, **plain)).totals.partitions == 0


def test_a_model_that_ignores_known_covariates_still_forecasts_from_the_last_value(
    tmp_path: Path, bolt: str
) -> None:
    store, other_store = FolderStore(tmp_path / "a"), FolderStore(tmp_path / "b")
    for each in ("a", "b"):
        (tmp_path / each).mkdir()
    put(store, panel())
    put(other_store, panel().dropna(subset="target"))
    ignoring = run_forecast(job_in(store, bolt, unsupported_covariates="ignore"))
    plain = {"past_covariates": "", "known_covariates": ""}
    bare = run_forecast(job_in(other_store, bolt, **plain))
    ignoring_rows, bare_rows = forecasts(ignoring, store), forecasts(bare, other_store)
    pd.testing.assert_frame_equal(ignoring_rows, bare_rows)


def test_joint_targets_need_a_model_that_supports_them(tmp_path: Path, bolt: str) -> None:
    store = FolderStore(tmp_path)
    put(store, panel(targets=("x", "y"), ahead=0))
    bare = {"past_covariates": "", "known_covariates": "", "targets": "x,y"}
    with pytest.raises(ConfigError, match="no use for joint targets"):
        prepare(job_in(store, bolt, **bare, joint_targets=True))


def test_a_partition_without_any_future_fails_alone_with_a_hint(tmp_path: Path, model: str) -> None:
    store = FolderStore(tmp_path)
    put(store, panel(), "part-0")
    put(store, panel(ahead=5), "part-1")
    result = run_forecast(job_in(store, model))
    assert (result.status, result.totals.partitions) == ("failed", 1)
    ((task, failure),) = result.failures
    assert task.partition == "2024/03/part-1"
    assert "no series has values of event, open, price over the horizon" in failure.message
    assert "--missing_future past" in str(failure.hint)
    lenient = run_forecast(job_in(store, model, missing_future="past"))
    assert (lenient.status, lenient.totals.partitions) == ("completed", 2)
    assert lenient.totals.repairs["unknown_futures"] == 3


def test_a_missing_column_fails_its_partition_by_name(tmp_path: Path, model: str) -> None:
    store = FolderStore(tmp_path)
    put(store, panel().drop(columns="weather"))
    ((_, failure),) = run_forecast(job_in(store, model)).failures
    assert "no column 'weather'; the columns are item_id: " in failure.message


def test_a_context_beyond_the_models_is_refused_but_cut_for_compared_models(
    tmp_path: Path, bolt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FolderStore(tmp_path)
    put(store, panel(steps=200, ahead=0))
    plain = {"past_covariates": "", "known_covariates": "", "context_length": 100_000}
    with pytest.raises(ConfigError, match=r"context_length: 100,000, but .* looks back over"):
        prepare(job_in(store, bolt, **plain))
    flags = ["--bucket", store.address.url, "--model", bolt, "--device", "cpu", "--horizon", "12"]
    assert run(["plan", *flags, "--context_length", "100000"]) == 2
    assert "leave it out, ask for less" in capsys.readouterr().err
    assert run(["backtest", *flags, "--context_length", "100000", "--quiet"]) == 0


def test_a_covariate_is_past_or_known_and_not_both(tmp_path: Path, model: str) -> None:
    with pytest.raises(ConfigError, match="price: both past and known"):
        job_in(FolderStore(tmp_path), model, past_covariates="price")


def test_a_backtest_sees_known_covariates_and_no_other_future_values(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FolderStore(tmp_path)
    put(store, panel(steps=200, ahead=0))
    assert gigacast_code("backtest", store, model, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    changed = FolderStore(tmp_path / "other")
    frame = panel(steps=200, ahead=0)
    last = frame.groupby("item_id").tail(12).index
    frame.loc[last, ["temperature"]] = 99.0
    frame.loc[last, ["weather"]] = "hail"
    put(changed, frame)
    assert gigacast_code("backtest", changed, model, "--json") == 0
    assert _figures(json.loads(capsys.readouterr().out)) == _figures(report)
    frame.loc[last, "price"] += 5.0
    put(changed, frame)
    assert gigacast_code("backtest", changed, model, "--json") == 0
    assert _figures(json.loads(capsys.readouterr().out)) != _figures(report)


def _figures(report: dict[str, Any]) -> str:
    """The figures of a leaderboard, without the names of runs and places."""
    return json.dumps(report["leaderboard"], sort_keys=True)


def test_a_frame_is_forecast_with_covariates(model: str, bolt: str) -> None:
    frame = panel()
    options = {**WITH, "known_covariates": ["price", "event", "open"]}
    actual = gigacast.forecast(frame, model=model, **options)  # type: ignore[arg-type]
    without = gigacast.forecast(
        frame.dropna(subset="target"), model=model, horizon=12, device="cpu", precision="float32"
    )
    assert len(actual) == len(without) == 36
    assert np.abs(actual["0.5"].to_numpy() - without["0.5"].to_numpy()).max() > 1e-4
    with pytest.raises(ConfigError, match="unsupported_covariates="):
        gigacast.forecast(frame, model=bolt, **options)  # type: ignore[arg-type]


def test_settings_files_name_covariates_by_group(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "parquet_loader: {schema: {known_covariates: {calendar: [event, open]}}}\n"
        "forecast: {joint_targets: true, missing_future: past}\n"
    )
    settings = load_settings({"run": {"bucket": "file:///x"}}, file=file)
    method = replace(job_of(settings).method)
    assert method.columns.known_covariates == ("event", "open")
    assert (method.joint_targets, method.missing_future) == (True, "past")


@pytest.mark.parametrize("twice", [["temperature", "temperature"], ["item_id"]])
def test_a_column_in_use_is_no_covariate_or_counts_once(model: str, twice: list[str]) -> None:
    frame = panel(ahead=0)
    options = {"model": model, "horizon": 12, "device": "cpu", "precision": "float32"}
    if len(twice) == 2:
        first, second = (
            gigacast.forecast(frame, past_covariates=names, **options)  # type: ignore[call-overload]
            for names in (twice, twice[:1])
        )
        pd.testing.assert_frame_equal(first, second)
        return
    with pytest.raises(SchemaError, match="'item_id' can't be a covariate"):
        gigacast.forecast(frame, past_covariates=twice, **options)  # type: ignore[call-overload]


def test_a_column_without_a_value_changes_nothing(model: str) -> None:
    options = {"model": model, "horizon": 12, "device": "cpu", "precision": "float32"}
    frame = panel(ahead=0)
    texts = pd.Series([None] * len(frame), dtype="string")
    actual = [
        gigacast.forecast(frame.assign(empty=column), past_covariates=["empty"], **options)  # type: ignore[call-overload]
        for column in (np.nan, texts)
    ]
    pd.testing.assert_frame_equal(actual[0], actual[1])


def test_the_error_names_only_the_columns_that_lack_values(tmp_path: Path, model: str) -> None:
    store = FolderStore(tmp_path)
    put(store, panel().assign(price=lambda frame: frame["price"].where(frame["target"].notna())))
    ((_, failure),) = run_forecast(job_in(store, model)).failures
    assert "no series has values of price over the horizon" in failure.message


def test_a_broken_price_table_leaves_a_run_without_dollars_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "prices.yaml").write_text("as_of: 2025-07-01\n")
    monkeypatch.chdir(tmp_path)
    job = job_of(load_settings(nest_arguments({"bucket": "file:///x"})))
    assert job.prices is None
    assert "config/prices.yaml: prices.region: missing" in caplog.text
