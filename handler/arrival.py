"""Plan and submit a run when data arrives: a Lambda function behind a queue of S3 events.

The queue collects the events of a time window, so a thousand new partitions become a single run.
While another run is in progress, the end of that run starts the next one. The events are returned
to the queue all the same, which delivers them again later: a run must not be lost with its end.
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
from gigacast.settings.turn import load_turn

_MESSAGE = Source("message", DataError)


def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Submit a run if an object of the events is an input.

    Return the outcome. ``batchItemFailures`` lists the messages to deliver again, which is all of
    them if another run is in progress.
    """
    settings = load_turn({})
    job = job_of(settings)
    if not names_new_input(job, _objects(event)):
        return {"outcome": "no new input", "batchItemFailures": []}
    service = BatchService(settings.run.region)
    # The turn is one of the planner, without an event of its own: it does all that is pending.
    result = submit_in_turn(job, array_options_of(settings), service, turn={})
    waiting = event["Records"] if result.outcome == "another run is under way" else []
    failures = [{"itemIdentifier": record["messageId"]} for record in waiting]
    return {**asdict(result), "batchItemFailures": failures}


def _objects(event: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield bucket and key in EventBridge's events of S3, from the messages of the queue."""
    for record in event["Records"]:
        # An unknown message must not fail the function: the queue would deliver it forever.
        try:
            detail = decode_json(record["body"], _MESSAGE)["detail"]
            bucket, key = detail.get("bucket", {}).get("name", ""), detail["object"]["key"]
        except (AttributeError, DataError, KeyError, TypeError):
            continue
        yield str(bucket), str(key)
