"""Apply a stream of Kinesis to served features: a Lambda function behind an event source mapping.

The group-bys are those whose topic has the stream's name. Each record counts once, also when Lambda
delivers it again or ``gigacast feature-store stream`` reads the stream at the same time.
"""

import base64
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from gigacast.errors import StorageError
from gigacast.feature_store.definition.name import name_of
from gigacast.feature_store.stream.apply import StreamApplier, StreamCounts
from gigacast.feature_store.stream.function import AppliedStreams, appliers_of
from gigacast.feature_store.stream.stream import MAX_RECORDS, Record
from gigacast.settings.assembly import addresses
from gigacast.settings.load import load_settings

_log = logging.getLogger(__name__)


def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Apply the records of an event, in their order.

    Return ``batchItemFailures``: the first record that is not applied to every group-by. Lambda
    delivers it and those after it again.
    """
    records = event["Records"]
    source = str(records[0]["eventSourceARN"])
    name = source.rpartition("/")[2]
    try:
        appliers = _applied.appliers(name)
        [first] = _records(records[:1])
        for applier in appliers:
            if not _applied.replay(applier, source, first, context):
                _log.info("stream %s: its past is being applied", name)
                return _failed_at(records[0])
    except StorageError as error:
        _log.warning("stream %s: %s", name, error)
        return _failed_at(records[0])
    # Parts of the event: what was applied before a fault is not delivered again.
    for start in range(0, len(records), MAX_RECORDS):
        part = records[start : start + MAX_RECORDS]
        try:
            for applier in appliers:
                applier.apply([*_records(part)])
        except StorageError as error:
            _log.warning("stream %s: %s", name, error)
            return _failed_at(part[0])
    _report(appliers)
    return {"batchItemFailures": []}


def _failed_at(record: dict[str, Any]) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": record["kinesis"]["sequenceNumber"]}]}


def _records(part: Sequence[dict[str, Any]]) -> Iterator[Record]:
    for entry in part:
        # "shardId-000000000000:4959...": positions are those that the command notes, too.
        shard = str(entry["eventID"]).partition(":")[0]
        kinesis = entry["kinesis"]
        yield Record(shard, kinesis["sequenceNumber"], base64.b64decode(kinesis["data"]))


def _report(appliers: Sequence[StreamApplier]) -> None:
    for applier in appliers:
        counts, name = applier.counts, name_of(applier.served.group_by)
        if counts.garbage:
            _log.warning("%s: %d records are garbage: %s", name, counts.garbage, counts.samples)
        applier.counts = StreamCounts()


def _make_appliers(stream: str) -> Iterator[StreamApplier]:
    settings = load_settings()
    _, root = addresses(settings.run.model_copy(update={"input_prefix": None}), None)
    return appliers_of(stream, root, settings.online_store)


_applied = AppliedStreams(_make_appliers)
