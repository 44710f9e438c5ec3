"""Libraries of the extra `serve`."""

from importlib import import_module
from typing import Any

from gigacast.errors import MissingExtraError


def import_extra(name: str) -> Any:
    """Return a module of the extra.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"serving features needs {name.partition('.')[0]}, which is not installed",
            hint="pip install 'gigacast[serve]'",
        ) from error
