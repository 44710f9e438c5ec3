"""The plan of a plain month: what is done and what is pending, found in columns."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import to_arrow
from gigacast.core.partition.task import Task
from gigacast.lake.plan.match import Stored, match
from gigacast.lake.plan.plain import PlainMonth, joined, repeated
from gigacast.lake.plan.rows import DoneRows, TaskRows
from gigacast.lake.plan.spec_folders import SpecFolders
from gigacast.storage.listed import Listed


@dataclass(frozen=True, slots=True)
class PlainPlan:
    """The selected partitions of a month, in the order of their keys.

    Parameters
    ----------
    tasks : list of Task
        Those that are pending.
    done : DoneRows
    stale_receipts : list of str
        Receipts of partitions that are done which prove nothing.
    """

    tasks: list[Task]
    done: DoneRows
    stale_receipts: list[str]


def plan_plain(
    month: PlainMonth,
    horizons: IntArray,
    specs: SpecFolders,
    existing: Mapping[str, Stored],
    *,
    overwrite: bool,
) -> PlainPlan:
    """Return what is done and what is pending of the partitions of a month.

    Parameters
    ----------
    month : PlainMonth
    horizons : int64 [N]
    specs : SpecFolders
    existing : mapping of str to Stored
        Outputs and receipts by spec.
    overwrite : bool
        Whether partitions that are done are pending.
    """
    proofs = _Proofs.of(month, horizons, specs, existing)
    is_done = month.is_selected & (proofs.valid >= 0) & (not overwrite)
    done, pending = np.flatnonzero(is_done), np.flatnonzero(month.is_selected & ~is_done)
    stale, replaced = proofs.stale(month.is_selected, is_done)
    rows = TaskRows(
        month=month.month,
        extension=month.extension,
        objects=month.objects,
        partitions=month.partitions,
        output_keys=_output_keys(month.output_names, horizons, specs),
        symbols=month.symbols,
        timeframes=month.timeframes,
        horizons=horizons,
        spec_ids={horizon: specs.id(horizon) for horizon in np.unique(horizons).tolist()},
    )
    stale_receipts = [tuple(replaced.get(row, ())) for row in pending.tolist()] if replaced else ()
    return PlainPlan(
        rows.take(pending).tasks(stale_receipts),
        DoneRows(
            rows.take(done),
            proofs.outputs.take(proofs.output[done]),
            proofs.receipts.keys.take(to_arrow(proofs.valid[done])),
        ),
        stale,
    )


@dataclass(frozen=True, slots=True)
class _Proofs:
    """Outputs and receipts of all specs; `Matched` for N partitions, in rows of them."""

    outputs: Listed
    receipts: Listed
    output: IntArray
    valid: IntArray
    owner: IntArray

    @classmethod
    def of(
        cls,
        month: PlainMonth,
        horizons: IntArray,
        specs: SpecFolders,
        existing: Mapping[str, Stored],
    ) -> "_Proofs":
        outputs: list[Listed] = []
        receipts: list[Listed] = []
        owners = [np.empty(0, np.int64)]
        output, valid = np.full((2, len(horizons)), -1, np.int64)
        for horizon in np.unique(horizons).tolist():
            stored = existing.get(specs.id(horizon))
            if stored is None:
                continue
            rows = np.flatnonzero(horizons == horizon)
            places = to_arrow(rows)
            matched = match(
                stored, month.output_names.take(places), month.objects.etags.take(places)
            )
            output[rows] = _after(matched.output, outputs)
            valid[rows] = _after(matched.valid, receipts)
            owners.append(np.where(matched.owner < 0, -1, rows[matched.owner]))
            outputs.append(stored.outputs)
            receipts.append(stored.receipts)
        owner = np.concatenate(owners)
        return cls(Listed.joined(outputs), Listed.joined(receipts), output, valid, owner)

    def stale(
        self, is_selected: BoolArray, is_done: BoolArray
    ) -> tuple[list[str], dict[int, list[str]]]:
        """Return the receipts that prove nothing: of done partitions, and of each pending one."""
        rows = np.flatnonzero(self.owner >= 0)
        owner = self.owner[rows]
        is_stale = is_selected[owner] & ~(is_done[owner] & (rows == self.valid[owner]))
        rows, owner = rows[is_stale], owner[is_stale]
        in_order = np.argsort(owner, kind="stable")
        keys = self.receipts.keys.take(to_arrow(rows[in_order])).to_pylist()
        of_done: list[str] = []
        of_pending: dict[int, list[str]] = defaultdict(list)
        for row, key in zip(owner[in_order].tolist(), keys, strict=True):
            (of_done if is_done[row] else of_pending[row]).append(key)
        return of_done, of_pending


def _after(places: IntArray, listed: list[Listed]) -> IntArray:
    """Return places that count from the end of what is listed already."""
    return np.where(places < 0, -1, places + sum(map(len, listed)))


def _output_keys(names: pa.StringArray, horizons: IntArray, specs: SpecFolders) -> pa.StringArray:
    steps, places = np.unique(horizons, return_inverse=True)
    prefixes = repeated([specs.prefix(specs.id(h)) for h in steps.tolist()], places)
    return joined("", prefixes, names)
