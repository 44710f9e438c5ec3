"""Names of models that are known without a look at a bucket or the hub, and folders of models."""

import re
from importlib import resources
from pathlib import Path

NAIVE_MODEL = "seasonal-naive"
FILELESS_MODELS = frozenset(
    {
        *(NAIVE_MODEL, "auto-ets", "auto-theta", "auto-arima", "croston-sba"),
        *("timegpt", "timegpt-long-horizon"),
    }
)
"""Forecasters without weights: baselines, and models behind an API."""
_VERSION_FOLDER = re.compile(r"v?[0-9]+(?:\.[0-9]+)*")
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
"""Characters that names of models do not have."""


def is_shipped(name: str) -> bool:
    """Check whether a name always means a model of the package."""
    return name in FILELESS_MODELS or packaged(name) is not None


def packaged(name: str) -> Path | None:
    """Return the folder of a model of the package; ``None`` if it is none."""
    folder = Path(str(resources.files("gigacast"))) / "forecasters" / "weights" / name
    is_there = UNSAFE.search(name) is None and is_folder(folder)
    is_there = is_there and (folder / "config.json").is_file()
    return folder if is_there else None


def is_folder(folder: Path) -> bool:
    """Check whether there is a folder; a path that no system can have is none."""
    try:
        return folder.is_dir()
    except (OSError, ValueError):  # too long for a name, or no text of a path
        return False


def is_version_folder(folder: Path) -> bool:
    """Check whether a folder is named like a version, so that its parent names the model."""
    return _VERSION_FOLDER.fullmatch(folder.name) is not None
