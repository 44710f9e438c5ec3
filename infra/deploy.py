"""From config/aws.yaml to a deployment, and back: what `make deploy` and `make destroy` run.

``python infra/deploy.py up|down|show [--config FILE] [--images TAG]``. The templates are plain
CloudFormation; what one makes and another needs is handed on here. Images are built and pushed by
docker, unless they are there already, or ``--images`` names a tag that has been pushed. ``down``
keeps the stack of the bucket and the images, so that ``up`` goes on with them: delete it, and then
the bucket, by hand when the forecasts are no longer wanted.
"""

import argparse
import base64
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gigacast.batch.aws_error import translated
from gigacast.errors import ComputeError, ConfigError, GigacastError

ROOT = Path(__file__).parents[1]
TEMPLATES = ("storage", "network", "batch", "schedule", "observe")
FLAVOURS = {"cpu": "CpuImage", "gpu": "GpuImage", "planner": "PlannerImage"}
_KEYS = {
    "name": str,
    "region": str,
    "vpc_id": str,
    "subnet_ids": list,
    "route_table_ids": list,
    "endpoints": str,
    "bucket": str,
    "prefix": str,
    "cpu_torch_index": str,
    "parameters": dict,
}
_OWN = {
    *("Name", "Prefix", "Bucket", "VpcId", "SubnetIds", "RouteTableIds", "Endpoints"),
    *("SecurityGroup", "Repository", *FLAVOURS.values()),
}
"""Parameters that the deployment fills in by itself."""
_REQUIRED = {"name", "region", "vpc_id", "subnet_ids"}
_MISSING_STACK = "does not exist"
_UNCHANGED = "No updates are to be performed"

Run = Callable[..., Any]


@dataclass(frozen=True)
class Deployment:
    """What config/aws.yaml says.

    Parameters
    ----------
    name, region, prefix : str
    cpu_torch_index : str
        Where pip finds torch for CPUs; empty, where it finds everything else.
    parameters : mapping of str
        Of the templates, by name.
    """

    name: str
    region: str
    prefix: str
    cpu_torch_index: str
    parameters: Mapping[str, str]

    @classmethod
    def read(cls, file: Path) -> "Deployment":
        """Read a configuration.

        Raises
        ------
        ConfigError
            When a key is unknown, missing or of another type; the message names it.
        """
        try:
            values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        except FileNotFoundError as error:
            raise ConfigError(f"{file}: no such configuration file") from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: can't be read: {error}") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error
        _check(file, values)
        prefix = str(values.get("prefix") or "")
        if prefix and not prefix.endswith("/"):
            prefix += "/"
        network = {
            "VpcId": values["vpc_id"],
            "SubnetIds": ",".join(values["subnet_ids"]),
            "RouteTableIds": ",".join(values.get("route_table_ids") or []),
            "Endpoints": values.get("endpoints") or "no",
        }
        given = {k: _as_parameter(v) for k, v in (values.get("parameters") or {}).items()}
        own = {"Name": values["name"], "Prefix": prefix, "Bucket": values.get("bucket") or ""}
        parameters = {**given, **network, **own}
        return cls(
            name=values["name"],
            region=values["region"],
            prefix=prefix,
            cpu_torch_index=values.get("cpu_torch_index") or "",
            parameters=parameters,
        )


def _check(file: Path, values: Any) -> None:
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: expected keys such as 'name:', got {type(values).__name__}")
    for key in sorted(set(values) - set(_KEYS)):
        raise ConfigError(f"{file}: {key}: unknown key", hint=f"one of {', '.join(_KEYS)}")
    for key, kind in _KEYS.items():
        value = values.get(key)
        if not value and key in _REQUIRED:
            raise ConfigError(f"{file}: {key}: missing", hint="fill it in, and deploy again")
        if value is not None and not isinstance(value, kind):
            raise ConfigError(f"{file}: {key}: {value!r} is no {kind.__name__}")
        if kind is list and any(not isinstance(one, str) for one in value or ()):
            raise ConfigError(f"{file}: {key}: {value!r} is no list of texts")
    if values.get("endpoints") not in {None, "no"} and not values.get("route_table_ids"):
        raise ConfigError(
            f"{file}: route_table_ids: missing",
            hint="the endpoint of S3 needs those of the subnets",
        )
    _check_parameters(file, values.get("parameters") or {})


def _check_parameters(file: Path, given: Mapping[str, Any]) -> None:
    known = set().union(*(parameters_of(name) for name in TEMPLATES))
    for key in sorted(given):
        if key in _OWN:
            raise ConfigError(
                f"{file}: parameters.{key}: is filled in by the deployment itself",
                hint=f"the keys outside of parameters say it: {', '.join(_KEYS)}",
            )
        if key not in known:
            raise ConfigError(f"{file}: parameters.{key}: no template has it")


def _as_parameter(value: Any) -> str:
    """Return a value as CloudFormation takes it."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def template_file(name: str) -> Path:
    """Return where a template lies."""
    return ROOT / "infra" / f"{name}.yaml"


def parameters_of(name: str) -> dict[str, Any]:
    """Return the parameters a template takes, with what it says of each."""

    class Loader(yaml.SafeLoader):
        """Reads a template; its functions stay what they are, which is not of interest here."""

    Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
    content = yaml.load(template_file(name).read_text(), Loader)  # noqa: S506 - a SafeLoader
    found: dict[str, Any] = content["Parameters"]
    return found


class Cloud:
    """The stacks of one deployment.

    Parameters
    ----------
    deployment : Deployment
    client : boto3 client
        Of CloudFormation.
    read_template : callable
        Gives the body of a template by its name.
    """

    def __init__(
        self,
        deployment: Deployment,
        client: Any,
        read_template: Callable[[str], str] = lambda name: template_file(name).read_text(),
    ) -> None:
        self._deployment = deployment
        self._client = client
        self._read_template = read_template

    def up(self, template: str, values: Mapping[str, str]) -> dict[str, str]:
        """Create or update the stack of a template; return its outputs.

        Raises
        ------
        ComputeError, ConfigError
        """
        stack = f"{self._deployment.name}-{template}"
        known = parameters_of(template)
        options = {
            "StackName": stack,
            "TemplateBody": self._read_template(template),
            "Capabilities": ["CAPABILITY_IAM"],
            "Parameters": [
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in values.items()
                if name in known
            ],
            "Tags": [{"Key": "gigacast", "Value": self._deployment.name}],
        }
        with translated(f"CloudFormation: {stack}", self._deployment.region):
            if self._describe(stack) is None:
                self._client.create_stack(**options, OnFailure="DELETE")
                self._wait("stack_create_complete", stack)
            elif self._update(options):
                self._wait("stack_update_complete", stack)
            found = self._describe(stack) or {}
        return {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", [])}

    def down(self, template: str) -> None:
        """Delete the stack of a template."""
        stack = f"{self._deployment.name}-{template}"
        with translated(f"CloudFormation: {stack}", self._deployment.region):
            self._client.delete_stack(StackName=stack)
            self._wait("stack_delete_complete", stack)

    def status(self, template: str) -> str:
        """Return how the stack of a template stands."""
        stack = f"{self._deployment.name}-{template}"
        with translated(f"CloudFormation: {stack}", self._deployment.region):
            found = self._describe(stack)
        return found["StackStatus"] if found else "not deployed"

    def _describe(self, stack: str) -> Any:
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

    def _wait(self, event: str, stack: str) -> None:
        from botocore.exceptions import WaiterError  # noqa: PLC0415 - for those who deploy

        try:
            self._client.get_waiter(event).wait(StackName=stack)
        except WaiterError as error:
            raise ComputeError(
                f"CloudFormation: {stack}: {error}",
                hint=f"its events say why: aws cloudformation describe-stack-events "
                f"--stack-name {stack}",
            ) from error


def deploy(
    deployment: Deployment, cloud: Cloud, make_images: Callable[[str], Mapping[str, str]]
) -> dict[str, str]:
    """Bring every stack up to date; return what they made.

    Parameters
    ----------
    deployment : Deployment
    cloud : Cloud
    make_images : callable
        Given the URI of the repository, returns the images by the templates' parameters.

    Raises
    ------
    GigacastError
    """
    values = dict(deployment.parameters)
    made = cloud.up("storage", values)
    values |= {"Bucket": made["Bucket"], "Repository": made["Repository"]}
    values |= make_images(made["RepositoryUri"])
    for template in TEMPLATES[1:]:
        _say(f"{deployment.name}-{template}")
        made = cloud.up(template, values)
        values |= {name: made[name] for name in made if name in {"SecurityGroup"}}
    return values


def destroy(deployment: Deployment, cloud: Cloud) -> None:
    """Delete every stack but the one that holds the bucket and the images."""
    for template in reversed(TEMPLATES[1:]):
        _say(f"{deployment.name}-{template}")
        cloud.down(template)


def image_names(repository: str, tag: str) -> dict[str, str]:
    """Return the images of a tag by the templates' parameters."""
    return {name: f"{repository}:{flavour}-{tag}" for flavour, name in FLAVOURS.items()}


def build_images(
    repository: str, deployment: Deployment, tag: str, run: Run = subprocess.run
) -> None:
    """Build and push every flavour that is not there: a tag is one commit's, and never moves.

    Raises
    ------
    ConfigError
        When docker is not there, or a build fails.
    """
    import boto3  # noqa: PLC0415 - for those who deploy

    with translated("ECR: sign in", deployment.region):
        client = boto3.client("ecr", region_name=deployment.region)
        wanted = [name for name in FLAVOURS if not _is_pushed(client, repository, f"{name}-{tag}")]
        answer = client.get_authorization_token()
    if not wanted:
        return
    token = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode()
    password = token.partition(":")[2]
    host = repository.partition("/")[0]
    login = ["docker", "login", "--username", "AWS", "--password-stdin", host]
    _docker(run, login, input=password.encode())
    # The machines are x86, whatever this one is; Lambda takes no index of several images.
    plain = {**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    build = ["docker", "build", "--platform", "linux/amd64"]
    build += ["-f", str(ROOT / "infra" / "Dockerfile")]
    if deployment.cpu_torch_index:
        build += ["--build-arg", f"CPU_TORCH_INDEX={deployment.cpu_torch_index}"]
    for flavour in wanted:
        image = f"{repository}:{flavour}-{tag}"
        _docker(run, [*build, "--target", flavour, "-t", image, str(ROOT)], env=plain)
        _docker(run, ["docker", "push", image])


def _is_pushed(client: Any, repository: str, tag: str) -> bool:
    name = repository.partition("/")[2]
    try:
        found = client.describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])
    except client.exceptions.ImageNotFoundException:
        return False
    return bool(found["imageDetails"])


def _docker(run: Run, command: list[str], **options: Any) -> None:
    try:
        run(command, check=True, **options)
    except FileNotFoundError as error:
        raise ConfigError(
            "docker is not installed",
            hint="install it, or push the images elsewhere and deploy with --images TAG",
        ) from error
    except subprocess.CalledProcessError as error:
        shown = " ".join(command[:2])
        raise ConfigError(f"{shown} ended with code {error.returncode}") from error


def code_tag(run: Run = subprocess.run) -> str:
    """Return the commit that is built; tags in the registry never move.

    Raises
    ------
    ConfigError
        When there are changes that no commit holds.
    """
    try:
        status = run(["git", "status", "--porcelain"], check=True, capture_output=True, cwd=ROOT)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(
            f"there is no commit to name the images by: {error}",
            hint="deploy from a clone with git, or name pushed images: --images TAG",
        ) from error
    if status.stdout.strip():
        raise ConfigError(
            "there are changes that no commit holds", hint="commit them: an image is one commit's"
        )
    head = run(
        ["git", "rev-parse", "--short=12", "HEAD"], check=True, capture_output=True, cwd=ROOT
    )
    return str(head.stdout.decode().strip())


def _say(what: str) -> None:
    sys.stderr.write(f"{what}\n")


def main(arguments: list[str]) -> int:
    """Do what the command line asks; errors end in one clear line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("up", "down", "show"))
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "aws.yaml")
    parser.add_argument("--images", metavar="TAG", help="use the images of this tag, build none")
    given = parser.parse_args(arguments)
    try:
        _main(given)
    except GigacastError as error:
        sys.stderr.write(f"deploy: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"  hint: {error.hint}\n")
        return 2
    return 0


def _main(given: argparse.Namespace) -> None:
    import boto3  # noqa: PLC0415 - a wrong configuration is told at once

    deployment = Deployment.read(given.config)
    with translated("CloudFormation", deployment.region):
        client = boto3.client("cloudformation", region_name=deployment.region)
    cloud = Cloud(deployment, client)
    if given.what == "show":
        for template in TEMPLATES:
            print(f"{deployment.name}-{template:<10} {cloud.status(template)}")  # noqa: T201
        return
    if given.what == "down":
        destroy(deployment, cloud)
        return
    tag = given.images or code_tag()

    def make_images(repository: str) -> Mapping[str, str]:
        if not given.images:
            build_images(repository, deployment, tag)
        return image_names(repository, tag)

    made = deploy(deployment, cloud, make_images)
    print(  # noqa: T201
        f"deployed {deployment.name} in {deployment.region}\n"
        f"  gigacast submit --bucket {made['Bucket']} --prefix '{deployment.prefix}' "
        f"--region {deployment.region} --stack {deployment.name}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
