"""Pin the base images of the Dockerfile by digest, or check that they are pinned.

``python infra/pin_images.py`` gets the current digest of every tag from its registry (by ``docker
buildx imagetools``) and writes ``tag@sha256:...``. With ``--check`` it fails if an image is not
pinned. Without a digest, two builds of a commit could have different base images.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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
    return _BASE.sub(lambda m: f"{m['arg']}{m['tag']}@{find_digest(m['tag'])}", content)


def unpinned(content: str) -> list[str]:
    """Return the base images without a digest."""
    return [match["tag"] for match in _BASE.finditer(content) if match["digest"] is None]


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
