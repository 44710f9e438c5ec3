"""Names of models that are known without a look at a bucket or the hub, and folders of models."""

import re
from collections.abc import Iterator
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
_EARLIER = "earlier"
"""Folder of the versions that earlier releases shipped: a forecast of theirs can be continued."""
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
"""Characters that names of models do not have."""


def is_shipped(name: str) -> bool:
    """Check whether a name always means a model of the package."""
    return name in FILELESS_MODELS or packaged(name) is not None


def packaged(name: str, earlier: str | None = None) -> Path | None:
    """Return the folder of a model of the package; ``None`` if it is none.

    Parameters
    ----------
    name : str
    earlier : str, optional
        Version of an earlier release that ships as well; the present one by default.
    """
    names = (name,) if earlier is None else (_EARLIER, name, earlier)
    folder = _weights().joinpath(*names)
    is_there = not any(map(UNSAFE.search, names)) and is_folder(folder)
    is_there = is_there and (folder / "config.json").is_file()
    return folder if is_there else None


def earlier_versions(name: str) -> list[str]:
    """Return the versions of earlier releases that a model of the package ships as well."""
    folder = _weights() / _EARLIER / name
    if packaged(name) is None or not is_folder(folder):
        return []
    return sorted(version.name for version in folder.iterdir())


def packaged_folders() -> Iterator[tuple[str, Path]]:
    """Iterate over name and folder of all models of the package, those of earlier releases last."""
    yield from ((config.parent.name, config.parent) for config in _weights().glob("*/config.json"))
    for config in _weights().glob(f"{_EARLIER}/*/*/config.json"):
        yield config.parents[1].name, config.parent


def _weights() -> Path:
    return Path(str(resources.files("gigacast"))) / "forecasters" / "weights"


def is_folder(folder: Path) -> bool:
    """Check whether there is a folder; a path that no system can have is none."""
    try:
        return folder.is_dir()
    except (OSError, ValueError):  # too long for a name, or no text of a path
        return False


def is_version_folder(folder: Path) -> bool:
    """Check whether a folder is named like a version, so that its parent names the model."""
    return _VERSION_FOLDER.fullmatch(folder.name) is not None
