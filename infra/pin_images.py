"""Pin the base images of the Dockerfile by digest, or check that they are pinned.

``python -m infra.pin_images`` gets the current digest of every tag from its registry (by ``docker
buildx imagetools``) and writes ``tag@sha256:...``. With ``--check`` it fails if an image is not
pinned. Without a digest, two builds of a commit could have different base images.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from gigacast.errors import ConfigError

DOCKERFILE = Path(__file__).parent / "Dockerfile"
_BASE = re.compile(
    r"^(?P<arg>ARG \w+_IMAGE=)(?P<tag>[^\s@]+)(?:@(?P<digest>sha256:[0-9a-f]{64}))?$", re.MULTILINE
)


def digest_of(image: str) -> str:
    """Return the current digest of a tag from its registry."""
    command = [
        "docker",
        "buildx",
        "imagetools",
        "inspect",
        image,
        "--format",
        "{{.Manifest.Digest}}",
    ]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return answer.stdout.strip()


def pin(content: str, find_digest: Callable[[str], str]) -> str:
    """Return a Dockerfile with the current digest of every base image."""

    def with_digest(match: re.Match[str]) -> str:
        digest = find_digest(match["tag"])
        if not re.fullmatch("sha256:[0-9a-f]{64}", digest):
            raise ConfigError(f"the registry answers {digest[:80]!r} for {match['tag']}: no digest")
        return f"{match['arg']}{match['tag']}@{digest}"

    return _BASE.sub(with_digest, content)


def unpinned(content: str) -> list[str]:
    """Return the base images without a digest."""
    return [match["tag"] for match in _BASE.finditer(content) if match["digest"] is None]


def ensure_pinned(find_digest: Callable[[str], str] = digest_of, file: Path = DOCKERFILE) -> None:
    """Pin the base images of the Dockerfile that are not pinned yet, and say so.

    Raises
    ------
    ConfigError
        If the registry can't be asked.
    """
    content = file.read_text(encoding="utf-8")
    images = unpinned(content)
    if not images:
        return
    try:
        pinned = pin(content, find_digest)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(
            f"the base images {', '.join(images)} are not pinned, and their digests can't be read",
            hint="docker with buildx and a network are needed, or use pushed images: --images TAG",
        ) from error
    file.write_text(pinned, encoding="utf-8")
    sys.stderr.write(f"pinned {', '.join(images)} in {file.name}: commit it\n")


def main(arguments: list[str]) -> int:
    """Pin or check the images; return the exit code."""
    content = DOCKERFILE.read_text(encoding="utf-8")
    if arguments == ["--check"]:
        images = unpinned(content)
        sys.stderr.writelines(f"not pinned: {image}\n" for image in images)
        return 1 if images else 0
    try:
        pinned = pin(content, digest_of)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"pin_images: {error}\n  hint: needs docker with buildx and a network\n")
        return 2
    DOCKERFILE.write_text(pinned, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
