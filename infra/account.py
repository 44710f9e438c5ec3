"""What a deployment needs of the account: zones of subnets, roles of services, a model."""

from contextlib import suppress
from typing import Any

from gigacast.batch.aws_error import translated
from gigacast.errors import ConfigError, ModelNotFoundError
from gigacast.lake.model.hub import parse_hub_id
from gigacast.lake.model.registry import Registry
from gigacast.lake.model.resolve import is_shipped
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from infra.configuration import Deployment

SERVICE_ROLES = {
    "spot.amazonaws.com": "AWSServiceRoleForEC2Spot",
    "batch.amazonaws.com": "AWSServiceRoleForBatch",
}
"""Roles that AWS makes itself in the console only; an account without them starts no machine."""
DEFAULT_MODEL = "gigacast-bolt-nano"


def subnet_of_each_zone(deployment: Deployment) -> str:
    """Return the first subnet of each zone, with commas, for interface endpoints.

    Raises
    ------
    ConfigError
        If a subnet is of another network.
    """
    ids = deployment.parameters["SubnetIds"].split(",")
    with translated("EC2: subnets", deployment.region):
        answer = _client("ec2", deployment).describe_subnets(SubnetIds=ids)
    found = {subnet["SubnetId"]: subnet for subnet in answer["Subnets"]}
    zones: dict[str, str] = {}
    for subnet in ids:
        if found[subnet]["VpcId"] != deployment.parameters["VpcId"]:
            raise ConfigError(
                f"subnet_ids: {subnet} is in {found[subnet]['VpcId']}, not in vpc_id",
                hint="name the subnets of one network",
            )
        zones.setdefault(found[subnet]["AvailabilityZone"], subnet)
    return ",".join(zones.values())


def ensure_service_roles(deployment: Deployment) -> list[str]:
    """Make the roles of EC2 Spot and Batch that the account lacks; return their names.

    Raises
    ------
    ComputeError
        If they cannot be made; the message names the role.
    """
    client, made = _client("iam", deployment), []
    for service, role in SERVICE_ROLES.items():
        with translated(f"IAM: {role}", deployment.region):
            try:
                client.get_role(RoleName=role)
            except client.exceptions.NoSuchEntityException:
                # Another deployment may have made it since.
                with suppress(client.exceptions.EntityAlreadyExistsException):
                    client.create_service_linked_role(AWSServiceName=service)
                    made.append(role)
    return made


def check_model(deployment: Deployment, bucket: str) -> None:
    """Check that scheduled runs find their model: shipped, or published under the prefix.

    Raises
    ------
    ConfigError
        If it is neither. The functions download nothing from a hub.
    """
    model = deployment.parameters.get("Model", DEFAULT_MODEL)
    if is_shipped(model):
        return
    url = f"s3://{bucket}/{deployment.prefix}".rstrip("/")
    registry = Registry(open_store(StoreAddress(url, region=deployment.region)))
    name, _, version = model.removeprefix("models/").partition("/")
    try:
        versions = registry.versions(name)
    except (ModelNotFoundError, ValueError):
        versions = {}
    if versions and (not version or version in versions):
        return
    origin = "of the hub" if parse_hub_id(model) else "not shipped"
    known = f" but {', '.join(f'{name}/{v}' for v in sorted(versions))}" if versions else ""
    publish = f"gigacast models publish FOLDER --name NAME --model_version v1.0 --bucket {bucket}"
    raise ConfigError(
        f"parameters.Model: {model!r} is {origin}, and not published under {url}/models{known}",
        hint=f"use {DEFAULT_MODEL}, or publish it first: {publish} --prefix '{deployment.prefix}'; "
        "then Model: NAME/v1.0",
    )


def _client(service: str, deployment: Deployment) -> Any:
    import boto3  # noqa: PLC0415 - only needed to deploy

    return boto3.client(service, region_name=deployment.region)
