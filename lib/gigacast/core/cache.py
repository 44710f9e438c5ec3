"""The folder of what this machine keeps to save time, and may lose."""

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Return the folder of a kind of cached files.

    Below ``GIGACAST_CACHE`` if that is set, else below ``~/.cache/gigacast``.
    """
    configured = os.environ.get("GIGACAST_CACHE")
    return (Path(configured) if configured else Path.home() / ".cache" / "gigacast") / kind
