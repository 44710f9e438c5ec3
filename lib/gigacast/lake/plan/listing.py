"""Listings that the planners walk, and the proof of done tasks in them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from gigacast.core.partition.name import is_hive_year, month_prefixes, year_of_folder
from gigacast.core.partition.task import Task
from gigacast.core.time.month import Month
from gigacast.lake.layout import ReceiptKey, output_id, parse_receipt_key
from gigacast.lake.plan.cursor import ColumnCursor
from gigacast.lake.plan.discovery import Selection
from gigacast.storage.listed import list_columns
from gigacast.storage.prefetch import Prefetched
from gigacast.storage.store import ObjectMeta, Store

PAGES_AHEAD = 8


class Shard(ExitStack):
    """The open listings of a prefix: inputs, and outputs and receipts by spec."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix
        self.cursors: list[ColumnCursor] = []
        self.inputs: ColumnCursor
        self.specs: dict[str, tuple[ColumnCursor, ColumnCursor]] = {}

    def cursor(self, store: Store, below: str) -> ColumnCursor:
        """Start a listing in a thread."""
        pages = Prefetched(list_columns(store, below + self._prefix), PAGES_AHEAD)
        self.callback(pages.close)
        self.cursors.append(ColumnCursor(pages, below))
        return self.cursors[-1]


def shard_prefixes(years: Iterable[str], selection: Selection) -> Iterator[str]:
    """Yield the prefixes to list: whole years, or single months of a narrow selection."""
    # Context is remembered for each folder style, and the months of a style must come in time
    # order.
    for year_folder in sorted(years, key=lambda name: (is_hive_year(name), name)):
        year = year_of_folder(year_folder)
        assert year is not None  # noqa: S101 - these are folders of years
        months = [m for n in range(1, 13) if selection.needs(m := Month(year, n))]
        # `month=3` sorts after `month=12`: months are listed one by one where time order counts.
        in_time_order = not (is_hive_year(year_folder) and selection.context_partitions)
        # A year in one listing saves requests: twenty years of months are 60 of them, not 720.
        if len(months) == 12 and in_time_order:
            yield year_folder
            continue
        for month in months:
            yield from month_prefixes(year_folder, month)


class Existing:
    """The outputs and receipts of a spec in a month, by output key.

    The planner removes those of each partition; what remains are orphans.
    """

    def __init__(self, outputs: list[ObjectMeta], receipts: list[ObjectMeta]) -> None:
        self.outputs = {entry.key: entry for entry in outputs}
        self.receipts = receipts_by_output(receipts)


def receipts_by_output(entries: Iterable[ObjectMeta]) -> dict[str, list[tuple[ReceiptKey, str]]]:
    """Return listed receipts by the key of their output: each as its proof and its own key.

    The key is the proof, so damage to the content costs nothing but the details of the task. An
    empty receipt, as a lost disk or a foreign program may leave it, proves nothing: it is listed
    with a proof that nothing matches, and is replaced with its task.
    """
    receipts: dict[str, list[tuple[ReceiptKey, str]]] = defaultdict(list)
    for entry in entries:
        if (parsed := parse_receipt_key(entry.key)) is not None:
            proof = parsed if entry.size_bytes else ReceiptKey(parsed.output_key, "", "")
            receipts[parsed.output_key].append((proof, entry.key))
    return receipts


def valid_receipt(
    task: Task, output: ObjectMeta | None, receipts: list[tuple[ReceiptKey, str]]
) -> str | None:
    """Return the key of the receipt that names the listed input and the listed output.

    Parameters
    ----------
    task : Task
    output : ObjectMeta or None
        The output as listed.
    receipts : list of (ReceiptKey, str)
        Receipts for this output, with their keys.
    """
    # A receipt alone proves nothing: its output may have been deleted.
    if output is None:
        return None
    proof = (task.input_id, output_id(output.etag))
    return next((key for r, key in receipts if (r.input_id, r.output_id) == proof), None)
