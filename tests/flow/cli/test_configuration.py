"""`init` writes settings that fit a bucket, `config show` says where settings come from."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.cli.program import run
from gigacast.settings.load import load_settings
from gigacast.storage.folder.store import FolderStore

FILE = Path("config/settings.yaml")


def write_month(folder: Path, **columns: list[object]) -> None:
    """Write a part of two items over two days; columns replace or add to the usual ones."""
    start = datetime(2024, 1, 1)  # noqa: DTZ001 - wall time, as in most files
    values: dict[str, list[object]] = {
        "sku": ["a"] * 48 + ["b"] * 48,
        "timestamp": [start + timedelta(hours=hour % 48) for hour in range(96)],
        "target": [float(hour % 24) for hour in range(96)],
        "price": [1.5] * 96,
    }
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(values | columns), folder / "part-00000.parquet")


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_month(tmp_path / "lake/sales/2023/12")
    write_month(tmp_path / "lake/sales/2024/01")
    return f"file://{tmp_path}/lake"


INIT = ["init", "--prefix", "sales", "--item_id_column", "sku", "--bucket"]


def test_after_init_the_program_alone_forecasts_the_bucket(bucket, capsys):
    assert run([*INIT, bucket, "--horizon", "3", "--model", "seasonal-naive"]) == 0
    settings = load_settings(file=FILE)
    columns = settings.parquet_loader.columns
    assert (settings.run.bucket, settings.run.prefix) == (bucket, "sales")
    assert (columns.item_id_column, columns.datetime_column) == ("sku", "timestamp")
    assert columns.target_columns == ("target",)
    assert "price" in FILE.read_text()
    capsys.readouterr()
    assert run([]) == 0
    assert "2 done" in capsys.readouterr().out
    assert len(list(Path("lake/sales/forecasts").rglob("part-*.parquet"))) == 2


def test_init_says_what_it_has_found(bucket, capsys):
    assert run([*INIT, bucket, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "settings": str(FILE),
        "input": f"{bucket}/sales",
        "month": "2024-01",
        "partitions": 1,
        "key": "2024/01/part-00000.parquet",
        "item_columns": ["sku"],
        "timestamp": "timestamp",
        "targets": ["target"],
        "other_columns": ["price"],
        "problem": None,
    }


def test_init_lists_only_the_latest_month(bucket, monkeypatch):
    prefixes = []
    original = FolderStore.list

    def recorded(self, prefix="", **options):
        prefixes.append(prefix)
        return original(self, prefix, **options)

    monkeypatch.setattr(FolderStore, "list", recorded)
    assert run([*INIT, bucket]) == 0
    assert prefixes
    assert all(prefix.startswith("2024/") for prefix in prefixes)


def test_a_file_that_exists_is_replaced_only_by_force(bucket, capsys):
    FILE.parent.mkdir()
    FILE.write_text("run: {limit: 1}\n")
    assert run([*INIT, bucket]) == 2
    assert "config/settings.yaml: the file exists" in capsys.readouterr().err
    assert FILE.read_text() == "run: {limit: 1}\n"
    assert run([*INIT, bucket, "--force"]) == 0
    assert load_settings(file=FILE).run.limit is None


def test_init_without_recognised_columns_says_which_there_are(bucket, capsys):
    write_month(Path("lake/sales/2024/02"), timestamp=[True] * 96)
    assert run([*INIT, bucket]) == 0
    assert "no timestamp column is recognised" in " ".join(capsys.readouterr().out.split())
    assert "no timestamp column is recognised" in FILE.read_text().replace("\n# ", " ")
    assert load_settings(file=FILE).run.bucket == bucket


def test_a_hostile_column_cannot_write_settings(bucket):
    write_month(Path("lake/sales/2024/02"), **{"x\u2028run:\n  limit: 7\x1b[2J": [1.0] * 96})
    assert run([*INIT, bucket]) == 0
    assert load_settings(file=FILE).run.limit is None
    assert "\x1b" not in FILE.read_text()


@pytest.mark.parametrize(
    ("place", "code", "text"),
    [
        ("file:///nowhere/at/all", 2, "there is no folder /nowhere/at/all"),
        ("{empty}", 0, "There are no partitions yet"),
    ],
)
def test_init_of_a_bucket_without_data(bucket, tmp_path, capsys, place, code, text):
    (tmp_path / "empty").mkdir()
    assert run(["init", "--bucket", place.format(empty=f"file://{tmp_path}/empty")]) == code
    shown = capsys.readouterr()
    assert text in " ".join((shown.out + shown.err).split())
    assert FILE.exists() == (code == 0)


def test_a_folder_that_cannot_be_written_is_named(bucket, tmp_path, capsys):
    (tmp_path / "config").write_text("a file")
    assert run([*INIT, bucket]) == 2
    assert "config/settings.yaml: can't be written" in capsys.readouterr().err


def test_config_show_names_flag_variable_and_file(bucket, monkeypatch, capsys):
    FILE.parent.mkdir()
    FILE.write_text("run: {prefix: sales}\n")
    monkeypatch.setenv("GIGACAST_RUN__N_JOBS", "2")
    assert run(["config", "show", "--changed", "--limit", "3", "--json"]) == 0
    entries = {entry["setting"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert {name: (entry["value"], entry["source"]) for name, entry in entries.items()} == {
        "run.prefix": ("sales", "file"),
        "run.n_jobs": (2, "environment"),
        "run.limit": (3, "argument"),
    }
    assert entries["run.n_jobs"]["place"] == "GIGACAST_RUN__N_JOBS"
    assert run(["config", "show"]) == 0
    shown = capsys.readouterr().out
    assert "forecast.quantiles" in shown
    assert "config/settings.yaml" in shown


@pytest.mark.parametrize("settings", [None, "forecast: {seed: 1}\n"])
def test_without_a_bucket_the_program_alone_shows_its_help(tmp_path, monkeypatch, capsys, settings):
    monkeypatch.chdir(tmp_path)
    if settings is not None:
        FILE.parent.mkdir()
        FILE.write_text(settings)
    assert run([]) == 0
    assert "Usage: gigacast" in capsys.readouterr().out


def test_a_broken_settings_file_is_named_by_the_program_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    FILE.parent.mkdir()
    FILE.write_text("run: {buckets: 1}\n")
    assert run([]) == 2
    assert "run.buckets: unknown key" in capsys.readouterr().err
