"""What a check found, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MISSING_COLUMN = "missing column"
TYPE = "type"
NOT_NULL = "not null"
UNIQUE = "unique"
ORDERED = "ordered"
SAMPLES = 5


@dataclass(frozen=True)
class Violation:
    """One promise that does not hold.

    Parameters
    ----------
    column : str
        Or several, joined by commas.
    rule : str
        ``missing column``, ``type``, ``not null``, ``>= 0``, ``allowed``, ``unique``, ``ordered``,
        or the rule's own text.
    count : int
        Rows that break it; none where the whole column is at fault.
    detail : str
        What was expected and found, where the rule's name does not say it.
    sample : tuple of mapping
        The first of the rows, each with its number ``row`` and the values the rule looks at.
    """

    column: str
    rule: str
    count: int = 0
    detail: str = ""
    sample: tuple[Mapping[str, Any], ...] = ()

    def __str__(self) -> str:
        what = f"{self.column}: {self.rule}" if self.rule != self.column else self.rule
        rows = f" in {self.count:,} rows" if self.count else ""
        first = ""
        if self.sample:
            shown = ", ".join(f"{name} {value}" for name, value in self.sample[0].items())
            first = f" (first: {shown})"
        return f"{what}{f' ({self.detail})' if self.detail else ''}{rows}{first}"


@dataclass(frozen=True)
class ContractReport:
    """What a check found.

    Parameters
    ----------
    contract : str
    mode : str
    rows : int
        Rows seen.
    bad_rows : int
        Rows that break at least one rule.
    violations : tuple of Violation
    warnings : tuple of str
    """

    contract: str
    mode: str
    rows: int
    bad_rows: int
    violations: tuple[Violation, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every promise holds."""
        return not self.violations

    def describe(self, most: int = 10) -> str:
        """Return the violations as one text."""
        told = [str(one) for one in self.violations[:most]]
        if len(self.violations) > most:
            told.append(f"and {len(self.violations) - most} more")
        return "; ".join(told)


@dataclass
class Tally:
    """Counts of one rule over many batches, with the first rows that break it."""

    column: str
    rule: str
    shown: tuple[str, ...]
    detail: str = ""
    count: int = 0
    sample: list[dict[str, Any]] = field(default_factory=list)

    def violation(self) -> Violation:
        """Return what was counted."""
        return Violation(self.column, self.rule, self.count, self.detail, tuple(self.sample))
