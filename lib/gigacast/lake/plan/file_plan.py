"""The plan of a job over a list of files: quality and cleaning.

The result of such a job names every file, as a version of a dataset does, so the list fits into
memory. A file is done by the rule of `lake.plan.planner`: a receipt names the ETags that are now
listed for the file and for its output.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from gigacast.core.partition.name import (
    NamingPattern,
    lineage_of,
    month_of_folder,
    month_prefixes,
    year_of_folder,
)
from gigacast.core.partition.task import InputObject, Task
from gigacast.core.time.month import Month
from gigacast.lake.layout import RESERVED, receipt_prefix
from gigacast.lake.plan.discovery import Discoverer, Partition, Selection
from gigacast.lake.plan.listing import receipts_by_output, valid_receipt
from gigacast.lake.plan.months import MonthCursor, find_years, month_at
from gigacast.lake.plan.planner import MAX_REPORTED, NO_MONTH, Plan
from gigacast.lake.plan.rows import DoneEntry
from gigacast.storage.store import Store

OnDone = Callable[[DoneEntry], None]


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to work on.

    Parameters
    ----------
    partition : str
        Name in reports.
    path : str
        Path within a dataset made of these files.
    input : InputObject
    month : Month
    symbol, timeframe : str, optional
        Parts of the file name, where it has them.
    neighbours : tuple of InputObject
        Files that are read for rows of the same calendar bins; none by default.
    """

    partition: str
    path: str
    input: InputObject
    month: Month = NO_MONTH
    symbol: str | None = None
    timeframe: str | None = None
    neighbours: tuple[InputObject, ...] = ()

    @property
    def lineage(self) -> str:
        """What is the same in the name of the files of the same series in other months."""
        above = self.input.key.removesuffix(self.path)
        return f"{above}{lineage_of(self.partition.removeprefix(above))}"


def with_neighbours(
    files: Iterable[FoundFile], candidates: Iterable[FoundFile], months: int
) -> Iterator[FoundFile]:
    """Yield files with those of the same series in the months around as their neighbours.

    Parameters
    ----------
    files : iterable of FoundFile
    candidates : iterable of FoundFile
    months : int
        Number of months before and after.
    """
    by_month: dict[tuple[str, Month], list[InputObject]] = {}
    for candidate in candidates:
        if candidate.month != NO_MONTH:
            place = candidate.lineage, candidate.month
            by_month.setdefault(place, []).append(candidate.input)
    for file in files:
        if file.month == NO_MONTH:
            yield file
            continue
        near = [file.month.shift(k) for k in range(-months, months + 1)]
        entries = (e for month in near for e in by_month.get((file.lineage, month), ()))
        others = tuple(entry for entry in entries if entry.key != file.input.key)
        yield replace(file, neighbours=others)


def find_partitions(
    inputs: Store, pattern: NamingPattern, selection: Selection, plan: Plan
) -> Iterator[FoundFile]:
    """Yield the partitions of a bucket that a selection covers, month by month.

    Parameters
    ----------
    inputs : Store
    pattern : NamingPattern
    selection : Selection
    plan : Plan
        Counts objects that are no partition and superseded generations.
    """
    top = find_years(inputs)
    _count_unmatched(plan, top.objects)
    plan.foreign_folders += [f for f in top.others if f not in RESERVED]
    discoverer = Discoverer(pattern, selection)
    for prefix in (p for year in sorted(top.years) for p in _prefixes(year, selection)):
        cursor = MonthCursor(inputs.list(prefix))
        while (place := cursor.place) is not None:
            objects = cursor.take(place)
            month = month_at(place)
            if month is None:
                _count_unmatched(plan, (entry.key for entry in objects))
                continue
            discovered = discoverer.discover(place[:-1], objects)
            if month in selection.months:
                plan.twins += discovered.twins
                plan.months[month].superseded += len(discovered.superseded)
                _count_unmatched(plan, discovered.unmatched)
            yield from (_file_of(p, month) for p in discovered.partitions if p.is_selected)


def _file_of(partition: Partition, month: Month) -> FoundFile:
    name, entry = partition.name, partition.inputs[-1]
    path = path_of_partition(name.partition, entry)
    return FoundFile(name.partition, path, entry, month, name.symbol, name.timeframe)


def path_of_partition(partition: str, entry: InputObject) -> str:
    """Return the path in a dataset of what is made of a partition."""
    # What is made of CSV is Parquet, too.
    return entry.key if entry.extension == "parquet" else f"{partition}.parquet"


def path_in_version(key: str) -> str:
    """Return the path of a file within its version, from its key in a lake."""
    return "/".join(key.split("/")[3:])  # without layer, name and version


def _prefixes(year_folder: str, selection: Selection) -> list[str]:
    year = year_of_folder(year_folder)
    assert year is not None  # noqa: S101 - the caller chose folders of years
    months = [month for n in range(1, 13) if selection.needs(month := Month(year, n))]
    if len(months) == 12:
        return [year_folder]
    return [prefix for month in months for prefix in month_prefixes(year_folder, month)]


def find_files(store: Store, plan: Plan) -> Iterator[FoundFile]:
    """Yield the data files of versions of a dataset, whatever the names of their folders.

    Parameters
    ----------
    store : Store
        Keys are ``raw/EURUSD/2024-01-15/part-00000.parquet``.
    plan : Plan
        Counts objects that are not Parquet files.
    """
    for entry in (entry for page in store.list() for entry in page):
        path = path_in_version(entry.key)
        name = path.rpartition("/")[2]
        if not name.endswith(".parquet") or name.startswith((".", "_")):
            _count_unmatched(plan, (entry.key,))
            continue
        source = InputObject(entry.key, entry.etag, entry.size_bytes, "parquet")
        month = month_of_folder("/".join(path.split("/")[:2])) or NO_MONTH
        yield FoundFile(entry.key.removesuffix(".parquet"), path, source, month)


def _count_unmatched(plan: Plan, keys: Iterable[str]) -> None:
    for key in keys:
        plan.unmatched_count += 1
        if len(plan.unmatched) < MAX_REPORTED:
            plan.unmatched.append(key)


@dataclass(frozen=True)
class OutputPlace:
    """Where the outputs of a job over files are written.

    Parameters
    ----------
    prefix : str
        Folder of all outputs of the spec.
    spec : str
        Id of the spec.
    key_of : callable
        Returns the output key of a file; takes the file and the id of its input.
    """

    prefix: str
    spec: str
    key_of: Callable[[FoundFile, str], str]


def plan_files(
    plan: Plan, files: Iterable[FoundFile], outputs: Store, place: OutputPlace, on_done: OnDone
) -> None:
    """Add the files that are left to do to a plan.

    Parameters
    ----------
    plan : Plan
        Receives the tasks and counts.
    files : iterable of FoundFile
    outputs : Store
    place : OutputPlace
    on_done : callable
        Called with each file that is done already.
    """
    listed = {entry.key: entry for page in outputs.list(place.prefix) for entry in page}
    pages = outputs.list(receipt_prefix(place.prefix))
    receipts = receipts_by_output(entry for page in pages for entry in page)
    for file in files:
        task = _task(file, place)
        output = listed.pop(task.output_key, None)
        own = receipts.pop(task.output_key, [])
        valid = valid_receipt(task, output, own)
        counts = plan.months[file.month]
        plan.specs.add(place.spec)
        if output is not None and valid is not None:
            counts.done += 1
            plan.done_bytes += task.size_bytes
            on_done(DoneEntry(task, output, valid))
        else:
            counts.pending += 1
            # Deleted by the worker after it has written the new receipt.
            plan.tasks.append(replace(task, stale_receipts=tuple(key for _, key in own)))


def _task(file: FoundFile, place: OutputPlace) -> Task:
    task = Task(
        partition=file.partition,
        month="" if file.month == NO_MONTH else str(file.month),
        inputs=(*file.neighbours, file.input),
        own=1,
        horizon=0,
        spec=place.spec,
        output_key="",
        symbol=file.symbol,
        timeframe=file.timeframe,
    )
    # Some jobs put the id of the input, which the task computes, into the output's key.
    return replace(task, output_key=place.key_of(file, task.input_id))
