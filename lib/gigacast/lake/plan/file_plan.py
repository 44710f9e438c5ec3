"""What is left to do of a known list of files.

The planner of jobs whose result names every file, as a version of a dataset does: their number fits
into memory. It decides as `lake.planner` does: a file is done when a receipt names the ETags now
listed for it and for its output.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from gigacast.core.partition.name import (
    NamingPattern,
    month_of_folder,
    month_prefixes,
    year_of_folder,
)
from gigacast.core.partition.task import InputObject, Task
from gigacast.core.time.month import Month
from gigacast.lake.layout import RESERVED, output_id, parse_receipt_key, receipt_prefix
from gigacast.lake.plan.discovery import Discoverer, Selection
from gigacast.lake.plan.months import MonthCursor
from gigacast.lake.plan.planner import MAX_REPORTED, DoneEntry, OnDone, Plan
from gigacast.storage.store import Store

NO_MONTH = Month(1, 1)
"""Of files whose folder names none."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file to work on.

    Parameters
    ----------
    partition : str
        Its name in reports.
    path : str
        What it is called in a dataset made of these files.
    input : InputObject
    month : Month
    symbol, timeframe : str, optional
        What its name says.
    """

    partition: str
    path: str
    input: InputObject
    month: Month = NO_MONTH
    symbol: str | None = None
    timeframe: str | None = None


def find_partitions(
    inputs: Store, pattern: NamingPattern, selection: Selection, plan: Plan
) -> Iterator[FoundFile]:
    """Yield the partitions of a bucket that are asked for, month by month.

    Parameters
    ----------
    inputs : Store
    pattern : NamingPattern
    selection : Selection
    plan : Plan
        Takes note of what is no partition, or is superseded.
    """
    top = inputs.list_folder()
    _unmatched(plan, (entry.key for entry in top.objects))
    years = [name for name in top.folders if year_of_folder(name) is not None]
    plan.foreign_folders += [f for f in top.folders if f not in {*years, *RESERVED}]
    discoverer = Discoverer(pattern, selection)
    for prefix in (p for year in years for p in _prefixes(year, selection)):
        cursor = MonthCursor(inputs.list(prefix))
        while (folder := cursor.folder) is not None:
            objects = cursor.take(folder)
            month = month_of_folder(folder)
            if month is None:
                _unmatched(plan, (entry.key for entry in objects))
                continue
            found = discoverer.discover(folder, objects)
            if month in selection.months:
                plan.twins += found.twins
                plan.months[month].superseded += len(found.superseded)
                _unmatched(plan, found.unmatched)
            for one in found.partitions:
                if one.wanted:
                    name, entry = one.name, one.inputs[-1]
                    yield FoundFile(
                        name.partition, entry.key, entry, month, name.symbol, name.timeframe
                    )


def _prefixes(year_folder: str, selection: Selection) -> list[str]:
    year = year_of_folder(year_folder)
    assert year is not None  # noqa: S101 - the caller chose folders of years
    months = [month for n in range(1, 13) if selection.needs(month := Month(year, n))]
    if len(months) == 12:
        return [year_folder]
    return [prefix for month in months for prefix in month_prefixes(year_folder, month)]


def find_files(store: Store, plan: Plan) -> Iterator[FoundFile]:
    """Yield all data files of a store, whatever their folders are called.

    Parameters
    ----------
    store : Store
        Of versions of datasets: keys are ``raw/EURUSD/2024-01-15/part-00000.parquet``.
    plan : Plan
        Takes note of what is no Parquet file.
    """
    for entry in (entry for page in store.list() for entry in page):
        path = "/".join(entry.key.split("/")[3:])
        name = path.rpartition("/")[2]
        if not name.endswith(".parquet") or name.startswith((".", "_")):
            _unmatched(plan, (entry.key,))
            continue
        found = InputObject(entry.key, entry.etag, entry.size_bytes, "parquet")
        month = month_of_folder("/".join(path.split("/")[:2])) or NO_MONTH
        yield FoundFile(entry.key.removesuffix(".parquet"), path, found, month)


def _unmatched(plan: Plan, keys: Iterable[str]) -> None:
    for key in keys:
        plan.unmatched_count += 1
        if len(plan.unmatched) < MAX_REPORTED:
            plan.unmatched.append(key)


def plan_files(
    plan: Plan,
    files: Iterable[FoundFile],
    outputs: Store,
    place: tuple[str, str, Callable[[FoundFile, str], str]],
    on_done: OnDone,
) -> None:
    """Decide which files are left to do.

    Parameters
    ----------
    plan : Plan
        Gets the tasks.
    files : iterable of FoundFile
    outputs : Store
    place : (str, str, callable)
        The folder of the outputs, the id of the spec, and what gives a file's output key: it takes
        the file and the id of its input.
    on_done : callable
        Called with each file that is done already.
    """
    prefix, spec, output_key = place
    listed = {entry.key: entry for page in outputs.list(prefix) for entry in page}
    receipts: dict[str, list[tuple[str, str, str]]] = {}
    for entry in (e for page in outputs.list(receipt_prefix(prefix)) for e in page):
        if (parsed := parse_receipt_key(entry.key)) is not None:
            known = receipts.setdefault(parsed.output_key, [])
            known.append((parsed.input_id, parsed.output_id, entry.key))
    for file in files:
        task = _task(file, spec, output_key)
        output = listed.pop(task.output_key, None)
        there = receipts.pop(task.output_key, [])
        wanted = (task.input_id, output_id(output.etag)) if output else None
        valid = next((key for of, made, key in there if (of, made) == wanted), None)
        counts = plan.months[file.month]
        plan.specs.add(spec)
        if output is not None and valid is not None:
            counts.done += 1
            plan.done_bytes += task.size_bytes
            on_done(DoneEntry(task, output, valid))
        else:
            counts.pending += 1
            stale = tuple(key for _, _, key in there)
            plan.tasks.append(_task(file, spec, output_key, stale))


def _task(
    file: FoundFile,
    spec: str,
    output_key: Callable[[FoundFile, str], str],
    stale_receipts: tuple[str, ...] = (),
) -> Task:
    bare = Task(
        partition=file.partition,
        month="" if file.month == NO_MONTH else str(file.month),
        inputs=(file.input,),
        own=1,
        horizon=0,
        spec=spec,
        output_key="",
        symbol=file.symbol,
        timeframe=file.timeframe,
        stale_receipts=stale_receipts,
    )
    return replace(bare, output_key=output_key(file, bare.input_id))
