"""The container images of a deployment: built and pushed by docker, tagged by their content.

The tag of an image is the hash of what its stages in the Dockerfile copy, of these stages and of
the build arguments. What is not copied, such as the e-mail address in config/aws.yaml, changes no
tag; an image whose tag has been pushed is not built again.
"""

import base64
import hashlib
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gigacast.batch.aws_error import translated
from gigacast.errors import ConfigError
from infra.configuration import FLAVOURS, ROOT, Deployment

Run = Callable[..., Any]
DOCKERFILE = ROOT / "infra" / "Dockerfile"


def image_names(repository: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the images of tags by flavour, by the templates' parameters."""
    return {name: f"{repository}:{flavour}-{tags[flavour]}" for flavour, name in FLAVOURS.items()}


def build_images(
    repository: str, deployment: Deployment, tags: Mapping[str, str], run: Run = subprocess.run
) -> None:
    """Build and push every flavour that the deployment needs and the repository lacks.

    Raises
    ------
    ConfigError
        If docker is not installed, or a build fails.
    """
    import boto3  # noqa: PLC0415 - only needed to deploy

    # A tag belongs to a single content and never moves, so pushed images are not built again.
    with translated("ECR: sign in", deployment.region):
        client = boto3.client("ecr", region_name=deployment.region)
        missing = [
            name
            for name in deployment.flavours
            if not _is_pushed(client, repository, f"{name}-{tags[name]}")
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
    build = ["docker", "build", "--platform", "linux/amd64", "-f", str(DOCKERFILE)]
    for name, value in build_arguments(deployment).items():
        build += ["--build-arg", f"{name}={value}"]
    for flavour in missing:
        image = f"{repository}:{flavour}-{tags[flavour]}"
        _docker(run, [*build, "--target", flavour, "-t", image, str(ROOT)], env=environment)
        _docker(run, ["docker", "push", image])


def build_arguments(deployment: Deployment) -> dict[str, str]:
    """Return the arguments of the Dockerfile that the configuration sets."""
    arguments = {
        "CPU_TORCH_INDEX": deployment.cpu_torch_index,
        "GPU_TORCH_INDEX": deployment.gpu_torch_index,
    }
    return {name: value for name, value in arguments.items() if value}


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


@dataclass(frozen=True)
class _Stage:
    """A stage of the Dockerfile: its lines, the files it copies, and the stages it builds on."""

    text: str
    copied: tuple[str, ...]
    needed: tuple[str, ...]


def content_tags(deployment: Deployment, root: Path = ROOT) -> dict[str, str]:
    """Return the tag of each flavour: the hash of what determines its content.

    Parameters
    ----------
    deployment : Deployment
    root : Path
        Folder with the Dockerfile in ``infra`` and the files that it copies.
    """
    head, stages = _parse((root / "infra" / "Dockerfile").read_text(encoding="utf-8"))
    arguments = build_arguments(deployment)
    tags = {}
    for flavour in FLAVOURS:
        names = _closure(flavour, stages)
        digest = hashlib.sha256(head.encode())
        for name in names:
            digest.update(stages[name].text.encode())
        used = {k: v for k, v in arguments.items() if any(k in stages[n].text for n in names)}
        digest.update(repr(sorted(used.items())).encode())
        for path in sorted({path for name in names for path in stages[name].copied}):
            _add_files(digest, root, path)
        tags[flavour] = digest.hexdigest()[:12]
    return tags


def _parse(dockerfile: str) -> tuple[str, dict[str, _Stage]]:
    """Return what stands before the first stage, and the stages by name, without comments."""
    joined = dockerfile.replace("\\\n", " ")
    lines = [" ".join(line.split()) for line in joined.splitlines() if not line.startswith("#")]
    head, *bodies = "\n".join(filter(None, lines)).split("\nFROM ")
    stages: dict[str, _Stage] = {}
    for body in bodies:
        base, _, name = body.partition("\n")[0].partition(" AS ")
        copies = [line.split()[1:-1] for line in body.splitlines() if line.startswith("COPY ")]
        taken = [words[0].partition("=")[2] for words in copies if words[0].startswith("--from=")]
        own = tuple(path for words in copies if words[0][:2] != "--" for path in words)
        stages[name] = _Stage(body, own, (base, *taken))
    return head, stages


def _closure(flavour: str, stages: Mapping[str, _Stage]) -> list[str]:
    """Return a stage and all that it is built from, sorted."""
    found, left = set(), [flavour]
    while left:
        name = left.pop()
        # A base image is no stage of this file.
        if name in stages and name not in found:
            found.add(name)
            left += stages[name].needed
    return sorted(found)


def _add_files(digest: "hashlib._Hash", root: Path, path: str) -> None:
    """Add the names and contents of a file, or of all files of a folder that docker copies."""
    place = root / path
    files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    for file in files:
        # .dockerignore leaves them out, too.
        if "__pycache__" in file.parts or any(n.endswith(".egg-info") for n in file.parts):
            continue
        digest.update(f"\0{file.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
