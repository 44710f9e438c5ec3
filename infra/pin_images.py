"""Write the digest behind the tag of every base image of the Dockerfile, and check them.

``python infra/pin_images.py`` asks the registries, by ``docker buildx imagetools``, which image a
tag means today, and writes ``tag@sha256:...``; with ``--check`` it fails where one is not pinned.
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
    """Ask the registry for the digest of a tag."""
    command = [
        "docker",
        "buildx",
        "imagetools",
        "inspect",
        image,
        "--format",
        "{{.Manifest.Digest}}",
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def pin(content: str, ask: Callable[[str], str]) -> str:
    """Return a Dockerfile with the digest that every base image has now."""
    return _BASE.sub(lambda found: f"{found['arg']}{found['tag']}@{ask(found['tag'])}", content)


def unpinned(content: str) -> list[str]:
    """Return the base images that stand without a digest."""
    return [found["tag"] for found in _BASE.finditer(content) if found["digest"] is None]


def main(arguments: list[str]) -> int:
    """Pin, or check."""
    content = DOCKERFILE.read_text(encoding="utf-8")
    if arguments == ["--check"]:
        bare = unpinned(content)
        sys.stderr.writelines(f"not pinned: {image}\n" for image in bare)
        return 1 if bare else 0
    try:
        pinned = pin(content, digest_of)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"pin_images: {error}\n  hint: docker with buildx, and the network\n")
        return 2
    DOCKERFILE.write_text(pinned, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
