"""The worker of jobs over files: opens the stores once, and does one file per call."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from gigacast.core.partition.task import Task
from gigacast.job.file_job import FileJob, Reading, Sources
from gigacast.job.receipt import Work, new_receipt
from gigacast.job.worker import Stopwatch, check_key_length, inputs_pinned
from gigacast.lake.plan.receipt import Receipt, write_receipt
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress


@dataclass(frozen=True)
class FilePlaces:
    """Places that the worker of a job over files reads and writes; picklable.

    Parameters
    ----------
    sources : Sources
    outputs : StoreAddress
    reading : Reading
    run_id : str
    """

    sources: Sources
    outputs: StoreAddress
    reading: Reading
    run_id: str = ""

    @classmethod
    def of(cls, job: FileJob, run_id: str) -> "FilePlaces":
        """Return the places of a job's run."""
        return cls(job.sources, job.outputs, job.reading, run_id)


@dataclass(frozen=True)
class FileOutput:
    """The output of a task, and the numbers of its input.

    Parameters
    ----------
    entry : mapping
        ``key``, ``etag``, ``size_bytes`` and ``rows`` of the output; a job may add more.
    rows, series : int
        Read from the input.
    newest_timestamp : str, optional
        ISO 8601; ``None`` where times are plain step numbers.
    repairs : mapping
        Number of rows or values changed, by kind of change.
    """

    entry: Mapping[str, object]
    rows: int
    series: int
    newest_timestamp: str | None
    repairs: Mapping[str, int] = field(default_factory=dict)


class FileWorker(ABC):
    """Makes the output of one file per call, and the receipt that proves it.

    Parameters
    ----------
    places : FilePlaces
    """

    job: ClassVar[str]
    """Name of the job in receipts."""

    def __init__(self, places: FilePlaces) -> None:
        self._inputs = places.sources.open()
        self._outputs = open_store(places.outputs)
        self._reading = places.reading
        self._run_id = places.run_id

    def __call__(self, task: Task) -> Receipt:
        """Write the output of a task, then the receipt that names input and output.

        Raises
        ------
        InputChangedError, DataError, StorageError
        """
        check_key_length(self._outputs, task)
        watch = Stopwatch()
        with watch.measure("total"), inputs_pinned(task):
            output = self.make(task, watch)
        work = Work(
            job=self.job,
            run_id=self._run_id,
            rows=output.rows,
            series=output.series,
            seconds=watch.rounded(),
            newest_timestamp=output.newest_timestamp,
            repairs=output.repairs,
        )
        receipt = new_receipt(task, output.entry, work)
        # After the output: a crash in between leaves a pending task, which is done again.
        write_receipt(self._outputs, task, receipt, str(output.entry["etag"]))
        return receipt

    @abstractmethod
    def make(self, task: Task, watch: Stopwatch) -> FileOutput:
        """Read the input of a task and write its output."""
