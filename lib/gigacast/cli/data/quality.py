"""``gigacast data quality``: how good data is, partition by partition."""

import json
import math
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
from gigacast.lake.dataset.catalog import Lake
from gigacast.quality.accuracy import (
    ACCURACY_HEAD,
    CORRELATION_HEAD,
    Accuracy,
    compare_accuracy,
)
from gigacast.quality.measures import Verdict
from gigacast.quality.partition import Measures
from gigacast.quality.result import COLUMN_HEAD, SHARES, QualityReport
from gigacast.quality.run import QualityJob, QualityResult, measure_quality
from gigacast.report.table import print_table
from gigacast.storage.opening import open_store

_MOST_SHOWN = 40
_RULES_SHOWN = 5
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
    named = {**given, "targets": targets}
    files, forecast, thresholds = read_files(dataset, given)
    if targets:  # of forecasts alone: what is measured does not depend on them
        _, forecast, _ = read_files(dataset, named)
    contract = find_contract(schema) if schema else _promised(files)
    job = QualityJob(files, replace(measures, contract=contract), thresholds)
    with FileWatcher("measure", quiet=quiet or as_json) as watcher:
        result = measure_quality(job, events=watcher)
    beside = None
    if accuracy:
        if dataset is not None:
            inputs = files.outputs.child(str(files.sources.refs[0]))
            forecast = replace(forecast, inputs=inputs)
        beside = compare_accuracy(result.report.partitions, forecast)
        _store(files, result.report, beside)
    if as_json:
        content = {"run_id": result.run_id, **result.report.to_json()}
        content |= {"accuracy": beside.to_json()} if beside else {}
        click.echo(json.dumps(content, indent=1, ensure_ascii=False, default=str))
    elif not quiet:
        print_quality(result)
        if beside is not None:
            print_accuracy(beside)
    else:
        complain_of(result.report.set_aside)
    return EXIT_FAILED if result.report.verdict is Verdict.FAIL else 0


def _promised(files: FileJob) -> Contract | None:
    """Return the contract that a dataset was published with, where there is one."""
    if not files.sources.refs:
        return None
    lake = Lake(open_store(files.outputs))
    try:
        return contract_in(lake, files.sources.refs[-1])
    except DataNotFoundError:
        return None


def _store(files: FileJob, report: QualityReport, beside: Accuracy) -> None:
    """Write the comparison beside the report."""
    outputs = open_store(files.outputs)
    key = report.location.removeprefix(files.outputs.url.rstrip("/") + "/") + "-accuracy"
    plain = json.dumps(beside.to_json(), indent=1, ensure_ascii=False)
    outputs.put(f"{key}.json", plain.encode())
    outputs.put(f"{key}.md", beside.to_markdown().encode())


def print_quality(result: QualityResult) -> None:
    """Print a report: partitions, the worst first, and columns."""
    report = result.report
    rows = report.rows()
    head = ("partition", "verdict", "rows", "series", *SHARES, "why")
    print_table(f"Quality of {report.source}", head, rows[:_MOST_SHOWN])
    if len(rows) > _MOST_SHOWN:
        click.echo(f"and {len(rows) - _MOST_SHOWN} more, no worse: see {report.location}.md")
    click.echo()
    print_table("Columns", COLUMN_HEAD, report.columns())
    if broken := report.broken_rules():
        told = [_rule_text(one) for one in broken[:_RULES_SHOWN]]
        rest = len(broken) - len(told)
        click.echo(f"broken rules: {', '.join(told)}{f', and {rest} more' if rest else ''}")
    for one in report.partitions[:_MOST_SHOWN]:
        gap = one.quality.keys.longest_gap if one.quality else None
        if gap is not None:
            of = f" of {gap['series']}" if gap["series"] else ""
            click.echo(
                f"longest gap in {one.partition}: {gap['steps']:,} steps{of} after {gap['after']}"
            )
    counts = ", ".join(f"{report.count(verdict)} {verdict}" for verdict in Verdict)
    newest = report.summary()["newest"]
    click.echo(f"\n{len(rows)} partitions: {counts}; newest row {newest or 'unknown'}")
    click.echo(f"measured {result.computed}, known before {result.skipped}")
    click.echo(f"report: {report.location}.md, .json, .parquet")


def _rule_text(broken: dict[str, Any]) -> str:
    """Return a rule with its column, which a rule over several does not have, and its count."""
    count = f"{broken['count']:,}" if broken["count"] else "(the whole column)"
    return f"{broken['column']} {broken['rule']} {count}".strip()


def print_accuracy(beside: Accuracy) -> None:
    """Print forecasts beside the data they were made from."""
    click.echo()
    for key, message in beside.failures[:_RULES_SHOWN]:
        click.echo(f"not compared: {key}: {message}", err=True)
    if len(beside.failures) > _RULES_SHOWN:
        click.echo(f"and {len(beside.failures) - _RULES_SHOWN} more not compared", err=True)
    if not beside.pairs:
        click.echo(_why_nothing(beside))
        return
    print_table("Forecast accuracy by partition", ACCURACY_HEAD, beside.rows()[:_MOST_SHOWN])
    click.echo()
    if all(math.isnan(one.losses["wql"]) for one in beside.pairs):
        click.echo("no finished forecast of these partitions has an actual yet")
        return
    correlations = beside.correlation_rows()
    if correlations:
        print_table("Rank correlation of flaws with losses", CORRELATION_HEAD, correlations)
    else:
        click.echo("too few partitions, or too alike, for a correlation")


def _why_nothing(beside: Accuracy) -> str:
    if beside.failures:
        return "no forecast could be compared: see above; its columns are named by --targets"
    return "no finished forecast is of these partitions"
