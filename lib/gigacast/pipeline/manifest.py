"""Collects, while a run goes on, what its manifests will say.

Imports ``errors``, ``core``, ``storage`` and ``lake``.
"""

import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from gigacast.core.spec import Spec
from gigacast.errors import DataError, StorageError
from gigacast.lake.layout import manifest_key
from gigacast.lake.manifest import ManifestEntry, read_manifest, to_table, update_manifest
from gigacast.lake.planner import DoneEntry
from gigacast.lake.receipt import Receipt, read_receipt
from gigacast.storage.store import ObjectMeta, Store

READERS = 16


class _Done(NamedTuple):
    """What of a `DoneEntry` a manifest needs: there may be millions."""

    partition: str
    output: ObjectMeta
    receipt_key: str


class ManifestDraft:
    """The entries of one model version, by spec: done before, and done by this run."""

    def __init__(self, outputs: Store, spec: Spec) -> None:
        self._outputs = outputs
        self._spec = spec
        self._done: dict[str, list[_Done]] = defaultdict(list)
        self._new: dict[str, list[ManifestEntry]] = defaultdict(list)
        self._lock = threading.Lock()

    def add_done(self, entry: DoneEntry) -> None:
        """Take a partition the plan found done."""
        kept = _Done(entry.task.partition, entry.output, entry.receipt_key)
        self._done[entry.task.spec].append(kept)

    def add_receipt(self, receipt: Receipt) -> None:
        """Take a partition this run has done."""
        output = receipt.output
        self._new[receipt.spec].append(
            ManifestEntry(
                partition=receipt.partition,
                key=str(output["key"]),
                etag=str(output["etag"]),
                rows=int(str(output["rows"])),
                size_bytes=int(str(output["size_bytes"])),
            )
        )

    def commit(self) -> None:
        """Bring the manifest of every spec touched up to date.

        Raises
        ------
        StorageError
        """
        for spec_id in sorted({*self._done, *self._new}):
            key = manifest_key(self._spec.model, self._spec.version, spec_id)
            known, _ = read_manifest(self._outputs, key)
            rows = dict(
                zip(
                    zip(known["key"].to_pylist(), known["etag"].to_pylist(), strict=True),
                    known["rows"].to_pylist(),
                    strict=True,
                )
            )
            entries = self._entries(self._done[spec_id], rows)
            update_manifest(self._outputs, key, to_table(entries + self._new[spec_id]))

    def _entries(
        self, done: list[_Done], rows: dict[tuple[str, str], int | None]
    ) -> list[ManifestEntry]:
        """Return the entries of what was done; only what no manifest knew costs a request."""

        def entry(item: _Done) -> ManifestEntry:
            output = item.output
            known = rows.get((output.key, output.etag))
            count = known if known is not None else self._rows_of(item.receipt_key)
            return ManifestEntry(item.partition, output.key, output.etag, count, output.size_bytes)

        return _map_threads(entry, done)

    def _rows_of(self, key: str) -> int | None:
        try:
            return int(str(read_receipt(self._outputs, key).output["rows"]))
        except (StorageError, DataError, KeyError):
            return None  # the receipt's key is the proof; its content only decorates


def _map_threads(
    function: Callable[[_Done], ManifestEntry], items: list[_Done]
) -> list[ManifestEntry]:
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(function, items))
