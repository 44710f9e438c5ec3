"""The result of a run that forecast nothing, read from the bucket for its page."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import pyarrow as pa

from gigacast.anomalies.panel import PANELS, load_panels
from gigacast.anomalies.result import MAX_PANELS, AnomalyReport
from gigacast.backtesting.result import BacktestResult
from gigacast.errors import GigacastError
from gigacast.forecasting.read import Generation, find_generations
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.location import open_inputs
from gigacast.lake.layout import (
    ANOMALIES,
    EVALUATIONS,
    LEADERBOARDS,
    QUALITY_REPORTS,
)
from gigacast.lake.plan.audit import Audit
from gigacast.quality.run import QualityResult
from gigacast.report.document import Document
from gigacast.reporting.result import (
    anomaly_document,
    backtest_page,
    evaluation_page,
    quality_page,
)
from gigacast.reporting.sample import Sample, sample_series
from gigacast.reporting.stored import (
    read_anomaly_report,
    read_evaluation_result,
    read_leaderboard,
    read_quality,
)
from gigacast.storage.parquet.read import open_parquet
from gigacast.storage.store import Store

Reader = Callable[[Audit, str, ForecastJob, Store], Document]


def read_outcome(audit: Audit, job: ForecastJob, outputs: Store) -> Document | None:
    """Return the result of a run as it is stored now; ``None`` if it has none, or no longer.

    Parameters
    ----------
    audit : Audit
        Names the result, for runs of this release.
    job : ForecastJob
        Addresses, and how inputs are read.
    outputs : Store
    """
    key, reader = result_key(audit), _READERS.get(audit.job)
    if key is None or reader is None:
        return None
    with suppress(GigacastError):
        return reader(audit, key, job, outputs)
    return None


def result_key(audit: Audit) -> str | None:
    """Return the key of a result without its ending, if it is below the folder of its kind."""
    key = audit.plan.get("result")
    quality = audit.totals.get("quality")
    if key is None and isinstance(quality, Mapping):
        key = QUALITY_REPORTS + str(quality.get("location", "")).rpartition("/")[2]
    root = _ROOTS.get(audit.job)
    is_own = root is not None and isinstance(key, str) and key.startswith(root) and ".." not in key
    return str(key) if is_own else None


def _evaluation(audit: Audit, key: str, job: ForecastJob, outputs: Store) -> Document:
    del audit
    result = read_evaluation_result(outputs.get(f"{key}.json"), f"{key}.json")
    return evaluation_page(result, sample_of(job, outputs, [*result.levels]))


def _backtest(audit: Audit, key: str, job: ForecastJob, outputs: Store) -> Document:
    result = BacktestResult(
        run_ids=(audit.session_id,),
        status=audit.status,
        leaderboard=read_leaderboard(outputs.get(f"{key}.json"), f"{key}.json"),
        failures=[],
        computed=audit.files_processed,
        skipped=audit.files_skipped,
        location=f"{job.outputs.url}/{key}",
    )
    return backtest_page(result)


def _quality(audit: Audit, key: str, job: ForecastJob, outputs: Store) -> Document:
    del job
    report = read_quality(outputs.get(f"{key}.json"), f"{key}.json")
    counts = audit.files_processed, audit.files_skipped
    return quality_page(QualityResult(audit.session_id, report, [], *counts))


def _anomalies(audit: Audit, key: str, job: ForecastJob, outputs: Store) -> Document:
    del job
    report = read_anomaly_report(outputs.get(f"{key}.json"), f"{key}.json")
    # The address may be that of a bucket that was copied since: the key within it counts.
    _, root, below = report.dataset.rpartition(f"/{ANOMALIES}")
    folder = f"{root[1:]}{below.strip('/')}/"
    specs = audit.plan.get("specs")
    # The forecasts of a rolling search may have several horizons, each in a folder.
    folders = [f"{folder}{spec}/" for spec in specs] if isinstance(specs, Mapping) else [folder]
    if root and ".." not in folder:
        add_panels(report, outputs, folders)
    return anomaly_document(report)


def add_panels(report: AnomalyReport, outputs: Store, folders: list[str]) -> None:
    """Add the pictures of the worst series that the footers of a dataset hold."""
    partitions = [*dict.fromkeys(entry.partition for entry in report.worst)][:MAX_PANELS]
    for key in (key for name in partitions for key in _keys(outputs, folders, name)):
        with suppress(GigacastError, pa.ArrowException), open_parquet(outputs, key) as file:
            metadata = file.metadata.metadata or {}
            report.add_panels(load_panels(metadata.get(PANELS.encode()), key))


def _keys(outputs: Store, folders: list[str], partition: str) -> Iterator[str]:
    for folder in folders:
        for page in outputs.list(f"{folder}{partition}."):
            yield from (entry.key for entry in page if entry.key.endswith(".parquet"))


def sample_of(job: ForecastJob, outputs: Store, labels: list[str]) -> Sample:
    """Return the worst series of the latest forecasts among some models' names; none without any.

    Parameters
    ----------
    job : ForecastJob
    outputs : Store
    labels : list of str
        ``MODEL/VERSION``, with the spec where a version has several, as evaluations name them.
    """
    with suppress(GigacastError):
        for generation in find_generations(outputs):
            if _names(generation) & {*labels}:
                return sample_series(job, open_inputs(job.inputs), outputs, generation)
    return Sample()


def _names(generation: Generation) -> set[str]:
    version = f"{generation.model}/{generation.version}"
    return {version, f"{version}/{generation.spec}"}


_READERS: Mapping[str, Reader] = {
    "evaluate": _evaluation,
    "backtest": _backtest,
    "quality": _quality,
    "anomalies": _anomalies,
}
_ROOTS = {
    "evaluate": EVALUATIONS,
    "backtest": LEADERBOARDS,
    "quality": QUALITY_REPORTS,
    "anomalies": ANOMALIES,
}
