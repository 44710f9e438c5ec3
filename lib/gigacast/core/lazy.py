"""Packages whose names are imported when they are first used."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package that imports its names on first use.

    A worker imports ``gigacast.datasets.check``, which runs ``gigacast/datasets/__init__.py``: were
    the public names imported there, every worker would load pandas.

    Parameters
    ----------
    package : str
        ``__name__`` of the package.
    homes : mapping of str to str
        The module that each public name is defined in, by name.

    Examples
    --------
    >>> get, _ = lazy_names("gigacast", {"GigacastError": "gigacast.errors"})
    >>> get("GigacastError").__name__
    'GigacastError'
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(import_module(package), name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(import_module(package)), *homes})

    return get, names
