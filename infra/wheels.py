"""Check that every pinned package has a wheel for the images: `make wheels`.

The requirements of each image are resolved as pip does it in the image: for its Python and for the
glibc of its base, wheels alone. Nothing is installed or downloaded but metadata. Exit code 0: all
have one; 1: the packages of an image cannot be resolved; 75: there is no package index.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.configuration import ROOT
from infra.requirements import requirements

DOCKERFILE = ROOT / "infra" / "Dockerfile"
LEAST_GLIBC = (2, 28)
"""The glibc of manylinux_2_28, for which numpy, pyarrow and torch build their wheels."""
_FIRST_MINOR = 5
_OLD_NAMES = ("manylinux2014", "manylinux2010", "manylinux1", "linux")
_UNREACHABLE = re.compile(r"ConnectionError|NewConnection|Temporary failure|Max retries")

Run = Callable[..., Any]


@dataclass(frozen=True)
class Platform:
    """The Python and the glibc of a base image.

    Parameters
    ----------
    python : str
    glibc : (int, int)
    """

    python: str
    glibc: tuple[int, int]

    def tags(self) -> list[str]:
        """Return the platforms of the wheels that can be installed, best first."""
        major, newest = self.glibc
        names = [f"manylinux_{major}_{minor}" for minor in range(newest, _FIRST_MINOR - 1, -1)]
        return [f"{name}_x86_64" for name in (*names, *_OLD_NAMES)]


def platform_of(image: str) -> Platform:
    """Return the platform of a base image.

    Raises
    ------
    LookupError
        If the table of this module does not know the glibc of the image.
    """
    name, _, tag = image.partition("@")[0].rpartition(":")
    version = re.match(r"3\.\d+", tag)
    if version is None:
        raise LookupError(f"{image}: its tag names no Python")
    if name.endswith("lambda/python"):
        # Amazon Linux 2 up to 3.11, Amazon Linux 2023 since 3.12.
        is_old = int(version[0].partition(".")[2]) < 12
        return Platform(version[0], (2, 26) if is_old else (2, 34))
    for release, glibc in {"bullseye": (2, 31), "bookworm": (2, 36), "trixie": (2, 41)}.items():
        if name == "python" and release in tag:
            return Platform(version[0], glibc)
    raise LookupError(f"{image}: the glibc of this base image is not known")


def base_images(dockerfile: str) -> dict[str, str]:
    """Return the base images of a Dockerfile, by the names of their arguments."""
    return dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", dockerfile, re.MULTILINE))


def requirements_of_images() -> dict[str, tuple[str, list[str]]]:
    """Return the argument of the base image and the requirements, by image."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "infra" / "planner-requirements.txt").read_text(encoding="utf-8").splitlines()
    planner = [line for line in lines if line and not line.startswith("#")]
    return {
        "planner": ("LAMBDA_IMAGE", planner),
        "cpu, gpu, jobs": (
            "PYTHON_IMAGE",
            requirements(project, ["torch", "iceberg", "delta", "store"]),
        ),
    }


def resolve(
    platform: Platform, names: list[str], run: Run = subprocess.run
) -> tuple[int, dict[str, str], str]:
    """Return the exit code of pip, the resolved versions, and what pip said otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet"]
        command += ["--ignore-installed", "--only-binary=:all:", "--target", folder]
        command += ["--implementation", "cp", "--python-version", platform.python]
        command += [word for tag in platform.tags() for word in ("--platform", tag)]
        command += ["--constraint", str(ROOT / "constraints.txt"), "--report", str(report)]
        answer = run([*command, *names], capture_output=True, text=True, check=False)
        if answer.returncode or not report.is_file():
            return answer.returncode, {}, str(answer.stderr)
        content = json.loads(report.read_text(encoding="utf-8"))
    found = [entry["metadata"] for entry in content["install"]]
    return 0, {entry["name"]: entry["version"] for entry in found}, ""


def main() -> int:
    """Resolve the requirements of every image; return the exit code."""
    bases = base_images(DOCKERFILE.read_text(encoding="utf-8"))
    for image, (argument, names) in requirements_of_images().items():
        platform = platform_of(bases[argument])
        code, versions, problem = resolve(platform, names)
        where = f"{image}: Python {platform.python}, glibc {'.'.join(map(str, platform.glibc))}"
        if code:
            errors = [line for line in problem.splitlines() if line.startswith("ERROR")]
            sys.stderr.write(f"{where}: {' '.join(errors) or problem.strip()}\n")
            return 75 if _UNREACHABLE.search(problem) else 1
        print(f"{where}: {len(versions)} packages, each with a wheel")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
