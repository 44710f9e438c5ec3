"""Documents and JSON of array runs: submission, summary, and the state of a bucket."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gigacast.batch.result import array_of
from gigacast.batch.status import StatusReport, is_about, specs_of
from gigacast.batch.submit import Submission
from gigacast.core.plural import counted
from gigacast.lake.layout import audit_key, version_prefix
from gigacast.lake.plan.audit import Audit
from gigacast.report import quantity
from gigacast.report.document import (
    Block,
    Column,
    Document,
    Heading,
    Item,
    Items,
    Kind,
    Paragraph,
    Table,
    Tone,
)
from gigacast.report.summary import (
    FailedPartition,
    RunSummary,
    and_more,
    equal_failures,
    summary_document,
)
from gigacast.storage.store import StoreAddress

_FIRST = 5
_STATUS_COLUMNS = (
    Column("month"),
    Column("done", Kind.COUNT),
    Column("pending", Kind.COUNT),
    Column("failed", Kind.COUNT),
    Column("superseded", Kind.COUNT, 1),
    Column("orphaned", Kind.COUNT, 2),
)
_RUN_COLUMNS = (
    Column("run", Kind.KEY),
    Column("status"),
    Column("forecast", Kind.COUNT),
    Column("skipped", Kind.COUNT, 2),
    Column("failed", Kind.COUNT),
    Column("dollars", Kind.DOLLARS, 1),
)


def watch_command(run_id: str, address: StoreAddress) -> str:
    """Return the command that shows the progress of a run, with the address of its outputs."""
    place = f"--bucket {address.url}"
    more = [
        f" --{name} {value}"
        for name, value in (("endpoint_url", address.endpoint_url), ("region", address.region))
        if value
    ]
    return f"gigacast watch {run_id} {place}{''.join(more)}"


def submission_document(submission: Submission, address: StoreAddress) -> Document:
    """Return the size of a submitted run and the command that watches it."""
    if not submission.tasks:
        finished = submission.plan.totals.done
        state = f"{counted(finished, 'partition')} {'is' if finished == 1 else 'are'} done"
        return Document((Paragraph(f"nothing to do: {state}"),))
    tasks = counted(submission.tasks, "partition")
    children = counted(submission.children, "child", "children")
    size = f"{submission.run_id}: {tasks} over {children} in {submission.queue}"
    watch = Items.of([watch_command(submission.run_id, address)], depth=1)
    problems = [Paragraph(problem, Tone.WARNING) for problem in submission.problems]
    return Document((*problems, Paragraph(size), watch))


def submission_json(submission: Submission) -> dict[str, Any]:
    """Return a submission for ``--json``; ``run_id`` is null if nothing was submitted."""
    return {
        "run_id": submission.run_id if submission.tasks else None,
        "tasks": submission.tasks,
        "queue": submission.queue,
        "children": submission.children,
        "job_ids": list(submission.job_ids),
        **asdict(submission.plan.totals),
        **({"problems": list(submission.problems)} if submission.problems else {}),
    }


def array_document(audit: Audit, address: StoreAddress) -> Document:
    """Return the summary of a closed array run, and its children."""
    return summary_document(summarise_array(audit, address)).followed_by(_children(audit))


def array_json(audit: Audit, address: StoreAddress) -> dict[str, Any]:
    """Return the summary of an array run and the state of its children for ``--json``."""
    return {**summarise_array(audit, address).to_json(), "array": array_of(audit)}


def _problems(audit: Audit) -> tuple[str, ...]:
    # Audits without problems, and those of former releases, have no such entry.
    problems = audit.plan.get("problems")
    return tuple(map(str, problems)) if isinstance(problems, list) else ()


def summarise_array(audit: Audit, address: StoreAddress) -> RunSummary:
    """Return the summary of an array run from its audit."""
    totals: dict[str, Any] = audit.totals
    specs = audit.plan.get("specs", {})
    # Specs of a run differ in the horizon alone; all have the run's model.
    model: dict[str, Any] = next(iter(specs.values()), {}) if isinstance(specs, dict) else {}
    return RunSummary(
        run_id=audit.session_id,
        status=audit.status,
        elapsed_s=audit.elapsed_s,
        partitions=_partitions(audit),
        model=str(model.get("model", "")),
        version=str(model.get("version", "")),
        specs=tuple(sorted(specs)) if isinstance(specs, dict) else (),
        series=totals.get("series", 0),
        quarantined=totals.get("reasons", {}),
        repairs=totals.get("repairs", {}),
        rows=totals.get("rows_written", 0),
        read_bytes=totals.get("bytes_read", 0),
        written_bytes=totals.get("bytes_written", 0),
        seconds_by_stage=totals.get("seconds", {}),
        ignored=_ignored(audit),
        cost=audit.cost,
        problems=_problems(audit),
        kept=totals.get("kept"),
        output_url=f"{address.url}/{version_prefix(str(model['model']), str(model['version']))}"
        if model
        else "",
        audit_url=f"{address.url}/{audit_key(audit.session_id)}",
        failures=tuple(map(_failed_partition, audit.failures)),
    )


def _partitions(audit: Audit) -> dict[str, int]:
    """Return the partitions by state; pending are those that no child has reported."""
    reported = audit.files_processed + audit.files_skipped + audit.files_failed
    return {
        "done": audit.files_processed,
        "skipped": audit.files_skipped,
        "failed": audit.files_failed,
        "pending": audit.files_discovered - reported,
    }


def _failed_partition(failure: Mapping[str, object]) -> FailedPartition:
    return FailedPartition(
        str(failure.get("partition", "-")),
        str(failure.get("error", "")),
        str(failure.get("message", "")),
        str(failure["hint"]) if failure.get("hint") else None,
    )


def _ignored(audit: Audit) -> tuple[str, ...]:
    covariates = audit.plan.get("covariates")
    return tuple(covariates.get("ignored", ())) if isinstance(covariates, dict) else ()


def _children(audit: Audit) -> Items:
    """Return the number of children, the time lost, and each child that failed."""
    array = array_of(audit)
    lost = f", {array['lost_s']:.0f} s lost" if array["lost_s"] else ""
    attempts = counted(array["attempts"], "attempt")
    items = [Item(f"children          {array['children']}, {attempts}{lost}", 1)]
    items += [
        Item(f"child {c['child']} failed: {c['reason']}; log {c['log_stream']}", 1, Tone.BAD)
        for c in array["failed_children"]
    ]
    return Items(tuple(items))


def status_document(report: StatusReport) -> Document:
    """Return the counts of each month, the latest runs, and the failures still pending."""
    totals = report.plan.totals
    months = [(month.month, month.counts, month.failed) for month in report.months]
    months.append(("all", totals, sum(month.failed for month in report.months)))
    counts = [
        (name, c.done, c.pending, failed, c.superseded, c.orphaned) for name, c, failed in months
    ]
    runs = [
        (
            r.session_id,
            r.state,
            r.files_processed,
            r.files_skipped,
            r.files_failed,
            _dollars_of(r),
        )
        for r in report.runs[:_FIRST]
    ]
    blocks: list[Block] = [
        Heading("Partitions"),
        *_counted_forecasts(report),
        Table(_STATUS_COLUMNS, tuple(counts)),
    ]
    if runs:
        blocks += [Heading("Latest runs"), Table(_RUN_COLUMNS, tuple(runs))]
    return Document((*blocks, _failure_items(_current_failures(report))))


def _counted_forecasts(report: StatusReport) -> list[Paragraph]:
    """Return of which forecasts partitions are counted, and whether the last run made others."""
    info, specs = report.prepared.info, sorted(report.plan.specs)
    if not specs:
        return []
    paragraphs = [Paragraph(f"forecasts {_first_of(specs)} by {info.name} {info.version}")]
    # A run without a task names no spec. Nobody who sees forecasts misses those of another spec.
    latest = next((run for run in report.runs if specs_of(run)), None)
    if latest is not None and not report.plan.totals.done and not is_about(latest, report.plan):
        others = (
            f"{latest.session_id} made others, {_first_of(sorted(specs_of(latest)))}: "
            "status counts those with the flags of that run"
        )
        paragraphs.append(Paragraph(others, Tone.WARNING))
    return paragraphs


def _first_of(specs: list[str]) -> str:
    return f"{specs[0]} and {len(specs) - 1:,} more" if len(specs) > 1 else specs[0]


def _failure_items(failures: list[dict[str, object]]) -> Items:
    items: list[Item] = []
    groups = equal_failures(map(_failed_partition, failures))
    for group in groups[:_FIRST]:
        failure = group[0]
        name = and_more(failure.partition, len(group))
        text = f"failed: {name}: {failure.error}: {failure.message}"
        items.append(Item(text, tone=Tone.BAD))
        if failure.hint:
            items.append(Item(f"hint: {failure.hint}", depth=1))
    if len(groups) > _FIRST:
        count = sum(map(len, groups[_FIRST:]))
        omission = f"... and {count} more: see --json and the audits"
        items.append(Item(omission, tone=Tone.QUIET))
    return Items(tuple(items))


def _dollars_of(run: Audit) -> str:
    bill = run.cost.get("actual")
    dollars = bill.get("dollars") if isinstance(bill, dict) else None
    return quantity.dollars(dollars)


def _current_failures(report: StatusReport) -> list[dict[str, object]]:
    """Return the last failure of each partition that is still pending."""
    pending = {task.partition for task in report.plan.tasks}
    latest: dict[object, dict[str, object]] = {}
    for run in report.runs:
        for failure in run.failures if is_about(run, report.plan) else ():
            if failure.get("partition") in pending:
                latest.setdefault(failure["partition"], failure)
    return list(latest.values())


def status_json(report: StatusReport) -> dict[str, Any]:
    """Return the state of a bucket for ``--json``."""
    info = report.prepared.info
    return {
        "model": info.name,
        "version": info.version,
        "specs": sorted(report.plan.specs),
        "totals": asdict(report.plan.totals),
        "months": [
            {"month": m.month, "failed": m.failed, **asdict(m.counts)} for m in report.months
        ],
        "runs": [
            {
                "run_id": run.session_id,
                "status": run.status,
                "start_time": run.start_time,
                "end_time": run.end_time,
                "specs": sorted(specs_of(run)),
                "files_processed": run.files_processed,
                "files_skipped": run.files_skipped,
                "files_failed": run.files_failed,
                "array": run.plan.get("array"),
                "cost": run.cost,
            }
            for run in report.runs
        ],
        "failures": _current_failures(report),
    }
