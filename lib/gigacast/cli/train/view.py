"""Progress of training, and its results as documents and JSON."""

from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from gigacast.cli.suggestion import proposed
from gigacast.models.publish import Published
from gigacast.report import quantity
from gigacast.report.document import Block, Document, KeyValues, Paragraph, Tone
from gigacast.report.progress import Progress
from gigacast.report.terminal import say
from gigacast.training.job import FinetuneJob, FinetuneResult
from gigacast.training.pretrain import PretrainJob, PretrainReport


class Watcher(ExitStack):
    """Shows the progress of training; opened before the run, closed after it.

    Parameters
    ----------
    quiet : bool
    batch_size : int
        Series per step.
    """

    def __init__(self, *, quiet: bool, batch_size: int) -> None:
        super().__init__()
        self._quiet = quiet
        self._batch_size = batch_size
        self._progress: Progress | None = None
        self._losses = {"loss": "", "held out": ""}

    def prepared(self, series: int, points: int) -> None:
        """Print the size of the training data."""
        if not self._quiet:
            amount = f"{quantity.count(series)} series, {quantity.count(points)} steps"
            say(f"training on {amount}", err=True)

    def started(self, step: int, steps: int) -> None:
        """Start the bar at the step where the run resumes."""
        self._progress = self.enter_context(Progress(steps, quiet=self._quiet, unit="steps"))
        self._progress.resume(step)
        if step and not self._quiet:
            say(f"resumed at step {step}", err=True)

    def stepped(self, step: int, loss: float) -> None:
        """Advance the bar and show the loss."""
        self._note("loss", f"{loss:.4f}")
        if self._progress is not None:
            self._progress.advance(self._batch_size)

    def validated(self, step: int, loss: float) -> None:
        """Show the loss on the held-out ends."""
        self._note("held out", f"{loss:.4f} at step {step}")

    def _note(self, name: str, value: str) -> None:
        self._losses[name] = value
        if self._progress is not None:
            losses = [f"{name} {loss}" for name, loss in self._losses.items() if loss]
            self._progress.note = ", ".join(losses)


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


def finetune_document(result: FinetuneResult, job: FinetuneJob) -> Document:
    """Return the losses before and after, and where the better version was published."""
    done = result.done
    ended = "validation got no better" if done.stopped_early else "all"
    steps = f"{done.step} steps ({ended}) in {quantity.duration(done.seconds)}"
    facts = [
        ("left out", ", ".join(f"{n} {reason}" for reason, n in result.skipped.items())),
        ("trained", f"{steps}, best at step {done.best_step}"),
        ("held-out loss", f"{done.before:.5f} before, {done.after:.5f} after"),
    ]
    if result.published is None:
        return Document((KeyValues.of(facts), *_unfinished(result)))
    if result.wql_before is not None and result.wql_after is not None:
        wql = f"{result.wql_before:.5f} before, {result.wql_after:.5f} after"
        facts.append(("held-out WQL", wql))
    published = _published_facts(
        result.published, switched=result.switched, outputs=job.job.outputs.url
    )
    blocks: list[Block] = [KeyValues.of([*facts, *published])]
    if done.best_step == 0:
        unchanged = "no step was better than the model it started from: the weights are its own"
        blocks.append(Paragraph(unchanged, Tone.WARNING))
    return Document(tuple(blocks))


def _unfinished(result: FinetuneResult) -> tuple[Block, ...]:
    return (
        Paragraph(
            f"not finished: time was up; checkpoint in {result.checkpoint_dir}", Tone.WARNING
        ),
        Paragraph("give the same command again to go on; nothing was published"),
    )


def _published_facts(done: Published, *, switched: bool, outputs: str) -> list[tuple[str, str]]:
    manifest = done.manifest
    label = f"{manifest.model}/{manifest.version}"
    verb = "published" if done.new else "was there"
    facts = [(verb, f"{label} under {outputs}, digest {manifest.digest[:12]}")]
    if switched:
        return [*facts, ("active", label)]
    switch = proposed(f"gigacast models switch {manifest.model} {manifest.version}")
    return [*facts, ("to use it", f"--model {label}, or {switch}")]


def pretrain_json(report: PretrainReport, job: PretrainJob) -> dict[str, Any]:
    """Return the result of pretraining for ``--json``."""
    manifest = report.published.manifest.to_json() if report.published is not None else None
    names = ("step", "steps", "finished", "held_out_loss")
    figures = {name: getattr(report, name) for name in names}
    return {**figures, "output": str(job.output_dir), "published": manifest}


def pretrain_document(report: PretrainReport, job: PretrainJob, outputs: str) -> Document:
    """Return the steps done, the loss, and where the weights were written."""
    facts = [
        ("trained", f"step {report.step} of {report.steps}"),
        ("held-out loss", f"{report.held_out_loss:.5f}"),
        ("written", str(job.output_dir)),
    ]
    if report.published is not None:
        facts += _published_facts(report.published, switched=False, outputs=outputs)
    document = Document((KeyValues.of(facts),))
    if report.published is None and not report.finished:
        text = "not finished: give the same command again to go on"
        return document.followed_by(Paragraph(text, Tone.WARNING))
    return document
