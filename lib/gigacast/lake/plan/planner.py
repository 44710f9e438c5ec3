"""What is left to do, from listings alone.

Three listings decide: inputs, outputs, receipts. They are walked month by month in step, so memory
is bounded by the largest month plus what is pending, whatever the bucket's size, and no object is
read. A partition is done when a receipt names the ETags now listed for its input and its output.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from gigacast.core.partition.name import (
    NamingPattern,
    PartitionName,
    month_of_folder,
    month_prefixes,
    year_of_folder,
)
from gigacast.core.partition.spec import Spec, horizon_of_spec
from gigacast.core.partition.task import Task
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.month import Month
from gigacast.lake.layout import (
    FORECASTS,
    RESERVED,
    ReceiptKey,
    output_id,
    parse_receipt_key,
    receipt_prefix,
    spec_prefix,
    version_prefix,
)
from gigacast.lake.plan.discovery import Discoverer, MonthPartitions, Partition, Selection
from gigacast.lake.plan.months import MonthCursor
from gigacast.storage.prefetch import Prefetched
from gigacast.storage.store import ObjectMeta, Store

MAX_REPORTED = 20
SHARDS_AHEAD = 3
PAGES_AHEAD = 8


@dataclass(frozen=True)
class PlanRequest:
    """What to plan.

    Parameters
    ----------
    spec : Spec
        Resolved; pinned in the plan.
    horizon : int, optional
        Steps; when absent the file name's minutes count, then ``model_horizon``.
    model_horizon : int
        The model's own prediction length.
    pattern : NamingPattern
    selection : Selection
    overwrite : bool
        Whether what is done is done again.
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
        """Return the horizon in steps: the setting, the file name's, or the model's own."""
        if self.horizon is not None:
            return self.horizon
        if name.horizon_minutes is None or name.timeframe is None:
            return self.model_horizon
        step_us = Frequency.parse(name.timeframe).span_us(1)
        return max(1, -(-name.horizon_minutes * 60_000_000 // step_us))


@dataclass(frozen=True, slots=True)
class DoneEntry:
    """A partition that needs no work: its task, its output as listed and its receipt's key."""

    task: Task
    output: ObjectMeta
    receipt_key: str


@dataclass(slots=True)
class MonthCounts:
    """Partitions of one month by state."""

    done: int = 0
    pending: int = 0
    superseded: int = 0
    orphaned: int = 0


@dataclass(slots=True)
class Plan:
    """The tasks left, and what was found on the way.

    ``specs`` are those of the partitions asked for, done or not. ``unmatched`` and
    ``foreign_folders`` hold the first few of what was not taken for input; ``unmatched_count``
    counts all. ``orphans`` are outputs without an input, and superseded generations' outputs;
    ``stale_receipts`` are receipts that prove nothing any more.
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

    @property
    def totals(self) -> MonthCounts:
        """The counts over all months."""
        total: Counter[str] = Counter()
        for counts in self.months.values():
            for name in MonthCounts.__slots__:
                total[name] += getattr(counts, name)
        return MonthCounts(**total)

    @property
    def discovered(self) -> int:
        """Partitions asked for and found."""
        totals = self.totals
        return totals.done + totals.pending

    @property
    def pending_bytes(self) -> int:
        """Bytes of the inputs of all tasks."""
        return sum(task.size_bytes for task in self.tasks)


OnDone = Callable[[DoneEntry], None]


def make_plan(
    inputs: Store, outputs: Store, request: PlanRequest, *, on_done: OnDone | None = None
) -> Plan:
    """List, and decide what is left to do.

    Parameters
    ----------
    inputs, outputs : Store
        Rooted at the input and the output root; may be the same.
    request : PlanRequest
    on_done : callable, optional
        Called with each partition that is done already (they are not kept).

    Raises
    ------
    StorageError
    """
    planner = _Planner(inputs, outputs, request, on_done or (lambda entry: None))
    with ExitStack() as stack:
        ahead: deque[_Shard] = deque()
        for prefix in planner.shards():
            ahead.append(stack.enter_context(planner.open_shard(prefix)))
            if len(ahead) > SHARDS_AHEAD:
                planner.plan_shard(ahead.popleft())
        for shard in ahead:
            planner.plan_shard(shard)
    return planner.plan


class _Shard(ExitStack):
    """The listings of one prefix, under way: inputs, and outputs and receipts by spec."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix
        self.cursors: list[MonthCursor] = []
        self.inputs: MonthCursor
        self.specs: dict[str, tuple[MonthCursor, MonthCursor]] = {}

    def cursor(self, store: Store, below: str) -> MonthCursor:
        """Start one more listing."""
        pages = Prefetched(store.list(below + self._prefix), PAGES_AHEAD)
        self.callback(pages.close)
        self.cursors.append(MonthCursor(pages, below))
        return self.cursors[-1]


class _Planner:
    """The state of one planning: the plan so far and the months remembered as context."""

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
        self._live_specs = self._find_live_specs()

    def _spec_id(self, horizon: int) -> str:
        if horizon not in self._spec_ids:
            self._spec_ids[horizon] = self._request.spec.id(horizon)
        return self._spec_ids[horizon]

    def _prefix(self, spec_id: str) -> str:
        request = self._request
        return spec_prefix(request.spec.model, request.spec.version, spec_id, request.root)

    def _find_live_specs(self) -> list[str]:
        """Return the spec folders that exist and that this request could have written."""
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
        top = self._inputs.list_folder()
        self._report_unmatched([entry.key for entry in top.objects])
        years = {name for name in top.folders if year_of_folder(name) is not None}
        self.plan.foreign_folders += [f for f in top.folders if f not in years | RESERVED]
        for spec_id in self._live_specs:
            prefix = self._prefix(spec_id)
            folders = self._outputs.list_folder(prefix).folders
            years |= {f for name in folders if year_of_folder(f := name.removeprefix(prefix))}
        for year_folder in sorted(years, key=lambda name: (name.startswith("year="), name)):
            yield from self._shards_of_year(year_folder)

    def _shards_of_year(self, year_folder: str) -> Iterator[str]:
        year = year_of_folder(year_folder)
        assert year is not None  # noqa: S101 - the caller chose folders of years
        selection = self._request.selection
        months = [m for n in range(1, 13) if selection.needs(m := Month(year, n))]
        # `month=3` sorts after `month=12`: months are listed one by one where time order counts.
        in_time_order = not (year_folder.startswith("year=") and selection.context_partitions)
        if len(months) == 12 and in_time_order:
            yield year_folder
            return
        for month in months:
            yield from month_prefixes(year_folder, month)

    # -- one shard: three listings in step ---------------------------------------------------------

    def open_shard(self, prefix: str) -> "_Shard":
        """Start the listings of one shard."""
        shard = _Shard(prefix)
        shard.inputs = shard.cursor(self._inputs, "")
        for spec_id in self._live_specs:
            below = self._prefix(spec_id)
            outputs = shard.cursor(self._outputs, below)
            shard.specs[spec_id] = (outputs, shard.cursor(self._outputs, receipt_prefix(below)))
        return shard

    def plan_shard(self, shard: "_Shard") -> None:
        """Walk the listings of one shard month by month, and end them."""
        with shard:
            while folders := [c.folder for c in shard.cursors if c.folder is not None]:
                folder = min(folders)
                objects = shard.inputs.take(folder)
                existing = {
                    spec_id: _Existing(outputs.take(folder), receipts.take(folder))
                    for spec_id, (outputs, receipts) in shard.specs.items()
                }
                self._plan_month(folder, objects, existing)

    def _plan_month(
        self, folder: str, objects: list[ObjectMeta], existing: "dict[str, _Existing]"
    ) -> None:
        month = month_of_folder(folder)
        if month is None:
            self._report_unmatched([entry.key for entry in objects])
            return
        found = self._discoverer.discover(folder, objects)
        in_selection = month in self._request.selection.months
        if in_selection:
            self._report(month, found)
        for partition in found.partitions:
            self._plan_partition(partition, existing)
        if in_selection:
            claimed = {partition.output_name for partition in found.partitions}
            self._report_leftovers(month, existing, claimed)

    def _plan_partition(self, partition: Partition, existing: "dict[str, _Existing]") -> None:
        horizon = self._request.horizon_of(partition.name)
        spec_id = self._spec_id(horizon)
        output_key = self._prefix(spec_id) + partition.output_name
        here = existing.get(spec_id)
        output = here.outputs.pop(output_key, None) if here else None
        receipts = here.receipts.pop(output_key, []) if here else []
        if not partition.wanted:
            return
        task = _task_of(partition, horizon, spec_id, output_key)
        valid = valid_receipt(task, output, receipts)
        counts = self.plan.months[partition.name.month]
        self.plan.specs.add(spec_id)
        if valid is not None and output is not None and not self._request.overwrite:
            counts.done += 1
            self.plan.done_bytes += task.size_bytes
            self.plan.stale_receipts += [key for _, key in receipts if key != valid]
            self._on_done(DoneEntry(task, output, valid))
            return
        counts.pending += 1
        self.plan.tasks.append(
            _task_of(partition, horizon, spec_id, output_key, tuple(key for _, key in receipts))
        )

    # -- what else was found -----------------------------------------------------------------------

    def _report(self, month: Month, found: MonthPartitions) -> None:
        self.plan.twins += found.twins
        self.plan.superseded_inputs += found.superseded
        if found.superseded:
            self.plan.months[month].superseded += len(found.superseded)
        self._report_unmatched(found.unmatched)

    def _report_unmatched(self, keys: list[str]) -> None:
        self.plan.unmatched_count += len(keys)
        self.plan.unmatched += keys[: max(0, MAX_REPORTED - len(self.plan.unmatched))]

    def _report_leftovers(
        self, month: Month, existing: "dict[str, _Existing]", claimed: set[str]
    ) -> None:
        """Note outputs without an input, and receipts without an output.

        What is left of a partition that is there belongs to another horizon: another spec's.
        """
        for spec_id, here in existing.items():
            cut = len(self._prefix(spec_id))
            orphans = [key for key in here.outputs if key[cut:] not in claimed]
            if orphans:
                self.plan.months[month].orphaned += len(orphans)
            self.plan.orphans += orphans
            self.plan.stale_receipts += [
                receipt
                for output, receipts in here.receipts.items()
                if output[cut:] not in claimed
                for _, receipt in receipts
            ]


class _Existing:
    """The outputs and receipts of one spec in one month, by output key; claimed by popping."""

    def __init__(self, outputs: list[ObjectMeta], receipts: list[ObjectMeta]) -> None:
        self.outputs = {entry.key: entry for entry in outputs}
        self.receipts: dict[str, list[tuple[ReceiptKey, str]]] = defaultdict(list)
        for entry in receipts:
            parsed = parse_receipt_key(entry.key)
            if parsed is not None:
                self.receipts[parsed.output_key].append((parsed, entry.key))


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


def valid_receipt(
    task: Task, output: ObjectMeta | None, receipts: list[tuple[ReceiptKey, str]]
) -> str | None:
    """Return the key of the receipt that names the listed input and the listed output."""
    if output is None:
        return None
    wanted = (task.input_id, output_id(output.etag))
    return next((key for r, key in receipts if (r.input_id, r.output_id) == wanted), None)
