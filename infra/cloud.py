"""The CloudFormation stacks of a deployment."""

from collections.abc import Callable, Mapping
from typing import Any

from gigacast.batch.aws_error import translated
from gigacast.errors import ComputeError
from infra.clock import with_clocks
from infra.configuration import Deployment, parameters_of, template_file

_MISSING_STACK = "does not exist"
_UNCHANGED = "No updates are to be performed"
_MOST_REASONS = 5


class Cloud:
    """The stacks of a deployment.

    Parameters
    ----------
    deployment : Deployment
        Configuration of the deployment.
    client : boto3 client
        Client of CloudFormation.
    read_template : callable
        Function from the name of a template to its body.
    """

    def __init__(
        self,
        deployment: Deployment,
        client: Any,
        read_template: Callable[[str], str] = lambda name: template_file(name).read_text(),
    ) -> None:
        self._deployment = deployment
        self._client = client
        self._read = read_template

    def up(self, template: str, values: Mapping[str, str]) -> dict[str, str]:
        """Create or update the stack of a template and return its outputs.

        Raises
        ------
        ComputeError, ConfigError
        """
        stack = f"{self._deployment.name}-{template}"
        names = parameters_of(template)
        options = {
            "StackName": stack,
            "TemplateBody": self._body(template),
            "Capabilities": ["CAPABILITY_IAM"],
            "Parameters": [
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in values.items()
                if name in names
            ],
            "Tags": [{"Key": "gigacast", "Value": self._deployment.name}],
        }
        with translated(f"CloudFormation: {stack}", self._deployment.region):
            before = self._describe(stack)
            if before is None:
                # A stack whose creation failed cannot be updated later, only deleted. Its events
                # remain, under the id of the stack and no longer under its name.
                created = self._client.create_stack(**options, OnFailure="DELETE")
                self._wait("stack_create_complete", stack, created["StackId"])
            elif self._update(options):
                self._wait("stack_update_complete", stack, before["StackId"])
        return self.outputs(template)

    def outputs(self, template: str) -> dict[str, str]:
        """Return the outputs of the stack of a template; none of a stack that is not deployed."""
        stack = f"{self._deployment.name}-{template}"
        with translated(f"CloudFormation: {stack}", self._deployment.region):
            description = self._describe(stack) or {}
        return {o["OutputKey"]: o["OutputValue"] for o in description.get("Outputs", [])}

    def down(self, template: str) -> None:
        """Delete the stack of a template."""
        stack = f"{self._deployment.name}-{template}"
        with translated(f"CloudFormation: {stack}", self._deployment.region):
            before = self._describe(stack)
            if before is None:
                return
            self._client.delete_stack(StackName=stack)
            # By its id a stack can be asked for after its deletion, too.
            self._wait("stack_delete_complete", stack, before["StackId"])

    def status(self, template: str) -> str:
        """Return the status of the stack of a template."""
        stack = f"{self._deployment.name}-{template}"
        with translated(f"CloudFormation: {stack}", self._deployment.region):
            description = self._describe(stack)
        return description["StackStatus"] if description else "not deployed"

    def _body(self, template: str) -> str:
        body = self._read(template)
        return with_clocks(body, self._deployment.clocks) if template == "schedule" else body

    def _describe(self, stack: str) -> Any:
        # CloudFormation answers with the same error class and code to a missing stack and to a
        # wrong request; only the message tells them apart. The same holds for `_update`.
        try:
            return self._client.describe_stacks(StackName=stack)["Stacks"][0]
        except self._client.exceptions.ClientError as error:
            if _MISSING_STACK in str(error):
                return None
            raise

    def _update(self, options: dict[str, Any]) -> bool:
        try:
            self._client.update_stack(**options)
        except self._client.exceptions.ClientError as error:
            if _UNCHANGED in str(error):
                return False
            raise
        return True

    def _wait(self, event: str, stack: str, stack_id: str) -> None:
        from botocore.exceptions import WaiterError  # noqa: PLC0415 - only needed to deploy

        try:
            self._client.get_waiter(event).wait(StackName=stack_id)
        except WaiterError as error:
            reasons = self._failures(stack_id)
            raise ComputeError(
                f"CloudFormation: {stack}: " + ("; ".join(reasons) or str(error)),
                hint="what exists already under a name of the stack must be deleted or renamed; "
                f"all events: aws cloudformation describe-stack-events --stack-name {stack_id}",
            ) from error

    def _failures(self, stack_id: str) -> list[str]:
        """Return what failed, and why, from the events of a stack: the first causes first."""
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - only needed to deploy

        try:
            events = self._client.describe_stack_events(StackName=stack_id)["StackEvents"]
        except (BotoCoreError, self._client.exceptions.ClientError):
            return []  # the failure of the stack is the error to report
        failed = [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
            for event in reversed(events)
            if str(event["ResourceStatus"]).endswith("FAILED")
            # What was in progress when another resource failed is no cause.
            and "cancelled" not in event.get("ResourceStatusReason", "").lower()
        ]
        return list(dict.fromkeys(failed))[:_MOST_REASONS]
