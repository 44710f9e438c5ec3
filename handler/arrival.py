"""Plan and submit a run when data arrives: a Lambda function behind a queue of S3 events.

The queue collects the events of a time window, so a thousand new partitions become a single run.
While another run is in progress the events are returned to the queue, which delivers them again
later.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from gigacast.batch.aws import BatchService
from gigacast.batch.schedule import names_new_input, submit_in_turn
from gigacast.core.problem import Source
from gigacast.core.record import decode_json
from gigacast.errors import DataError
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.load import load_settings

_MESSAGE = Source("message", DataError)


def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Submit a run if an object of the events is an input.

    Return the outcome. ``batchItemFailures`` lists the messages to deliver again, which is all of
    them if another run is in progress.
    """
    settings = load_settings()
    job = job_of(settings)
    if not names_new_input(job, _keys(event)):
        return {"outcome": "no new input", "batchItemFailures": []}
    service = BatchService(settings.run.region)
    result = submit_in_turn(job, array_options_of(settings), service)
    waiting = event["Records"] if result.outcome == "another run is under way" else []
    failures = [{"itemIdentifier": record["messageId"]} for record in waiting]
    return {**asdict(result), "batchItemFailures": failures}


def _keys(event: dict[str, Any]) -> Iterator[str]:
    """Yield the keys in EventBridge's events of S3, from the messages of the queue."""
    for record in event["Records"]:
        # An unknown message must not fail the function: the queue would deliver it forever.
        try:
            key = decode_json(record["body"], _MESSAGE)["detail"]["object"]["key"]
        except (DataError, KeyError, TypeError):
            continue
        yield str(key)
