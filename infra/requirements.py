"""Print what the package needs: the dependencies of pyproject.toml, and those of its extras.

``python requirements.py [EXTRA ...]``, in the folder of pyproject.toml. The images install them in
a layer below the code, which a change of the code leaves as it is.
"""

import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def requirements(project: dict[str, Any], extras: Iterable[str]) -> list[str]:
    """Return the dependencies of a project, and those of extras."""
    optional = project.get("optional-dependencies", {})
    # An extra that the project does not have (yet) adds nothing.
    names = [name for extra in extras for name in optional.get(extra, ())]
    return [*project["dependencies"], *names]


if __name__ == "__main__":
    content = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    sys.stdout.write("\n".join(requirements(content["project"], sys.argv[1:])) + "\n")
