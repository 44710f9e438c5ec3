"""The names of settings as the person wrote them: a flag, a keyword, a variable, a key of a file.

Errors name a setting by its path, as ``run.months: ...``, or by the name of its flag, as
``csv_quote: ...``. Whoever reads the settings knows what set them, and renames the error here.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from gigacast.errors import GigacastError
from gigacast.settings.option import ENV_PREFIX
from gigacast.settings.options import ARGUMENTS, OPTIONS
from gigacast.settings.written import Written

E = TypeVar("E", bound=GigacastError)
_PATH = re.compile(r"(?<![\w./-])(?<!: )[a-z_]+(?:\.[a-z_]+)+(?![\w./]*\w)")
"""The path of a setting in a message: no part of a key or file's name, nor one that is renamed."""
_SUBJECT = re.compile(
    r"(?:--)?([a-z_][a-z_0-9.]*)(?: and (?:--)?([a-z_][a-z_0-9.]*))?(?=:| are | both )"
)
"""What a message is about: its first word, or two that contradict each other."""
_SAME = {
    "model.model_type": "model.model_path",
    "model.model_path": "model.model_type",
    "forecast.quantiles": "forecast.level",
}
"""Settings that another one sets as well."""


def name_of(path: Sequence[str], written: Written) -> str:
    """Return the name of a setting where it was set; of one that nobody set, its keyword."""
    path = _setting_in(path)
    for own in (path, _SAME.get(".".join(path), "").split(".")):
        if _holds(written.arguments, own):
            return _keyword(own)
        if variable := _variable(own):
            return variable
        if _holds(written.content, own):
            return f"{written.file}: {'.'.join(own)}"
    return _keyword(path)


def rename(error: E, written: Written) -> E:
    """Return an error whose message names settings as they were written."""
    error.message = renamed(error.message, written)
    error.args = (error.message,)
    return error


def renamed(message: str, written: Written) -> str:
    """Return a message that names settings as they were written."""
    paths = {option.setting: option.path for option in OPTIONS}
    flags = {name: option.path for name, option in ARGUMENTS.items()}
    message = with_subject(
        message,
        lambda word: name_of(path, written) if (path := (paths | flags).get(word)) else None,
    )
    return _PATH.sub(lambda m: name_of(paths[m[0]], written) if m[0] in paths else m[0], message)


def with_subject(message: str, name: Callable[[str], str | None]) -> str:
    """Return a message whose first word, or two, has another name.

    Parameters
    ----------
    message : str
    name : callable
        Returns the name of a word; ``None`` for words that stay.
    """
    subject = _SUBJECT.match(message)
    if subject is None:
        return message
    words = [name(word) or word for word in subject.groups() if word]
    if words == [word for word in subject.groups() if word]:
        return message
    return " and ".join(words) + message[subject.end() :]


def _setting_in(path: Sequence[str]) -> Sequence[str]:
    """Return the path of a setting, of the path of one of its entries, as ``quantiles.0``."""
    settings = {option.path for option in OPTIONS}
    lengths = range(len(path), 0, -1)
    return next((path[:n] for n in lengths if tuple(path[:n]) in settings), path)


def _keyword(path: Sequence[str]) -> str:
    return next((o.name for o in OPTIONS if o.name and [*o.path] == [*path]), ".".join(path))


def _holds(values: Any, path: Sequence[str]) -> bool:
    for part in path:
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True


def _variable(path: Sequence[str]) -> str:
    """Return the variable that sets a path; of a section in JSON, with the path in it."""
    names = {name.upper(): name for name, text in os.environ.items() if text}
    for depth in range(len(path), 0, -1):
        variable = names.get((ENV_PREFIX + "__".join(path[:depth])).upper())
        if variable is not None and depth == len(path):
            return variable
        # A section in JSON need not have the key: the file may.
        if variable is not None and f'"{path[depth]}"' in os.environ[variable]:
            return f"{variable}: {'.'.join(path)}"
    return ""
