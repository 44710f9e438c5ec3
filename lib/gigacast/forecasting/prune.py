"""Orphaned outputs, stale receipts and old specs of a bucket, and their removal."""

from contextlib import suppress
from dataclasses import dataclass, field

from gigacast.errors import CorruptedFileError
from gigacast.forecasting.prepare import Prepared, prepare
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.layout import (
    manifest_key,
    parse_prediction_key,
    receipt_prefix,
    version_prefix,
)
from gigacast.lake.plan.manifest import drop_entries
from gigacast.lake.plan.planner import make_plan


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
    """

    prepared: Prepared
    orphans: list[str]
    receipts: list[str]
    old_specs: dict[str, int] = field(default_factory=dict)
    specs: frozenset[str] = frozenset()

    @property
    def count(self) -> int:
        """Number of objects that `remove` deletes without old specs."""
        return len(self.orphans) + len(self.receipts)


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
    plan = make_plan(prepared.inputs, prepared.outputs, prepared.request())
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
    )


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
    keys = litter.receipts + litter.orphans
    outputs.delete(keys)
    deleted = len(keys)
    for folder in litter.old_specs if old_specs else ():
        for prefix in (receipt_prefix(folder), folder):
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
