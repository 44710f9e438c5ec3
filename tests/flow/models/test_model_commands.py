"""Models as people handle them: `gigacast models ...`, `ModelManager`, and jobs that use them."""

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file

import gigacast
from gigacast.cli.program import run
from gigacast.errors import ModelConflictError, ModelNotFoundError
from gigacast.forecasters.catalog import load_forecaster
from gigacast.forecasters.engine import EngineChoice
from gigacast.report.quantity import count
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store
from tests.flow.models.registries import Capture, models_command, models_json, scaled
from tests.support.moto_server import MotoServer
from tests.support.panels import put_panels
from tests.support.tiny_models import (
    tiny_bolt,
    tiny_chronos2,
    tiny_t5,
)


@pytest.fixture
def first_folder(models: Path, tmp_path: Path) -> Path:
    return scaled(tiny_bolt(models), tmp_path / "one", 1.0)


@pytest.fixture
def second_folder(models: Path, tmp_path: Path) -> Path:
    return scaled(tiny_bolt(models), tmp_path / "two", 1.5)


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


def test_show_prints_the_whole_manifest(
    filled: Store, second_folder: Path, capsys: Capture
) -> None:
    capsys.readouterr()
    assert models_command(filled, "switch", "tiny", "v1.1", "--why", "better on weekends") == 0
    assert capsys.readouterr().out == "active: tiny/v1.1\n"
    assert models_command(filled, "show", "tiny") == 0
    out = capsys.readouterr().out
    assert "better on weekends" in out
    assert out.index("better on weekends") < out.index("the first version")
    assert models_command(filled, "show", "tiny/v1.1") == 0
    out = capsys.readouterr().out
    total = sum(tensor.size for tensor in load_file(second_folder / "model.safetensors").values())
    named = ("tiny/v1.1, active", "apache-2.0", "ChronosBoltModelForForecasting", count(total))
    for word in named:
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
    info = describe_forecaster(folder, **options, choice=EngineChoice("auto", "cpu", "float32"))
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
