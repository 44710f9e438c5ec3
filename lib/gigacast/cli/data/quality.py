"""``gigacast data quality``: measure the quality of each partition."""

import sys
from dataclasses import asdict, replace
from typing import Any

import click

from gigacast.cli.data.files import file_options, print_set_aside, read_files
from gigacast.cli.flags import flags_of, read_settings, settings_flags
from gigacast.cli.help import Command
from gigacast.cli.report import announce
from gigacast.core.exit import EXIT_FAILED, EXIT_INTERRUPTED
from gigacast.datasets.resolve import find_contract
from gigacast.job.forecast_job import Method
from gigacast.job.run import utc_now
from gigacast.quality.accuracy import Accuracy, report_accuracy
from gigacast.quality.aggregation import Binning
from gigacast.quality.measures import Verdict
from gigacast.quality.partition import Measures
from gigacast.quality.run import (
    QualityJob,
    QualityResult,
    measure_quality,
    published_contract,
)
from gigacast.report.run_progress import RunProgress
from gigacast.report.terminal import say, show, show_json
from gigacast.reporting.write import write_quality_report
from gigacast.settings.assembly import array_options_of
from gigacast.settings.command.common import ReportOption
from gigacast.settings.command.data import ContractOptions
from gigacast.settings.command.quality import AccuracyOption, OutlierLimits
from gigacast.settings.flag import take
from gigacast.settings.model import Settings


@click.command(cls=Command)
@click.argument("dataset", required=False)
@flags_of(OutlierLimits, ContractOptions, AccuracyOption, ReportOption)
@settings_flags("aggregate", "partial_bins", "targets", command="quality")
@file_options
def quality(dataset: str | None, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Measure the quality of DATASET, or of the input root's partitions; exit code 1 if any fails.

    The measures: missing values, duplicates, order, gaps, outliers, contract, freshness,
    completeness. Unchanged partitions are not measured again.

    \b
    Examples:
      gigacast data quality raw/EURUSD --calendar weekdays --bucket my-bucket
      gigacast data quality --years 2024 --fail missing=0.05 --warn gaps=0 --bucket my-bucket
      gigacast data quality raw/SALES --freq W-MON --aggregate sum --bucket my-bucket
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    limits, check = take(OutlierLimits, flags), take(ContractOptions, flags)
    accuracy, has_page = take(AccuracyOption, flags).accuracy, take(ReportOption, flags).report
    has_page = has_page or read_settings(dict(flags)).report.write
    targets = flags.pop("targets")
    flags_with_targets = {**flags, "targets": targets}
    files, forecast, thresholds, settings = read_files(dataset, flags)
    if targets:
        # Targets choose columns of the forecasts. The measures must not depend on them, or stored
        # ones would be measured again.
        _, forecast, _, _ = read_files(dataset, flags_with_targets)
    contract = find_contract(check.schema) if check.schema else published_contract(files)
    binning = _binning_of(forecast.method)
    if binning is not None and files.reading.zone is None:
        files = replace(files, reading=replace(files.reading, zone=forecast.method.zone))
    measures = Measures(**asdict(limits), contract=contract, mode=check.mode, binning=binning)
    job = QualityJob(files, measures, thresholds)
    result = _measure(job, settings, as_json=as_json, quiet=quiet)
    if result is None:
        return EXIT_INTERRUPTED
    compared = report_accuracy(result.report, files, forecast) if accuracy else None
    if as_json:
        content = result.to_json() | ({"accuracy": compared.to_json()} if compared else {})
        show_json(content, default=str)
    elif not quiet:
        _show_quality(result, compared)
    else:
        print_set_aside(result.report.set_aside)
    if has_page:
        announce(write_quality_report(result, files.outputs, utc_now()), quiet=quiet or as_json)
    return EXIT_FAILED if result.report.verdict is Verdict.FAIL else 0


def _measure(
    job: QualityJob, settings: Settings, *, as_json: bool, quiet: bool
) -> QualityResult | None:
    """Measure here or by an array; ``None`` if the watch of an array was interrupted."""
    if job.files.resources.executor != "batch":
        with RunProgress(quiet=quiet or as_json, verb="measure") as progress:
            return measure_quality(job, events=progress)
    from gigacast.batch.quality import divide_quality  # noqa: PLC0415 - AWS' clients
    from gigacast.cli.batch import settle_on_batch  # noqa: PLC0415

    array = array_options_of(settings)
    code, settled = settle_on_batch(
        divide_quality(job), options=array, as_json=as_json, quiet=quiet
    )
    if code == EXIT_INTERRUPTED:
        return None
    result = measure_quality(job, executor=settled, start=settled.start)
    # As of a local run: what the children did in this run was not there before it.
    return replace(result, computed=settled.done, skipped=result.skipped - settled.done)


def _binning_of(method: Method) -> Binning | None:
    """Return how forecasts aggregate rows; ``None`` if they do not."""
    if method.aggregate is None or method.frequency is None:
        return None
    return Binning(method.aggregate, method.frequency, method.partial_bins)


def _show_quality(result: QualityResult, accuracy: Accuracy | None) -> None:
    show(result.to_document())
    if accuracy is not None:
        show(accuracy.failed_comparisons(), sys.stderr)
        say("")
        show(accuracy.to_document())
