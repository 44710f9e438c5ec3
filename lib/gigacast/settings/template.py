"""The text of a commented settings file, made from the table of options."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gigacast.settings.option import Option
from gigacast.settings.options import OPTIONS

_WIDTH = 96


def settings_text(values: Mapping[str, Any], head: Iterable[str] = ()) -> str:
    """Return a settings file that sets some values, and shows all other settings as comments.

    A comment without a space after its mark, such as ``#n_jobs: 4``, is a setting with its default.

    Parameters
    ----------
    values : mapping of str to object
        Values by the settings' names, as ``run.bucket``.
    head : iterable of str
        Sentences at the top of the file.

    Raises
    ------
    KeyError
        If there is no such setting.
    """
    options = [option for option in OPTIONS if option.group or option.setting in values]
    if unknown := set(values) - {option.setting for option in options}:
        raise KeyError(*unknown)
    lines = [line for sentence in head for line in _comment(sentence, 0)]
    return "\n".join([*lines, *_sections(options, values)]) + "\n"


def _sections(options: Iterable[Option], values: Mapping[str, Any]) -> Iterator[str]:
    shown: tuple[str, ...] = ()
    for option in options:
        sections = option.path[:-1]
        for depth, name in enumerate(sections):
            if sections[: depth + 1] != shown[: depth + 1]:
                inside = ".".join(sections[: depth + 1]) + "."
                # A section without a value would be nothing where keys are expected.
                is_set = any(setting.startswith(inside) for setting in values)
                yield from () if depth else ("",)
                yield _line(f"{name}:", depth, is_set=is_set)
        shown = sections
        depth = len(sections)
        yield from _comment(option.help, depth)
        value = values.get(option.setting, option.default)
        yield _line(
            f"{option.path[-1]}: {value_text(value)}", depth, is_set=option.setting in values
        )


def _line(text: str, depth: int, *, is_set: bool) -> str:
    return "  " * depth + ("" if is_set else "#") + text


def _comment(text: str, depth: int) -> list[str]:
    indent = "  " * depth + "# "
    # A column's name may hold what ends a line, and with it the comment.
    text = "".join(char if char.isprintable() else " " for char in text)
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)


def value_text(value: Any) -> str:
    """Return a value as it is written in a settings file."""
    # JSON is YAML, and quotes what YAML would read as another type, such as `on` or `007`.
    text = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
    # What is a letter to JSON may be a line's end or no character at all to YAML.
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in text)
