"""Regular expressions and forms of times that mean the same to every engine."""

import re
from typing import Any

from gigacast.errors import ConfigError

_TOKEN = re.compile(
    r"\\[dDwWtnrfzA]|\\s|\\[^A-Za-z0-9]"  # classes, and signs for themselves
    r"|\[(?:\\[dwtnr]|\\[^A-Za-z0-9]|[^\\\[\]&])+\]"  # sets of characters
    r"|\(\?:|\((?!\?)|\)|[|^$.]"
    r"|(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})\??"
    r"|[^\\\[\](){}*+?|^$.]"
)
_WRITTEN = {
    # Java's dot and dollar know more ends of a line than those of the other engine.
    ".": "[^\\n\\r\u0085\u2028\u2029]",
    "$": "\\z",
    "^": "\\A",
    "\\s": "[ \\t\\n\\x0b\\f\\r]",
}
_FORM_PARTS = {
    "%Y": "yyyy", "%m": "MM", "%d": "dd", "%H": "HH", "%M": "mm", "%S": "ss",
}  # fmt: skip
_FORM = re.compile(r"(?:yyyy|MM|dd|HH|mm|ss|[^A-Za-z'\[\]%{}#])+")


def common_pattern(text: str) -> str:
    """Return a regular expression whose meaning is the same in Java and in RE2.

    Raises
    ------
    ConfigError
        If it uses what these do differently; the message has the place.
    """
    written, place = [], 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise ConfigError(
                f"the pattern {text[:80]!r} means different things to the engines from place "
                f"{place + 1} on",
                hint="use characters, sets, groups, repetitions, \\d, \\w and \\s",
            )
        written.append(_WRITTEN.get(token[0], token[0]))
        place = token.end()
    return "".join(written)


def matches_nothing(text: str) -> bool:
    """Return whether a regular expression matches a text of no characters."""
    return re.match(text, "") is not None


def common_format(form: Any, shown: str) -> tuple[str, str]:
    """Return a form of times for Spark and for DuckDB.

    Raises
    ------
    ConfigError
        If it has parts that are not the same in both.
    """
    text = form.this if form.is_string else ""
    spark = text.replace("strict", "")
    for python, letters in _FORM_PARTS.items():
        spark = spark.replace(python, letters)
    if not _FORM.fullmatch(spark):
        raise ConfigError(
            f"{shown}: the form of the time differs between the engines",
            hint=f"use {', '.join(_FORM_PARTS.values())} with signs between",
        )
    duckdb = spark
    for python, letters in _FORM_PARTS.items():
        duckdb = duckdb.replace(letters, python)
    return spark, duckdb
