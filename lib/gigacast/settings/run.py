"""Settings of a run: where data are, which of them, and with what they are forecast."""

import re
from typing import Literal

from pydantic import field_validator

from gigacast.core.address import is_http_address
from gigacast.forecasters.engine import EngineName
from gigacast.job.forecast_job import ModelChoice, Resources
from gigacast.lake.table.address import Mode
from gigacast.settings.field import Section, option
from gigacast.settings.loader import Jobs, Strings
from gigacast.storage.store import Verify

_MODEL, _RESOURCES = ModelChoice(), Resources()


class RunSettings(Section):
    """Inputs and outputs of a run, its selection, and its resources."""

    bucket: str | None = option(
        None,
        "Bucket name, s3://BUCKET, or a folder: file:///FOLDER, /FOLDER or ./FOLDER.",
        group="where",
        details="Also gs://BUCKET of Google Cloud Storage and az://CONTAINER of Azure. The bucket "
        "or folder must exist. A name alone, such as lake, is a bucket.",
    )
    prefix: str = option(
        "",
        "Folder in the bucket that inputs are read from and forecasts written to.",
        group="where",
    )
    input_prefix: str | None = option(
        None,
        "Read inputs from this folder below the prefix instead ('/...' counts from the bucket's "
        "root; s3://... is another bucket; iceberg://... and delta://... are tables).",
        group="where",
    )
    endpoint_url: str | None = option(
        None,
        "Endpoint of the bucket; that of AWS, Google or Azure by default.",
        group="where",
        details="The variables `AWS_ENDPOINT_URL`, `GOOGLE_BASE_URL` and `AZURE_STORAGE_ENDPOINT` "
        "set it as well, each for its own cloud.",
    )
    region: str | None = option(
        None,
        "AWS region.",
        group="where",
        details="The AWS environment and profile set it as well.",
    )
    years: str | None = option(
        None,
        "Year or range of years, as 2014 or 2014:2016.",
        group="which",
        aliases=("year",),
        details="Years without data are skipped.",
    )
    months: str | None = option(
        None,
        "Month or range of months of each year, as 3 or 1:6, or latest: the newest month.",
        group="which",
        aliases=("month",),
    )
    symbols: Strings = option(
        (), "Only these symbols (comma-separated).", group="which", flag="symbol"
    )
    timeframes: Strings = option(
        (), "Only these timeframes, as 1min (comma-separated).", group="which", flag="timeframe"
    )
    executor: Literal["auto", "inline", "joblib", "dask", "ray", "batch"] = option(
        _RESOURCES.executor,
        "Where tasks run: in this process, over processes, a cluster, or AWS Batch.",
        group="with",
        details="`auto` is joblib for more than one job, else inline.",
    )
    n_jobs: Jobs = option(
        _RESOURCES.n_jobs,
        "Processes; -1 for all cores. auto is as many as pay, also on a GPU.",
        group="with",
        details="`auto` takes cores, free memory, limits of a container and the size of the inputs "
        "into account when series are forecast; small runs, and jobs without a model, have one. "
        "-1 is one for each core, or for each GPU. Each process loads the model once; threads are "
        "divided between them.",
    )
    device: str = option(
        _MODEL.device,
        "Device of the model: auto, cpu, cuda (all GPUs, in turn) or cuda:N.",
        group="with",
    )
    precision: Literal["auto", "float32", "bfloat16", "int8"] = option(
        _MODEL.precision,
        "Precision of the model's arithmetic; auto is bfloat16 where the hardware computes in it.",
        group="with",
        details="`int8` is never chosen by itself; it needs `gigacast[fast]`.",
    )
    model_engine: EngineName = option(
        _MODEL.engine,
        "What runs the model: torch, numpy, openvino or the stock Chronos code; auto chooses.",
        group="with",
        details="`auto` is the one that made the forecasts that are there. Else it is torch; for a "
        "Chronos-Bolt numpy for little work, and the first installed of torch, openvino, numpy for "
        "more.",
    )
    batch_size: int | None = option(
        _RESOURCES.batch_size,
        "Series per call of the model; found automatically by default.",
        group="with",
        details="It is halved when memory runs out.",
        ge=1,
    )
    outage_minutes: float = option(
        _RESOURCES.outage_minutes,
        "Minutes that a run waits for a store that does not answer; then it ends with code 75.",
        group="with",
        details="What is finished is kept, and the same command continues.",
        ge=0,
    )
    verify_datasets: Verify = option(
        "sample",
        "Files of published datasets whose recorded SHA-256 is checked before they are read.",
        group="with",
        details="`sample` checks a random one of sixteen, in each process. Checksums of pages and "
        "counts of rows are always checked.",
    )
    n_partitions: int | None = option(
        None,
        "Number of synthetic partitions; missing ones are generated first.",
        group="synthetic",
        ge=1,
    )
    series_per_partition: int = option(
        1000, "Series in each synthetic partition.", group="synthetic", ge=1
    )
    overwrite: bool = option(False, "Forecast again partitions that are done.", group="amount")
    incremental: bool = option(
        False,
        "Keep the forecasts of series that did not change where their partition did.",
        group="amount",
        details="A digest of each series is stored beside its forecast. A GPU that rounds a series "
        "by the others of its call, which a trial shows, computes all.",
    )
    limit: int | None = option(
        None, "Maximum number of partitions to forecast.", group="amount", ge=1
    )
    output_table: str | None = option(
        None,
        "Table that the results are written to as well, as iceberg://CATALOG/NAMESPACE.TABLE or "
        "delta://FOLDER.",
        group="table",
        details="One commit per run. The first run makes the table. It needs `gigacast[iceberg]` "
        "or `gigacast[delta]`.",
    )
    output_table_mode: Mode = option(
        "replace",
        "Whether the rows of a partition replace those of its earlier results in the table.",
        group="table",
        details="`append` keeps them beside each other; the column `gigacast_output` tells them "
        "apart.",
    )

    @field_validator("endpoint_url")
    @classmethod
    def _has_host(cls, url: str | None) -> str | None:
        if url and not is_http_address(url):
            raise ValueError("not a URL, or it names no host")
        return url

    @field_validator("n_jobs")
    @classmethod
    def _some_jobs(cls, n_jobs: int | None) -> int | None:
        if n_jobs == 0:
            raise ValueError("0 processes can do nothing; use -1 for all cores")
        if n_jobs is not None and n_jobs < -1:
            raise ValueError("should be auto, -1, or 1 and more")
        return n_jobs

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        # Checked by form only: loading settings must not import torch to count the GPUs.
        if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", device):
            raise ValueError("not one of auto, cpu, cuda, cuda:N")
        return device
