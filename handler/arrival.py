"""Plans and submits because data has come: a Lambda function behind a queue of S3's events.

The queue gathers what comes within its window, so a thousand new partitions are one run. While a
run is under way the events are given back, and come again when it is over.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from gigacast.batch.aws import BatchService
from gigacast.batch.schedule import names_new_input, submit_in_turn
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.load import load_settings


def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Submit a run if one of the objects is an input; give the events back if it must wait."""
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
    """Yield the keys that EventBridge's events of S3 name, as the queue holds them."""
    for record in event["Records"]:
        try:
            key = json.loads(record["body"])["detail"]["object"]["key"]
        except (ValueError, KeyError, TypeError):
            continue  # no event of an object, whoever sent it
        yield str(key)
