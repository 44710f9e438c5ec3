"""``gigacast data quality``: measure the quality of each partition."""

import json
import sys
from dataclasses import replace
from typing import Any

import click

from gigacast.cli.data.command import find_contract, mode_option, schema_option
from gigacast.cli.data.files import FileWatcher, complain_of, file_options, read_files
from gigacast.cli.flags import setting
from gigacast.core.contract.definition import Contract, Mode
from gigacast.core.exit import EXIT_FAILED
from gigacast.datasets.resolve import contract_in
from gigacast.errors import DataNotFoundError
from gigacast.job.file_job import FileJob
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.dataset.catalog import Lake
from gigacast.quality.accuracy import Accuracy, compare_accuracy
from gigacast.quality.measures import Verdict
from gigacast.quality.partition import Measures
from gigacast.quality.result import QualityReport
from gigacast.quality.run import QualityJob, QualityResult, measure_quality
from gigacast.report.document import Document, Paragraph
from gigacast.report.terminal import say, show
from gigacast.storage.opening import open_store

_POSITIVE = click.FloatRange(0, min_open=True)


@click.command()
@click.argument("dataset", required=False)
@click.option(
    "--iqr", type=_POSITIVE, default=3.0, show_default=True, help="Outliers: interquartile ranges."
)
@click.option(
    "--zscore", type=_POSITIVE, default=5.0, show_default=True, help="Outliers: deviations."
)
@click.option(
    "--forest",
    type=click.FloatRange(0, 1),
    metavar="SCORE",
    help="Also grow an isolation forest; rows above this score (0.7, say) are anomalies.",
)
@schema_option
@mode_option
@click.option(
    "--accuracy", is_flag=True, help="Beside it the accuracy of finished forecasts, by partition."
)
@setting("targets", "Columns that the forecasts of --accuracy are of; recognised when absent.")
@file_options
def quality(dataset: str | None, as_json: bool, quiet: bool, accuracy: bool, **given: Any) -> int:
    """Measure how good DATASET is, or the partitions of the input root; exit code 1 if any fails.

    Missing values, duplicates, order, gaps, outliers, contract, freshness, completeness. What was
    measured before is not measured again.

    \b
    Examples:
      gigacast data quality raw/EURUSD --calendar weekdays --bucket my-bucket
      gigacast data quality --years 2024 --fail missing=0.05 --warn gaps=0 --bucket my-bucket
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    schema, mode = given.pop("schema"), Mode(given.pop("mode"))
    measures = Measures(given.pop("iqr"), given.pop("zscore"), given.pop("forest"), None, mode)
    targets = given.pop("targets")
    with_targets = {**given, "targets": targets}
    files, forecast, thresholds = read_files(dataset, given)
    if targets:
        # Targets choose columns of the forecasts. The measures must not depend on them, or stored
        # ones would be measured again.
        _, forecast, _ = read_files(dataset, with_targets)
    contract = find_contract(schema) if schema else _promised(files)
    job = QualityJob(files, replace(measures, contract=contract), thresholds)
    with FileWatcher("measure", quiet=quiet or as_json) as watcher:
        result = measure_quality(job, events=watcher)
    compared = _compare(result.report, files, forecast) if accuracy else None
    if as_json:
        content = {"run_id": result.run_id, **result.report.to_json()}
        content |= {"accuracy": compared.to_json()} if compared else {}
        click.echo(json.dumps(content, indent=1, ensure_ascii=False, default=str))
    elif not quiet:
        _show_quality(result, compared)
    else:
        complain_of(result.report.set_aside)
    return EXIT_FAILED if result.report.verdict is Verdict.FAIL else 0


def _show_quality(result: QualityResult, compared: Accuracy | None) -> None:
    show(_quality_document(result))
    if compared is not None:
        show(compared.failed_comparisons(), sys.stderr)
        say("")
        show(compared.to_document())


def _compare(report: QualityReport, files: FileJob, forecast: ForecastJob) -> Accuracy:
    """Return the accuracy of the forecasts of the measured partitions, and store it."""
    if files.sources.refs:
        inputs = files.outputs.child(str(files.sources.refs[0]))
        forecast = replace(forecast, inputs=inputs)
    compared = compare_accuracy(report.partitions, forecast)
    _store(files, report, compared)
    return compared


def _promised(files: FileJob) -> Contract | None:
    """Return the contract that a dataset was published with, if there is one."""
    if not files.sources.refs:
        return None
    lake = Lake(open_store(files.outputs))
    try:
        return contract_in(lake, files.sources.refs[-1])
    except DataNotFoundError:
        return None


def _store(files: FileJob, report: QualityReport, compared: Accuracy) -> None:
    """Write the comparison beside the report."""
    outputs = open_store(files.outputs)
    key = report.location.removeprefix(files.outputs.url.rstrip("/") + "/") + "-accuracy"
    plain = json.dumps(compared.to_json(), indent=1, ensure_ascii=False)
    outputs.put(f"{key}.json", plain.encode())
    outputs.put(f"{key}.md", compared.to_markdown().encode())


def _quality_document(result: QualityResult) -> Document:
    """Return the report with the longest gaps, the counts and the place of a run."""
    report = result.report
    newest = report.summary()["newest"]
    return report.to_document().followed_by(
        report.longest_gaps(),
        Paragraph(f"newest row {newest or 'unknown'}"),
        Paragraph(f"measured {result.computed}, known before {result.skipped}"),
        Paragraph(f"report: {report.location}.md, .json, .parquet"),
    )
