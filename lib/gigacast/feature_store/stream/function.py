"""Appliers of the streams that a function is called for, and the past of their shards."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gigacast.errors import DataNotFoundError
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.name import name_of
from gigacast.feature_store.online.opening import open_online_store
from gigacast.feature_store.stored import all_stored
from gigacast.feature_store.stream.apply import StreamApplier
from gigacast.feature_store.stream.decode import topic_name_of
from gigacast.feature_store.stream.encoding import stored_parsers
from gigacast.feature_store.stream.kinesis import KinesisStream
from gigacast.feature_store.stream.stream import Record
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress

_KEPT_S = 60.0
"""Seconds for which the list of group-bys is used: it is read from the bucket."""
_REPLAY, _REPLAYED = "replay", "replayed"
"""Marks of the positions up to which the past of a shard is applied, and of its last one."""
_MARGIN_MS = 10_000
"""Time of the function that is left for its end: that of a batch of records."""
_log = logging.getLogger(__name__)


def _is_late(context: Any) -> bool:
    """Return whether the time of the function is nearly over."""
    left_ms = getattr(context, "get_remaining_time_in_millis", None)
    return left_ms is not None and left_ms() < _MARGIN_MS


class AppliedStreams:
    """The appliers of streams, which live as long as the function's process.

    Parameters
    ----------
    make : callable
        Makes the appliers of the group-bys of a stream.
    """

    def __init__(self, make: Callable[[str], Iterable[StreamApplier]]) -> None:
        self._make = make
        self._kept: dict[str, tuple[float, list[StreamApplier]]] = {}
        self._replayed: set[tuple[str, str, str]] = set()

    def appliers(self, stream: str) -> list[StreamApplier]:
        """Return the appliers of the group-bys of a stream.

        Raises
        ------
        StorageError
            If the bucket or the online store cannot be read.
        """
        read_at, appliers = self._kept.get(stream, (0.0, []))
        if not appliers or time.monotonic() - read_at > _KEPT_S:
            appliers = [*self._make(stream)]
            self._kept[stream] = (time.monotonic(), appliers)
            return appliers
        for applier in appliers:
            applier.refresh()
        return appliers

    def replay(self, applier: StreamApplier, source: str, first: Record, context: Any) -> bool:
        """Apply what is in the stream before a record, once for each definition and shard.

        Lambda delivers what is new. A definition that was uploaded later, or changed, has to see
        the events before, too. Return whether all are applied; if the time of the function is over,
        a later call goes on.
        """
        key = applier.served.name, applier.served.batch.digest, first.partition
        if key in self._replayed:
            return True
        # A mark of its own: a position of the command, which may have been stopped in the middle of
        # the stream, does not say that Lambda's records follow it.
        if first.partition not in applier.positions(_REPLAYED):
            stream = KinesisStream(source.rpartition("/")[2], region=source.split(":")[3])
            try:
                done = applier.positions(_REPLAY)
                for records in stream.history(first.partition, done, first.position):
                    if records:
                        applier.apply(records, _REPLAY)
                    if _is_late(context):
                        return False
            finally:
                stream.close()
            applier.advance([first], _REPLAYED)
        self._replayed.add(key)
        return True


def appliers_of(
    stream: str, root: StoreAddress, online_store: str | None
) -> Iterator[StreamApplier]:
    """Yield the appliers of the group-bys whose topic is a stream.

    Parameters
    ----------
    stream : str
    root : StoreAddress
        Place of the feature store.
    online_store : str, optional
        Setting of the online store.

    Raises
    ------
    StorageError
        If the bucket or the online store cannot be read.
    """
    online = open_online_store(online_store, root)
    bucket = open_store(root)
    parsers = stored_parsers(bucket)
    for group_by in all_stored(bucket, "group_bys/"):
        if not isinstance(group_by, GroupBy) or topic_name_of(group_by) != stream:
            continue
        try:
            yield StreamApplier(online, name_of(group_by), stream, parsers=parsers)
        except DataNotFoundError as error:
            # Compiled and not uploaded: there is no batch that its events could follow.
            _log.warning("%s", error)
