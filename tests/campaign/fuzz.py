"""A fuzzer over every kind of file that the product reads.

Each mutant is one damaged file in an otherwise sound bucket, and a command that reads it. The
command must end with an exit code of its own, name the file if it refuses it, print no control
characters, and leave what an undisturbed run leaves where the file itself proves its damage or is
not needed. Mutants run in a child process, which may die: that is a broken law as well.
"""

import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import gigacast
from gigacast.cli.program import run
from gigacast.core.text import is_unprintable
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.campaign.features import put_features
from tests.campaign.jobs import NAIVE
from tests.campaign.plans import put_plan, run_child
from tests.campaign.values import contents
from tests.flow.tables.table_formats import TableFormat, panel
from tests.support.panels import hourly_panel
from tests.support.warm_python import warm_python

LIB = Path(gigacast.__file__).parents[1]
SLOW_S = 60.0
_VALUES: tuple[Any, ...] = (None, -1, 1e308, True, "", "x" * 2000, "\x1b[2J", [], {}, [[]], 10**30)
CONTRACT = "name: mine\nversion: v1\ncolumns:\n- {name: target, type: float64, nullable: false}\n"
RECIPE = "name: mine\nkeep: [target]\nfeatures:\n- {kind: return, column: target}\n"
SETTINGS = "run: {prefix: '', quantiles: [0.1, 0.5]}\nmodel: {model_type: seasonal-naive}\n"

Mutation = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class FileKind:
    """A file and the command that reads it.

    Parameters
    ----------
    path : str
        Path below the folder of the trial; a pattern for files whose names have digests.
    words : str
        The command; ``{b}`` stands for the flags of the bucket, ``{f}`` for the damaged file,
        ``{t}`` for the folder of tables.
        ``child`` runs a child of an array; with ``{h}`` it is given the digest of the damaged plan.
    is_proved : bool
        Whether damage is always noticed or harmless, so that the forecasts never differ.
    is_text : bool
        Whether values of the JSON are exchanged, besides its bytes.
    """

    path: str
    words: str
    is_proved: bool = False
    is_text: bool = False


_FORECAST = f"forecast {NAIVE} {{b}}"
_DELTA = f"forecast {NAIVE} {{b}} --prefix t --input_prefix delta://{{t}}/sales"
_ICEBERG = f"forecast {NAIVE} {{b}} --prefix t --input_prefix iceberg://lake/ns.sales"
_BACKFILL = "feature-store backfill quickstart.purchases.v1 {b}"
FILES = {
    "Parquet with checksums": FileKind("bucket/2024/01/part-0.parquet", _FORECAST, is_proved=True),
    "Parquet": FileKind("bucket/2024/01/part-1.parquet", _FORECAST),
    "CSV": FileKind("bucket/2024/01/part-2.csv", _FORECAST),
    "JSON": FileKind("bucket/2024/01/part-3.json", _FORECAST, is_text=True),
    "receipt": FileKind("bucket/timings/**/part-0.*.json", _FORECAST, True, is_text=True),
    "manifest of a run": FileKind("bucket/forecasts/**/_manifest.parquet", _FORECAST, True),
    "audit": FileKind("bucket/audit/*.json", f"status {NAIVE} {{b}}", True, is_text=True),
    "manifest of a dataset": FileKind(
        "bucket/cleaned/v1/quotes/manifest.json",
        "data describe cleaned/quotes {b}",
        True,
        is_text=True,
    ),
    "manifest of a model": FileKind(
        "bucket/models/mine/*/manifest.json", "models verify mine {b}", True, is_text=True
    ),
    "active version": FileKind("bucket/models/mine/ACTIVE", "models list {b}", True, is_text=True),
    "compiled definition": FileKind(
        "bucket/feature_store/**/*purchases*.json", _BACKFILL, True, is_text=True
    ),
    "table of events": FileKind("bucket/data/purchases/ds=2023-12-02/part-0.parquet", _BACKFILL),
    "plan": FileKind("bucket/plans/*.json", "child", True, is_text=True),
    "plan whose digest is believed": FileKind("bucket/plans/*.json", "child {h}", is_text=True),
    "tasks of a plan": FileKind("bucket/plans/*/0.json", "child", True, is_text=True),
    "settings": FileKind("settings.yaml", "plan --config {f} --horizon 6 {b}", True),
    "contract": FileKind("contract.yaml", "data validate {r} --schema {f}", True),
    "recipe": FileKind("recipe.yaml", "data features {r} features/v9/x --recipe {f} {b}", True),
    "archive": FileKind("backup.tar", "models restore {f} {b} --prefix restored", True),
    "log of a Delta table": FileKind("tables/sales/_delta_log/*.json", _DELTA),
    "file of a Delta table": FileKind("tables/sales/year=*/*/*.parquet", _DELTA),
    "metadata of an Iceberg table": FileKind(
        "tables/ns/sales/metadata/00002*.json", _ICEBERG, is_text=True
    ),
    "manifest list of an Iceberg table": FileKind("tables/ns/sales/metadata/snap*", _ICEBERG),
    "manifest of an Iceberg table": FileKind("tables/ns/sales/metadata/*-m0.avro", _ICEBERG),
    "file of an Iceberg table": FileKind("tables/ns/sales/data/*/*.parquet", _ICEBERG),
    "weights": FileKind("model/model.safetensors", "models publish {d} --name x {b}", True),
    "configuration of a model": FileKind(
        "model/config.json", "models publish {d} --name x {b}", True, is_text=True
    ),
}
"""All kinds of files by name."""


def fuzz(name: str, seed: int, count: int) -> list[str]:
    """Return the problems of ``count`` mutants of a file."""
    problems, first = [], 0
    while first < count:
        arguments = [name, str(seed), str(first), str(count)]
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            child = warm_python().start("tests.campaign.fuzz", arguments, out=out, err=err)
            code = child.wait()
            out.seek(0)
            err.seek(0)
            reports = [json.loads(line) for line in out if line[:1] == "{"]
            errors = err.read()[-300:]
        problems += [f"mutant {r['mutant']}: {r['problem']}" for r in reports if r["problem"]]
        if code == 0:
            break
        # The first mutant without a report is that which ended the process.
        first += len(reports)
        problems.append(f"mutant {first}: code {code}: {errors}")
        first += 1
    return problems


def main(name: str, seed: int, first: int, count: int) -> None:
    """Run mutants of a file in this process, and print a line of JSON for each."""
    with tempfile.TemporaryDirectory() as scratch:
        sound, folder = Path(scratch) / "sound", Path(scratch) / "trial"
        # Made where the trials are: a plan holds the address of its bucket.
        truth = make_sound(folder)
        folder.rename(sound)
        for number in range(first, count):
            # Copied with their times, which the ETags of a folder are made of.
            shutil.copytree(sound, folder, symlinks=True)
            problem = try_mutant(FILES[name], folder, random.Random(f"{seed} {number}"), truth)
            sys.stdout.write(json.dumps({"mutant": number, "problem": problem}) + "\n")
            sys.stdout.flush()
            shutil.rmtree(folder)


def make_sound(folder: Path) -> dict[str, str]:
    """Write the sound files, and return the digests of the forecasts made from them."""
    inputs = folder / "bucket" / "2024" / "01"
    inputs.mkdir(parents=True)
    for part in range(4):
        frame = hourly_panel("2024-01", (f"{part}-a", f"{part}-b"), steps=48, seed=part)
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if part < 2:
            pq.write_table(table, inputs / f"part-{part}.parquet", write_page_checksum=not part)
        elif part == 2:
            frame.to_csv(inputs / "part-2.csv", index=False)
        else:
            frame.to_json(inputs / "part-3.json", orient="records", date_format="iso")
    pq.write_table(table, folder / "rows.parquet")
    put_features(open_store(StoreAddress(f"file://{folder}/bucket")))
    for file, text in (("settings", SETTINGS), ("contract", CONTRACT), ("recipe", RECIPE)):
        (folder / f"{file}.yaml").write_text(text)
    put_plan(folder)
    _put_tables(folder)
    weights = LIB / "gigacast" / "forecasters" / "weights" / "gigacast-bolt-nano"
    shutil.copytree(weights, folder / "model")
    for words in (
        _FORECAST,
        "data publish {r} cleaned/v1/quotes {b}",
        "models publish {d} --name mine {b}",
        f"models backup {folder}/backup.tar {{b}}",
    ):
        code, shown = call(words, folder, folder)
        if code:
            raise RuntimeError(f"{words}: {shown}")
    # What the child would make, so that a trial can tell it from something else.
    trial = folder.with_name("child")
    shutil.copytree(folder, trial, symlinks=True)
    code, shown = run_child(folder, next((folder / "bucket" / "plans").glob("*.json")))
    if code:
        raise RuntimeError(f"child: {shown}")
    truth = forecasts(folder)
    shutil.rmtree(folder)
    trial.rename(folder)
    return truth


def _put_tables(folder: Path) -> None:
    """Write a table of each format, with a catalog of Iceberg that this process finds."""
    (folder / "tables").mkdir()
    for kind in ("delta", "iceberg"):
        tables = TableFormat(kind, f"{folder}/tables", folder / "catalog.db", {})
        os.environ.update(tables.variables)
        tables.append("sales", panel("2024-01"), by=("month",))


def forecasts(folder: Path) -> dict[str, str]:
    """Return the digests of the forecasts in the bucket of a folder."""
    return contents("forecasts/")(open_store(StoreAddress(f"file://{folder}/bucket")))


def call(words: str, folder: Path, file: Path) -> tuple[int, str]:
    """Run a command, and return its exit code and what it printed."""
    if words.startswith("child"):
        return run_child(folder, file, is_believed="{h}" in words)
    texts = {"f": str(file), "r": f"{folder}/rows.parquet", "d": f"{folder}/model"}
    texts["t"] = f"{folder}/tables"
    arguments: list[str] = []
    for word in words.split():
        flags = ["--bucket", f"file://{folder}/bucket"]
        arguments += flags if word == "{b}" else [word.format(**texts)]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = run(arguments)
    return code, out.getvalue()


def try_mutant(
    kind: FileKind, folder: Path, rng: random.Random, truth: dict[str, str]
) -> str | None:
    """Damage a file, run the command that reads it, and return the law it breaks."""
    file = sorted(folder.glob(kind.path))[0]
    sound = file.read_bytes()
    mutate = rng.choice(MUTATIONS + ((exchanged,) * 3 if kind.is_text else ()))
    file.write_bytes(mutate(sound, rng))
    began = time.monotonic()
    try:
        code, shown = call(kind.words, folder, file)
    except Exception as error:
        return f"{mutate.__name__}: {type(error).__name__}: {error}"
    problem = broken_law((code, shown), file)
    # A footer has no checksum, so nothing proves that it was changed.
    is_proved = kind.is_proved and has_footer_of(file.read_bytes(), sound)
    wrong = [key for key, digest in forecasts(folder).items() if truth.get(key) != digest]
    if is_proved and wrong:
        problem = f"other forecasts: {wrong}"
    if problem:
        return f"{mutate.__name__}: {problem}"
    return "slow" if time.monotonic() - began > SLOW_S else None


def has_footer_of(content: bytes, sound: bytes) -> bool:
    """Return whether a mutant has the footer of the sound file; true for other files."""
    if sound[:4] != b"PAR1":
        return True
    length = int.from_bytes(sound[-8:-4], "little") + 8
    return content[-length:] == sound[-length:]


def broken_law(ended: tuple[int, str], file: Path) -> str | None:
    """Return the law that the end of a command breaks, if any."""
    code, shown = ended
    if code not in {0, 1, 2}:
        return f"exit code {code}: {shown[-300:]}"
    if any(is_unprintable(line) for line in shown.split("\n")):
        return f"control characters: {shown[-300:]!r}"
    if code == 2 and "gigacast: " not in shown:
        return f"no error: {shown[-300:]}"
    # Names may be shortened to fit; their beginning is not.
    # A table of the feature store is called by its name, whatever its files are.
    table = f"{file.parent.parent.parent.name}.{file.parent.parent.name}"
    names = [file.name[:6], file.parent.name, table]
    # Of a table of a lake its name, or the partition that its files are.
    names += ["sales", "2024/01/part-0"] if "tables" in file.parts else []
    if code and not any(name in shown for name in names):
        return f"the file is not named: {shown[-300:]}"
    return None


# -- mutations -------------------------------------------------------------------------------------


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Flip a few bits."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncated(content: bytes, rng: random.Random) -> bytes:
    """Cut the end off."""
    return content[: rng.randrange(len(content))]


def zeroed(content: bytes, rng: random.Random) -> bytes:
    """Overwrite a range by zeros."""
    start = rng.randrange(len(content))
    length = rng.randint(1, 64)
    return content[:start] + bytes(len(content[start : start + length])) + content[start + length :]


def doubled(content: bytes, rng: random.Random) -> bytes:
    """Repeat a range."""
    start = rng.randrange(len(content))
    stop = start + rng.randint(1, 200)
    return content[:stop] + content[start:stop] + content[stop:]


def inserted(content: bytes, rng: random.Random) -> bytes:
    """Insert random bytes."""
    place = rng.randrange(len(content))
    return content[:place] + rng.randbytes(rng.randint(1, 16)) + content[place:]


def emptied(content: bytes, rng: random.Random) -> bytes:
    """Return a file without content."""
    del content, rng
    return b""


MUTATIONS: tuple[Mutation, ...] = (flipped, truncated, zeroed, doubled, inserted, emptied)


def exchanged(content: bytes, rng: random.Random) -> bytes:
    """Exchange a value in JSON for one of another kind."""
    root = json.loads(content)
    places: list[tuple[Any, Any]] = []
    stack: Sequence[Any] = [root]
    while stack:
        level, stack = stack, []
        for value in level:
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            places += [(value, name) for name, _ in pairs]
            inner = value.values() if isinstance(value, dict) else value
            stack += [child for child in inner if isinstance(child, dict | list)]
    container, name = rng.choice(places)
    container[name] = rng.choice(_VALUES)
    return json.dumps(root).encode()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
