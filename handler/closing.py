"""Closes an array run when Batch says that its job has ended: the target of an EventBridge rule.

The event is that of a job's state change; the job's command says where its plan lies.
"""

from typing import Any

from gigacast.batch.aws import BatchService
from gigacast.batch.close import close_run
from gigacast.errors import PlanError
from gigacast.job.batch_options import ChildOrder
from gigacast.lake.plan.audit import Audit
from gigacast.storage.opening import open_store


def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Close the run of the job in an event, if that was its last; it is safe to be called twice."""
    try:
        command = [str(word) for word in event["detail"]["container"]["command"]]
    except (KeyError, TypeError) as error:
        raise PlanError("the event is of no job: its detail has no container.command") from error
    order = ChildOrder.parse(command)
    service = BatchService(order.outputs.region)
    audit: Audit = close_run(open_store(order.outputs), order.run_id, service)
    return {"run_id": order.run_id, "status": audit.status, "end_time": audit.end_time}
