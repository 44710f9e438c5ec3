"""Submit the jobs of a night: a Lambda function called by EventBridge Scheduler.

The event has the time of the schedule, ``{"time": "2024-02-01T02:00:00Z"}``, whose day before is
the day of the night, or the day itself, ``{"ds": "2024-01-31"}``; and ``jobs``, the commands. The
variable ``NIGHTLY_FEATURES`` names the joins and group-bys.
"""

import os
from datetime import date, datetime
from typing import Any

from gigacast.batch.aws import BatchService
from gigacast.batch.night import plan_steps
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
    settings, day, jobs = load_settings(), _day(event), event.get("jobs") or []
    _, root = addresses(settings.run.model_copy(update={"input_prefix": None}), None)
    names = list(dict.fromkeys(filter(None, os.environ.get(VARIABLE, "").split(","))))
    found = [find_stored(open_store(root), name).definition for name in names]
    definitions = [d for d in found if isinstance(d, GroupBy | Join)]
    if len(definitions) < len(found) or not (definitions or jobs):
        raise ConfigError(
            f"{VARIABLE}: expected joins and group-bys",
            hint="in config/aws.yaml: NightlyFeatures, with commas, or commands in nightly",
        )
    service, stack = BatchService(settings.run.region), settings.batch.stack
    ids: list[str] = []
    for step in plan_steps(jobs, plan_night(definitions, day), day):
        queue = f"{stack}-nightly"
        name = f"{queue}-{step.name}-{day}"[:128]
        request = ArrayRequest(name, queue, queue, step.command, 1, timeout_s=None, stack=stack)
        ids.append(service.submit(request, after=[ids[place] for place in step.after]))
    return {"ds": day, "jobs": ids}


def _day(event: dict[str, Any]) -> str:
    try:
        if "ds" in event:
            return date.fromisoformat(str(event["ds"])).isoformat()
        return day_before(datetime.fromisoformat(str(event["time"])))
    except (KeyError, ValueError) as error:
        hint = 'send {"ds": "2024-01-31"}'
        raise ConfigError("the event has no time of a schedule", hint=hint) from error
