"""Columns of a table in the text of an error: which there are, and which are meant."""

import re
import shlex
from collections.abc import Sequence

import pyarrow as pa

from gigacast.core.problem import did_you_mean

MOST_LISTED = 20
_MOST_PROPOSED = 6
_LEAST_DATED = 3
_DATED = re.compile(
    r"\d{4}[-/.]?\d{1,2}(?:[-/.]?\d{1,2}(?:[T ].*)?)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
)


def listed_columns(schema: pa.Schema) -> str:
    """Return the first columns with their types, and how many more there are."""
    names = [n if n.strip() == n != "" else repr(n) for n in schema.names]
    pairs = zip(names[:MOST_LISTED], schema.types, strict=False)
    listing = ", ".join(f"{name}: {kind}" for name, kind in pairs) or "none"
    more = len(names) - MOST_LISTED
    return f"{listing} and {more:,} more" if more > 0 else listing


def proposed_columns(setting: str, candidates: Sequence[str]) -> str:
    """Return the name of a setting with the column that it may name, or a few of them.

    Parameters
    ----------
    setting : str
        Flag, and the name of the setting in parentheses.
    candidates : sequence of str
    """
    if len(candidates) == 1:
        flag, _, rest = setting.partition(" ")
        return f"{flag} {shlex.quote(candidates[0])} {rest}".rstrip()
    if 0 < len(candidates) <= _MOST_PROPOSED:
        return f"{setting}, one or more of {', '.join(map(repr, candidates))}"
    return setting


def near_column(name: str, names: Sequence[str]) -> str:
    """Return a hint with the column that is meant; empty if none is like the name."""
    same = [own for own in names if own.strip().lower() == name.strip().lower()]
    return f"did you mean {same[0]!r}?" if len(same) == 1 else did_you_mean(name, names)


def are_times(names: Sequence[str]) -> bool:
    """Check whether the names of columns are times: the table has a column for each."""
    return sum(_DATED.fullmatch(name.strip()) is not None for name in names) >= _LEAST_DATED
