"""A damaged file costs its own partition, and never the run or a wrong number."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.cli.program import run
from gigacast.storage.folder.store import FolderStore
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.panels import hourly_panel, put_frame, put_panels


def lake(tmp_path: Path) -> Store:
    (tmp_path / "bucket").mkdir()
    store = open_store(StoreAddress(f"file://{tmp_path}/bucket"))
    put_panels(store, ("2024-01",), parts=3)
    return store


def forecast(store: Store, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the program with its defaults: a crash in a library must not be able to end the test."""
    words = ["forecast", "--bucket", store.address.url, "--model", "seasonal-naive"]
    program = [sys.executable, "-m", "gigacast", *words, "--horizon", "6"]
    variables = {**os.environ, **environment}
    return subprocess.run(program, capture_output=True, text=True, check=False, env=variables)


def forecasts_in(store: Store) -> list[str]:
    keys = (entry.key for page in store.list("forecasts/") for entry in page)
    return [key.rpartition("/")[2] for key in keys if "part-" in key]


def with_levels_that_do_not_fit(content: bytes) -> bytes:
    """Return a file with one bit changed: the first column is required instead of optional."""
    changed = content.replace(b"\x25\x02\x18\x07item_id", b"\x25\x00\x18\x07item_id")
    assert sum(a != b for a, b in zip(content, changed, strict=True)) == 1
    return changed


def test_a_bit_of_a_footer_that_pyarrow_aborts_for_costs_its_partition_only(tmp_path: Path) -> None:
    store = lake(tmp_path)
    damaged = with_levels_that_do_not_fit(store.get("2024/01/part-00001.parquet"))
    store.put("2024/01/part-00001.parquet", damaged)
    for _ in range(2):  # a rerun tries the file again, and nothing else
        ended = forecast(store)
        assert ended.returncode == 1
        assert forecasts_in(store) == ["part-00000.parquet", "part-00002.parquet"]
        assert (
            "2024/01/part-00001.parquet: cannot be read as parquet: its row group 0" in ended.stdout
        )
        assert "hint: write the object again, or exclude it" in ended.stdout
    put_panels(store, ("2024-01",), parts=3)
    assert forecast(store).returncode == 0
    assert len(forecasts_in(store)) == 3


def test_a_bit_that_a_page_checksum_disproves_is_not_forecast(tmp_path: Path) -> None:
    store = lake(tmp_path)
    assert isinstance(store, FolderStore)
    path = tmp_path / "bucket/2024/01/part-00001.parquet"
    table = pa.Table.from_pandas(hourly_panel(), preserve_index=False)
    pq.write_table(
        table, path, write_page_checksum=True, compression="none", use_dictionary=["item_id"]
    )
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(table["target"][70].as_py()).tobytes()) + 2] ^= 4
    path.write_bytes(bytes(content))
    ended = forecast(store)
    assert ended.returncode == 1
    assert forecasts_in(store) == ["part-00000.parquet", "part-00002.parquet"]
    assert "could not verify page integrity, CRC checksum verification failed" in ended.stdout


def test_a_file_that_kills_the_run_kills_only_its_own_process_at_the_rerun(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = lake(tmp_path)
    # The largest goes first.
    put_frame(store, "2024/01/part-00001.parquet", hourly_panel(steps=200))
    (tmp_path / "path").mkdir()
    shutil.copy(Path(__file__).with_name("crash.py"), tmp_path / "path" / "sitecustomize.py")
    path = os.pathsep.join([str(tmp_path / "path"), os.environ.get("PYTHONPATH", "")])
    crashing = {"PYTHONPATH": path, "CRASH_AT_ROWS": "600"}
    assert forecast(store, **crashing).returncode == -signal.SIGABRT
    assert forecasts_in(store) == []
    # Reruns read files in processes of their own, which crash; this one does not.
    words = ["forecast", "--bucket", store.address.url, "--model", "seasonal-naive"]
    words += ["--horizon", "6"]
    with monkeypatch.context() as changed:
        for name, value in crashing.items():
            changed.setenv(name, value)
        for _ in range(2):
            assert run(words) == 1
            assert forecasts_in(store) == ["part-00000.parquet", "part-00002.parquet"]
            assert "in case a file killed it" in caplog.text
            caplog.clear()
            shown = capsys.readouterr().out
            assert "WorkerLostError: " in shown
            assert "was killed by SIGABRT" in shown
    assert run(words) == 0
    assert len(forecasts_in(store)) == 3
    caplog.clear()
    assert run(words) == 0
    assert "in case a file killed it" not in caplog.text
