"""Close an array run when its Batch job has ended: the target of an EventBridge rule.

The event is a job's change of state; the command of the job contains the location of the plan.
"""

from typing import Any

from gigacast.batch.aws import BatchService
from gigacast.batch.close import close_run
from gigacast.errors import PlanError
from gigacast.job.batch_options import ChildOrder
from gigacast.lake.plan.audit import Audit
from gigacast.storage.opening import open_store


def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Close the run of an event's job if this was its last job. A second call changes nothing."""
    try:
        command = [str(word) for word in event["detail"]["container"]["command"]]
    except (KeyError, TypeError) as error:
        message = "the event is not of a Batch job: its detail has no container.command"
        raise PlanError(message) from error
    order = ChildOrder.parse(command)
    service = BatchService(order.outputs.region)
    audit: Audit = close_run(open_store(order.outputs), order.run_id, service)
    return {"run_id": order.run_id, "status": audit.status, "end_time": audit.end_time}
