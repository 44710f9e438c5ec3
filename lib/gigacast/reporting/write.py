"""Pages of runs and results, written into the bucket."""

from datetime import datetime

from gigacast.anomalies.result import AnomalyReport
from gigacast.backtesting.evaluation.result import Evaluation
from gigacast.backtesting.result import BacktestResult
from gigacast.core.digest import digest_value
from gigacast.job.forecast_job import ForecastJob
from gigacast.quality.run import QualityResult
from gigacast.report.document import Document, Tone
from gigacast.report.html.page import Frame
from gigacast.reporting.document import TONES, run_document, run_frame
from gigacast.reporting.outcome import sample_of
from gigacast.reporting.publication import Entry, publish_page
from gigacast.reporting.result import (
    anomaly_report,
    backtest_report,
    evaluation_report,
    quality_report,
    selection_report,
)
from gigacast.reporting.run import RunReport, report_run, total_of
from gigacast.selection.result import SelectionResult
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress


def write_run_report(job: ForecastJob, run_id: str | None = None) -> str:
    """Write the page of a run, and return its address.

    Parameters
    ----------
    job : ForecastJob
        Addresses, and how its inputs are read.
    run_id : str, optional
        The latest forecast by default.

    Raises
    ------
    ConfigError, DataNotFoundError, StorageError
    """
    return write_report(report_run(job, run_id), job.outputs)


def write_report(report: RunReport, root: StoreAddress) -> str:
    """Write the page of a run that is gathered already, and return its address."""
    return _publish(root, entry_of(report), run_document(report), run_frame(report))


def entry_of(report: RunReport) -> Entry:
    """Return the entry of a run in the index of pages."""
    audit, frame = report.audit, run_frame(report)
    return Entry(
        name=audit.session_id,
        kind=frame.kind,
        status=audit.status,
        tone=TONES.get(audit.status, Tone.PLAIN),
        at=audit.start_time,
        elapsed_s=max(0.0, audit.elapsed_s),
        series=float(total_of(audit, "series")) or None,
        failed=float(audit.files_failed),
    )


def write_evaluation_report(result: Evaluation, job: ForecastJob, now: datetime) -> str:
    """Write the page of an evaluation, and return its address."""
    name = f"evaluation_{result.location.rpartition('/')[2]}"
    sample = sample_of(job, open_store(job.outputs), [*result.levels])
    document, frame = evaluation_report(result, sample, now)
    return _publish(job.outputs, _entry(name, frame, document, now), document, frame)


def write_backtest_report(result: BacktestResult, root: StoreAddress, now: datetime) -> str:
    """Write the page of a backtest, and return its address."""
    name = f"backtest_{result.location.rpartition('/')[2] or digest_value([*result.run_ids])}"
    document, frame = backtest_report(result, now)
    return _publish(root, _entry(name, frame, document, now), document, frame)


def write_selection_report(result: SelectionResult, root: StoreAddress, now: datetime) -> str:
    """Write the page of a selection, and return its address."""
    document, frame = selection_report(result, now)
    name = f"selection_{result.location.rpartition('/')[2]}"
    return _publish(root, _entry(name, frame, document, now), document, frame)


def write_quality_report(result: QualityResult, root: StoreAddress, now: datetime) -> str:
    """Write the page of a quality run, and return its address."""
    document, frame = quality_report(result, now)
    return _publish(root, _entry(result.run_id, frame, document, now), document, frame)


def write_anomaly_report(result: AnomalyReport, root: StoreAddress, now: datetime) -> str:
    """Write the page of a search for anomalies, and return its address."""
    name = f"anomalies_{result.location.rpartition('/')[2]}"
    document, frame = anomaly_report(result, now)
    return _publish(root, _entry(name, frame, document, now), document, frame)


def _entry(name: str, frame: Frame, document: Document, now: datetime) -> Entry:
    return Entry(name, frame.kind, frame.status, document.tone, now.isoformat())


def _publish(root: StoreAddress, entry: Entry, document: Document, frame: Frame) -> str:
    key = publish_page(open_store(root), entry, document, frame)
    return f"{root.url}/{key}"
