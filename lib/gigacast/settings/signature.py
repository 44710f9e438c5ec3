"""Signatures and docstrings of public functions that take options as keywords."""

import inspect
import re
from collections.abc import Callable, Iterable
from textwrap import fill, indent
from typing import Any, TypeVar

from gigacast.settings.options import KEYWORDS, Option

F = TypeVar("F", bound=Callable[..., Any])
# The line with the name, and the lines below it that are indented more.
_ENTRY = re.compile(r"^( *)\*\*options\b.*\n(?:\1 +\S.*\n)*", re.MULTILINE)


def with_options(options: Iterable[Option] = KEYWORDS) -> Callable[[F], F]:
    """Show the options that a function takes as ``**options`` in its signature and docstring.

    ``help(gigacast.forecast)`` then lists every keyword with its meaning and default, and notebooks
    complete them. The function is called as before: nothing is wrapped. The keywords' defaults are
    ``None``, because the environment and the settings file decide on an option that is left out.

    Parameters
    ----------
    options : iterable of Option
        All of `KEYWORDS` by default. Those that are parameters of the function keep the function's
        own description.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        parameters = signature.parameters
        added = [option for option in options if option.name not in parameters]
        # `inspect.signature`, and with it `help`, Jupyter and IPython, prefer this attribute. The
        # function itself keeps `**options`, so a call costs nothing more.
        target: Any = function
        target.__signature__ = signature.replace(
            parameters=[
                *(
                    parameter
                    for parameter in parameters.values()
                    if parameter.kind is not parameter.VAR_KEYWORD
                ),
                *(_parameter(option) for option in added),
            ]
        )
        # Python leaves docstrings out under `-OO`.
        if function.__doc__:
            function.__doc__ = _described(function.__doc__, added)
        return function

    return decorate


def _parameter(option: Option) -> inspect.Parameter:
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=f"{option.annotation} | None",
    )


def _described(docstring: str, options: Iterable[Option]) -> str:
    """Return a docstring with an entry for each option behind that of ``**options``."""
    match = _ENTRY.search(docstring)
    if match is None:
        raise ValueError("the docstring has no entry for **options")
    entries = "\n".join(describe_option(option) for option in options)
    return docstring[: match.end()] + indent(entries, match[1]) + "\n" + docstring[match.end() :]


def describe_option(option: Option) -> str:
    """Return the numpy-style entry of an option."""
    default = f", default {option.default_value}" if option.default_value else ", optional"
    text = fill(f"{option.help} {option.details}".strip(), 92)
    return f"{option.name} : {option.described_type}{default}\n{indent(text, '    ')}"
