"""Orphaned outputs, stale receipts and old specs of a bucket, and their removal."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby

from gigacast.errors import CorruptedFileError
from gigacast.forecasting.prepare import Prepared, prepare
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.layout import (
    digests_key,
    manifest_key,
    origins_prefix,
    parse_origin_key,
    parse_prediction_key,
    receipt_prefix,
    spec_prefix,
    version_prefix,
)
from gigacast.lake.plan.manifest import drop_entries
from gigacast.lake.plan.origin import sort_origins, surplus_of
from gigacast.lake.plan.planner import make_plan
from gigacast.lake.plan.rows import DoneEntry
from gigacast.storage.store import ObjectMeta


@dataclass(frozen=True)
class Litter:
    """The objects that can be deleted, by kind; keys are relative to the output root.

    Parameters
    ----------
    prepared : Prepared
    orphans : list of str
        Predictions whose input is gone or superseded by a newer generation.
    receipts : list of str
        Stale receipts: their output, or the input they were written for, is gone or was replaced.
    old_specs : dict
        Number of objects by folder, for folders of other specs of the same model version.
    specs : frozenset of str
        Ids of the specs that stay.
    origins : list of str
        Kept forecasts of orphans and of partitions that are gone, and those that are more than
        ``keep_origins``.
    """

    prepared: Prepared
    orphans: list[str]
    receipts: list[str]
    old_specs: dict[str, int] = field(default_factory=dict)
    specs: frozenset[str] = frozenset()
    origins: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of objects that `remove` deletes without old specs."""
        return len(self.orphans) + len(self.receipts) + len(self.origins)


def find_litter(job: ForecastJob | Prepared, spared: frozenset[str] = frozenset()) -> Litter:
    """Return the objects that can be deleted; nothing is changed.

    Parameters
    ----------
    job : ForecastJob or Prepared
    spared : frozenset of str
        Ids of further specs that are no old ones.

    Raises
    ------
    ConfigError, StorageError, ModelError
    """
    prepared = prepare(job) if isinstance(job, ForecastJob) else job
    # Of each partition that stays: the ETag of its forecast, "" where that is still to be made.
    current: dict[str, str] = {}

    def take_done(entries: Sequence[DoneEntry]) -> None:
        current.update((entry.output.key, entry.output.etag) for entry in entries)

    plan = make_plan(prepared.inputs, prepared.outputs, prepared.request(), on_done=take_done)
    current |= {task.output_key: "" for task in plan.tasks}
    # The specs of this job stay, also one whose inputs are all gone: its outputs are orphans, which
    # are listed one by one.
    live = plan.specs | {
        parsed.spec for key in plan.orphans if (parsed := parse_prediction_key(key))
    }
    return Litter(
        prepared,
        sorted(plan.orphans),
        sorted(plan.stale_receipts),
        _old_specs(prepared, live | spared),
        frozenset(live),
        sorted(_surplus_origins(prepared, live, current, {*plan.orphans})),
    )


def _surplus_origins(
    prepared: Prepared, specs: set[str], current: dict[str, str], orphans: set[str]
) -> Iterator[str]:
    """Yield the keys of kept forecasts that nothing uses: those of orphans, or too many."""
    spec, keep = prepared.spec, prepared.job.keep_origins
    for spec_id in sorted(specs):
        prefix = spec_prefix(spec.model, spec.version, spec_id)
        pages = prepared.outputs.list(origins_prefix(prefix))
        entries = (entry for page in pages for entry in page)
        for output_key, group in groupby(entries, key=_output_key_of):
            # Others are outside of the selection, or of another horizon: the plan says nothing.
            if output_key in orphans:
                yield from (origin.meta.key for origin in sort_origins(group))
            elif output_key in current:
                yield from surplus_of(sort_origins(group), current[output_key] or None, keep)


def _output_key_of(entry: ObjectMeta) -> str:
    named = parse_origin_key(entry.key)
    return named.output_key if named is not None else ""


def remove(litter: Litter, *, old_specs: bool = False) -> int:
    """Delete orphans, stale receipts and, on request, old specs.

    Parameters
    ----------
    litter : Litter
    old_specs : bool
        Whether the forecasts of other specs are deleted, too.

    Returns
    -------
    int
        Number of objects deleted.

    Raises
    ------
    StorageError
    """
    outputs, spec = litter.prepared.outputs, litter.prepared.spec
    # Manifests before anything: readers must not be sent to forecasts that are gone, and no later
    # run would take such an entry out.
    for spec_id in sorted(litter.specs):
        with suppress(CorruptedFileError):  # the next run makes it anew from the receipts
            drop_entries(outputs, manifest_key(spec.model, spec.version, spec_id), litter.orphans)
    # Receipts first: a crash in between must not leave a receipt without its output.
    # Origins before the orphans that they belong to, by which a later prune would find them.
    keys = litter.receipts + litter.origins + litter.orphans
    # The digests of an orphan go with it; deleting those of none does no harm.
    outputs.delete([*map(digests_key, litter.orphans), *keys])
    deleted = len(keys)
    for folder in litter.old_specs if old_specs else ():
        below = (receipt_prefix(folder), folder, origins_prefix(folder), digests_key(folder))
        for prefix in below:
            for page in outputs.list(prefix):
                outputs.delete(entry.key for entry in page)
                deleted += len(page)
    return deleted


def _old_specs(prepared: Prepared, live: set[str]) -> dict[str, int]:
    spec = prepared.spec
    root = version_prefix(spec.model, spec.version)
    folders = prepared.outputs.list_folder(root).folders
    old = [f for f in folders if f.removeprefix(root).rstrip("/") not in live]
    return {f: sum(len(page) for page in prepared.outputs.list(f)) for f in old}
