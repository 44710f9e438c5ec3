"""Training as people run it: `gigacast train ...`, `finetune`, `ChronosTrainer`."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import gigacast
from gigacast import ChronosLoader, ChronosTrainer, ModelManager
from gigacast.cli.program import run
from gigacast.errors import ConfigError, DataNotFoundError, SchemaError, StorageError
from gigacast.storage.folder.store import FolderStore
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.model_folders import make_folder
from tests.support.moto_server import MotoServer
from tests.support.panels import put_frame
from tests.support.tiny_models import session_folder, tiny_bolt, tiny_chronos2

ROOT = Path(__file__).parents[3]
Capture = pytest.CaptureFixture[str]
QUICK = {
    "horizon": 12,
    "context_length": 48,
    "steps": 6,
    "batch_size": 8,
    "validate_every": 3,
    "checkpoint_every": 2,
    "learning_rate": 2e-3,
    "precision": "float32",
    "device": "cpu",
}
QUICK_FLAGS = [word for name, value in QUICK.items() for word in (f"--{name}", str(value))]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


@pytest.fixture(params=["folder", "s3"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path, moto_server: MotoServer) -> Store:
    if request.param == "s3":
        return open_store(moto_server.new_address())
    return make_bucket(tmp_path)


@pytest.fixture
def folder_bucket(tmp_path: Path) -> Store:
    return make_bucket(tmp_path)


def make_bucket(tmp_path: Path) -> Store:
    (tmp_path / "bucket").mkdir()
    return open_store(StoreAddress(f"file://{tmp_path}/bucket"))


def panel(start: str, steps: int, items: str = "abcdef") -> pd.DataFrame:
    """A panel with a strong daily season, that goes on from one month to the next."""
    times = pd.date_range(start, periods=steps, freq="h")
    hours = (times - pd.Timestamp("2024-01-01")) / pd.Timedelta(hours=1)
    frames = [
        pd.DataFrame(
            {
                "item_id": item,
                "timestamp": times,
                "target": 10.0 * n + 5 * np.sin((hours + n) * 2 * np.pi / 24),
            }
        )
        for n, item in enumerate(items)
    ]
    return pd.concat(frames, ignore_index=True)


def fill(store: Store) -> None:
    """Two months of one part, each half as long as training needs."""
    put_frame(store, "2024/01/part-00000.parquet", panel("2024-01-25", 24 * 7))
    put_frame(store, "2024/02/part-00000.parquet", panel("2024-02-01", 24 * 3))


def keys(store: Store, prefix: str = "models/") -> list[str]:
    return sorted(meta.key for page in store.list(prefix) for meta in page)


def command(store: Store, *words: str) -> list[str]:
    return ["train", "finetune", "--bucket", store.address.url, *words]


# -- the examples of the requirements --------------------------------------------------------------


def test_a_trainer_trains_on_a_csv_and_the_loader_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIGACAST_RUN__DEVICE", "cpu")
    Path("data/raw").mkdir(parents=True)
    panel("2024-01-01", 150, "ab").to_csv("data/raw/sample_data.csv", index=False)
    context_data = np.sin(np.arange(100))
    short = {"steps": 2, "validate_every": 2, "horizon": 12}  # the example's own would take minutes

    trainer = ChronosTrainer()
    trainer.load_training_data("data/raw/sample_data.csv")
    trained = trainer.train(**short)  # type: ignore[typeddict-item]

    loader = ChronosLoader()
    predictions = loader.predict(context_data)

    assert predictions.median.shape == (1, 64)
    assert trained.published is not None
    assert trained.published.manifest.model == "gigacast-bolt-nano-tuned"
    assert ModelManager().active_version("gigacast-bolt-nano-tuned") is None
    version = f"gigacast-bolt-nano-tuned/{trained.published.manifest.version}"
    tuned = ChronosLoader(model=version, bucket=f"file://{Path.cwd()}")
    assert tuned.predict(context_data).median.shape == (1, 64)


def test_a_trainer_trains_on_the_partitions_of_a_symbol(tmp_path: Path, models: Path) -> None:
    store = make_bucket(tmp_path)
    for month, steps in (("2014-01", 90), ("2014-02", 70)):
        times = pd.date_range(f"{month}-01", periods=steps, freq="min")
        frame = pd.DataFrame({"ds": times, "target_close": np.sin(np.arange(float(steps)))})
        year, number = month.split("-")
        key = f"{year}/{number}/SYMBOL_1min_h15_{year}_{number}_769b531dbb2ff3cb.parquet"
        put_frame(store, key, frame)
    config = tmp_path / "config.yaml"
    config.write_text(f"parquet_loader: {{data_paths: {{root_dir: '{tmp_path}/bucket'}}}}\n")

    trainer = ChronosTrainer(parquet_config_path=config, model=str(tiny_bolt(models)))
    assert trainer.load_training_data_from_parquet(symbol="SYMBOL", year=2014, month=1).shape == (
        90,
    )
    with pytest.raises(DataNotFoundError, match="no partition"):
        trainer.load_training_data_from_parquet(symbol="SYMBOL", year=2015)
    with pytest.raises(ConfigError, match="give file_path, or symbol"):
        trainer.load_training_data_from_parquet()
    key = "2014/01/SYMBOL_1min_h15_2014_01_769b531dbb2ff3cb.parquet"
    contexts = trainer.load_training_data_from_parquet(tmp_path / "bucket" / key)
    np.testing.assert_allclose(contexts, np.sin(np.arange(90)), rtol=1e-6)
    result = trainer.train(**{**QUICK, "steps": 2, "validate_every": 2, "name": "t"})  # type: ignore[typeddict-item]
    assert result.published is not None
    assert keys(store)[0].startswith("models/t/")


def test_a_trainer_without_data_or_with_a_bucket_is_an_error_with_a_hint() -> None:
    with pytest.raises(ConfigError, match="no training data") as info:
        ChronosTrainer().train()
    assert "load_training_data" in str(info.value.hint)
    with pytest.raises(ConfigError, match=r"no \.csv, \.parquet or \.json file"):
        ChronosTrainer().load_training_data("my-bucket")


# -- fine-tuning a bucket --------------------------------------------------------------------------


def test_a_version_trained_on_a_bucket_records_its_lineage(
    bucket: Store, models: Path, capsys: Capture
) -> None:
    fill(bucket)
    parent = ["--model", str(tiny_bolt(models)), "--name", "mine", "--new_version", "v1.1"]
    assert run(command(bucket, *QUICK_FLAGS, *parent, "--json")) == 0
    output = json.loads(capsys.readouterr().out)
    assert (output["series"], output["points"], output["finished"]) == (6, 6 * 240, True)
    assert output["active"] is False
    manager = ModelManager(bucket=bucket.address.url)
    manifest = manager.read_manifest("mine", "v1.1")
    assert manager.active_version("mine") is None
    assert manager.verify_model("mine").problems == []
    source, record = manifest.source, manifest.source["record"]
    assert source["kind"] == "training"
    assert len(source["parent"]["digest"]) == 64
    listed = {meta.key: meta.etag for page in bucket.list("2024/") for meta in page}
    assert {entry["key"]: entry["etag"] for entry in record["data"]["inputs"]} == listed
    assert record["settings"]["learning_rate"] == 2e-3
    assert [point["step"] for point in record["curve"]] == [0, 3, 6]
    assert manifest.metrics["validation_loss"] == {
        "before": output["before"],
        "after": output["after"],
    }
    assert manifest.metrics["validation_wql"]["before"] > 0
    assert manifest.software["torch"]


def test_a_trained_version_forecasts_once_it_is_active(folder_bucket: Store, models: Path) -> None:
    fill(folder_bucket)
    parent = ["--model", str(tiny_bolt(models)), "--name", "mine", "--switch", "--why", "better"]
    assert run(command(folder_bucket, *QUICK_FLAGS, *parent, "--quiet")) == 0
    _, active = ModelManager(bucket=folder_bucket.address.url).show_model("mine")
    assert active.history[0].why == "better"
    result = gigacast.forecast(folder_bucket.address.url, model="mine", horizon=6)
    assert (result.status, result.info.version) == ("completed", active.version)
    frame = panel("2024-01-01", 100)
    predictions = gigacast.forecast(
        frame, bucket=folder_bucket.address.url, model="mine", horizon=6
    )
    assert len(predictions) == 36


def test_filters_select_the_training_partitions(folder_bucket: Store, models: Path) -> None:
    fill(folder_bucket)
    options = {**QUICK, "model": str(tiny_bolt(models)), "name": "mine"}
    result = gigacast.finetune(folder_bucket.address.url, months="1", **options)  # type: ignore[arg-type]
    assert result.points == 6 * 24 * 7
    with pytest.raises(DataNotFoundError, match="no partition"):
        gigacast.finetune(folder_bucket.address.url, years="2031", **options)  # type: ignore[arg-type]


def test_an_input_prefix_is_trained_on(folder_bucket: Store, models: Path) -> None:
    put_frame(folder_bucket, "cleaned/v1/SALES/2024/01/part-00000.parquet", panel("2024-01-01", 99))
    options = {**QUICK, "model": str(tiny_bolt(models)), "name": "mine"}
    result = gigacast.finetune(
        folder_bucket.address.url, input_prefix="cleaned/v1/SALES", **options
    )  # type: ignore[arg-type]
    assert result.points == 6 * 99


def test_the_same_seed_and_data_give_the_same_version(folder_bucket: Store, models: Path) -> None:
    fill(folder_bucket)
    options = {**QUICK, "model": str(tiny_bolt(models)), "name": "mine"}
    first, second = (
        gigacast.finetune(folder_bucket.address.url, **options)  # type: ignore[arg-type]
        for _ in range(2)
    )
    reseeded = gigacast.finetune(folder_bucket.address.url, seed=1, **options)  # type: ignore[arg-type]
    assert first.published is not None
    assert second.published is not None
    assert reseeded.published is not None
    assert second.published.manifest.digest == first.published.manifest.digest
    assert (first.published.new, second.published.new, reseeded.published.new) == (
        True,
        False,
        True,
    )


def test_a_lora_adapter_is_published_with_its_base_and_forecasts(
    folder_bucket: Store, models: Path, capsys: Capture
) -> None:
    fill(folder_bucket)
    options = {**QUICK, "model": str(tiny_chronos2(models)), "method": "lora", "name": "lora"}
    first, second = (
        gigacast.finetune(folder_bucket.address.url, switch=True, **options)  # type: ignore[arg-type]
        for _ in range(2)
    )
    assert first.published is not None
    assert second.published is not None
    manifest = first.published.manifest
    assert second.published.manifest.digest == manifest.digest
    assert manifest.architecture == "Chronos2Model + LoRA"
    assert [file.name for file in manifest.files] == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "base/config.json",
        "base/model.safetensors",
    ]
    flags = ["--bucket", folder_bucket.address.url, "--model", "lora", "--horizon", "4"]
    flags += ["--precision", "float32", "--device", "cpu"]
    assert run([*flags, "--quiet"]) == 0
    capsys.readouterr()
    assert run(["verify", *flags, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["worst"] < 1e-4
    with pytest.raises(gigacast.GigacastError, match="it cannot be the base of another"):
        gigacast.finetune(folder_bucket.address.url, **{**options, "model": "lora"})  # type: ignore[arg-type]


def test_a_killed_command_continues_to_the_version_of_an_uninterrupted_one(
    tmp_path: Path, models: Path
) -> None:
    csv = tmp_path / "sales.csv"
    panel("2024-01-01", 150).to_csv(csv, index=False)
    long = ["--steps", "60", "--checkpoint_every", "1", "--checkpoints", str(tmp_path / "c")]
    words = ["train", "finetune", "--data", str(csv), "--model", str(tiny_bolt(models))]
    words += [*QUICK_FLAGS, *long, "--name", "mine", "--threads", "1"]
    slow = "import time, torch; s = torch.save\n"
    slow += "torch.save = lambda *a: (s(*a), time.sleep(0.05))\n"
    slow += f"import sys; sys.path[:0] = [{str(ROOT / 'lib')!r}]\n"
    slow += "from gigacast.cli.program import main; main(sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", slow, *words], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "c/latest.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not Path("models").exists()
    assert run([*words, "--quiet"]) == 0
    assert (
        run([*words[:-4], "--name", "whole", "--checkpoints", str(tmp_path / "d"), "--quiet"]) == 0
    )
    manager = ModelManager()
    resumed, uninterrupted = (manager.show_model(name)[0].versions[0] for name in ("mine", "whole"))
    assert resumed.version == uninterrupted.version  # its digest's first digits


def test_a_run_out_of_time_publishes_nothing_and_the_same_command_continues(
    folder_bucket: Store, models: Path, capsys: Capture
) -> None:
    fill(folder_bucket)
    parent = ["--model", str(tiny_bolt(models)), "--name", "mine"]
    assert run(command(folder_bucket, *QUICK_FLAGS, *parent, "--max_minutes", "1e-9")) == 1
    streams = capsys.readouterr()
    assert "not finished: time was up" in streams.out
    assert keys(folder_bucket) == []
    assert run(command(folder_bucket, *QUICK_FLAGS, *parent)) == 0
    streams = capsys.readouterr()
    assert "6/6 steps" in streams.err
    assert "held-out loss" in streams.out
    assert "published      mine/" in streams.out


# -- what is wrong: the registry stays as it was ---------------------------------------------------


WRONG = {
    "an unknown base": (["--model", "no-such-model"], "no model 'no-such-model'"),
    "a base without weights": (["--model", "seasonal-naive"], "has no weights to train"),
    "more context than it has": (["--context_length", "4096"], "more than the 512 of"),
    "too few points": (["--validation_steps", "500"], "no series to train on: each needs 517"),
    "a loss that is no number": (["--learning_rate", "1e30"], "at step"),
    "a name nobody could use": (["--name", "gigacast-bolt-nano"], "ships with the package"),
    "a version that is there": (["--new_version", "v1.0"], "mine/v1.0 is published already"),
    "no column": (["--targets", "price"], "there is no column 'price'"),
    "no partition": (["--symbol", "NONE"], "no partition under"),
    "lora of a bolt": (["--method", "lora"], "LoRA is for Chronos-2"),
}


def test_errors_are_one_line_and_leave_the_registry_unchanged(
    bucket: Store, models: Path, tmp_path: Path, capsys: Capture
) -> None:
    fill(bucket)
    ModelManager(bucket=bucket.address.url).publish_model(tiny_bolt(models), "mine", "v1.0")
    before = {meta.key: meta.etag for page in bucket.list("models/") for meta in page}
    assert run(["train", "finetune"]) == 2
    assert "nothing to train on" in capsys.readouterr().err
    for name, (words, message) in WRONG.items():
        options = ["--model", str(tiny_bolt(models)), "--name", "mine", *words]
        assert run(command(bucket, *QUICK_FLAGS, *options, "--quiet")) == 2, name
        assert message in capsys.readouterr().err, name
        after = {meta.key: meta.etag for page in bucket.list("models/") for meta in page}
        assert after == before, name


def test_a_checkpoint_of_other_data_or_settings_is_refused(
    bucket: Store, models: Path, tmp_path: Path, capsys: Capture
) -> None:
    fill(bucket)
    arguments = [
        *QUICK_FLAGS,
        "--model",
        str(tiny_bolt(models)),
        "--checkpoints",
        str(tmp_path / "c"),
    ]
    assert run(command(bucket, *arguments, "--max_minutes", "1e-9", "--quiet")) == 1
    assert run(command(bucket, *arguments, "--seed", "3")) == 2
    assert "was made with other settings" in capsys.readouterr().err
    put_frame(bucket, "2024/03/part-00000.parquet", panel("2024-03-01", 5))
    assert run(command(bucket, *arguments)) == 2
    errors = capsys.readouterr().err
    assert "was trained on other data" in errors
    assert "hint: resume with the same model and data" in errors
    assert keys(bucket) == []


def test_a_missing_csv_or_one_without_the_columns_is_refused(tmp_path: Path, models: Path) -> None:
    frame = panel("2024-01-01", 100).rename(columns={"target": "price"})
    frame.to_csv(tmp_path / "prices.csv", index=False)
    options = {**QUICK, "model": str(tiny_bolt(models))}
    with pytest.raises(SchemaError, match=r"prices\.csv: no target column is recognised"):
        gigacast.finetune(tmp_path / "prices.csv", **options)  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="no target column"):
        ChronosTrainer().load_training_data(frame)
    with pytest.raises(DataNotFoundError, match="no such file"):
        gigacast.finetune(tmp_path / "none.csv", **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"expected a \.csv"):
        gigacast.finetune(tmp_path / "prices.txt", **options)  # type: ignore[arg-type]
    assert not Path("models").exists()
    result = gigacast.finetune(tmp_path / "prices.csv", targets="price", name="p", **options)  # type: ignore[arg-type]
    assert result.published is not None


def test_a_disk_that_is_full_while_publishing_leaves_no_version(
    folder_bucket: Store, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder_bucket)
    options = {**QUICK, "model": str(tiny_bolt(models)), "name": "mine", "new_version": "v1"}
    put = FolderStore.put

    def full(store: FolderStore, key: str, content: bytes | Path) -> str:
        if key.endswith(".safetensors"):
            error = OSError(errno.ENOSPC, "No space left on device")
            raise StorageError(f"no room to write {key}", hint="free space") from error
        return put(store, key, content)

    monkeypatch.setattr(FolderStore, "put", full)
    with pytest.raises(StorageError, match="no room to write"):
        gigacast.finetune(folder_bucket.address.url, **options)  # type: ignore[arg-type]
    (summary,) = ModelManager(bucket=folder_bucket.address.url).list_models()
    assert [v.state for v in summary.versions] == ["unfinished"]
    assert summary.active is None
    monkeypatch.setattr(FolderStore, "put", put)
    result = gigacast.finetune(folder_bucket.address.url, **options)  # type: ignore[arg-type]
    assert result.published is not None
    assert result.published.new


def test_unknown_options_are_named() -> None:
    with pytest.raises(ConfigError, match="stepz: no such argument"):
        gigacast.finetune("memory://x", stepz=3)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="max_minutes: -1 is not above 0"):
        gigacast.finetune("memory://x", max_minutes=-1)


# -- pretraining, and what a hand-made version carries ---------------------------------------------

RECIPE = {
    "model": {
        "d_model": 32,
        "d_ff": 64,
        "d_kv": 8,
        "num_heads": 4,
        "num_layers": 2,
        "num_decoder_layers": 1,
        "context_length": 64,
        "prediction_length": 16,
    },
    "steps": 3,
    "decay_steps": 0,
    "batch_size": 16,
    "context_lengths": {64: 1.0},
    "held_out_series": 32,
    "log_every": 1,
    "precision": "float32",
}


def test_a_recipe_becomes_a_model_in_the_registry(
    folder_bucket: Store, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "recipe.yaml").write_text(json.dumps(RECIPE))
    words = ["train", "pretrain", "--recipe", str(tmp_path / "recipe.yaml")]
    words += ["--output", str(tmp_path / "out"), "--bucket", folder_bucket.address.url]
    assert run([*words, "--max_minutes", "1e-9"]) == 1
    assert "not finished" in capsys.readouterr().out
    named = ["--name", "fresh", "--new_version", "v1", "--license", "apache-2.0"]
    assert run([*words, *named, "--threads", "1"]) == 0
    streams = capsys.readouterr()
    assert "3/3 steps" in streams.err
    assert "published      fresh/v1" in streams.out
    manager = ModelManager(bucket=folder_bucket.address.url)
    manifest = manager.read_manifest("fresh", "v1")
    assert manifest.source["parent"] is None
    assert manifest.source["record"]["settings"]["model"]["d_model"] == 32
    assert manifest.metrics["held_out_loss"] > 0
    assert run(["models", "show", "fresh/v1", "--bucket", folder_bucket.address.url]) == 0
    assert "trained from scratch" in capsys.readouterr().out
    assert (tmp_path / "out-checkpoints/latest.pt").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--recipe", "none.yaml"], "none.yaml: no such file"),
        (["--new_version", "v1"], "there is no --name"),
        (["--name", "gigacast-bolt-nano"], "ships with the package"),
        (["--max_minutes", "0"], "max_minutes: 0.0 is not above 0"),
    ],
)
def test_invalid_pretraining_options_are_refused(
    words: list[str], message: str, capsys: Capture
) -> None:
    Path("recipe.yaml").write_text("{}")
    options = ["train", "pretrain", "--recipe", "recipe.yaml", "--output", "out", *words]
    assert run(options) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_version_published_from_python_has_its_metrics_and_source(
    folder_bucket: Store, tmp_path: Path, capsys: Capture
) -> None:
    model_folder = make_folder(tmp_path / "made")
    (tmp_path / "metrics.json").write_text('{"wql": 0.031}')
    flags = ["--bucket", folder_bucket.address.url]
    words = ["models", "publish", str(model_folder), "--name", "m", *flags, "--json"]
    facts = ["--metrics", str(tmp_path / "metrics.json"), "--source", "distilled by hand in May"]
    assert run([*words, "--model_version", "v1", *facts]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["metrics"] == {"wql": 0.031}
    assert output["source"] == {"kind": "note", "note": "distilled by hand in May"}
    inline = ["--source", '{"kind": "folder", "path": "x"}', "--metrics", "good on weekends"]
    assert run([*words, "--model_version", "v2", *inline]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["metrics"] == {"note": "good on weekends"}
    assert output["source"] == {"kind": "folder", "path": "x"}
    assert run(["models", "show", "m/v1", *flags]) == 0
    assert "distilled by hand in May" in capsys.readouterr().out
    for wrong in ("{wql: 3}", "none.json"):
        assert run([*words, "--model_version", "v3", "--metrics", wrong]) == 2
        assert "metrics: " in capsys.readouterr().err
    assert len(ModelManager(bucket=folder_bucket.address.url).list_models()[0].versions) == 2
