"""Packages that import their public names at the first use."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package that imports its names at first use.

    A worker imports ``gigacast.datasets.check``, which runs ``gigacast/datasets/__init__.py``. If
    that imported the public names, every worker would load pandas.

    Parameters
    ----------
    package : str
        ``__name__`` of the package.
    homes : mapping of str to str
        Module that defines each public name, by name.

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
        # Stored in the package, so that Python does not call this function again for the name.
        setattr(import_module(package), name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(import_module(package)), *homes})

    return get, names


def shown_by(module: str, function: str) -> Callable[[Any], str]:
    """Return the method ``_repr_html_`` of a class whose HTML another module makes.

    Parameters
    ----------
    module, function : str
        Function that takes the object. Its module is imported at the first use: it may import the
        class, and only notebooks need it.
    """

    def _repr_html_(self: Any) -> str:
        text: str = getattr(import_module(module), function)(self)
        return text

    return _repr_html_
