"""The result of checking rows against a contract."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gigacast.core.plural import counted

MISSING_COLUMN = "missing column"
TYPE = "type"
NOT_NULL = "not null"
UNIQUE = "unique"
ORDERED = "ordered"
SAMPLES = 5


@dataclass(frozen=True)
class Violation:
    """A rule of a contract that rows break.

    Parameters
    ----------
    column : str
        Name of the column, or of several, joined by commas.
    rule : str
        ``missing column``, ``type``, ``not null``, ``>= 0``, ``allowed``, ``unique``, ``ordered``,
        or the rule's own text.
    count : int
        Rows that break it; 0 if the whole column does.
    detail : str
        Expected and actual state, unless the rule's name says it.
    sample : tuple of mapping
        First of the rows: the number ``row``, and the values of the rule's columns.
    """

    column: str
    rule: str
    count: int = 0
    detail: str = ""
    sample: tuple[Mapping[str, Any], ...] = ()

    def __str__(self) -> str:
        rule = f"{self.column}: {self.rule}" if self.rule != self.column else self.rule
        rows = f" in {counted(self.count, 'row')}" if self.count else ""
        first = ""
        if self.sample:
            shown = ", ".join(f"{name} {value}" for name, value in self.sample[0].items())
            first = f" (first: {shown})"
        return f"{rule}{f' ({self.detail})' if self.detail else ''}{rows}{first}"


@dataclass(frozen=True)
class ContractReport:
    """The result of a check.

    Parameters
    ----------
    contract : str
    mode : str
    rows : int
        Rows checked.
    bad_rows : int
        Count of rows that break at least one rule.
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
        """Whether no rule is broken."""
        return not self.violations

    def describe(self, most: int = 10) -> str:
        """Return the violations as one text."""
        texts = [str(violation) for violation in self.violations[:most]]
        if len(self.violations) > most:
            texts.append(f"and {len(self.violations) - most} more")
        return "; ".join(texts)


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
        """Return the counts as a violation."""
        return Violation(self.column, self.rule, self.count, self.detail, tuple(self.sample))
