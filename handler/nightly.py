"""Submit the night of the feature store: a Lambda function called by EventBridge Scheduler.

The event has the time of the schedule, ``{"time": "2024-02-01T02:00:00Z"}``, whose day before is
uploaded, or the day itself, ``{"ds": "2024-01-31"}``. The variable ``NIGHTLY_FEATURES`` names the
joins and group-bys.
"""

import os
from datetime import date, datetime
from typing import Any

from gigacast.batch.aws import BatchService
from gigacast.batch.service import ArrayRequest
from gigacast.errors import ConfigError
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.nightly import day_before, plan_night
from gigacast.feature_store.stored import find_stored
from gigacast.settings.assembly import addresses
from gigacast.settings.load import load_settings
from gigacast.storage.opening import open_store

VARIABLE = "NIGHTLY_FEATURES"


def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Submit the jobs of a night, each to begin after those before it; return their ids."""
    settings = load_settings()
    _, root = addresses(settings.run.model_copy(update={"input_prefix": None}), None)
    store = open_store(root)
    names = list(dict.fromkeys(filter(None, os.environ.get(VARIABLE, "").split(","))))
    definitions = [find_stored(store, name).definition for name in names]
    if not definitions or not all(isinstance(d, GroupBy | Join) for d in definitions):
        raise ConfigError(
            f"{VARIABLE}: expected joins and group-bys",
            hint="name them with commas in NightlyFeatures of config/aws.yaml",
        )
    day = _day(event)
    service = BatchService(settings.run.region)
    queue = f"{settings.batch.stack}-nightly"
    ids: list[str] = []
    for job in plan_night(definitions, day):
        name = f"{queue}-{job.step}-{job.name}-{day}".replace(".", "_")[:128]
        request = ArrayRequest(name, queue, queue, job.command, size=1, timeout_s=None)
        ids.append(service.submit(request, after=[ids[place] for place in job.after]))
    return {"ds": day, "jobs": ids}


def _day(event: dict[str, Any]) -> str:
    try:
        if "ds" in event:
            return date.fromisoformat(str(event["ds"])).isoformat()
        return day_before(datetime.fromisoformat(str(event["time"])))
    except (KeyError, ValueError) as error:
        raise ConfigError(
            "the event has no time of a schedule", hint='send {"ds": "2024-01-31"}'
        ) from error
