"""Signatures and docstrings of public functions whose keywords are rows of the table of options."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from textwrap import fill, indent
from typing import Any, TypeVar

from gigacast.settings.option import Option

F = TypeVar("F", bound=Callable[..., Any])
_SECTION = re.compile(r"^( *)Parameters\n\1-+\n", re.MULTILINE)
_REST = "**options"


def with_options(
    options: Iterable[Option] | None = None, *, own: Iterable[Option] = ()
) -> Callable[[F], F]:
    """Show the options that a function takes in its signature and docstring.

    ``help(gigacast.forecast)`` then lists every keyword with its meaning and default, and notebooks
    complete them. The function is called as before: nothing is wrapped. The default of keywords in
    ``**options`` is ``None``, because the environment and the settings file decide on an option
    that is left out.

    Parameters
    ----------
    options : iterable of Option
        Options that the function takes as ``**options``; by default all of
        `gigacast.settings.options.KEYWORDS`. Those that are parameters of the function keep the
        function's own description.
    own : iterable of Option
        Options that are parameters of the function. Those without an entry in its docstring get
        one.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())
        has_rest = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        keywords = _keywords_of(options) if has_rest else ()
        added = [option for option in keywords if option.name not in signature.parameters]
        # `inspect.signature`, and with it `help`, Jupyter and IPython, prefer this attribute. The
        # function itself keeps `**options`, so a call costs nothing more.
        target: Any = function
        target.__signature__ = signature.replace(
            parameters=[
                *(p for p in parameters if p.kind is not p.VAR_KEYWORD),
                *(_parameter(option) for option in added),
            ]
        )
        # Python leaves docstrings out under `-OO`.
        if function.__doc__:
            rows = {option.keyword: option for option in own}
            function.__doc__ = _described(function.__doc__, [*signature.parameters], rows, added)
        return function

    return decorate


def _keywords_of(options: Iterable[Option] | None) -> Iterable[Option]:
    if options is not None:
        return options
    # pydantic, for functions whose keywords are settings alone.
    from gigacast.settings.options import KEYWORDS  # noqa: PLC0415

    return KEYWORDS


def _parameter(option: Option) -> inspect.Parameter:
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=f"{option.annotation} | None",
    )


def _described(
    docstring: str, names: Sequence[str], own: dict[str, Option], added: Sequence[Option]
) -> str:
    """Return a docstring with an entry for each option, in the order of the signature."""
    match = _SECTION.search(docstring)
    if match is None:
        raise ValueError(f"the docstring has no section of parameters, and no entry for {_REST}")
    margin = match[1]
    # The section ends at a blank line, or with the docstring.
    end = docstring.find("\n\n", match.end())
    end = len(docstring.rstrip()) if end < 0 else end
    entries = list(_entries(docstring[match.end() : end], margin))
    if added and not any(_REST in entry_names for entry_names, _ in entries):
        raise ValueError(f"the docstring has no entry for {_REST}")
    described = {name for entry_names, _ in entries for name in entry_names}
    for name in names:
        if name in own and name not in described:
            before = names[: names.index(name)]
            place = sum(bool(set(entry_names) & set(before)) for entry_names, _ in entries)
            entries.insert(place, ((name,), indent(describe_option(own[name]), margin)))
    entries += [((option.name,), indent(describe_option(option), margin)) for option in added]
    text = "\n".join(entry for _, entry in entries)
    return docstring[: match.end()] + text + docstring[end:]


def _entries(section: str, margin: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the entries of a section: the names before the colon, and the text."""
    for entry in re.split(rf"\n(?={margin}\S)", section):
        names = entry.partition("\n")[0].partition(" : ")[0]
        yield tuple(names.strip().split(", ")), entry


def describe_option(option: Option) -> str:
    """Return the numpy-style entry of an option."""
    default = f", default {option.default_value}" if option.default_value else ", optional"
    text = fill(f"{option.help} {option.details}".strip(), 92)
    return f"{option.keyword} : {option.described_type}{default}\n{indent(text, '    ')}"
