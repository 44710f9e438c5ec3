"""The jobs that a campaign disturbs, a row each: a new job joins by a row in `JOBS`."""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.storage.store import Store
from tests.campaign.before import (
    RECIPE,
    ROWS,
    SERVED,
    STREAMED,
    forecast_then_change,
    forecast_then_land,
    put_recipe,
    put_topic,
    served,
)
from tests.campaign.features import DAYS, LABELED_DAYS, put_features, uploads
from tests.support.panels import hourly_panel
from tests.support.warm_python import GIGACAST, TORCH

Value = dict[str, str]
PARTS = 6
NAIVE = "--model seasonal-naive --horizon 6"
CPU = "--threads 1"


@dataclass(frozen=True)
class Job:
    """A command, the bucket that it works on, and what it must leave there.

    Parameters
    ----------
    name : str
    words : str
        The command line without the flags for the bucket; ``{data}`` is a local file of rows,
        ``{model}`` the folder of a model, ``{folder}`` a local folder.
    value : callable
        Returns what the job has made, by key, from the bucket: equal after any disturbance.
    receipts : int
        Partitions that have a receipt at the end.
    is_stepwise : bool
        Whether each object it makes is whole by itself, and so comparable at any moment.
    has_times : bool
        Whether its outputs hold the time of their writing: of two runs at once each writes its own,
        and the receipt of the first names an output that is gone.
    is_quick : bool
        Whether it is one of those that the slice in CI disturbs.
    before : callable, optional
        Makes in peace what the job begins with, in the bucket at a URL and in a local folder.
    beside : callable, optional
        Returns what the job has made in the local folder.
    spared : frozenset of str
        Disturbances that it is not promised to survive; docs/reliability.md says why.
    modules : tuple of str
        What its processes have imported before they begin.
    """

    name: str
    words: str
    value: Callable[[Store], Value]
    receipts: int = 0
    is_stepwise: bool = True
    has_times: bool = False
    is_quick: bool = False
    before: Callable[[str, Path], None] | None = None
    beside: Callable[[Path], Value] = lambda folder: {}
    spared: frozenset[str] = frozenset()
    modules: tuple[str, ...] = GIGACAST


def put_inputs(store: Store) -> None:
    """Write the inputs of all jobs: a few parts whose pages have checksums."""
    for part in range(PARTS):
        items = [f"{part}-{letter}" for letter in "abc"]
        table = pa.Table.from_pandas(
            hourly_panel("2024-01", items, seed=part), preserve_index=False
        )
        file = io.BytesIO()
        pq.write_table(table, file, write_page_checksum=True)
        store.put(f"2024/01/part-{part:05d}.parquet", file.getvalue())
    put_features(store)


def put_local(folder: Path) -> Path:
    """Write a local file of rows and return its path."""
    path = folder / ROWS
    frame = hourly_panel("2024-01", ("x", "y"))
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
    return path


def keys_of(store: Store, prefix: str) -> list[str]:
    """Return all keys with a prefix."""
    return [entry.key for page in store.list(prefix) for entry in page]


def contents(prefix: str, ending: str = "") -> Callable[[Store], Value]:
    """Return a function that digests all objects below a prefix, but for manifests of runs."""

    def value(store: Store) -> Value:
        keys = [key for key in keys_of(store, prefix) if "/_" not in key and key.endswith(ending)]
        return {key: hashlib.sha256(store.get(key)).hexdigest() for key in keys}

    return value


def rows(prefix: str) -> Callable[[Store], Value]:
    """Return a function that digests the rows of the files below a prefix, whatever their keys.

    Keys of cleaned files have the id of their input, which in a folder has the time of its writing.
    """

    def value(store: Store) -> Value:
        tables = [pq.read_table(io.BytesIO(store.get(key))) for key in keys_of(store, prefix)]
        digests = sorted(hashlib.sha256(repr(t.to_pydict()).encode()).hexdigest() for t in tables)
        return {str(number): digest for number, digest in enumerate(digests)}

    return value


def with_pages(store: Store) -> Value:
    """Return digests of the forecasts, and whether each page that can be seen is whole."""
    pages = {
        f"{number}": str(store.get(key).rstrip().endswith(b"</html>"))
        for number, key in enumerate(keys_of(store, "reports/"))
        if key.endswith(".html") and not key.endswith(("latest.html", "index.html"))
    }
    return contents("forecasts/")(store) | {"pages are whole": str(set(pages.values()) <= {"True"})}


def measures(store: Store) -> Value:
    """Return the measures of quality by partition, without times and ids of runs."""
    digests = {}
    for key in keys_of(store, "quality/partitions/"):
        if "/_" in key:
            continue
        content = json.loads(store.get(key))
        described = {name: content.get(name) for name in ("keys", "columns", "rows", "contract")}
        digests[key] = json.dumps(described, sort_keys=True)
    return digests


def published(store: Store) -> Value:
    """Return the rows of the dataset versions, by the files that their manifests name.

    The footer of a file has the time of its writing, so its bytes differ from run to run.
    """
    digests = {}
    for key in keys_of(store, "cleaned/"):
        if not key.endswith("/manifest.json"):
            continue
        folder = key.removesuffix("manifest.json")
        for file in json.loads(store.get(key))["files"]:
            table = pq.read_table(io.BytesIO(store.get(f"{folder}{file['path']}")))
            digests[f"{folder}{file['path']}"] = hashlib.sha256(
                repr(table.to_pydict()).encode()
            ).hexdigest()
    return digests


def registered(store: Store) -> Value:
    """Return the versions of models with their digests, and the active one."""
    digests = {}
    for key in keys_of(store, "models/"):
        content = json.loads(store.get(key)) if key.endswith(("manifest.json", "ACTIVE")) else None
        if content is not None:
            digests[key] = str(content.get("digest") or content.get("version"))
    return digests


JOBS = {
    job.name: job
    for job in (
        Job("forecast", f"forecast {NAIVE}", contents("forecasts/"), PARTS, is_quick=True),
        Job(
            "forecast with two processes",
            f"forecast {NAIVE} --n_jobs 2",
            contents("forecasts/"),
            PARTS,
        ),
        Job(
            "backtest",
            f"backtest {NAIVE} --windows 1",
            contents("backtests/seasonal-naive/", ".parquet"),
            PARTS,
        ),
        Job(
            "anomalies",
            f"anomalies {NAIVE} --rolling --windows 1",
            contents("anomalies/", ".parquet"),
            PARTS,
        ),
        Job(
            "select a model",
            "models select mix --model gigacast-bolt-nano --model_engine numpy --horizon 6 "
            "--windows 2 --least_windows 2",
            registered,
            2 * PARTS,  # of two candidates
            is_stepwise=False,
        ),
        Job("bucket", "data bucket --buckets 4", contents("bucketed/", ".parquet"), PARTS),
        Job("forecast with a page", f"forecast {NAIVE} --report", with_pages, PARTS),
        Job("quality", "data quality --fail duplicates=never", measures, PARTS, is_stepwise=False),
        Job(
            "clean",
            "data clean partitions cleaned/mine --fail missing=never",
            rows("cleaning/"),
            PARTS,
            is_stepwise=False,
        ),
        Job(
            "publish",
            "data publish {data} cleaned/v1/quotes",
            published,
            is_stepwise=False,
            is_quick=True,
        ),
        Job(
            "register a model",
            "models publish {model} --name mine",
            registered,
            is_stepwise=False,
        ),
        Job(
            "backfill",
            "feature-store backfill quickstart.purchases.v1",
            contents("feature_store/tables/", ".parquet"),
            len(DAYS),
        ),
        Job(
            "label",
            f"feature-store label quickstart.labeled.v1 --ds {DAYS[-1]}",
            contents("feature_store/tables/", ".parquet"),
            LABELED_DAYS,
        ),
        Job(
            "upload",
            "feature-store upload quickstart.purchases.v1 "
            f"--ds {DAYS[-1]} --online_store sqlite:{{data}}.sqlite",
            uploads,
            1,
            is_stepwise=False,
            has_times=True,
        ),
        Job(
            "stream",
            f"feature-store stream {STREAMED} --stream_url kinesis: --idle 1 "
            f"--online_store sqlite:{{folder}}/{SERVED}",
            uploads,
            1,
            is_stepwise=False,
            before=put_topic,
            beside=served,
            spared=frozenset({"clock jumps"}),  # streamed features expire by the clock
        ),
        Job(
            "evaluate",
            "evaluate --model seasonal-naive",
            rows("evaluations/seasonal-naive/"),
            2 * PARTS,  # those of the forecasts, too
            is_stepwise=False,
            before=forecast_then_land,
        ),
        Job(
            "forecast incrementally",
            f"forecast {NAIVE} --incremental",
            contents("forecasts/"),
            PARTS,
            is_stepwise=False,  # the former forecasts are visible
            before=forecast_then_change,
        ),
        Job(
            "calibrate",
            "backtest --model {model} --model_engine numpy --horizon 6 --windows 2 --calibrate",
            contents("calibrations/"),
            2 * PARTS,  # those of the baseline, too
        ),
        Job(
            "fine-tune a model",
            "train finetune --data {data} --name mine --steps 4 --checkpoint_every 2 "
            f"--validate_every 2 --batch_size 2 --horizon 6 --device cpu --switch {CPU}",
            registered,
            is_stepwise=False,
            modules=TORCH,
        ),
        Job(
            "pretrain a model",
            f"train pretrain --recipe {{folder}}/{RECIPE} --output {{folder}}/model --name fresh "
            f"--license apache-2.0 {CPU}",
            registered,
            is_stepwise=False,
            before=put_recipe,
            modules=TORCH,
        ),
    )
}
"""All jobs by name."""
