"""Plan and submit a run by the clock: a Lambda function called by EventBridge Scheduler.

Settings come from ``GIGACAST_*`` variables and from the event, by the names of the flags:
``{"arguments": {"horizon": 24}}``.
"""

from dataclasses import asdict
from typing import Any

from gigacast.batch.aws import BatchService
from gigacast.batch.schedule import submit_in_turn
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments


def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Submit a run of the pending partitions; return the outcome."""
    settings = load_settings(nest_arguments(event.get("arguments") or {}))
    job = job_of(settings)
    return asdict(
        submit_in_turn(job, array_options_of(settings), BatchService(settings.run.region))
    )
