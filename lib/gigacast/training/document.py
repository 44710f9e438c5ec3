"""Documents and JSON of training: the results of fine-tuning and pretraining."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from gigacast.core.plural import counted
from gigacast.models.publish import Published
from gigacast.report import quantity
from gigacast.report.document import Block, Document, KeyValues, Paragraph, Tone
from gigacast.training.job import FinetuneJob, FinetuneResult
from gigacast.training.pretrain import PretrainJob, PretrainReport


def finetune_json(result: FinetuneResult) -> dict[str, Any]:
    """Return the result of fine-tuning for ``--json``."""
    manifest = result.published.manifest.to_json() if result.published is not None else None
    return {
        "parent": {"model": result.parent.name, "version": result.parent.version},
        "series": result.series,
        "points": result.points,
        "left_out": result.skipped,
        **asdict(result.done),
        "wql_before": result.wql_before,
        "wql_after": result.wql_after,
        "checkpoints": str(result.checkpoint_dir),
        "active": result.switched,
        "published": manifest,
    }


def finetune_document(
    result: FinetuneResult, job: FinetuneJob, complete: Callable[[str], str] = str
) -> Document:
    """Return the losses before and after, and where the better version was published.

    Parameters
    ----------
    result : FinetuneResult
    job : FinetuneJob
    complete : callable
        Adds the flags for the registry to a suggested command; none by default.
    """
    finetuned = result.done
    ended = "validation got no better" if finetuned.stopped_early else "all"
    steps = f"{counted(finetuned.step, 'step')} ({ended}) in {quantity.duration(finetuned.seconds)}"
    facts = [
        ("left out", ", ".join(f"{n} {reason}" for reason, n in result.skipped.items())),
        ("trained", f"{steps}, best at step {finetuned.best_step}"),
        ("held-out loss", f"{finetuned.before:.5f} before, {finetuned.after:.5f} after"),
    ]
    if not finetuned.finished:
        return Document((KeyValues.of(facts), *_unfinished(result)))
    if result.published is None:
        unchanged = Paragraph(
            "not published: no step was better than the model it started from", Tone.WARNING
        )
        return Document((KeyValues.of(facts), unchanged))
    if result.wql_before is not None and result.wql_after is not None:
        wql = f"{result.wql_before:.5f} before, {result.wql_after:.5f} after"
        facts.append(("held-out WQL", wql))
    facts += _published_facts(result.published, job.job.outputs.url)
    facts.append(_usage_fact(result.published, complete, switched=result.switched))
    return Document((KeyValues.of(facts),))


def _unfinished(result: FinetuneResult) -> tuple[Block, ...]:
    return (
        Paragraph(
            f"not finished: time was up; checkpoint in {result.checkpoint_dir}", Tone.WARNING
        ),
        Paragraph("give the same command again to go on; nothing was published"),
    )


def _published_facts(published: Published, outputs: str) -> list[tuple[str, str]]:
    manifest = published.manifest
    verb = "published" if published.new else "was there"
    label = f"{manifest.model}/{manifest.version}"
    return [(verb, f"{label} under {outputs}, digest {manifest.digest[:12]}")]


def _usage_fact(
    published: Published, complete: Callable[[str], str], *, switched: bool
) -> tuple[str, str]:
    """Return that the version is active, or how it is used."""
    name, version = published.manifest.model, published.manifest.version
    if switched:
        return "active", f"{name}/{version}"
    switch = complete(f"gigacast models switch {name} {version}")
    return "to use it", f"--model {name}/{version}, or {switch}"


def pretrain_json(report: PretrainReport, job: PretrainJob) -> dict[str, Any]:
    """Return the result of pretraining for ``--json``."""
    manifest = report.published.manifest.to_json() if report.published is not None else None
    names = ("step", "steps", "finished", "held_out_loss")
    figures = {name: getattr(report, name) for name in names}
    return {**figures, "output": str(job.output_dir), "published": manifest}


def pretrain_document(
    report: PretrainReport,
    job: PretrainJob,
    outputs: str,
    complete: Callable[[str], str] = str,
) -> Document:
    """Return the steps done, the loss, and where the weights were written.

    Parameters
    ----------
    report : PretrainReport
    job : PretrainJob
    outputs : str
        Address of the registry; empty if nothing is published.
    complete : callable
        Adds the flags for the registry to a suggested command; none by default.
    """
    facts = [
        ("trained", f"step {report.step} of {report.steps}"),
        ("held-out loss", f"{report.held_out_loss:.5f}"),
        ("written", str(job.output_dir)),
    ]
    if report.published is not None:
        facts += _published_facts(report.published, outputs)
        facts.append(_usage_fact(report.published, complete, switched=False))
    document = Document((KeyValues.of(facts),))
    if report.published is None and not report.finished:
        text = "not finished: give the same command again to go on"
        return document.followed_by(Paragraph(text, Tone.WARNING))
    return document
