"""Staging queries: tables made by SQL, and the macros in it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gigacast.feature_store.definition.place import Placed, check_fields, set_field
from gigacast.feature_store.definition.source import as_names

DATE_MACROS = ("start_date", "end_date", "latest_date")
"""Macros without parameters."""
_DAYS_OF_A_RUN = re.compile(r"\{\{\s*(?:start_date|end_date)\s*\}\}", re.IGNORECASE)
_NEXT_PARAMETER = re.compile(r",\s*(?=[A-Za-z_]\w*\s*=)")
_PARAMETER = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>[A-Za-z0-9_.\-/, ]+?)\s*")


@dataclass(frozen=True, slots=True)
class StagingQuery(Placed):
    """A table that is made by SQL, a day at a time.

    Parameters
    ----------
    query : str
        SQL. ``{{start_date}}`` and ``{{end_date}}`` are the days of a run, ``{{latest_date}}``
        is the newest day, ``{{max_date(table=db.table)}}`` the newest partition of a table.
    startPartition : str, optional
        First day to fill, as ``2023-11-30``.
    setups : sequence of str
        SQL statements to run before.
    createView : bool
        Whether the output is a view instead of a table.
    partition_column : str, optional
        Name of the column of days; ``ds`` by default.
    online : bool
    production : bool, optional
    output_namespace : str, optional
        Namespace of the table; that of the team by default.
    table_properties, env, tags : mapping, optional
    lag : int, optional
    offline_schedule : str, optional
    deprecation_date : str, optional
    description : str, optional
    name : str, optional
        Name, as ``team.file.variable``; by default that of the file and the variable.
    """

    query: str
    startPartition: str | None = None
    setups: Sequence[str] = ()
    createView: bool = False
    partition_column: str | None = None
    online: bool = False
    production: bool | None = None
    output_namespace: str | None = None
    table_properties: Mapping[str, str] | None = None
    env: Mapping[str, Mapping[str, str]] | None = None
    lag: int | None = None
    offline_schedule: str | None = None
    tags: Mapping[str, str] | None = None
    deprecation_date: str | None = None
    description: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        set_field(self, "setups", as_names("StagingQuery(setups=...)", self.setups))
        check_fields(self)


def names_days_of_a_run(text: str) -> bool:
    """Return whether SQL has ``{{start_date}}`` or ``{{end_date}}`` in it."""
    return _DAYS_OF_A_RUN.search(text) is not None


def replace_macro(text: str, macro: str, value: Callable[[Mapping[str, str]], str]) -> str:
    """Return a text with the calls ``{{ macro(name=value) }}`` replaced.

    Calls whose arguments are not well formed stay as they are.

    Parameters
    ----------
    text : str
    macro : str
        Name of the macro, written with or without parentheses.
    value : function
        Text for the arguments by name. A value may have commas: it ends before the next name.
    """
    call = re.compile(
        rf"\{{\{{\s*{re.escape(macro)}\s*(?:\((?P<arguments>[^(){{}}]*)\)\s*)?\}}\}}",
        re.IGNORECASE,
    )

    def replacement(match: re.Match[str]) -> str:
        texts = _NEXT_PARAMETER.split(match["arguments"]) if match["arguments"] else []
        parts = [_PARAMETER.fullmatch(part) for part in texts]
        named = {part["name"]: part["value"] for part in parts if part is not None}
        return value(named) if len(named) == len(texts) else match[0]

    return call.sub(replacement, text)


def replace_macros(text: str, dates: Mapping[str, str], max_date: Callable[[str], str]) -> str:
    """Return SQL with its macros replaced by days.

    Parameters
    ----------
    text : str
    dates : mapping of str to str
        Days of `DATE_MACROS`.
    max_date : function
        Newest partition of the table that it is called with.
    """
    for name in DATE_MACROS:
        text = replace_macro(text, name, lambda _, name=name: dates[name])  # type: ignore[misc]
    return replace_macro(text, "max_date", lambda named: max_date(named.get("table", "")))
