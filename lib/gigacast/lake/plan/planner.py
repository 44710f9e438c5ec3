"""The planner: finds the tasks that are left, from listings alone.

A partition is done when a receipt names the ETags that are now listed for its input and its output.
Inputs, outputs and receipts are listed in step, month by month, so that memory is bounded by the
largest month plus the pending tasks, whatever the size of the bucket. No object is read.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from gigacast.core.collector import collector_paused
from gigacast.core.partition.name import (
    NamingPattern,
    PartitionName,
    is_hive_year,
    levels_above,
)
from gigacast.core.partition.spec import Spec
from gigacast.core.partition.task import Task, sizes_of
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.month import Month
from gigacast.lake.layout import (
    FORECASTS,
    RESERVED,
    ReceiptKey,
    receipt_prefix,
)
from gigacast.lake.plan.discovery import Discoverer, MonthPartitions, Partition, Selection
from gigacast.lake.plan.listing import Existing, Shard, shard_prefixes, valid_receipt
from gigacast.lake.plan.match import Stored
from gigacast.lake.plan.months import find_years, month_at
from gigacast.lake.plan.plain import PlainMonth, read_plain
from gigacast.lake.plan.plain_plan import plan_plain
from gigacast.lake.plan.rows import DoneEntry, task_of
from gigacast.lake.plan.spec_folders import SpecFolders
from gigacast.storage.listed import Listed
from gigacast.storage.store import ObjectMeta, Store

FEW = 64
"""Objects of a month up to which columns do not pay."""
NO_MONTH = Month(1, 1)
"""Month of files whose folder names none."""
MAX_REPORTED = 20
"""Maximum number of keys without a partition that a plan names; all are counted."""
SHARDS_AHEAD = 3
"""Shards whose listings run ahead: a listing is a chain of round trips, which overlap this way."""


@dataclass(frozen=True)
class PlanRequest:
    """The partitions to plan, and the spec to plan them for.

    Parameters
    ----------
    spec : Spec
        Resolved spec, which the plan pins.
    horizon : int, optional
        Steps; by default those of the file name's minutes, else ``model_horizon``.
    model_horizon : int
        Prediction length of the model.
    pattern : NamingPattern
    selection : Selection
    overwrite : bool
        Whether partitions that are done are planned again.
    root : str
        Folder of the outputs: `layout.FORECASTS`, or that of another job.
    """

    spec: Spec
    horizon: int | None
    model_horizon: int
    pattern: NamingPattern = field(default_factory=NamingPattern)
    selection: Selection = field(default_factory=Selection)
    overwrite: bool = False
    root: str = FORECASTS

    def horizon_of(self, name: PartitionName) -> int:
        """Return the horizon in steps: from the setting, the file name, or the model."""
        if self.horizon is not None:
            return self.horizon
        if name.horizon_minutes is None or name.timeframe is None:
            return self.model_horizon
        # Rounded up: a forecast that ends before the minutes named would be too short.
        step_us = Frequency.parse(name.timeframe).span_us(1)
        return max(1, -(-name.horizon_minutes * 60_000_000 // step_us))


@dataclass(slots=True)
class MonthCounts:
    """Number of partitions of a month by state."""

    done: int = 0
    pending: int = 0
    superseded: int = 0
    orphaned: int = 0


@dataclass(slots=True)
class Plan:
    """The tasks that are left, and counts of everything that the listings hold.

    Parameters
    ----------
    tasks : list of Task
    months : dict of Month to MonthCounts
    twins : int
        JSON files beside a Parquet file of the same name.
    unmatched_count : int
        Objects that are no partition; ``unmatched`` names the first few.
    foreign_folders : list of str
        Folders at the root that hold no partitions.
    orphans : list of str
        Outputs without an input, and outputs of superseded generations.
    stale_receipts : list of str
        Keys of receipts that do not match the listed input and output.
    superseded_inputs : list of str
        Older generations of partitions.
    specs : set of str
        Ids of the specs of the selected partitions, done or not.
    done_bytes : int
        Size of the inputs of partitions that are done.
    spellings : list of (str, str)
        Folders that spell the same month in two ways, ``month=1`` and ``month=01``.
    """

    tasks: list[Task] = field(default_factory=list)
    months: dict[Month, MonthCounts] = field(default_factory=lambda: defaultdict(MonthCounts))
    twins: int = 0
    unmatched_count: int = 0
    unmatched: list[str] = field(default_factory=list)
    foreign_folders: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    stale_receipts: list[str] = field(default_factory=list)
    superseded_inputs: list[str] = field(default_factory=list)
    specs: set[str] = field(default_factory=set)
    done_bytes: int = 0
    spellings: list[tuple[str, str]] = field(default_factory=list)

    @property
    def totals(self) -> MonthCounts:
        """Counts over all months."""
        total: Counter[str] = Counter()
        for counts in self.months.values():
            for name in MonthCounts.__slots__:
                total[name] += getattr(counts, name)
        return MonthCounts(**total)

    @property
    def discovered(self) -> int:
        """Number of selected partitions."""
        totals = self.totals
        return totals.done + totals.pending

    @property
    def pending_bytes(self) -> int:
        """Size of the inputs of all tasks."""
        return sum(sizes_of(self.tasks))


OnDone = Callable[[Sequence[DoneEntry]], None]
"""Receives partitions that are done, those of a month at a time; there may be millions."""


def make_plan(
    inputs: Store, outputs: Store, request: PlanRequest, *, on_done: OnDone | None = None
) -> Plan:
    """List inputs, outputs and receipts, and return the plan of the remaining tasks.

    Parameters
    ----------
    inputs, outputs : Store
        Rooted at the input and the output root; may be the same.
    request : PlanRequest
    on_done : callable, optional
        Called with the partitions of each month that are done already; the plan only counts them.

    Raises
    ------
    StorageError
    """
    planner = _Planner(inputs, outputs, request, on_done or (lambda entries: None))
    with collector_paused(), ExitStack() as stack:
        ahead: deque[Shard] = deque()
        # Several shards are listed at a time, and planned in time order.
        for prefix in planner.shards():
            ahead.append(stack.enter_context(planner.open_shard(prefix)))
            if len(ahead) > SHARDS_AHEAD:
                planner.plan_shard(ahead.popleft())
        for shard in ahead:
            planner.plan_shard(shard)
    return planner.plan


class _Planner:
    """The state of a planning: the plan so far, and earlier months as context."""

    def __init__(
        self, inputs: Store, outputs: Store, request: PlanRequest, on_done: OnDone
    ) -> None:
        self.plan = Plan()
        self._inputs = inputs
        self._outputs = outputs
        self._request = request
        self._on_done = on_done
        self._discoverer = Discoverer(request.pattern, request.selection)
        self._specs = SpecFolders(request.spec, request.root)
        self._places: dict[tuple[str, Month], str] = {}
        self._live_specs = self._specs.find_live(outputs)

    # -- shards: prefixes listed on their own, in time order -------------------------------------

    def shards(self) -> Iterator[str]:
        """Yield the prefixes to list: whole years, or single months of a narrow selection."""
        top = find_years(self._inputs)
        self._report_unmatched(top.objects)
        years = set(top.years)
        self.plan.foreign_folders += [f for f in top.others if f not in RESERVED]
        # Years of outputs as well: an output whose input is gone is an orphan.
        for spec_id in self._live_specs:
            years |= {*find_years(self._outputs, self._specs.prefix(spec_id)).years}
        yield from shard_prefixes(years, self._request.selection)

    # -- one shard: three listings in step ---------------------------------------------------------

    def open_shard(self, prefix: str) -> Shard:
        """Start the listings of one shard."""
        shard = Shard(prefix)
        shard.inputs = shard.cursor(self._inputs, "")
        for spec_id in self._live_specs:
            below = self._specs.prefix(spec_id)
            outputs = shard.cursor(self._outputs, below)
            shard.specs[spec_id] = (outputs, shard.cursor(self._outputs, receipt_prefix(below)))
        return shard

    def plan_shard(self, shard: Shard) -> None:
        """Walk the listings of one shard month by month, and end them."""
        with shard:
            while places := [c.place for c in shard.cursors if c.place is not None]:
                # The smallest name is the next month of any listing: all are in key order.
                place = min(places)
                objects = shard.inputs.take(place)
                stored = {
                    spec_id: Stored(
                        outputs.take(place), receipts.take(place), self._specs.prefix(spec_id)
                    )
                    for spec_id, (outputs, receipts) in shard.specs.items()
                }
                self._plan_place(place, objects, stored)

    def _plan_place(self, place: str, objects: Listed, stored: dict[str, Stored]) -> None:
        month = month_at(place)
        # Objects beside the months, such as `2024/notes.txt`.
        if month is None:
            self._report_unmatched(objects.keys.to_pylist())
            return
        request, plain = self._request, None
        if max(len(objects), *(entry.count for entry in stored.values()), 0) >= FEW:
            plain = read_plain(place, month, objects, request.pattern, request.selection)
        if plain is not None and all(entry.is_plain for entry in stored.values()):
            self._plan_plain(place, plain, stored)
            return
        existing = {
            spec_id: Existing(entry.outputs.entries(), entry.listed.entries())
            for spec_id, entry in stored.items()
        }
        self._plan_month(place, month, objects.entries(), existing)

    def _plan_plain(self, place: str, plain: PlainMonth, stored: dict[str, Stored]) -> None:
        """Plan a month in columns; `_plan_month` does the same one partition at a time."""
        plan, month = self.plan, plain.month
        in_selection = month in self._request.selection.months
        if in_selection:
            self._report(month, plain)
            if len(plain.partitions):
                self._compare_spelling(place, month)
        horizons = plain.horizons(self._request.horizon_of)
        planned = plan_plain(
            plain, horizons, self._specs, stored, overwrite=self._request.overwrite
        )
        if plain.is_selected.any():
            counts = plan.months[month]
            counts.done += len(planned.done)
            counts.pending += len(planned.tasks)
            chosen = np.unique(horizons[plain.is_selected]).tolist()
            plan.specs |= {self._specs.id(horizon) for horizon in chosen}
        plan.done_bytes += int(planned.done.rows.objects.sizes.sum())
        plan.stale_receipts += planned.stale_receipts
        plan.tasks += planned.tasks
        if len(planned.done):
            self._on_done(planned.done)
        if in_selection:
            for entry in stored.values():
                outputs, receipts = entry.unclaimed(plain.output_names)
                unclaimed = Existing(outputs.entries(), receipts.entries())
                self._add_leftovers(month, [*unclaimed.outputs], unclaimed.receipts.values())

    def _plan_month(
        self, place: str, month: Month, objects: list[ObjectMeta], existing: dict[str, Existing]
    ) -> None:
        discovered = self._discoverer.discover(place[:-1], objects)
        in_selection = month in self._request.selection.months
        if in_selection:
            self._report(month, discovered)
            if discovered.partitions:
                self._compare_spelling(place, month)
        done: list[DoneEntry] = []
        for partition in discovered.partitions:
            self._plan_partition(partition, existing, done)
        if done:
            self._on_done(done)
        if in_selection:
            claimed = {partition.output_name for partition in discovered.partitions}
            self._report_leftovers(month, existing, claimed)

    def _plan_partition(
        self, partition: Partition, existing: dict[str, Existing], done: list[DoneEntry]
    ) -> None:
        horizon = self._request.horizon_of(partition.name)
        spec_id = self._specs.id(horizon)
        output_key = self._specs.prefix(spec_id) + partition.output_name
        stored = existing.get(spec_id)
        # Also for a partition that the selection leaves out: its output is no orphan.
        output = stored.outputs.pop(output_key, None) if stored else None
        receipts = stored.receipts.pop(output_key, []) if stored else []
        if not partition.is_selected:
            return
        task = task_of(partition, horizon, spec_id, output_key)
        valid = valid_receipt(task, output, receipts)
        counts = self.plan.months[partition.name.month]
        self.plan.specs.add(spec_id)
        if valid is not None and output is not None and not self._request.overwrite:
            counts.done += 1
            self.plan.done_bytes += task.size_bytes
            # A worker that died after writing its receipt left the ones that this superseded.
            self.plan.stale_receipts += [key for _, key in receipts if key != valid]
            done.append(DoneEntry(task, output, valid))
            return
        counts.pending += 1
        self.plan.tasks.append(
            task_of(partition, horizon, spec_id, output_key, tuple(key for _, key in receipts))
        )

    def _compare_spelling(self, place: str, month: Month) -> None:
        # Both `2014/03` and `year=2014/month=03` are read in one bucket, as styles of their own.
        if not is_hive_year(f"{place[:-1].rpartition('/')[0]}/"):
            return
        first = self._places.setdefault((levels_above(place), month), place)
        if first != place:
            self.plan.spellings.append((first[:-1], place[:-1]))

    # -- everything that is no task ----------------------------------------------------------------

    def _report(self, month: Month, discovered: MonthPartitions | PlainMonth) -> None:
        self.plan.twins += discovered.twins
        self.plan.superseded_inputs += discovered.superseded
        # Tested first, because looking a month up adds it to the plan.
        if discovered.superseded:
            self.plan.months[month].superseded += len(discovered.superseded)
        self._report_unmatched(discovered.unmatched)

    def _report_unmatched(self, keys: list[str]) -> None:
        self.plan.unmatched_count += len(keys)
        self.plan.unmatched += keys[: max(0, MAX_REPORTED - len(self.plan.unmatched))]

    def _report_leftovers(
        self, month: Month, existing: dict[str, Existing], claimed: set[str]
    ) -> None:
        """Add outputs without an input, and receipts without an output.

        Outputs of a partition that exists, but under another spec, belong to another horizon: they
        are no orphans.
        """
        for spec_id, stored in existing.items():
            cut = len(self._specs.prefix(spec_id))
            orphans = [key for key in stored.outputs if key[cut:] not in claimed]
            receipts = (own for key, own in stored.receipts.items() if key[cut:] not in claimed)
            self._add_leftovers(month, orphans, receipts)

    def _add_leftovers(
        self, month: Month, orphans: list[str], receipts: Iterable[list[tuple[ReceiptKey, str]]]
    ) -> None:
        if orphans:
            self.plan.months[month].orphaned += len(orphans)
        self.plan.orphans += orphans
        self.plan.stale_receipts += [receipt for own in receipts for _, receipt in own]
