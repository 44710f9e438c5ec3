"""The planner as it was before it worked in columns: an oracle, one object for each key.

It lists pages of `ObjectMeta`, walks them with `MonthCursor`, and matches one partition at a time.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from gigacast.core.partition.name import (
    is_hive_year,
    levels_above,
    month_prefixes,
    year_of_folder,
)
from gigacast.core.partition.spec import horizon_of_spec
from gigacast.core.partition.task import Task
from gigacast.core.time.month import Month
from gigacast.lake.layout import RESERVED, receipt_prefix, spec_prefix, version_prefix
from gigacast.lake.plan.discovery import Discoverer, MonthPartitions, Partition
from gigacast.lake.plan.listing import receipts_by_output, valid_receipt
from gigacast.lake.plan.months import MonthCursor, find_years, month_at
from gigacast.lake.plan.planner import MAX_REPORTED, Plan, PlanRequest
from gigacast.lake.plan.rows import DoneEntry
from gigacast.storage.prefetch import Prefetched
from gigacast.storage.store import ObjectMeta, Store

SHARDS_AHEAD = 3
PAGES_AHEAD = 8
OnDone = Callable[[DoneEntry], None]


class Shard(ExitStack):
    """The open listings of a prefix: inputs, and outputs and receipts by spec."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix
        self.cursors: list[MonthCursor] = []
        self.inputs: MonthCursor
        self.specs: dict[str, tuple[MonthCursor, MonthCursor]] = {}

    def cursor(self, store: Store, below: str) -> MonthCursor:
        """Start a listing in a thread."""
        pages = Prefetched(store.list(below + self._prefix), PAGES_AHEAD)
        self.callback(pages.close)
        self.cursors.append(MonthCursor(pages, below))
        return self.cursors[-1]


class Existing:
    """The outputs and receipts of a spec in a month, by output key.

    The planner removes those of each partition; what remains are orphans.
    """

    def __init__(self, outputs: list[ObjectMeta], receipts: list[ObjectMeta]) -> None:
        self.outputs = {entry.key: entry for entry in outputs}
        self.receipts = receipts_by_output(receipts)


def slow_plan(store: Store, request: PlanRequest, on_done: OnDone) -> Plan:
    """Return the plan of a store that holds inputs and outputs."""
    planner = _Planner(store, store, request, on_done)
    with ExitStack() as stack:
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
        self._spec_ids: dict[int, str] = {}
        self._places: dict[tuple[str, Month], str] = {}
        self._live_specs = self._find_live_specs()

    def _spec_id(self, horizon: int) -> str:
        if horizon not in self._spec_ids:
            self._spec_ids[horizon] = self._request.spec.id(horizon)
        return self._spec_ids[horizon]

    def _prefix(self, spec_id: str) -> str:
        request = self._request
        return spec_prefix(request.spec.model, request.spec.version, spec_id, request.root)

    def _find_live_specs(self) -> list[str]:
        """Return the ids of specs that exist and that this request could have written.

        They differ in the horizon, which may come from the file name.
        """
        spec = self._request.spec
        root = version_prefix(spec.model, spec.version, self._request.root)
        names = [
            name.removeprefix(root).rstrip("/") for name in self._outputs.list_folder(root).folders
        ]
        horizons = {name: horizon_of_spec(name) for name in names}
        return [n for n, horizon in horizons.items() if horizon and self._spec_id(horizon) == n]

    # -- shards: prefixes listed on their own, in time order -------------------------------------

    def shards(self) -> Iterator[str]:
        """Yield the prefixes to list: whole years, or single months of a narrow selection."""
        top = find_years(self._inputs)
        self._report_unmatched(top.objects)
        years = set(top.years)
        self.plan.foreign_folders += [f for f in top.others if f not in RESERVED]
        # Years of outputs as well: an output whose input is gone is an orphan.
        for spec_id in self._live_specs:
            years |= {*find_years(self._outputs, self._prefix(spec_id)).years}
        # Context is remembered for each folder style, and the months of a style must come in time
        # order.
        for year_folder in sorted(years, key=lambda name: (is_hive_year(name), name)):
            yield from self._shards_of_year(year_folder)

    def _shards_of_year(self, year_folder: str) -> Iterator[str]:
        year = year_of_folder(year_folder)
        assert year is not None
        selection = self._request.selection
        months = [m for n in range(1, 13) if selection.needs(m := Month(year, n))]
        # `month=3` sorts after `month=12`: months are listed one by one where time order counts.
        in_time_order = not (is_hive_year(year_folder) and selection.context_partitions)
        # A year in one listing saves requests: twenty years of months are 60 of them, not 720.
        if len(months) == 12 and in_time_order:
            yield year_folder
            return
        for month in months:
            yield from month_prefixes(year_folder, month)

    # -- one shard: three listings in step ---------------------------------------------------------

    def open_shard(self, prefix: str) -> Shard:
        """Start the listings of one shard."""
        shard = Shard(prefix)
        shard.inputs = shard.cursor(self._inputs, "")
        for spec_id in self._live_specs:
            below = self._prefix(spec_id)
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
                existing = {
                    spec_id: Existing(outputs.take(place), receipts.take(place))
                    for spec_id, (outputs, receipts) in shard.specs.items()
                }
                self._plan_month(place, objects, existing)

    def _plan_month(
        self, place: str, objects: list[ObjectMeta], existing: dict[str, Existing]
    ) -> None:
        month = month_at(place)
        # Objects beside the months, such as `2024/notes.txt`.
        if month is None:
            self._report_unmatched([entry.key for entry in objects])
            return
        discovered = self._discoverer.discover(place[:-1], objects)
        in_selection = month in self._request.selection.months
        if in_selection:
            self._report(month, discovered)
            self._compare_spelling(place, month, discovered)
        for partition in discovered.partitions:
            self._plan_partition(partition, existing)
        if in_selection:
            claimed = {partition.output_name for partition in discovered.partitions}
            self._report_leftovers(month, existing, claimed)

    def _plan_partition(self, partition: Partition, existing: dict[str, Existing]) -> None:
        horizon = self._request.horizon_of(partition.name)
        spec_id = self._spec_id(horizon)
        output_key = self._prefix(spec_id) + partition.output_name
        stored = existing.get(spec_id)
        # Also for a partition that the selection leaves out: its output is no orphan.
        output = stored.outputs.pop(output_key, None) if stored else None
        receipts = stored.receipts.pop(output_key, []) if stored else []
        if not partition.is_selected:
            return
        task = _task_of(partition, horizon, spec_id, output_key)
        valid = valid_receipt(task, output, receipts)
        counts = self.plan.months[partition.name.month]
        self.plan.specs.add(spec_id)
        if valid is not None and output is not None and not self._request.overwrite:
            counts.done += 1
            self.plan.done_bytes += task.size_bytes
            # A worker that died after writing its receipt left the ones that this superseded.
            self.plan.stale_receipts += [key for _, key in receipts if key != valid]
            self._on_done(DoneEntry(task, output, valid))
            return
        counts.pending += 1
        self.plan.tasks.append(
            _task_of(partition, horizon, spec_id, output_key, tuple(key for _, key in receipts))
        )

    def _compare_spelling(self, place: str, month: Month, discovered: MonthPartitions) -> None:
        # Both `2014/03` and `year=2014/month=03` are read in one bucket, as styles of their own.
        if not discovered.partitions or not is_hive_year(f"{place[:-1].rpartition('/')[0]}/"):
            return
        first = self._places.setdefault((levels_above(place), month), place)
        if first != place:
            self.plan.spellings.append((first[:-1], place[:-1]))

    # -- everything that is no task ----------------------------------------------------------------

    def _report(self, month: Month, discovered: MonthPartitions) -> None:
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
            cut = len(self._prefix(spec_id))
            orphans = [key for key in stored.outputs if key[cut:] not in claimed]
            if orphans:
                self.plan.months[month].orphaned += len(orphans)
            self.plan.orphans += orphans
            self.plan.stale_receipts += [
                receipt
                for output, receipts in stored.receipts.items()
                if output[cut:] not in claimed
                for _, receipt in receipts
            ]


def _task_of(
    partition: Partition,
    horizon: int,
    spec_id: str,
    output_key: str,
    stale_receipts: tuple[str, ...] = (),
) -> Task:
    name = partition.name
    return Task(
        partition=name.partition,
        month=str(name.month),
        inputs=partition.inputs,
        own=len(partition.inputs) - partition.context,
        horizon=horizon,
        spec=spec_id,
        output_key=output_key,
        symbol=name.symbol,
        timeframe=name.timeframe,
        stale_receipts=stale_receipts,
    )
