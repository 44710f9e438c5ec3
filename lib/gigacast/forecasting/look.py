"""A look into a few inputs of a plan: columns that do not exist, and items that span parts.

The number of requests does not grow with the bucket: `MOST_LAYOUTS` files, and `MOST_PARTS` files
of `MOST_MONTHS` months. Of a Parquet file the footer and the first rows of some columns are read;
CSV and JSON files of more than `MOST_TEXT_BYTES` are passed over.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.partition.name import hive_levels
from gigacast.core.partition.task import InputObject, Task, sizes_of
from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.number import number_range
from gigacast.errors import DataError, GigacastError, SchemaError, StorageError
from gigacast.forecasting.prepare import Prepared
from gigacast.lake.plan.planner import Plan
from gigacast.series.apart import no_times
from gigacast.series.decode import item_column
from gigacast.series.duplicates import remedy_of
from gigacast.series.formats import Limits, OpenTable, open_table, read_batches
from gigacast.series.identity import id_type, read_ids
from gigacast.series.source import MEBIBYTE, SeriesSource, TimestampUnit
from gigacast.series.timestamp import clock_of, needs_range
from gigacast.storage.parquet.read import open_object

MOST_LAYOUTS = 6
"""Files whose columns are looked at: one of each layout, by ending, kind of name and timeframe."""
MOST_MONTHS = 2
MOST_PARTS = 4
"""Parts of a month whose items are compared: the first two and the last two."""
HEAVY_BYTES = 256 * MEBIBYTE
"""Size from which one task is worth dividing: minutes of a process, not seconds."""
MOST_OF_WORK = 0.5
MOST_TEXT_BYTES = 8 * MEBIBYTE
_LIMITS = Limits(1 << 16, 64 * MEBIBYTE)


@dataclass(frozen=True, slots=True)
class Look:
    """What a few inputs say against a plan.

    Parameters
    ----------
    problems : tuple of str
        Sentences; empty if nothing was found.
    impossible : bool
        Whether no file that was looked at has the columns that the settings name.
    """

    problems: tuple[str, ...] = ()
    impossible: bool = False


def look_into(prepared: Prepared, plan: Plan) -> Look:
    """Look for the columns of the settings in a file of each layout, and for items of many parts.

    Only pending inputs are looked at.
    """
    faults = [_fault(prepared, task) for task in _one_of_each_layout(plan.tasks)]
    errors = [error.text for error in faults if error is not None]
    problems = (*errors, *look_for_spans(prepared, plan), *_heavy(prepared, plan))
    # Where other layouts are sound, their partitions can be forecast: the rest will fail alone.
    return Look(problems, impossible=bool(errors) and len(errors) == len(faults))


def _heavy(prepared: Prepared, plan: Plan) -> Iterator[str]:
    """Yield that one task holds most of the work, which one process does."""
    sizes = sizes_of(plan.tasks)
    if max(sizes, default=0) < HEAVY_BYTES:
        return
    largest = plan.tasks[sizes.index(max(sizes))]
    share = largest.size_bytes / plan.pending_bytes
    if share > MOST_OF_WORK:
        by_month = prepared.job.selection.by_month
        remedy = "divide its items by `gigacast data bucket`"
        remedy = (
            f"{remedy}, or take its parts alone by --partition_by object" if by_month else remedy
        )
        yield (
            f"{largest.partition} is {share:.0%} of the pending bytes, and one task is done by one "
            f"process: {remedy}"
        )


def look_for_spans(prepared: Prepared, plan: Plan) -> tuple[str, ...]:
    """Return which parts of a month share items, or spell their month in another way.

    With ``partition_by="month"`` the parts are one partition, and only spellings matter.
    """
    problems = [
        f"{first} and {second} are two spellings of one month, whose parts are forecast apart; "
        "move them into one folder"
        for first, second in plan.spellings
    ]
    if not prepared.job.selection.by_month:
        problems += (problem for parts in _months_of(plan) for problem in _spans(prepared, parts))
    return tuple(problems)


def _one_of_each_layout(tasks: Sequence[Task]) -> Iterator[Task]:
    chosen: dict[tuple[object, ...], Task] = {}
    # From the end: the latest months have the columns of today.
    for task in reversed(tasks):
        own = task.inputs[-1]
        layout = (own.extension, task.symbol is None, task.timeframe)
        if layout not in chosen and _is_small(own):
            chosen[layout] = task
        if len(chosen) == MOST_LAYOUTS:
            break
    yield from chosen.values()


def _is_small(entry: InputObject) -> bool:
    return entry.extension == "parquet" or entry.size_bytes <= MOST_TEXT_BYTES


def _fault(prepared: Prepared, task: Task) -> SchemaError | None:
    try:
        table = _open(prepared, task.inputs[-1])
        if table is not None:
            check_times(table, prepared.job.method.timestamp_unit)
    except SchemaError as error:
        return error
    # Damaged and missing objects are faults of their own partitions, which the run reports.
    except (DataError, StorageError):
        return None
    return None


def _open(prepared: Prepared, entry: InputObject) -> OpenTable | None:
    opening = partial(
        open_object,
        prepared.inputs,
        entry.key,
        if_match=entry.etag,
        size_bytes=entry.size_bytes,
        selective=True,
    )
    source = SeriesSource(opening, entry.extension, entry.key)
    method = prepared.job.method
    return open_table(source, method.columns, _LIMITS, method.csv)


def check_times(table: OpenTable, unit: TimestampUnit | None) -> None:
    """Refuse a file in whose first rows no time can be read, as the run would.

    Numbers are judged only if the first rows are all: the others may decide what they are.

    Raises
    ------
    SchemaError
    """
    column = table.layout.timestamp
    if table.layout.kind == "list":
        return
    batches = read_batches(table, [column], _LIMITS)
    first, more = next(batches, None), next(batches, None)
    if first is None:
        return
    times = first.column(column)
    is_number = needs_range(times.type)
    if is_number and more is not None:
        return
    numbers = number_range(times) if is_number else None
    clock = clock_of(times.type, table.source.name, unit, numbers)
    if not (clock.read(times, table.source.name) != NO_TIME).any():
        raise no_times(table, len(times))


# -- items that span parts -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a month: its key, its columns of ids, and the ids of its first rows."""

    key: str
    columns: tuple[str, ...]
    ids: pa.Array


def _months_of(plan: Plan) -> Iterator[list[Task]]:
    """Yield a few pending parts of each of the latest months that have several."""
    months: dict[str, list[Task]] = {}
    for task in reversed(plan.tasks):
        if task.symbol is not None or not _is_small(task.inputs[-1]):
            continue
        if task.month not in months and len(months) == MOST_MONTHS:
            break
        months.setdefault(task.month, []).append(task)
    for tasks in months.values():
        ordered = tasks[::-1]
        if len(ordered) > 1:
            half = MOST_PARTS // 2
            yield ordered if len(ordered) <= MOST_PARTS else [*ordered[:half], *ordered[-half:]]


def _spans(prepared: Prepared, tasks: Sequence[Task]) -> list[str]:
    parts = [part for task in tasks if (part := _read_part(prepared, task)) is not None]
    for first, second in combinations(parts, 2):
        if bool(first.columns) != bool(second.columns):
            bare, named = (second, first) if first.columns else (first, second)
            problem = f"{bare.key} has no column of item ids, as {named.key} has"
            return [f"{problem}: all its rows count as one series; write the column"]
        if (shared := _shared(first, second)) is not None:
            return [_problem(first, second, shared)]
    return []


def _read_part(prepared: Prepared, task: Task) -> _Part | None:
    """Return a part with the ids of its first rows; ``None`` if it cannot be read."""
    entry = task.inputs[-1]
    try:
        table = _open(prepared, entry)
        if table is None:
            return None
        ids = pa.nulls(0, pa.string())
        if table.layout.item_id is not None:
            ids = _first_ids(table)
    # The look only adds to a plan: a part that cannot be read fails in the run, with its reason.
    except (GigacastError, pa.ArrowException, OSError):
        return None
    return _Part(entry.key, table.layout.id_names, ids)


def _first_ids(table: OpenTable) -> pa.Array:
    """Return the distinct ids of the first rows as text."""
    layout = table.layout
    batch = next(read_batches(table, [str(layout.item_id)], _LIMITS), None)
    if batch is None:
        return pa.nulls(0, pa.string())
    ids, _ = item_column(batch, layout, "")
    kind = pa.string() if layout.items else id_type(table.schema.field(layout.item_id).type)
    return pc.unique(read_ids(ids, kind, table.source.name).cast(pa.string()))


def _shared(first: _Part, second: _Part) -> str | None:
    """Return an id that two parts share; ``None`` if there is none."""
    shared = first.ids.filter(pc.is_in(first.ids, value_set=second.ids))
    return str(shared[0]) if first.columns and len(shared) else None


_TIME_LEVELS = {"day", "hour", "minute", "date", "dt", "ds", "d", "h", "hr", "week"}
"""Names of Hive levels below a month that are part of the time."""


def _problem(first: _Part, second: _Part, item: str) -> str:
    own, other = hive_levels(first.key), hive_levels(second.key)
    # Days and hours of a month divide its rows, not its items.
    apart = tuple(n for n in own if own[n] != other.get(n) and n.lower() not in _TIME_LEVELS)
    text = f"{first.key} and {second.key} share items, such as {item!r}, and are forecast apart: "
    if apart:
        return text + remedy_of(apart, first.columns)
    return text + "forecast the parts of a month together by --partition_by month"
