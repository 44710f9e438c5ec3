"""The container images of a deployment: built and pushed by docker, with a tag per commit."""

import base64
import os
import subprocess
from collections.abc import Callable
from typing import Any

from gigacast.batch.aws_error import translated
from gigacast.errors import ConfigError
from infra.configuration import FLAVOURS, ROOT, Deployment

Run = Callable[..., Any]


def image_names(repository: str, tag: str) -> dict[str, str]:
    """Return the images of a tag, by the templates' parameters."""
    return {name: f"{repository}:{flavour}-{tag}" for flavour, name in FLAVOURS.items()}


def build_images(
    repository: str, deployment: Deployment, tag: str, run: Run = subprocess.run
) -> None:
    """Build and push every flavour that the deployment needs and the repository lacks.

    Raises
    ------
    ConfigError
        If docker is not installed, or a build fails.
    """
    import boto3  # noqa: PLC0415 - only needed to deploy

    # A tag belongs to a single commit and never moves, so pushed images are not built again.
    with translated("ECR: sign in", deployment.region):
        client = boto3.client("ecr", region_name=deployment.region)
        missing = [
            name
            for name in _flavours(deployment)
            if not _is_pushed(client, repository, f"{name}-{tag}")
        ]
        answer = client.get_authorization_token()
    if not missing:
        return
    token = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode()
    # The token is "AWS:password".
    password = token.partition(":")[2]
    host = repository.partition("/")[0]
    login = ["docker", "login", "--username", "AWS", "--password-stdin", host]
    _docker(run, login, input=password.encode())
    # With attestations buildx pushes an index of several images, which Lambda does not accept.
    environment = {**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    # The machines of the deployment are x86, also if this one is not.
    build = ["docker", "build", "--platform", "linux/amd64"]
    build += ["-f", str(ROOT / "infra" / "Dockerfile")]
    if deployment.cpu_torch_index:
        build += ["--build-arg", f"CPU_TORCH_INDEX={deployment.cpu_torch_index}"]
    for flavour in missing:
        image = f"{repository}:{flavour}-{tag}"
        _docker(run, [*build, "--target", flavour, "-t", image, str(ROOT)], env=environment)
        _docker(run, ["docker", "push", image])


def _flavours(deployment: Deployment) -> list[str]:
    """Return the images of a deployment: that of the nights only if there are any."""
    has_nights = bool(deployment.parameters.get("NightlyFeatures"))
    return [name for name in FLAVOURS if name != "features" or has_nights]


def _is_pushed(client: Any, repository: str, tag: str) -> bool:
    name = repository.partition("/")[2]
    try:
        answer = client.describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])
    except client.exceptions.ImageNotFoundException:
        return False
    return bool(answer["imageDetails"])


def _docker(run: Run, command: list[str], **options: Any) -> None:
    try:
        run(command, check=True, **options)
    except FileNotFoundError as error:
        raise ConfigError(
            "docker is not installed",
            hint="install it, or push the images elsewhere and deploy with --images TAG",
        ) from error
    except subprocess.CalledProcessError as error:
        # Only the first words: the rest may be long, and the login has a password.
        words = " ".join(command[:2])
        raise ConfigError(f"{words} ended with code {error.returncode}") from error


def code_tag(run: Run = subprocess.run) -> str:
    """Return the current commit as the tag of the images.

    Raises
    ------
    ConfigError
        If there are uncommitted changes: an image must be that of its commit.
    """
    try:
        status = run(["git", "status", "--porcelain"], check=True, capture_output=True, cwd=ROOT)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(
            f"there is no commit to tag the images with: {error}",
            hint="deploy from a clone with git, or use pushed images: --images TAG",
        ) from error
    if status.stdout.strip():
        raise ConfigError(
            "there are uncommitted changes", hint="commit them: images are tagged by their commit"
        )
    head = run(
        ["git", "rev-parse", "--short=12", "HEAD"], check=True, capture_output=True, cwd=ROOT
    )
    return str(head.stdout.decode().strip())
