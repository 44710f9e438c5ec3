"""Every stored object of a bucket, damaged one at a time.

A bucket is made by all kinds of jobs; then each of its objects but the inputs is damaged by itself,
and the commands that read it are run. Their outputs must be those of an undisturbed bucket, or the
damage must be refused by name. A new kind of stored object joins by a command in `MAKING` and a row
in `READERS`: `roots_without_readers` names those that lack one.
"""

import contextlib
import hashlib
import io
import os
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.cli.program import run
from gigacast.core.text import is_unprintable
from gigacast.lake import feature_layout, layout
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.campaign.features import DAYS, put_features
from tests.campaign.fuzz import LIB, MUTATIONS, exchanged
from tests.support.panels import hourly_panel

PARTS = 2
NAIVE = "--model seasonal-naive --horizon 6 --quantiles 0.1,0.5,0.9"
FORECAST = f"forecast {NAIVE} --incremental"
MODEL = "--model gigacast-bolt-nano --model_engine numpy --precision float32 --horizon 6"
CALIBRATED = f"forecast {MODEL} --calibrate"
BACKTEST = f"backtest {MODEL} --windows 1 --calibrate"
EVALUATE = "evaluate --model seasonal-naive"
ANOMALIES = f"anomalies {NAIVE} --origin all"
RECONCILE = f"reconcile {NAIVE}"
BUCKET = "data bucket --buckets 2"
QUALITY = "data quality --fail duplicates=never"
CLEAN = "data clean partitions cleaned/mine --fail missing=never"
BACKFILL = "feature-store backfill quickstart.purchases.v1"
LABEL = f"feature-store label quickstart.labeled.v1 --ds {DAYS[-1]}"
UPLOAD = f"feature-store upload quickstart.purchases.v1 --ds {DAYS[-1]} --online_store sqlite:{{s}}"

LATER, LATEST = "later rows arrive", "more rows arrive"
MAKING = (
    *(FORECAST, LATER, FORECAST, EVALUATE, BACKTEST, CALIBRATED, ANOMALIES, BUCKET, QUALITY),
    *(RECONCILE, CLEAN, "data publish {r} cleaned/v1/quotes", "data deprecate cleaned/v1/quotes"),
    *("models publish {d} --name mine", BACKFILL, LABEL, UPLOAD, "report", LATEST),
)
"""What fills the bucket: commands, and the arrival of rows between them.

At last a day of a table is lost, so that its tiles are read once more.
"""

_READ = "read --model seasonal-naive -o {o}"
READERS: Mapping[str, tuple[str, ...]] = {
    layout.FORECASTS: (_READ, FORECAST, EVALUATE),
    layout.DIGESTS: (FORECAST,),
    layout.ORIGINS: (EVALUATE, ANOMALIES, "ls origins"),
    layout.CALIBRATIONS: (CALIBRATED,),
    layout.BACKTESTS: (BACKTEST,),
    layout.EVALUATIONS: (EVALUATE, "report"),
    layout.ANOMALIES: (ANOMALIES, "report"),
    layout.RECONCILED: (RECONCILE,),
    layout.QUALITY: (QUALITY,),
    layout.CLEANING: (CLEAN,),
    layout.BUCKETING: (BUCKET,),
    layout.AUDIT: (f"status {NAIVE}", "ls runs", "report", "data lineage cleaned/quotes"),
    layout.MODELS: ("models list", "models verify mine"),
    layout.REPORTS: ("report",),
    "cleaned/": ("data describe cleaned/quotes", "data versions", CLEAN),
    feature_layout.DEFINITIONS: (BACKFILL, LABEL),
    feature_layout.FEATURE_TABLES: (BACKFILL, LABEL, UPLOAD),
    feature_layout.FEATURE_TILES: (BACKFILL,),
    feature_layout.FEATURE_SURVEYS: (LABEL,),
    feature_layout.FEATURE_UPLOADS: (UPLOAD,),
    layout.TIMINGS: (
        *(FORECAST, EVALUATE, BACKTEST, ANOMALIES, BUCKET, QUALITY, CLEAN, BACKFILL, LABEL),
        *(RECONCILE, f"status {NAIVE}", "report", "report scale"),
    ),
}
"""Commands that read what is below a prefix."""

ELSEWHERE = {
    layout.PLANS: "the fuzzer, and tests/unit/lake/test_plan_file.py",
    "raw/": "tests/flow/test_damaged_state.py",
    "features/": "tests/flow/test_damaged_state.py",
    feature_layout.FEATURE_COVARIATES: "inputs of a forecast, made of tables",
    feature_layout.FEATURE_KEPT: "copies of tables, read as these are",
    feature_layout.FEATURE_LOGS: "tests/flow/feature_store/test_consistency.py",
    feature_layout.FEATURE_SCHEMAS: "written by people; tests/unit/feature_store/stream",
}
"""Prefixes whose damage is tried at other places."""

_LOST = f"feature_store/tables/*/*purchases*/ds={DAYS[-1]}/*.parquet"
_MADE = (
    *("forecasts/", "backtests/", "anomalies/", "bucketed/", "cleaning/", "calibrations/"),
    *("evaluations/", "feature_store/tables/"),
)


def roots() -> set[str]:
    """Return all prefixes under which the program stores things."""
    features = {
        value
        for name, value in vars(feature_layout).items()
        if name.isupper() and isinstance(value, str) and value.endswith("/")
    }
    return (set(layout.RESERVED) - {layout.FEATURE_STORE}) | features


def roots_without_readers() -> set[str]:
    """Return the prefixes whose damage nothing tries."""
    return roots() - set(READERS) - set(ELSEWHERE)


class Sweep:
    """A bucket in a folder, and copies of it in which an object is damaged.

    Parameters
    ----------
    folder : Path
        Empty folder.
    making : sequence of str
        What fills the bucket.
    """

    def __init__(self, folder: Path, making: Sequence[str] = MAKING) -> None:
        self.trial, self._sound = folder / "trial", folder / "sound"
        self._truths: dict[tuple[str, ...], dict[str, str]] = {}
        # Made where the trials are: some objects hold the address of their bucket.
        make_bucket(self.trial, making)
        self.trial.rename(self._sound)

    def keys_below(self, *prefixes: str) -> list[str]:
        """Return the keys of objects below any of some prefixes, in their order."""
        bucket = self._sound / "bucket"
        keys = [p.relative_to(bucket).as_posix() for p in bucket.rglob("*") if p.is_file()]
        return sorted(key for key in keys if key.startswith(prefixes))

    def attempt(self, key: str, rng: random.Random) -> str | None:
        """Damage an object, run what reads it, and return the law that is broken."""
        commands = readers_of(key)
        truth = self._truth(commands)
        path = self._restored() / "bucket" / key
        content, times = path.read_bytes(), path.stat()
        mutate = rng.choice((MUTATIONS[0], *MUTATIONS, *((exchanged,) if _is_json(path) else ())))
        damage = mutate(content, rng)
        path.write_bytes(damage)
        if rng.random() < 0.7:  # bit rot keeps the time, and with its size the ETag of a file
            os.utime(path, ns=(times.st_mtime_ns, times.st_mtime_ns))
        problem, refused = self._run(key, commands)
        if problem is None:
            remains = path.exists() and path.read_bytes() == damage
            problem = self._wrong_outputs(truth, {key} if remains else set(), refused)
        return None if problem is None else f"{key}, {mutate.__name__}: {problem}"

    def _run(self, key: str, commands: tuple[str, ...]) -> tuple[str | None, str]:
        """Return what is wrong with the end of a command, and those that refused the damage."""
        refused = ""
        for words in commands:
            try:
                code, shown = call(words, self.trial)
            except Exception as error:
                return f"{words}: {type(error).__name__}: {error}", refused
            if code not in {0, 1, 2}:
                return f"{words}: exit code {code}: {shown[-300:]}", refused
            if "Traceback" in shown or any(map(is_unprintable, shown.split("\n"))):
                return f"{words}: {shown[-500:]!r}", refused
            if code and not _names(shown, key):
                return f"{words}: code {code} does not name it: {shown[-300:]}", refused
            refused += f"{words}; " if code else ""
        return None, refused

    def _wrong_outputs(self, truth: dict[str, str], damaged: set[str], refused: str) -> str | None:
        """Return the outputs that differ from those of an undisturbed bucket.

        What was refused may be as it was before, or lack what was refused.
        """
        outputs, before = made_in(self.trial / "bucket"), self._truth(())
        wrong = {k: digest for k, digest in outputs.items() if truth.get(k, digest) != digest}
        if refused:
            wrong = {k: v for k, v in wrong.items() if before.get(k) != v and not _is_derived(k)}
        lost = [] if refused else [k for k in truth if k not in outputs]
        wrong_keys = sorted(set(wrong) - damaged) + lost
        return (
            f"other outputs{refused and ' after ' + refused}: {wrong_keys}" if wrong_keys else None
        )

    def _truth(self, commands: tuple[str, ...]) -> dict[str, str]:
        if commands not in self._truths:
            self._restored()
            for words in commands:
                code, shown = call(words, self.trial)
                if code:
                    raise RuntimeError(f"{words}: {code}: {shown}")
            self._truths[commands] = made_in(self.trial / "bucket")
        return self._truths[commands]

    def _restored(self) -> Path:
        shutil.rmtree(self.trial, ignore_errors=True)
        # Copied with their times, which the ETags of a folder are made of.
        shutil.copytree(self._sound, self.trial)
        return self.trial


def readers_of(key: str) -> tuple[str, ...]:
    """Return the commands that read an object; none for inputs."""
    return max(
        ((prefix, words) for prefix, words in READERS.items() if key.startswith(prefix)),
        key=lambda pair: len(pair[0]),
        default=("", ()),
    )[1]


def make_bucket(folder: Path, making: Sequence[str] = MAKING) -> None:
    """Run jobs on a new bucket."""
    (folder / "bucket").mkdir(parents=True)
    _put_rows(folder, 40)
    frame = hourly_panel("2024-01", ("x", "y"), steps=30)
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / "rows.parquet")
    if any("feature-store" in words for words in making):
        put_features(open_store(StoreAddress(f"file://{folder}/bucket")))
    shutil.copytree(LIB / "gigacast/forecasters/weights/gigacast-bolt-nano", folder / "model")
    for words in making:
        if words in {LATER, LATEST}:
            _put_rows(folder, 44 if words == LATER else 46)
            for path in (folder / "bucket").glob(_LOST) if words == LATEST else ():
                path.unlink()
            continue
        code, shown = call(words, folder)
        if code:
            raise RuntimeError(f"{words}: {code}: {shown}")


def _put_rows(folder: Path, steps: int) -> None:
    for part in range(PARTS):
        items = [f"{part}-{letter}" for letter in "abcdefghijklmnop"]  # enough to calibrate
        table = pa.Table.from_pandas(
            hourly_panel("2024-01", items, steps=48, seed=part), preserve_index=False
        )
        # Only the first series of a part grows.
        keep = [n % 48 < (steps if n < 48 else 40) for n in range(table.num_rows)]
        path = folder / f"bucket/2024/01/part-{part}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.filter(pa.array(keep)), path, write_page_checksum=True)


def call(words: str, folder: Path) -> tuple[int, str]:
    """Run a command on the bucket of a folder, and return its exit code and what it printed."""
    texts = {"r": "rows.parquet", "d": "model", "s": "served.sqlite", "o": "read.parquet"}
    places = {name: f"{folder}/{file}" for name, file in texts.items()}
    arguments = [word.format(**places) for word in words.split()]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = run([*arguments, "--bucket", f"file://{folder}/bucket"])
    return code, out.getvalue()


def made_in(bucket: Path) -> dict[str, str]:
    """Return digests of the rows of all outputs by key; of what cannot be read, a word."""
    return dict(_made_in(bucket))


def _made_in(bucket: Path) -> Iterator[tuple[str, str]]:
    for prefix in _MADE:
        for path in sorted((bucket / prefix).rglob("*")):
            key = path.relative_to(bucket).as_posix()
            if "/_" in key or path.suffix not in {".parquet", ".json"}:
                continue
            if path.suffix == ".json" and not key.startswith(layout.CALIBRATIONS):
                continue
            yield key, _digest(path)


def _digest(path: Path) -> str:
    try:
        content = (
            repr(pq.read_table(path, page_checksum_verification=True).to_pydict()).encode()
            if path.suffix == ".parquet"
            else path.read_bytes()
        )
    except (pa.ArrowException, OSError, ValueError):
        return "not readable"
    return hashlib.sha256(content).hexdigest()


def _is_json(path: Path) -> bool:
    return path.suffix == ".json" and path.read_bytes()[:1] in {b"{", b"["}


def _is_derived(key: str) -> bool:
    """Whether an output sums up others, and lacks those that were refused."""
    return key.startswith(layout.EVALUATIONS)


def _names(shown: str, key: str) -> bool:
    """Whether a text names an object, by its key, its file or what it is about."""
    name = key.rpartition("/")[2]
    parts = {name[:14], *(part for part in key.split("/")[1:-1] if len(part) > 3)}
    return any(part in shown for part in parts)
