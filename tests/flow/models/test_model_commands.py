"""Models as people handle them: `gigacast models ...`, `ModelManager`, and jobs that use them."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import gigacast
from gigacast.cli.program import run
from gigacast.core.series.holdout import hold_out
from gigacast.core.time.frequency import Frequency
from gigacast.errors import ModelConflictError, ModelNotFoundError
from gigacast.forecasters.catalog import load_forecaster
from gigacast.forecasters.metric import quantile_loss, seasonal_error
from gigacast.models.diff import Score
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.hub_server import COMMIT, Hub
from tests.support.model_folders import make_folder
from tests.support.moto_server import MotoServer
from tests.support.panels import hourly_panel, put_frame, put_panels
from tests.support.tiny_models import (
    series_batch,
    session_folder,
    tiny_bolt,
    tiny_chronos2,
    tiny_t5,
)

ROOT = Path(__file__).parents[3]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


@pytest.fixture
def bucket(tmp_path: Path) -> Store:
    (tmp_path / "bucket").mkdir()
    return open_store(StoreAddress(f"file://{tmp_path}/bucket"))


@pytest.fixture
def first_folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "one", 1)


@pytest.fixture
def second_folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "two", 2)


def models_command(bucket: Store, *words: str) -> int:
    return run(["models", *words, "--bucket", bucket.address.url])


def models_json(bucket: Store, capsys: Capture, *words: str) -> object:
    capsys.readouterr()
    assert models_command(bucket, *words, "--json") == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def filled(bucket: Store, first_folder: Path, second_folder: Path) -> Store:
    """A bucket with tiny/v1.0 (active) and tiny/v1.1."""
    for folder, version in ((first_folder, "v1.0"), (second_folder, "v1.1")):
        published = ["publish", str(folder), "--name", "tiny", "--model_version", version]
        assert models_command(bucket, *published, "--license", "apache-2.0") == 0
    return bucket


# -- the examples of the requirements --------------------------------------------------------------


def test_models_are_listed_and_switched_from_python(
    first_folder: Path, second_folder: Path
) -> None:
    from gigacast import ModelManager

    manager = ModelManager()
    manager.publish_model(first_folder, "chronos-bolt-small", "v0.9")
    manager.publish_model(second_folder, "chronos-bolt-small", "v1.0")

    models = manager.list_models()
    manager.switch_model("chronos-bolt-small", "v1.0")

    assert [(model.name, model.active) for model in models] == [("chronos-bolt-small", "v0.9")]
    assert manager.active_version("chronos-bolt-small") == "v1.0"
    assert Path("models/chronos-bolt-small/v1.0/manifest.json").is_file()
    assert manager.rollback_model("chronos-bolt-small").version == "v0.9"


def test_python_has_an_equivalent_of_every_command(
    filled: Store, tmp_path: Path, first_folder: Path
) -> None:
    manager = gigacast.ModelManager(bucket=filled.address.url)
    summary, active = manager.show_model("tiny")
    assert [v.version for v in summary.versions] == ["v1.0", "v1.1"]
    assert active.version == "v1.0"
    assert manager.verify_model("tiny").problems == []
    assert manager.backup_models(tmp_path / "a.tar", ["tiny/v1.1"]).versions == ["tiny/v1.1"]
    assert len(manager.delete_model("tiny", "v1.1", dry_run=True)) == 3
    manager.delete_model("tiny", "v1.1")
    assert manager.restore_models(tmp_path / "a.tar").versions == ["tiny/v1.1"]
    folder = manager.fetch_model("tiny")
    assert folder.folder is not None
    assert (folder.folder / "config.json").read_bytes() == (
        first_folder / "config.json"
    ).read_bytes()
    with pytest.raises(ModelNotFoundError, match=r"there are: v1\.0, v1\.1"):
        manager.fetch_model("tiny", "v9")
    with pytest.raises(ModelConflictError, match="active"):
        manager.delete_model("tiny", "v1.0")


def test_training_leaves_its_parent_and_record_in_the_manifest(
    bucket: Store, first_folder: Path
) -> None:
    manager = gigacast.ModelManager(bucket=bucket.address.url)
    parent = {"model": "chronos-bolt-tiny", "version": "v1.0", "digest": "0" * 64}
    source = {"kind": "training", "parent": parent, "record": {"steps": 100}}
    manager.publish_model(first_folder, "tuned", "v1", metrics={"wql": 0.03}, source=source)
    manifest = manager.read_manifest("tuned", "v1")
    assert (manifest.source, manifest.metrics) == (source, {"wql": 0.03})
    assert manifest.software["chronos-forecasting"]


# -- the commands ----------------------------------------------------------------------------------


def test_list_shows_every_version_and_which_is_active(filled: Store, capsys: Capture) -> None:
    capsys.readouterr()
    assert models_command(filled, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{filled.address.url}/models/"
    assert lines[3].split()[:3] == ["tiny", "v1.0", "active"]
    assert lines[4].split()[:2] == ["tiny", "v1.1"]
    (tiny,) = models_json(filled, capsys, "list")  # type: ignore[misc]
    assert [(v["version"], v["active"]) for v in tiny["versions"]] == [
        ("v1.0", True),
        ("v1.1", False),
    ]


def test_an_empty_registry_says_how_to_fill_it(bucket: Store, capsys: Capture) -> None:
    assert models_command(bucket, "list") == 0
    assert "no models under" in capsys.readouterr().out
    assert models_json(bucket, capsys, "list") == []


def test_list_shows_broken_unfinished_and_foreign_versions(filled: Store, capsys: Capture) -> None:
    filled.put("models/hand/v1/config.json", b"{}")
    filled.put("models/left/v1/PUBLISHING", b"{}")
    filled.put("models/tiny/v1.1/manifest.json", b"{}")
    report = models_json(filled, capsys, "list")
    states = {(m["name"], v["version"]): v["state"] for m in report for v in m["versions"]}  # type: ignore[attr-defined]
    assert states == {
        ("hand", "v1"): "no manifest",
        ("left", "v1"): "unfinished",
        ("tiny", "v1.0"): "published",
        ("tiny", "v1.1"): "broken",
    }
    filled.put("models/tiny/ACTIVE", b"v1.0")
    assert models_command(filled, "list") == 0
    out = capsys.readouterr().out
    assert "problem: " in out
    assert "v1.1/manifest.json: cannot be trusted" in out
    assert "ACTIVE: does not say which version is active" in out


def test_show_prints_the_whole_manifest(filled: Store, capsys: Capture) -> None:
    capsys.readouterr()
    assert models_command(filled, "switch", "tiny", "v1.1", "--why", "better on weekends") == 0
    assert capsys.readouterr().out == "active: tiny/v1.1\n"
    assert models_command(filled, "show", "tiny") == 0
    out = capsys.readouterr().out
    assert "better on weekends" in out
    assert out.index("better on weekends") < out.index("the first version")
    assert models_command(filled, "show", "tiny/v1.1") == 0
    out = capsys.readouterr().out
    for word in ("tiny/v1.1, active", "apache-2.0", "ChronosBoltModelForForecasting", "17"):
        assert word in out
    shown = models_json(filled, capsys, "show", "tiny/v1.0")
    assert shown["active"] is False  # type: ignore[index]
    assert {file["name"] for file in shown["files"]} == {"config.json", "model.safetensors"}  # type: ignore[index]


def test_one_command_switches_forward_and_one_back(filled: Store, capsys: Capture) -> None:
    switched = models_json(filled, capsys, "switch", "tiny", "v1.1", "--expected", "v1.0")
    assert switched["active"] == "v1.1"  # type: ignore[index]
    assert models_command(filled, "switch", "tiny", "v1.0", "--expected", "v1.0") == 2
    assert "active is v1.1 now" in capsys.readouterr().err
    back = models_json(filled, capsys, "rollback", "tiny", "--why", "worse on weekends")
    assert back["history"][-1]["why"] == "worse on weekends"  # type: ignore[index]
    assert back["active"] == "v1.0"  # type: ignore[index]


def test_verify_exits_with_one_and_names_the_file(filled: Store, capsys: Capture) -> None:
    capsys.readouterr()
    assert models_command(filled, "verify", "tiny") == 0
    assert capsys.readouterr().out.splitlines() == [
        "as published  tiny/v1.0",
        "as published  tiny/v1.1",
    ]
    filled.put("models/tiny/v1.1/config.json", b"{}")
    assert models_command(filled, "verify", "tiny/v1.1") == 1
    assert "tiny/v1.1: config.json has 2 bytes" in capsys.readouterr().out
    assert models_command(filled, "verify", "tiny/v1.0") == 0


def test_a_backup_restores_into_another_bucket_on_s3(
    filled: Store, tmp_path: Path, capsys: Capture, moto_server: MotoServer
) -> None:
    archive = str(tmp_path / "backups" / "models.tar")
    assert models_command(filled, "backup", archive) == 0
    other_store = open_store(moto_server.new_address("team"))
    bucket, _, prefix = other_store.address.url.removeprefix("s3://").partition("/")
    team_flags = ["--bucket", bucket, "--prefix", prefix]
    assert run(["models", "restore", archive, *team_flags]) == 0
    out = capsys.readouterr().out
    assert "restored  tiny/v1.1" in out
    assert "active    tiny/v1.0" in out
    assert run(["models", "verify", "tiny", *team_flags]) == 0
    assert run(["models", "restore", archive, *team_flags, "--json"]) == 0


def test_a_backup_replaces_an_existing_file_only_on_request(
    filled: Store, tmp_path: Path, capsys: Capture
) -> None:
    archive = tmp_path / "mine.tar"
    archive.write_bytes(b"mine")
    assert models_command(filled, "backup", str(archive)) == 2
    assert "mine.tar exists already" in capsys.readouterr().err
    assert archive.read_bytes() == b"mine"
    assert models_command(filled, "backup", str(archive), "--overwrite") == 0
    assert models_command(filled, "restore", str(archive)) == 0


def test_an_empty_name_is_refused(bucket: Store, first_folder: Path, capsys: Capture) -> None:
    for flag in ("--name", "--model_version"):
        assert models_command(bucket, "publish", str(first_folder), flag, "") == 2
        assert f"{flag} is empty" in capsys.readouterr().err
    assert [page for page in bucket.list() if page] == []


def test_delete_can_show_the_keys_first(filled: Store, capsys: Capture) -> None:
    before = [m.key for page in filled.list() for m in page]
    capsys.readouterr()
    assert models_command(filled, "delete", "tiny/v1.1") == 0
    out = capsys.readouterr().out
    assert "models/tiny/v1.1/manifest.json" in out
    assert "nothing deleted" in out
    assert [m.key for page in filled.list() for m in page] == before
    assert models_command(filled, "delete", "tiny/v1.1", "--yes") == 0
    assert models_command(filled, "delete", "tiny/v1.0", "--yes") == 2
    assert "is active and cannot be deleted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["show", "none"], "no model 'none' under"),
        (["show", "none"], "there are: tiny"),
        (["show", "tiny/v9"], "there are: v1.0, v1.1"),
        (["switch", "tiny", "v9"], "there are: v1.0, v1.1"),
        (["rollback", "tiny"], "nothing before it"),
        (["rollback", "none"], "there are: tiny"),
        (["verify", "tiny/v9"], "there are: v1.0, v1.1"),
        (["delete", "tiny/v9", "--yes"], "there are: v1.0, v1.1"),
        (["delete", "tiny"], "expected NAME/VERSION"),
        (["publish", "/no/such/folder"], "there is no folder"),
        (["publish", "{two}", "--name", "tiny", "--model_version", "v1.0"], "with other content"),
        (["publish", "{two}", "--name", "a b"], "cannot be used as a name"),
        (["download", "no-such-model"], "chronos-bolt-tiny, chronos-bolt-mini"),
        (["restore", "/no/such.tar"], "/no/such.tar"),
        (["backup", "x.tar", "none"], "there are: tiny"),
        (["diff", "tiny", "v1.0", "v9"], "there are: v1.0, v1.1"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_errors_are_one_line_and_change_nothing(
    filled: Store, second_folder: Path, capsys: Capture, words: list[str], says: str
) -> None:
    before = {m.key: m.etag for page in filled.list() for m in page}
    capsys.readouterr()
    assert models_command(filled, *(word.format(two=second_folder) for word in words)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert "Traceback" not in err
    assert {m.key: m.etag for page in filled.list() for m in page} == before


@pytest.mark.parametrize("make", [tiny_bolt, tiny_chronos2, tiny_t5])
def test_each_family_is_described_from_its_own_files(
    bucket: Store, models: Path, make: object
) -> None:
    folder: Path = make(models)  # type: ignore[operator]
    manager = gigacast.ModelManager(bucket=bucket.address.url)
    manifest = manager.publish_model(folder, "some", "v1").manifest
    info = load_forecaster_info(folder)
    assert (manifest.context_length, manifest.prediction_length) == info[:2]
    assert manifest.quantile_levels == info[2]
    tensors = load_file(folder / "model.safetensors")
    assert manifest.parameters == sum(tensor.size for tensor in tensors.values())


def load_forecaster_info(folder: Path) -> tuple[int, int, tuple[float, ...]]:
    from gigacast.forecasters.catalog import describe_forecaster

    options = {"name": "x", "version": "1", "digest": "d"}
    info = describe_forecaster(folder, **options, device="cpu", precision="float32")
    loaded = load_forecaster(folder, info).info
    return loaded.context_length, loaded.prediction_length, loaded.levels


# -- jobs ------------------------------------------------------------------------------------------


def test_a_job_pins_the_active_version_and_a_switch_is_another_forecast(
    bucket: Store, models: Path, tmp_path: Path
) -> None:
    put_panels(bucket, months=["2024-01"], parts=1)
    manager = gigacast.ModelManager(bucket=bucket.address.url)
    manager.publish_model(tiny_bolt(models), "demand", "v1.0")
    manager.publish_model(scaled(tiny_bolt(models), tmp_path / "v1.1", 1.1), "demand", "v1.1")
    first = gigacast.forecast(bucket.address.url, model="demand", horizon=4)
    manager.switch_model("demand", "v1.1")
    second = gigacast.forecast(bucket.address.url, model="demand", horizon=4)
    assert (first.info.version, second.info.version) == ("v1.0", "v1.1")
    assert len(second.plan.tasks) == 1
    receipts = [json.loads(bucket.get(m.key)) for page in bucket.list("timings/") for m in page]
    assert {receipt["version"]: receipt["digest"] for receipt in receipts} == {
        version: manager.read_manifest("demand", version).digest for version in ("v1.0", "v1.1")
    }


def scaled(source: Path, target: Path, factor: float) -> Path:
    """Copy a model with its output layer scaled: its forecasts move, and only a little."""
    shutil.copytree(source, target)
    weights = load_file(target / "model.safetensors")
    for name in weights:
        if "output_patch_embedding" in name:
            weights[name] = weights[name] * np.float32(factor)
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


def test_diff_shows_the_movement_of_forecasts_and_the_better_version(
    bucket: Store, models: Path, tmp_path: Path, capsys: Capture
) -> None:
    put_panels(bucket, months=["2024-01"], parts=2)
    manager = gigacast.ModelManager(bucket=bucket.address.url)
    manager.publish_model(tiny_bolt(models), "demand", "v1.0")
    manager.publish_model(scaled(tiny_bolt(models), tmp_path / "v2", 3.0), "demand", "v2.0")
    before = [m.key for page in bucket.list() for m in page]
    diff_flags = ["--horizon", "6", "--precision", "float32", "--series", "2"]
    same = models_json(bucket, capsys, "diff", "demand", "v1.0", "v1.0", *diff_flags)
    assert (same["movement"]["largest"], same["better"]) == (0.0, None)  # type: ignore[index]
    moved = models_json(bucket, capsys, "diff", "demand", "v1.0", "v2.0", *diff_flags)
    assert (moved["partitions"], moved["series"], moved["scored"]) == (2, 4, 4)  # type: ignore[index]
    assert moved["movement"]["mean"] > 0.01  # type: ignore[index]
    by_name = {score["name"]: score for score in moved["scores"]}  # type: ignore[index]
    assert sorted(by_name) == ["seasonal-naive", "v1.0", "v2.0"]
    assert moved["better"] == min(("v1.0", "v2.0"), key=lambda v: by_name[v]["wql"])  # type: ignore[index]
    assert [m.key for page in bucket.list() for m in page] == before
    assert models_command(bucket, "diff", "demand", "v1.0", "v2.0", *diff_flags) == 0
    assert f"better: {moved['better']}" in capsys.readouterr().out  # type: ignore[index]


def test_diff_scales_errors_by_the_same_history_as_a_backtest(bucket: Store, models: Path) -> None:
    put_frame(bucket, "2024/01/part-0.parquet", hourly_panel("2024-01", steps=744))
    manager = gigacast.ModelManager(bucket=bucket.address.url)
    manifest = manager.publish_model(tiny_bolt(models), "demand", "v1.0").manifest
    assert manifest.context_length < 700
    options = {"horizon": 6, "precision": "float32"}
    compared = manager.diff_versions("demand", "v1.0", "v1.0", **options)  # type: ignore[arg-type]
    tested = gigacast.backtest(bucket.address.url, models=["demand/v1.0"], windows=1, **options)  # type: ignore[arg-type]
    figures = {s.model: s.figures for s in tested.leaderboard.standings}
    for score, name in zip(
        compared.scores, ("demand/v1.0", "demand/v1.0", "seasonal-naive"), strict=True
    ):
        assert score.mase == pytest.approx(figures[name].mase, rel=1e-5)
        assert score.wql == pytest.approx(figures[name].wql, rel=1e-5)


def test_diff_scores_agree_with_a_slow_obvious_oracle(
    bucket: Store, models: Path, tmp_path: Path
) -> None:
    import pandas as pd

    names = put_panels(bucket, months=["2024-01"], parts=1)
    manager = gigacast.ModelManager(bucket=bucket.address.url)
    manager.publish_model(tiny_bolt(models), "demand", "v1.0")
    levels = (0.1, 0.5, 0.8)
    options = {"horizon": 5, "precision": "float32", "quantiles": levels}
    report = manager.diff_versions("demand", "v1.0", "v1.0", **options)  # type: ignore[arg-type]
    frame = pd.read_parquet(tmp_path / "bucket" / f"{names[0]}.parquet")
    holdout = frame.groupby("item_id").tail(5)
    contexts = frame.drop(holdout.index)
    folder = str(tmp_path / "bucket" / "models" / "demand" / "v1.0")
    forecasts = gigacast.forecast(contexts, model=folder, **options)  # type: ignore[call-overload]
    joined = holdout.merge(forecasts, on=["item_id", "timestamp"])
    losses = [
        sum(
            2 * abs((y - f) * ((y <= f) - level))
            for y, f in zip(joined["target"], joined[str(level)], strict=True)
        )
        for level in levels
    ]
    wql = sum(losses) / len(levels) / joined["target"].abs().sum()
    errors = []
    for item, rows in joined.groupby("item_id"):
        past = contexts[contexts["item_id"] == item]["target"].to_numpy()
        scale = np.mean([abs(past[t] - past[t - 24]) for t in range(24, len(past))])
        errors.append((rows["target"] - rows["predictions"]).abs().mean() / scale)
    assert report.scores[0].wql == pytest.approx(wql, rel=1e-4)
    assert report.scores[0].mase == pytest.approx(np.mean(errors), rel=1e-4)


def test_series_without_an_end_to_hold_out_are_counted_not_scored() -> None:
    nan = np.nan
    batch = series_batch([[1, 2, 3, 4], [1, 2], [nan, nan, 3, 4], [1, 2, nan, nan], [5, 5, 5, 5]])
    holdout = hold_out(batch, 2)
    assert holdout.contexts.item_ids.to_pylist() == ["item-0", "item-4"]
    assert [list(values) for values in holdout.contexts] == [[1, 2], [5, 5]]
    assert holdout.actuals.tolist() == [[3, 4], [5, 5]]
    assert Frequency.parse("D").season_length == 7
    week = np.full(2, 7)  # longer than either context
    assert np.isnan(seasonal_error(holdout.contexts.values, holdout.contexts.offsets, week)).all()


def test_the_quantile_loss_is_that_of_its_definition() -> None:
    losses = quantile_loss(np.array([[3.0]]), np.array([[[1.0, 4.0]]]), np.array([0.1, 0.9]))
    np.testing.assert_allclose(losses, [[[2 * 2 * 0.1, 2 * 1 * 0.1]]])
    assert Score.of("v1", None).wql is None


# -- the hub, as far as its wire goes --------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, models: Path) -> Iterator[str]:
    folder = tiny_bolt(models)
    Hub.files = {path.name: path.read_bytes() for path in folder.iterdir()}
    Hub.files["README.md"] = b"---\nlicense: apache-2.0\ntags: []\n---\n# A model\n"
    Hub.files["pytorch_model.bin"] = b"never asked for"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def in_child(*words: str, home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own: the hub's settings are read once."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", **settings}
    command = [sys.executable, str(ROOT / "main.py"), "models", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_downloaded_model_is_pinned_published_and_then_works_offline(
    hub: str, bucket: Store, tmp_path: Path, models: Path
) -> None:
    flags = ["--bucket", bucket.address.url, "--json"]
    version = ["--model_version", "v1.0"]
    process = in_child(
        "download", "chronos-bolt-tiny", *version, *flags, home=tmp_path, HF_ENDPOINT=hub
    )
    assert process.returncode == 0, process.stderr
    report = json.loads(process.stdout)
    assert (report["model"], report["version"], report["license"]) == (
        "chronos-bolt-tiny",
        "v1.0",
        "apache-2.0",
    )
    assert report["source"] == {
        "kind": "hub",
        "repo": "amazon/chronos-bolt-tiny",
        "revision": COMMIT,
        "requested": "main",
    }
    remaining_files = sorted(
        m.key.rpartition("/")[2] for page in bucket.list("models/") for m in page
    )
    assert remaining_files == sorted(
        ["ACTIVE", "manifest.json", *(path.name for path in tiny_bolt(models).iterdir())]
    )
    again = in_child(
        "download", "chronos-bolt-tiny", *version, *flags, home=tmp_path, HF_HUB_OFFLINE="1"
    )
    assert json.loads(again.stdout)["new"] is False


def test_an_unreachable_hub_changes_nothing(bucket: Store, tmp_path: Path) -> None:
    flags = ["--bucket", bucket.address.url]
    process = in_child(
        "download", "chronos-2", *flags, home=tmp_path, HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert process.returncode == 2
    assert "the hub can't be reached" in process.stderr
    assert "HF_ENDPOINT" in process.stderr
    assert list(bucket.list()) == []
