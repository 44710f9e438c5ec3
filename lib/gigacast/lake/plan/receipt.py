"""Receipts: proof that a task was done, with its timings.

The key of a receipt names the ETags of input and output, so planning lists receipts and reads none.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from gigacast.core.mark import Amount, Count, Keys, Time, moment_of
from gigacast.core.partition.task import Task
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record
from gigacast.errors import CorruptedFileError, ObjectNotFoundError
from gigacast.lake.layout import ReceiptKey, parse_receipt_key, receipt_key, receipt_prefix
from gigacast.storage.store import Store

_OBJECT = {"key": str, "etag": str, "size_bytes": Count}
_Input = Annotated[dict[str, object], Keys(_OBJECT, required=_OBJECT)]
# A receipt of the loader proves that a file was read: its output is a status, and no object.
_Output = Annotated[dict[str, object], Keys({**_OBJECT, "rows": Count})]
_HINT = "delete it: the next run does its task again"


@dataclass(frozen=True)
class Receipt:
    """The result of a task, in the same form for every job.

    Parameters
    ----------
    job : str
        ``forecast``, ``backtest``, ``clean``, ``quality``.
    partition, run_id, finished_at : str
        The task, the run that did it, and the time (ISO 8601, UTC).
    inputs : list of {key, etag, size_bytes}
    output : {key, etag, size_bytes, rows}
        A job may add fields.
    rows, series : int
        Numbers read from the inputs.
    seconds : mapping
        Seconds by stage: read, prepare, predict, write, total. Stages overlap: their sum may be
        more than the total.
    reasons : mapping
        Number of series that the model did not forecast, by reason; ``reason_items`` names the
        first items of each reason.
    repairs : mapping
        Number of changes by the reader: duplicated timestamps, gaps, rows without id or time.
    device, precision : str
    batch_sizes : list of int
        Distinct batch sizes, descending.
    peak_rss_bytes : int
        Peak memory of the worker's process so far.
    model, version, digest, spec : str
    newest_timestamp : str, optional
        Latest step of all series (ISO 8601, UTC): how fresh the data was.
    covariates : mapping
        Columns used beside the targets: ``past``, ``known``, ``joint`` targets, and ``ignored``.
    kept : int, optional
        Number of series whose rows are those of the former forecast; none by default, as in runs
        that are not incremental.
    usage : mapping
        What was used of the service of a model behind an API: requests, tokens, dollars.
    instance, purchase : str, optional
        Type of the machine, and ``spot`` or ``on_demand``, where known.
    host : mapping
        Name, process id and software versions.
    """

    job: str
    partition: str
    run_id: str
    finished_at: Time
    inputs: list[_Input]
    output: _Output
    rows: Count
    series: Count
    seconds: dict[str, Amount]
    reasons: dict[str, Count]
    model: str
    version: str
    digest: str
    spec: str
    horizon: Count
    device: str = "cpu"
    precision: str = "float32"
    batch_sizes: list[Count] = field(default_factory=list)
    peak_rss_bytes: Count = 0
    reason_items: dict[str, list[str]] = field(default_factory=dict)
    repairs: dict[str, Count] = field(default_factory=dict)
    newest_timestamp: Time | None = None
    covariates: dict[str, list[str]] = field(default_factory=dict)
    kept: Count | None = None
    usage: dict[str, Amount] = field(default_factory=dict)
    instance: str | None = None
    purchase: str | None = None
    host: dict[str, object] = field(default_factory=dict)

    @property
    def series_per_s(self) -> float:
        """Series per second over the whole task."""
        total = self.seconds.get("total", 0.0)
        return self.series / total if total > 0 else 0.0

    @property
    def data_age_s(self) -> float | None:
        """Seconds from the newest timestamp to the end of the task; below 0 for future dates."""
        if self.newest_timestamp is None:
            return None
        age = moment_of(self.finished_at) - moment_of(self.newest_timestamp)
        return age.total_seconds()

    @property
    def size_bytes(self) -> int:
        """Size of all inputs."""
        return sum(int(str(entry["size_bytes"])) for entry in self.inputs)

    def check_output(self, key: str, etag: str) -> None:
        """Check that the receipt is about an object: the key alone is no proof of its content.

        Raises
        ------
        CorruptedFileError
        """
        named = self.output.get("key"), self.output.get("etag")
        if named != (key, etag) or not {"size_bytes", "rows"} <= self.output.keys():
            raise CorruptedFileError(f"a receipt of {key} does not describe it", hint=_HINT)

    def to_json(self) -> bytes:
        """Return the stored form."""
        content = {**dataclasses.asdict(self), "series_per_s": round(self.series_per_s, 3)}
        # Receipts of runs that keep nothing stay as they were.
        if self.kept is None:
            del content["kept"]
        if not self.usage:
            del content["usage"]
        return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, content: bytes, key: str) -> "Receipt":
        """Return the receipt in a stored object; fields of newer versions are left out.

        Raises
        ------
        CorruptedFileError
            When the object is not a receipt.
        """
        source = Source(key, CorruptedFileError, "not a receipt", _HINT)
        return read_record(cls, decode_json(content, source), source, ignore_unknown=True)


def write_receipt(store: Store, task: Task, receipt: Receipt, output_etag: str) -> str:
    """Write the receipt of a task, delete those it supersedes, and return its key.

    Parameters
    ----------
    store : Store
        Rooted at the output root.
    task : Task
    receipt : Receipt
    output_etag : str
        ETag of the output that the store gave when it was written.
    """
    key = receipt_key(task.output_key, task.input_id, output_etag)
    # No condition on the write: two workers that did the same task write the same proof. Stale
    # receipts go last, so that a crash in between leaves one too many. It names an output that is
    # no longer there and proves nothing; the next plan lists it as stale.
    store.put(key, receipt.to_json())
    stale = [old for old in task.stale_receipts if old != key]
    if stale:
        store.delete(stale)
    return key


def list_receipts(store: Store, output_key: str) -> Iterator[tuple[str, ReceiptKey]]:
    """Yield the receipts of one output: their keys, and the inputs and outputs these name."""
    # The keys of other outputs may begin alike: a.parquet and a.parquet.b.parquet.
    for page in store.list(receipt_prefix(f"{output_key}.")):
        for entry in page:
            named = parse_receipt_key(entry.key)
            if named is not None and named.output_key == output_key:
                yield entry.key, named


def read_receipt(store: Store, key: str) -> Receipt:
    """Return a receipt.

    Raises
    ------
    ObjectNotFoundError, CorruptedFileError
    """
    return Receipt.from_json(store.get(key), key)


def input_entries(task: Task) -> list[dict[str, object]]:
    """Return the inputs of a task as receipts list them."""
    return [{"key": i.key, "etag": i.etag, "size_bytes": i.size_bytes} for i in task.inputs]


def merge_counts(into: dict[str, int], more: Mapping[str, int]) -> None:
    """Add counts by name, in place."""
    for name, count in more.items():
        into[name] = into.get(name, 0) + count


def find_receipt(store: Store, task: Task) -> Receipt | None:
    """Return the receipt that proves a task done, else ``None``.

    It names the task's inputs and the output as they are now: one or two requests, no listing.

    Parameters
    ----------
    store : Store
        Rooted at the output root.
    task : Task

    Raises
    ------
    StorageError
    """
    try:
        output = store.head(task.output_key)
        receipt = read_receipt(store, receipt_key(task.output_key, task.input_id, output.etag))
        receipt.check_output(task.output_key, output.etag)
    # A damaged receipt proves nothing, and must not block its task: doing it again replaces it.
    except (ObjectNotFoundError, CorruptedFileError):
        return None
    return receipt
