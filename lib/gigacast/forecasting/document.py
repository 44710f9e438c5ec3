"""Documents and JSON of forecasting: plan, run summary, panels, verification, litter."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gigacast.core.partition.name import EXPECTED_NAMES
from gigacast.core.plural import counted
from gigacast.forecasting.plan import PlanReport
from gigacast.forecasting.prepare import Prepared
from gigacast.forecasting.quote import Quote
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.layout import audit_key
from gigacast.report import quantity
from gigacast.report.document import (
    Block,
    Column,
    Document,
    Figure,
    Heading,
    Items,
    KeyValues,
    Kind,
    Paragraph,
    Table,
    Tone,
)
from gigacast.report.notebook import render_notebook
from gigacast.report.plot.panel import ForecastPanel
from gigacast.report.summary import FailedPartition, RunSummary, summary_document

# A command that shows one kind of result does not load the code that makes the others.
if TYPE_CHECKING:
    from gigacast.forecasting.preview import Look
    from gigacast.forecasting.prune import Litter
    from gigacast.forecasting.run import RunResult
    from gigacast.forecasting.verify import VerifyReport

_FIRST = 5
_QUOTE_COLUMNS = (
    Column("queue"),
    Column("machine"),
    Column("bought", label="purchase"),
    Column("machines", Kind.COUNT, 1),
    Column("ends after", Kind.DURATION),
    Column("machine time", Kind.DURATION, 2),
    Column("of it start", Kind.DURATION, 3, "machine time to start"),
    Column("dollars", Kind.DOLLARS),
    Column("per million series", Kind.DOLLARS, 1, "dollars per million series after the start"),
    Column("by", priority=4, label="basis of the estimate"),
)


def plan_document(report: PlanReport, job: ForecastJob, quotes: Sequence[Quote]) -> Document:
    """Return the counts of a plan, its estimate, and a table of its costs."""
    facts = KeyValues.of(_plan_facts(report, job))
    problems = [Paragraph(problem, Tone.WARNING) for problem in report.look.problems]
    return Document((facts, *problems, *quote_blocks(quotes)))


def plan_html(report: PlanReport) -> str:
    """Return a plan as notebooks show it."""
    return render_notebook(plan_document(report, report.prepared.job, ()))


def run_html(result: "RunResult") -> str:
    """Return the result of a run as notebooks show it."""
    return render_notebook(summary_document(summarise_run(result)))


def quote_blocks(quotes: Sequence[Quote]) -> tuple[Block, ...]:
    """Return the cost of the plan, a row per queue; nothing without quotes."""
    if not quotes:
        return ()
    rows = [
        (
            quote.queue,
            quote.instance,
            quote.purchase.replace("_", " "),
            quote.machines,
            quote.elapsed_s,
            quote.hours * 3600,
            quote.start_hours * 3600,
            quantity.dollars(quote.dollars),
            quantity.dollars(quote.dollars_per_million),
            quote.basis,
        )
        for quote in quotes
    ]
    dated = f", prices of {quotes[0].prices_as_of}" if quotes[0].prices_as_of else ""
    table = Table(_QUOTE_COLUMNS, tuple(rows))
    return Heading(f"Cost{dated}"), table, Items.of(_unknown_costs(quotes))


def _unknown_costs(quotes: Sequence[Quote]) -> list[str]:
    """Return why costs are missing, where they are."""
    unpriced = dict.fromkeys(quote.instance for quote in quotes if quote.dollars is None)
    reasons = []
    if unpriced and all(quote.prices_as_of is None for quote in quotes):
        reasons.append("no prices: config/prices.yaml of the current folder has faults")
    elif unpriced:
        reasons.append(f"no price in the table: {', '.join(unpriced)}")
    if any(q.dollars is not None and q.dollars_per_million is None for q in quotes):
        reasons.append("no cost per million series: no receipt says how many series there are")
    return reasons


def _plan_facts(report: PlanReport, job: ForecastJob) -> list[tuple[str, str]]:
    plan, info = report.plan, report.prepared.info
    totals = plan.totals
    has_estimate = report.estimate.series is not None or plan.tasks
    unmatched = (
        f"{counted(plan.unmatched_count, 'object')} ({', '.join(plan.unmatched[:_FIRST])}): "
        f"{EXPECTED_NAMES}"
    )
    orphans = counted(totals.orphaned, "forecast")
    foreign = f"not taken for input: {', '.join(plan.foreign_folders[:_FIRST])}"
    return [
        ("input", job.inputs.url),
        ("model", f"{info.name} {info.version} ({report.prepared.model.source})"),
        ("runs on", f"{info.device}, {info.precision}"),
        ("engine", engine_text(report.prepared)),
        ("processes", str(report.processes) if _shows_processes(report, job) else ""),
        ("passes", _passes_text(report, job)),
        ("spec", ", ".join(sorted(plan.specs)[:_FIRST]) or "-"),
        ("done", f"{counted(totals.done, 'partition')}, {quantity.size(plan.done_bytes)}"),
        ("pending", f"{counted(totals.pending, 'partition')}, {quantity.size(plan.pending_bytes)}"),
        ("estimate", _estimate_text(report) if has_estimate else ""),
        (
            "superseded",
            counted(totals.superseded, "older generation") if totals.superseded else "",
        ),
        (
            "orphaned",
            f"{orphans} without an input" if totals.orphaned else "",
        ),
        ("not taken", unmatched if plan.unmatched_count else ""),
        ("folders", foreign if plan.foreign_folders else ""),
    ]


def engine_text(prepared: Prepared) -> str:
    """Return the engine of a job, with the reason why it was chosen."""
    reason = f" ({prepared.engine_reason})" if prepared.engine_reason else ""
    return f"{prepared.info.engine}{reason}"


def _passes_text(report: PlanReport, job: ForecastJob) -> str:
    """Return how many passes a series takes; empty where it is one."""
    passes = report.passes
    if passes == 1:
        return ""
    around = report.prepared.job.method.around
    names = [f"--enhance {around.enhance}"] if around.enhance is not None else []
    names += ["--long_horizon dilated"] if around.long_horizon == "dilated" else []
    return f"up to {passes} over the model for each series, by {' and '.join(names)}"


def _estimate_text(report: PlanReport) -> str:
    estimate = report.estimate
    if estimate.series is None or estimate.seconds is None:
        return "none: no receipts of earlier runs yet"
    jobs = report.processes.count
    return (
        f"about {quantity.count(estimate.series)} series, "
        f"{quantity.duration(estimate.seconds / jobs)} with --n_jobs {jobs} "
        f"(from {counted(estimate.receipts, 'receipt')})"
    )


def _shows_processes(report: PlanReport, job: ForecastJob) -> bool:
    """Return whether the processes of this machine matter; clusters and arrays have their own."""
    return bool(report.plan.tasks) and job.resources.executor in ("auto", "joblib", "inline")


def _choices_json(report: PlanReport, job: ForecastJob) -> dict[str, Any]:
    """Return what a run would choose by itself, with the reasons, as far as it would."""
    reason, processes = report.prepared.engine_reason, report.processes
    return {
        **({"engine_reason": reason} if reason else {}),
        **({"processes": asdict(processes)} if _shows_processes(report, job) else {}),
    }


def plan_json(report: PlanReport, job: ForecastJob, quotes: Sequence[Quote]) -> dict[str, Any]:
    """Return a plan with its estimate and its costs for ``--json``."""
    plan = report.plan
    return {
        "input": job.inputs.url,
        "output": job.outputs.url,
        "model": asdict(report.prepared.info),
        **asdict(plan.totals),
        "pending_bytes": plan.pending_bytes,
        "done_bytes": plan.done_bytes,
        "unmatched": plan.unmatched_count,
        "twins": plan.twins,
        "foreign_folders": plan.foreign_folders,
        "estimate": asdict(report.estimate),
        **({"passes": report.passes} if report.passes > 1 else {}),
        **_choices_json(report, job),
        "tasks": [
            {
                "partition": task.partition,
                "spec": task.spec,
                "horizon": task.horizon,
                "size_bytes": task.size_bytes,
                "output_key": task.output_key,
            }
            for task in plan.tasks
        ],
        "cost": [quote.describe() for quote in quotes],
        **({"problems": list(report.look.problems)} if report.look.problems else {}),
    }


def summarise_run(result: "RunResult", job: ForecastJob | None = None) -> RunSummary:
    """Return the summary of a run; with its job also where the audit is."""
    totals, plan = result.totals, result.plan.totals
    return RunSummary(
        run_id=result.run_id,
        status=result.status,
        elapsed_s=result.elapsed_s,
        partitions={
            "done": totals.partitions,
            "skipped": plan.done,
            "failed": len(result.failures),
            "pending": plan.pending - totals.partitions - len(result.failures),
            "superseded": plan.superseded,
            "orphaned": plan.orphaned,
        },
        model=result.info.name,
        version=result.info.version,
        specs=tuple(sorted(result.plan.specs)),
        series=totals.series,
        quarantined=totals.reasons,
        repairs=totals.repairs,
        rows=totals.rows_written,
        read_bytes=totals.bytes_read,
        written_bytes=totals.bytes_written,
        seconds_by_stage=totals.seconds,
        ignored=result.ignored,
        problems=result.look.problems,
        kept=totals.kept,
        usage=totals.usage,
        table=result.table.describe() if result.table is not None else {},
        cost=result.cost,
        output_url=result.outputs,
        # A dry run writes no audit.
        audit_url=""
        if result.status == "planned" or job is None
        else f"{job.outputs.url}/{audit_key(result.run_id)}",
        failures=tuple(
            FailedPartition(task.partition, failure.error, failure.message, failure.hint)
            for task, failure in result.failures
        ),
    )


def figure_of(look: "Look") -> Figure:
    """Return a series with its forecast as a figure."""
    flag = f" (fallback: {look.fallback})" if look.fallback else ""
    flag += " (stale: its input has changed since)" if look.is_stale else ""
    return ForecastPanel(
        title=f"{look.item_id} · {look.target_name}{flag}",
        context_times=look.context_times,
        context=look.context,
        times=look.times,
        median=look.median,
        levels=look.levels,
        quantiles=look.quantiles,
        actuals=look.actuals,
    ).to_figure()


def verification_document(report: "VerifyReport") -> Document:
    """Return the size of the sample, the largest difference, and each beyond the tolerance."""
    skipped = f"{report.skipped} series that the model did not forecast" if report.skipped else ""
    scale = f"{report.worst:.2e} of the context's scale, tolerance {report.tolerance}"
    facts = KeyValues.of(
        [
            ("reference", report.reference),
            ("compared", f"{report.series} series of {counted(report.partitions, 'partition')}"),
            ("skipped", skipped),
            ("worst", scale),
            *(
                ("different", f"{d.partition} {d.item_id} {d.target_name}: {d.error:.2e}")
                for d in report.differences
            ),
        ]
    )
    if report.differences:
        return Document((facts, Paragraph("different", Tone.BAD)))
    return Document((facts, Paragraph("the same", Tone.GOOD)))


def litter_document(litter: "Litter", old_specs: bool) -> Document:
    """Return the number and the first keys of what can be deleted."""
    blocks: list[Block] = []
    kinds = [("orphaned", litter.orphans), ("stale receipts", litter.receipts)]
    for title, keys in (*kinds, *([("earlier origins", litter.origins)] * bool(litter.origins))):
        blocks += [Paragraph(f"{title}: {len(keys)}"), Items.of(keys, depth=1, limit=_FIRST)]
    stays = "" if old_specs or not litter.old_specs else " (kept; add --old_specs)"
    folders = (f"{folder}: {counted(n, 'object')}" for folder, n in litter.old_specs.items())
    blocks += [Paragraph(f"old specs: {len(litter.old_specs)}{stays}"), Items.of(folders, depth=1)]
    return Document(tuple(blocks))
