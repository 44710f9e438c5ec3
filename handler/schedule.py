"""Plan and submit a run by the clock: a Lambda function called by EventBridge Scheduler.

Settings come from ``GIGACAST_*`` variables, from an object of the bucket, and from the event:
``{"settings": "settings/hourly.yaml", "arguments": {"horizon": 24}}``.
"""

from dataclasses import asdict
from typing import Any

from gigacast.batch.aws import BatchService
from gigacast.batch.schedule import submit_in_turn
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.turn import load_turn


def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Submit a run of the pending partitions; return the outcome.

    While another run is in progress the event is noted, and the end of that run starts this one.
    """
    settings = load_turn(event)
    job, service = job_of(settings), BatchService(settings.run.region)
    return asdict(submit_in_turn(job, array_options_of(settings), service, turn=event))
