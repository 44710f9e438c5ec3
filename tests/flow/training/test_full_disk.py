"""Fine-tuning on a disk that fills up, at whatever file that happens."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.support.warm_python import TORCH, warm_python


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full")
    days = np.datetime64("2020-01-01") + np.arange(300)
    rows = [f"a,{day},{10 + day.astype(int) % 7}" for day in days]
    path = folder / "rows.csv"
    path.write_text("\n".join(["item,timestamp,target", *rows]) + "\n")
    return path


def finetune(data: Path, folder: Path, limit: int | None = None) -> tuple[int, str]:
    """Return the exit code and the errors of a run none of whose files may outgrow the limit.

    This is what a quota does, without the rights to set one.
    """
    (folder / "bucket").mkdir(exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    words = f"train finetune --bucket file://{folder}/bucket --data {data} --steps 2 --horizon 7 "
    words += "--name tuned --new_version v1 --switch --batch_size 2 --device cpu --threads 1"
    own = {"TMPDIR": str(folder / "tmp"), "GIGACAST_CACHE": str(folder / "cache")}
    reader, writer = os.pipe()  # a file would be limited, too
    program = warm_python(TORCH).start(
        "gigacast", words.split(), environment={**os.environ, **own}, err=writer, file_limit=limit
    )
    os.close(writer)
    with os.fdopen(reader) as stream:
        errors = stream.read()
    return program.wait(), errors


def visible(folder: Path) -> list[str]:
    """Return what readers of the registry would find."""
    found = (folder / "bucket").rglob("*")
    return sorted(path.name for path in found if path.name in {"manifest.json", "ACTIVE"})


@pytest.mark.parametrize("limit", [200, 20_000, 1_000_000])
def test_a_full_disk_is_a_clear_error_and_leaves_nothing_half_visible(
    data: Path, tmp_path: Path, limit: int
) -> None:
    code, errors = finetune(data, tmp_path, limit)
    assert code == 2, errors
    assert "Traceback" not in errors
    *_, message, hint = errors.splitlines()
    assert message.startswith("gigacast: ")
    assert any(name in message for name in ("tmp", "cache", "bucket")), message
    assert "hint: free space" in hint
    assert visible(tmp_path) == []
    assert not list((tmp_path / "tmp").glob("gigacast-*"))


def test_the_same_command_succeeds_when_there_is_room(data: Path, tmp_path: Path) -> None:
    assert finetune(data, tmp_path, 20_000)[0] == 2
    code, errors = finetune(data, tmp_path)
    assert code == 0, errors
    assert visible(tmp_path) == ["ACTIVE", "manifest.json"]
