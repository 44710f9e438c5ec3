"""`--verify_datasets` and its keyword hold wherever rows of published datasets are read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gigacast import datasets, feature_sets
from gigacast.cli.program import run
from gigacast.errors import ConfigError, DatasetIntegrityError
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.support.bars import publish
from tests.support.panels import hourly_panel

CREATED_BY = b"parquet-cpp-arrow"
RECIPE = "name: mine\nkeep: [target]\nfeatures:\n- {kind: return, column: target}\n"
SCHEMA = "name: mine\nversion: v1\ncolumns:\n- {name: target, type: float64, nullable: true}\n"


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with a version whose file is damaged where no checksum of a page shows it."""
    folder = tmp_path_factory.mktemp("damaged") / "bucket"
    folder.mkdir()
    store = open_store(StoreAddress(f"file://{folder}"))
    publish(store, "cleaned/v1/panel", hourly_panel("2024-01", ["a", "b"]), contract=None)
    (path,) = (folder / "cleaned").rglob("*.parquet")
    content = bytearray(path.read_bytes())
    content[content.rindex(CREATED_BY)] ^= 1
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (folder.parent / "mine.yaml").write_text(SCHEMA)
    (folder.parent / "recipe.yaml").write_text(RECIPE)
    return folder


COMMANDS = {
    "publish": "data publish cleaned/v1/panel cleaned/v{n}/other",
    "validate": "data validate cleaned/v1/panel --schema {d}/mine.yaml",
    "infer": "data infer cleaned/v1/panel --output {d}/out.yaml",
    "features": "data features cleaned/v1/panel features/v{n}/mine --recipe {d}/recipe.yaml",
    "quality": "data quality cleaned/v1/panel",
    "clean": "data clean cleaned/v1/panel cleaned/v{n}/again",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_check_all_files_or_none(
    damaged: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for number, (choice, is_refused) in enumerate((("always", True), ("never", False)), 1):
        words = COMMANDS[name].format(d=damaged.parent, n=number).split()
        code = run([*words, "--bucket", f"file://{damaged}", "--verify_datasets", choice])
        shown = "".join(capsys.readouterr())
        assert ("is damaged" in shown) == is_refused, shown
        assert (code != 0) == is_refused, shown


def test_an_append_reads_the_rows_of_its_parent_with_the_setting(
    damaged: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.parquet"
    hourly_panel("2024-01", ["c", "d"]).to_parquet(rows, index=False)
    (tmp_path / "keyed.yaml").write_text(f"{SCHEMA}unique: [[target]]\n")
    words = f"data publish {rows} cleaned/v1.1/panel --append --schema {tmp_path}/keyed.yaml"
    code = run([*words.split(), "--bucket", f"file://{damaged}", "--verify_datasets", "always"])
    assert code == 2
    assert "is damaged" in capsys.readouterr().err


Read = Callable[[str, str], Any]
READERS: dict[str, Read] = {
    "read_parquet_with_schema": lambda path, verify: datasets.read_parquet_with_schema(
        path, verify_datasets=verify
    ),
    "read_partitioned_dataset": lambda path, verify: datasets.read_partitioned_dataset(
        path, verify_datasets=verify
    ),
    "iterate_batches": lambda path, verify: [
        *datasets.iterate_batches(path, verify_datasets=verify)
    ],
    "build_features": lambda path, verify: feature_sets.build_features(
        path,
        f"{path.partition('/cleaned')[0]}/features/{'v8' if verify == 'never' else 'v9'}/py",
        {"name": "mine", "features": [{"kind": "return", "column": "target"}]},
        verify_datasets=verify,
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_functions_check_all_files_or_none(damaged: Path, name: str) -> None:
    path = f"file://{damaged}/cleaned/v1/panel"
    with pytest.raises(DatasetIntegrityError, match="is damaged"):
        READERS[name](path, "always")
    READERS[name](path, "never")
    with pytest.raises(ConfigError, match="verify_datasets: 'sometimes' is none of always"):
        READERS[name](path, "sometimes")
