"""The writing of a batch: its values first, then the pointer, so that it appears whole."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from gigacast.errors import ConfigError
from gigacast.feature_store.online.key import (
    DAY_MS,
    batch_prefix,
    group_by_key,
    mark_key,
    stream_prefix,
)
from gigacast.feature_store.online.serving import Batch, ServedGroupBy
from gigacast.feature_store.online.store import OnlineStore, Versioned

_PUT = 2000
"""Values in one write: the part of a batch that is in memory."""


@dataclass
class BatchCount:
    """Number and bytes of the values of a batch."""

    keys: int = 0
    size_bytes: int = 0


class BatchWriter:
    """Writes the batch of a group-by and lets it serve.

    Parameters
    ----------
    store : OnlineStore
    name : str
        Name of the group-by.
    overwrite : bool
        Whether a batch of an earlier day may take the place of a later one.
    """

    def __init__(self, store: OnlineStore, name: str, *, overwrite: bool = False) -> None:
        self._store = store
        self._name = name
        self._overwrite = overwrite
        # Read before the values are written: if another upload finishes meanwhile, it may have
        # dropped them, and the condition on the pointer does not hold.
        self._pointer: Versioned | None = store.get_many([group_by_key(name)])[0]
        self.former = (
            ServedGroupBy.decode(self._pointer.value, group_by_key(name)) if self._pointer else None
        )

    def check(self, batch: Batch) -> None:
        """Check that a batch may be served after the one that is served now.

        Raises
        ------
        ConfigError
            If that is of a later day.
        """
        if self.former and batch.end < self.former.batch.end and not self._overwrite:
            raise ConfigError(
                f"group-by {self._name}: serves a later batch, {self.former.batch.day}",
                hint="upload a later day, or give --overwrite to go back",
            )

    def write(self, batch: Batch, items: Iterable[tuple[str, bytes]]) -> BatchCount:
        """Write the values of a batch, which nobody reads yet."""
        count = BatchCount()
        prefix = batch_prefix(self._name, batch.digest, batch.id)
        # The mark is first: values of an upload that dies are found by it.
        self._store.put_many([(mark_key(self._name, batch.id), prefix.encode())])
        for part in _parts(items):
            self._store.put_many([(f"{prefix}{digest}", value) for digest, value in part])
            count.keys += len(part)
            count.size_bytes += sum(len(value) for _, value in part)
        return count

    def serve(self, served: ServedGroupBy) -> None:
        """Let a batch serve, and drop those that nobody reads any more.

        Raises
        ------
        ConfigError
            If another upload finished meanwhile.
        """
        former = self.former
        is_same = former is not None and former.batch.id == served.batch.id
        previous = None
        if former is not None:
            previous = former.previous if is_same else former.batch
        served = replace(served, previous=previous)
        version = self._pointer.version if self._pointer else None
        if not self._store.put_if(group_by_key(self._name), version, served.encode()):
            raise ConfigError(
                f"group-by {self._name}: another upload finished at the same time",
                hint="run the upload again",
            )
        self._clean(served)

    def _clean(self, served: ServedGroupBy) -> None:
        """Drop the batches and streamed days before the one that served last.

        That one stays: fetches use a pointer for some time after they have read it.
        """
        serving = {batch.id: batch for batch in (served.batch, served.previous) if batch}
        for key, value in list(self._store.scan(mark_key(self._name, ""))):
            batch_id = key.rpartition("/")[2]
            # A later batch may be in the middle of its upload.
            if batch_id not in serving and int(batch_id.partition("-")[0]) <= served.batch.end:
                self._store.drop(value.value.decode())
                self._store.drop(key)
        gone = self.former.previous if self.former else None
        oldest = served.previous or served.batch
        if gone is None or gone.id in serving:
            return
        if gone.digest not in {batch.digest for batch in serving.values()}:
            self._store.drop(stream_prefix(self._name, gone.digest))
            return
        for day in range(gone.end, oldest.end, DAY_MS):
            self._store.drop(stream_prefix(self._name, gone.digest, day))


def now_ms() -> int:
    """Return the time, epoch milliseconds."""
    return int(time.time() * 1000)


def _parts(items: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    source = iter(items)
    while part := list(islice(source, _PUT)):
        yield part
