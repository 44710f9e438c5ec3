"""What was processed, by receipts: no state file, no lock.

A file is processed when there is a receipt for its ETag. One that was written again with another
ETag is read once and is still processed when its checksum is that of the receipt: the same content.
Two who mark a file at once write the same receipt.
"""

import hashlib
import os
import platform
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from gigacast.core.digest import digest_etags, digest_text
from gigacast.errors import ConfigError
from gigacast.lake.layout import (
    output_id,
    parse_receipt_key,
    processed_name,
    receipt_key,
    receipt_prefix,
)
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.receipt import Receipt
from gigacast.parquet_loader.discovery import ParquetFileInfo
from gigacast.storage.store import Store

Algorithm = Literal["md5", "sha1", "sha256"]
COMPLETED = "completed"
STATUSES = (COMPLETED, "failed", "skipped")
_PIECE_BYTES = 8 << 20


class ProcessedLedger:
    """Remembers which files were processed.

    Parameters
    ----------
    inputs, outputs : Store
        Where the files are, and where receipts go.
    algorithm : {"md5", "sha1", "sha256"}
    clock : callable
        Gives the time, with its zone.
    """

    def __init__(self, inputs: Store, outputs: Store, algorithm: Algorithm, clock: Clock) -> None:
        self._inputs = inputs
        self._outputs = outputs
        self._algorithm = algorithm
        self._clock = clock

    def is_processed(self, info: ParquetFileInfo) -> bool:
        """Whether this content of a file was processed and completed.

        Raises
        ------
        StorageError
            Also when the file, which is read if its ETag is new, was replaced meanwhile.
        """
        receipts = [entry for _, entry in self._receipts(info, COMPLETED)]
        if any(input_id == self._input_id(info) for input_id, _ in receipts):
            return True
        # A checksum of another algorithm is another text, and proves nothing.
        return bool(receipts) and output_id(self.checksum(info)) in {one for _, one in receipts}

    def mark_processed(self, info: ParquetFileInfo, status: str = COMPLETED) -> str:
        """Write down what became of a file, in place of what was known; return the receipt's key.

        Raises
        ------
        ConfigError
            When the status is none of `STATUSES`.
        PreconditionFailedError
            When the file was replaced since it was found: other content was processed.
        """
        if status not in STATUSES:
            raise ConfigError(f"status: {status!r} is none of {', '.join(STATUSES)}")
        checksum = self.checksum(info)
        key = receipt_key(self._name(info, status), self._input_id(info), checksum)
        stale = [old for one in STATUSES for old, _ in self._receipts(info, one) if old != key]
        self._outputs.put(key, self._receipt(info, status, checksum).to_json())
        if stale:
            self._outputs.delete(stale)
        return key

    def checksum(self, info: ParquetFileInfo) -> str:
        """Return the checksum of a file's content, as ``sha256:...``."""
        digest = hashlib.new(self._algorithm, usedforsecurity=False)
        for start in range(0, max(1, info.size_bytes), _PIECE_BYTES):
            stop = start + _PIECE_BYTES
            digest.update(self._inputs.get(info.key, if_match=info.etag, start=start, stop=stop))
        return f"{self._algorithm}:{digest.hexdigest()}"

    def _receipts(
        self, info: ParquetFileInfo, status: str
    ) -> Iterator[tuple[str, tuple[str, str]]]:
        """Yield the receipts of a file: their keys, and the ids of ETag and checksum."""
        name = self._name(info, status)
        for page in self._outputs.list(receipt_prefix(f"{name}.")):
            for entry in page:
                parsed = parse_receipt_key(entry.key)
                if parsed is not None and parsed.output_key == name:
                    yield entry.key, (parsed.input_id, parsed.output_id)

    def _name(self, info: ParquetFileInfo, status: str) -> str:
        own, root = self._inputs.address, self._outputs.address
        below = f"{own.url.rstrip('/')}/".removeprefix(f"{root.url.rstrip('/')}/").strip("/")
        if not own.is_below(root):
            below = digest_text(own.url)
        return processed_name(status, f"{below}/{info.key}".lstrip("/"))

    def _input_id(self, info: ParquetFileInfo) -> str:
        return digest_etags([info.etag])

    def _receipt(self, info: ParquetFileInfo, status: str, checksum: str) -> Receipt:
        now: datetime = self._clock()
        entry = {"key": info.key, "etag": info.etag, "size_bytes": info.size_bytes}
        return Receipt(
            job="load",
            partition=info.key,
            run_id="",
            finished_at=now.isoformat(timespec="milliseconds"),
            inputs=[{**entry, "checksum": checksum}],
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
