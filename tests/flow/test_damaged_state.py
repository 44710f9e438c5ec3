"""Damaged state files never end a command in a traceback, and never make anything wrongly done."""

import json
import os
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gigacast.cli.program import run
from tests.support.damage import damaged
from tests.support.stored_bucket import CLEAN, FOLDER, FORECASTS, MTIMES, OBJECTS, QUALITY

NAIVE = "--model seasonal-naive"
LAKE = "--prefix lake"
SALES = "--prefix sales"
MTIMES_OF = json.loads(MTIMES.read_text())
SEEDS = range(4)


@dataclass(frozen=True)
class Kind:
    """State files of one kind, and the commands that read them.

    Parameters
    ----------
    files : str
        Pattern below the root.
    commands : tuple of str
    root : Path
    """

    files: str
    commands: tuple[str, ...]
    root: Path = FOLDER


ARRAY_STATUS = (f"status {SALES} {NAIVE} --horizon 6 --quantiles 0.5",)
REGISTRY = ("models list", "models show tiny", "models verify tiny", "models activate tiny v1.0")
KINDS = {
    "audit": Kind("sales/audit/*.json", (f"status {FORECASTS['month']}", "data lineage")),
    "audit with failures": Kind(
        "broken/audit/*.json", (f"status --prefix broken {NAIVE} --horizon 2",)
    ),
    "audit of a dataset": Kind("lake/audit/*.json", (f"data lineage cleaned/MES {LAKE}",)),
    "audit of an array": Kind("sales/audit/*.json", ARRAY_STATUS, OBJECTS),
    "summary of a child": Kind("sales/audit/*/*.json", ARRAY_STATUS, OBJECTS),
    "plan": Kind("sales/plans/**/*.json", ARRAY_STATUS, OBJECTS),
    "manifest of forecasts": Kind(
        "sales/forecasts/seasonal-naive/*/h3*/_manifest.parquet",
        (FORECASTS["month"], f"evaluate {SALES} {NAIVE}"),
    ),
    "receipt of a forecast": Kind(
        "fx/timings/**/*.json", (FORECASTS["symbol"], "data discover --prefix fx")
    ),
    "receipt of other forecasts": Kind(
        "sales/timings/forecasts/seasonal-naive/**/*.json",
        (f"plan {FORECASTS['month']}", f"plan {SALES} {NAIVE} --horizon 12 --quantiles 0.5"),
    ),
    "receipt of cleaning": Kind("lake/timings/cleaning/**/*.json", (CLEAN,)),
    "receipt of quality": Kind("lake/timings/quality/**/*.json", (QUALITY["dataset"],)),
    "measures": Kind("lake/quality/raw/**/*.json", (QUALITY["dataset"],)),
    "active version": Kind("sales/models/tiny/ACTIVE", tuple(f"{c} {SALES}" for c in REGISTRY)),
    "manifest of a model": Kind(
        "sales/models/tiny/*/manifest.json",
        (*(f"{c} {SALES}" for c in REGISTRY), f"models diff tiny v1.0 v1.1 {SALES}"),
    ),
    "manifest of a dataset": Kind(
        "lake/*/*/*/manifest.json",
        (
            f"data versions {LAKE}",
            f"data describe cleaned/v1.1/QUOTES {LAKE}",
            f"data lineage features/v2/mine {LAKE}",
            f"data diff cleaned/v1/QUOTES cleaned/v1.1/QUOTES {LAKE}",
            f"data retire cleaned/QUOTES --deprecated --yes {LAKE}",
            f"plan {FORECASTS['dataset']}",
            CLEAN,
        ),
    ),
    "metadata": Kind("lake/cleaned/*/*/metadata.json", (f"data describe cleaned/MES {LAKE}",)),
    "deprecation": Kind(
        "lake/cleaned/v1/QUOTES/DEPRECATED",
        (f"data versions {LAKE}", f"data deprecate cleaned/v1/QUOTES {LAKE}"),
    ),
    "twin of an input": Kind("fx/2014/*/*.json", ("data discover --prefix fx",)),
}
# What the commands above made before: the same input and settings give the same bytes again.
MADE = ("*/forecasts/**/part-*.parquet", "*/cleaning/**/*.parquet", "*/quality/raw/**/*.json")


@pytest.fixture(autouse=True)
def _no_settings_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


def restored(kind: Kind, folder: Path) -> Path:
    """Lay the prefix of a kind into a folder, with its times."""
    prefix = kind.files.partition("/")[0]
    shutil.copytree(kind.root / prefix, folder / prefix)
    for key, mtime_ns in MTIMES_OF.items():
        if kind.root == FOLDER and key.startswith(f"{prefix}/"):
            os.utime(folder / key, ns=(mtime_ns, mtime_ns))
    return folder


def made_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    for pattern in MADE:
        for path in folder.glob(pattern):
            yield path.relative_to(folder).as_posix(), path.read_bytes()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", KINDS)
def test_damaged_state_never_ends_in_a_traceback_or_a_wrong_result(
    name: str, seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, number = KINDS[name], zlib.crc32(name.encode()) + seed
    folder = restored(kind, tmp_path / "lake")
    files = sorted(path for path in folder.glob(kind.files) if path.is_file())
    path = files[number % len(files)]
    before, times = dict(made_in(folder)), path.stat()
    content, damage = damaged(path.read_bytes(), number)
    path.write_bytes(content)
    # Bit rot keeps the time of the file, and so its ETag if the size is the same.
    os.utime(path, ns=(times.st_mtime_ns, times.st_mtime_ns))
    key = path.relative_to(folder).as_posix()
    for command in kind.commands:
        code = run([*command.split(), "--bucket", f"file://{folder}"])
        output = "".join(capsys.readouterr())
        context = f"{key}, {damage}: {command} ended with {code}: {output[-300:]}"
        assert code in {0, 1, 2}, context
        assert "Traceback" not in output, context
        assert code == 0 or output.strip(), context
    after = dict(made_in(folder))
    # Retiring may have deleted a file of its own, and nothing else is gone or changed.
    changed = {name for name, content in before.items() if after.get(name) != content} - {key}
    assert changed == set(), damage


def measured(folder: Path) -> dict[str, bytes]:
    return {key: json.loads(content) for key, content in made_in(folder) if "/quality/" in key}


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"[[[["])
def test_a_damaged_receipt_of_cleaning_counts_as_pending_and_is_replaced(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = KINDS["receipt of cleaning"]
    folder = restored(kind, tmp_path / "lake")
    first, second = sorted(folder.glob(kind.files))
    undamaged = json.loads(first.read_bytes())
    first.write_bytes(content)
    command = [*CLEAN.split(), "--bucket", f"file://{folder}", "--json"]
    assert run(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["computed"], result["skipped"]) == (1, 1)
    again = json.loads(first.read_bytes())
    assert {name: again["output"][name] for name in ("key", "etag", "rows")} == {
        name: undamaged["output"][name] for name in ("key", "etag", "rows")
    }
    assert second.exists()
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == 2


def test_damaged_measures_are_measured_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = KINDS["measures"]
    folder = restored(kind, tmp_path / "lake")
    before = measured(folder)
    path = sorted(folder.glob(kind.files))[0]
    times = path.stat()
    path.write_bytes(b"x" * times.st_size)
    os.utime(path, ns=(times.st_mtime_ns, times.st_mtime_ns))
    assert run([*QUALITY["dataset"].split(), "--bucket", f"file://{folder}"]) == 1  # verdict: fail
    assert "measured 1, known before 1" in capsys.readouterr().out
    assert measured(folder) == before


def test_a_damaged_manifest_is_made_again_from_the_receipts_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kind = KINDS["manifest of forecasts"]
    folder = restored(kind, tmp_path / "lake")
    (path,) = folder.glob(kind.files)
    undamaged = pq.read_table(path)
    path.write_bytes(b"PAR1" + path.read_bytes()[:-1])
    assert run([*f"evaluate {SALES} {NAIVE}".split(), "--bucket", f"file://{folder}"]) == 2
    # A run of one month finds the others in the receipts.
    command = f"{FORECASTS['month']} --months 1"
    assert run([*command.split(), "--bucket", f"file://{folder}"]) == 0
    assert pq.read_table(path).equals(undamaged)
    assert [r.getMessage() for r in caplog.records if "rebuilt from" in r.getMessage()]
