"""Close an array run when its Batch job has ended: the target of an EventBridge rule.

The event is a job's change of state; the command of the job contains the location of the plan. The
variable ``PLANNER`` names the function that is called for the turns that waited for the end.
"""

import os
from functools import partial
from typing import Any

from gigacast.batch.aws import BatchService
from gigacast.batch.close import close_run
from gigacast.batch.schedule import start_waiting
from gigacast.errors import PlanError
from gigacast.job.batch_options import ChildOrder
from gigacast.storage.opening import open_store


def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Close the run of an event's job if this was its last job. A second call changes nothing."""
    try:
        command = [str(word) for word in event["detail"]["container"]["command"]]
    except (KeyError, TypeError) as error:
        message = "the event is not of a Batch job: its detail has no container.command"
        raise PlanError(message) from error
    order = ChildOrder.parse(command)
    service, outputs = BatchService(order.outputs.region), open_store(order.outputs)
    audit = close_run(outputs, order.run_id, service)
    planner = os.environ.get("PLANNER")
    if audit.end_time is not None and planner:
        start_waiting(outputs, partial(service.call, planner))
    return {"run_id": order.run_id, "status": audit.status, "end_time": audit.end_time}
