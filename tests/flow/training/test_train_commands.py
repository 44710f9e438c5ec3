"""Training as people run it: `gigacast train ...`, `finetune`, `ChronosTrainer`."""

import errno
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gigacast
from gigacast import ChronosTrainer, ModelManager
from gigacast.cli.program import run
from gigacast.errors import ConfigError, DataNotFoundError, SchemaError, StorageError
from gigacast.storage.folder.store import FolderStore
from gigacast.storage.store import Store
from tests.flow.training.trainings import QUICK, Capture, keys, panel
from tests.support.panels import put_frame
from tests.support.tiny_models import tiny_bolt, tiny_chronos2

ROOT = Path(__file__).parents[3]

QUICK_FLAGS = [word for name, value in QUICK.items() for word in (f"--{name}", str(value))]


def fill(store: Store) -> None:
    """Two months of one part, each half as long as training needs."""
    put_frame(store, "2024/01/part-00000.parquet", panel("2024-01-25", 24 * 7))
    put_frame(store, "2024/02/part-00000.parquet", panel("2024-02-01", 24 * 3))


def command(store: Store, *words: str) -> list[str]:
    return ["train", "finetune", "--bucket", store.address.url, *words]


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
    long = ["--steps", "20", "--checkpoint_every", "1", "--checkpoints", str(tmp_path / "c")]
    words = ["train", "finetune", "--data", str(csv), "--model", str(tiny_bolt(models))]
    words += [*QUICK_FLAGS, *long, "--name", "mine", "--threads", "1"]
    slow = "import time, torch; s = torch.save\n"
    slow += "torch.save = lambda *a: (s(*a), time.sleep(0.2))\n"
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
    (tmp_path / "prices.csv.gz").write_bytes(gzip.compress(b"item_id,timestamp,target\n"))
    with pytest.raises(ConfigError, match="compressed"):
        gigacast.finetune(tmp_path / "prices.csv.gz", **options)  # type: ignore[arg-type]
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
