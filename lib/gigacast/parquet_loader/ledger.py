"""Record of processed files, kept as receipts: no state file and no lock.

A file is processed if a receipt names its ETag. If the file was written again with another ETag, it
is read once, and still counts as processed if its checksum is that of a receipt: the content is the
same. Two processes that mark a file at the same time write the same receipt.
"""

import hashlib
import os
import platform
from datetime import datetime
from typing import Literal

from gigacast.core.digest import digest_text
from gigacast.core.partition.task import InputObject, Task
from gigacast.errors import ConfigError
from gigacast.lake.layout import output_id, processed_name
from gigacast.lake.plan.audit import COMPLETED, Clock
from gigacast.lake.plan.receipt import Receipt, input_entries, list_receipts, write_receipt
from gigacast.parquet_loader.discovery import ParquetFileInfo
from gigacast.storage.store import Store

Algorithm = Literal["md5", "sha1", "sha256"]
STATUSES = (COMPLETED, "failed", "skipped")
_PIECE_BYTES = 8 << 20


class ProcessedLedger:
    """Records which files were processed, and with which status.

    Parameters
    ----------
    inputs, outputs : Store
        Roots of the files and of the receipts.
    algorithm : {"md5", "sha1", "sha256"}
        Checksum of a file's content.
    clock : callable
        Returns the current time, with its zone.
    """

    def __init__(self, inputs: Store, outputs: Store, algorithm: Algorithm, clock: Clock) -> None:
        self._inputs = inputs
        self._outputs = outputs
        self._algorithm = algorithm
        self._clock = clock

    def is_processed(self, info: ParquetFileInfo) -> bool:
        """Return whether this content of a file was processed and completed.

        Raises
        ------
        StorageError
            Also if the file, which is read if its ETag is new, was replaced since it was listed.
        """
        task = self._task(info, COMPLETED)
        receipts = [receipt for _, receipt in list_receipts(self._outputs, task.output_key)]
        if any(receipt.input_id == task.input_id for receipt in receipts):
            return True
        # Checksums name their algorithm, so a receipt made with another one never matches.
        processed = {receipt.output_id for receipt in receipts}
        return bool(processed) and output_id(self.checksum(info)) in processed

    def mark_processed(self, info: ParquetFileInfo, status: str = COMPLETED) -> str:
        """Write a file's receipt, delete its earlier receipts, and return the key of the new one.

        Raises
        ------
        ConfigError
            If the status is none of `STATUSES`.
        PreconditionFailedError
            If the file was replaced since it was discovered: other content was processed.
        """
        if status not in STATUSES:
            raise ConfigError(f"status: {status!r} is none of {', '.join(STATUSES)}")
        checksum = self.checksum(info)
        # Receipts of any status are superseded: a failure takes back an earlier completion.
        stale = [
            key
            for each in STATUSES
            for key, _ in list_receipts(self._outputs, self._name(info, each))
        ]
        task = self._task(info, status, tuple(stale))
        return write_receipt(self._outputs, task, self._receipt(task, status, checksum), checksum)

    def checksum(self, info: ParquetFileInfo) -> str:
        """Return the checksum of a file's content, as ``sha256:...``."""
        digest = hashlib.new(self._algorithm, usedforsecurity=False)
        # In pieces, so that memory does not grow with the file; an empty file takes a request
        # too, which fails if the file was replaced.
        for start in range(0, max(1, info.size_bytes), _PIECE_BYTES):
            stop = start + _PIECE_BYTES
            digest.update(self._inputs.get(info.key, if_match=info.etag, start=start, stop=stop))
        return f"{self._algorithm}:{digest.hexdigest()}"

    def _task(self, info: ParquetFileInfo, status: str, stale: tuple[str, ...] = ()) -> Task:
        """Return the processing of a file as a task, whose output is named after the status."""
        return Task(
            partition=info.key,
            month=str(info.calendar_month),
            inputs=(InputObject(info.key, info.etag, info.size_bytes, info.extension),),
            own=1,
            horizon=0,
            spec="",
            output_key=self._name(info, status),
            stale_receipts=stale,
        )

    def _name(self, info: ParquetFileInfo, status: str) -> str:
        own, root = self._inputs.address, self._outputs.address
        folder = f"{own.url.rstrip('/')}/".removeprefix(f"{root.url.rstrip('/')}/").strip("/")
        # Inputs outside the output root have no relative folder; a digest keeps two roots apart.
        if not own.is_below(root):
            folder = digest_text(own.url)
        return processed_name(status, f"{folder}/{info.key}".lstrip("/"))

    def _receipt(self, task: Task, status: str, checksum: str) -> Receipt:
        now: datetime = self._clock()
        return Receipt(
            job="load",
            partition=task.partition,
            run_id="",
            finished_at=now.isoformat(timespec="milliseconds"),
            inputs=[{**entry, "checksum": checksum} for entry in input_entries(task)],
            output={"status": status},
            rows=0,
            series=0,
            seconds={},
            reasons={},
            model="",
            version="",
            digest="",
            spec="",
            horizon=0,
            host={"name": platform.node(), "pid": os.getpid()},
        )
