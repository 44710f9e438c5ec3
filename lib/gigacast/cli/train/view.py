"""What people see of training: the bar, the summary, JSON."""

from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import click

from gigacast.cli.suggestion import proposed
from gigacast.models.publish import Published
from gigacast.report import quantity
from gigacast.report.progress import Progress
from gigacast.training.job import FinetuneJob, FinetuneResult
from gigacast.training.pretrain import PretrainJob, PretrainReport


class Watcher(ExitStack):
    """Shows how training goes on; opened before the run, closed after it.

    Parameters
    ----------
    quiet : bool
    batch_size : int
        Series in a step.
    """

    def __init__(self, *, quiet: bool, batch_size: int) -> None:
        super().__init__()
        self._quiet = quiet
        self._batch_size = batch_size
        self._progress: Progress | None = None
        self._told = {"loss": "", "held out": ""}

    def prepared(self, series: int, points: int) -> None:
        """Tell what there is to learn from."""
        if not self._quiet:
            amount = f"{quantity.count(series)} series, {quantity.count(points)} steps"
            click.echo(f"training on {amount}", err=True)

    def started(self, step: int, steps: int) -> None:
        """Start the bar where the run goes on."""
        self._progress = self.enter_context(Progress(steps, quiet=self._quiet, unit="steps"))
        self._progress.resume(step)
        if step and not self._quiet:
            click.echo(f"resumed at step {step}", err=True)

    def stepped(self, step: int, loss: float) -> None:
        """Step on."""
        self._tell("loss", f"{loss:.4f}")
        if self._progress is not None:
            self._progress.advance(self._batch_size)

    def validated(self, step: int, loss: float) -> None:
        """Show the loss on what is held out from now on."""
        self._tell("held out", f"{loss:.4f} at step {step}")

    def _tell(self, what: str, value: str) -> None:
        self._told[what] = value
        if self._progress is not None:
            known = [f"{name} {told}" for name, told in self._told.items() if told]
            self._progress.note = ", ".join(known)


def finetune_json(result: FinetuneResult) -> dict[str, Any]:
    """Return a result as plain values."""
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


def tell_finetuned(result: FinetuneResult, job: FinetuneJob) -> None:
    """Print how a run ended, and what can be done with what came out."""
    done = result.done
    left_out = ", ".join(f"{n} {reason}" for reason, n in result.skipped.items())
    if left_out:
        click.echo(f"left out     {left_out}")
    ended = "validation got no better" if done.stopped_early else "all"
    click.echo(
        f"trained      {done.step} steps ({ended}) in {quantity.duration(done.seconds)}, "
        f"best at step {done.best_step}"
    )
    click.echo(f"held-out loss {done.before:.5f} before, {done.after:.5f} after")
    if result.published is None:
        click.echo(f"not finished: time was up; checkpoint in {result.checkpoint_dir}")
        click.echo("give the same command again to go on; nothing was published")
        return
    if result.wql_before is not None and result.wql_after is not None:
        click.echo(f"held-out WQL  {result.wql_before:.5f} before, {result.wql_after:.5f} after")
    if done.best_step == 0:
        click.echo("no step was better than the model it started from: the weights are its own")
    _tell_published(result.published, switched=result.switched, outputs=job.job.outputs.url)


def _tell_published(done: Published, *, switched: bool, outputs: str) -> None:
    found = done.manifest
    label = f"{found.model}/{found.version}"
    verb = "published   " if done.new else "was there   "
    click.echo(f"{verb} {label} under {outputs}, digest {found.digest[:12]}")
    if switched:
        click.echo(f"active       {label}")
        return
    switch = proposed(f"gigacast models switch {found.model} {found.version}")
    click.echo(f"to use it    --model {label}, or {switch}")


def pretrain_json(report: PretrainReport, job: PretrainJob) -> dict[str, Any]:
    """Return a report as plain values."""
    manifest = report.published.manifest.to_json() if report.published is not None else None
    told = {name: getattr(report, name) for name in ("step", "steps", "finished", "held_out_loss")}
    return {**told, "output": str(job.output_dir), "published": manifest}


def tell_pretrained(report: PretrainReport, job: PretrainJob, outputs: str) -> None:
    """Print how far a run came."""
    click.echo(f"trained      step {report.step} of {report.steps}")
    click.echo(f"held-out loss {report.held_out_loss:.5f}")
    click.echo(f"written      {job.output_dir}")
    if report.published is not None:
        _tell_published(report.published, switched=False, outputs=outputs)
    elif not report.finished:
        click.echo("not finished: give the same command again to go on")
