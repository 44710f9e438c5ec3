"""The jobs that a campaign disturbs, a row each: a new job joins by a row in `JOBS`."""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
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
    forecast_well_then_land,
    put_recipe,
    put_topic,
    served,
)
from tests.campaign.features import DAYS, LABELED_DAYS, put_features, uploads
from tests.campaign.upkeep import (
    ARCHIVE,
    FEATURE_RECIPE,
    REPOSITORY,
    SALES,
    backfill,
    forecast_parts,
    forecast_twice,
    put_archive,
    put_dataset,
    put_model,
    put_repository,
    put_sales,
    put_two_datasets,
    put_two_models,
)
from tests.campaign.values import (
    TABLE,
    Value,
    archived,
    contents,
    file_rows,
    in_table,
    measures,
    names,
    published,
    registered,
    rows,
    with_pages,
)
from tests.support.panels import hourly_panel
from tests.support.warm_python import GIGACAST, TORCH

PARTS = 6
NAIVE = "--model seasonal-naive --horizon 6"
CPU = "--threads 1"
BY_ARRAY = " by an array"
"""Ending of the names of jobs that the children of an array do."""


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
    may_leave_receipts : bool
        Whether receipts of outputs that were replaced may stay until `prune`: of two runs at once
        whose outputs hold the time of their writing, or of a run that ends just before it deletes
        the receipt of a former output.
    before : callable, optional
        Makes in peace what the job begins with, in the bucket at a URL and in a local folder.
    beside : callable, optional
        Returns what the job has made in the local folder.
    spared : frozenset of str
        Disturbances that it is not promised to survive; docs/reliability.md says why.
    modules : tuple of str
        What its processes have imported before they begin.
    program : str
        Module that is run.
    refusal : str
        Words by which it refuses to do again what is done; none for jobs that may be repeated.
    """

    name: str
    words: str
    value: Callable[[Store], Value]
    receipts: int = 0
    is_stepwise: bool = True
    may_leave_receipts: bool = False
    before: Callable[[str, Path], None] | None = None
    beside: Callable[[Path], Value] = lambda folder: {}
    spared: frozenset[str] = frozenset()
    modules: tuple[str, ...] = GIGACAST
    program: str = "gigacast"
    refusal: str = ""


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


_JOBS = (
    Job("forecast", f"forecast {NAIVE}", contents("forecasts/"), PARTS),
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
        "anomalies in stored forecasts",
        "anomalies --model seasonal-naive",
        contents("anomalies/", ".parquet"),
        2 * PARTS,  # those of the forecasts, too
        before=forecast_then_land,
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
        may_leave_receipts=True,
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
        may_leave_receipts=True,
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
    Job(
        "reconcile",
        f"reconcile {NAIVE}",
        contents("reconciled/", ".parquet"),
        1,  # a month
    ),
    Job(
        "calibrate by forecasts that have passed",
        "evaluate --calibrate",
        contents("calibrations/"),
        2 * PARTS,  # those of the forecasts, too
        before=forecast_well_then_land,
    ),
    Job(
        "forecast a table into a table",
        f"forecast {NAIVE} --input_prefix delta://{{folder}}/{SALES} "
        f"--output_table delta://{TABLE}",
        in_table,
        1,
        is_stepwise=False,
        before=put_sales,
    ),
    Job(
        "import",
        "data import {data} raw/quotes/2024-01-31",
        published,
        is_stepwise=False,
    ),
    Job(
        "compute features",
        f"data features cleaned/v1/quotes features/v1/mine --recipe {{folder}}/{FEATURE_RECIPE}",
        published,
        is_stepwise=False,
        before=put_dataset,
    ),
    Job(
        "deprecate",
        "data deprecate cleaned/v1/quotes --why old",
        names("cleaned/"),
        is_stepwise=False,
        before=put_dataset,
        refusal="was deprecated on",
    ),
    Job(
        "retire",
        "data retire cleaned/quotes --keep_last 1 --yes",
        names("cleaned/"),
        is_stepwise=False,
        before=put_two_datasets,
    ),
    Job(
        "switch a model",
        "models switch mine v2",
        registered,
        is_stepwise=False,
        before=put_two_models,
    ),
    Job(
        "delete a model",
        "models delete mine/v2 --yes",
        registered,
        is_stepwise=False,
        before=put_two_models,
        refusal="mine has no published version 'v2'",
    ),
    Job(
        "back models up",
        f"models backup {{folder}}/{ARCHIVE} --overwrite",
        registered,
        is_stepwise=False,
        before=put_model,
        beside=archived(ARCHIVE),
    ),
    Job(
        "restore models",
        f"models restore {{folder}}/{ARCHIVE}",
        registered,
        is_stepwise=False,
        before=put_archive,
    ),
    Job(
        "compile definitions",
        f"feature-store compile {{folder}}/{REPOSITORY}",
        contents("feature_store/definitions/"),
        before=put_repository,
    ),
    Job(
        "describe features",
        "feature-store stats quickstart.purchases.v1",
        contents("feature_store/tables/", ".parquet"),
        2 * len(DAYS),  # those of the backfill, too
        before=backfill,
    ),
    Job("report", "report", with_pages, PARTS, is_stepwise=False, before=forecast_parts),
    Job(
        "read",
        "read --model seasonal-naive -o {folder}/read.parquet",
        contents("forecasts/"),
        PARTS,
        is_stepwise=False,
        before=forecast_parts,
        beside=file_rows("read.parquet"),
    ),
    Job(
        "prune",
        f"prune {NAIVE} --yes",
        contents("forecasts/"),
        PARTS,
        is_stepwise=False,
        before=forecast_twice,
    ),
)
ARRAYS = {
    "forecast": "forecast",
    "backtest": "backtest",
    "evaluate": "evaluate",
    "bucket": "bucket",
    "quality": "quality",
    "clean": "clean",
    "backfill": "backfill",
    "upload": "upload",
    "anomalies": "anomalies in stored forecasts",
}
"""Jobs that the children of an array do as well, by the kind of their plan."""

JOBS = {
    job.name: job
    for job in (
        *_JOBS,
        *(
            replace(
                job,
                name=f"{job.name}{BY_ARRAY}",
                spared=job.spared | {"clock jumps"},  # plans expire
                program="tests.campaign.array",
            )
            for job in _JOBS
            if job.name in ARRAYS.values()
        ),
    )
}
"""All jobs by name."""
