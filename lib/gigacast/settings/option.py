"""A row of the table of options, and the texts of flags, keywords and variables made from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ENV_PREFIX = "GIGACAST_"
Kind = Literal[
    "switch",
    "choice",
    "integer",
    "number",
    "text",
    "names",
    "numbers",
    "size",
    "jobs",
    "file",
    "folder",
    "path",
]
GROUPS: Mapping[str, str] = {
    "where": "Where to read and write",
    "which": "Which partitions",
    "series": "Which series",
    "backtest": "Backtest",
    "selection": "Selection",
    "reconciliation": "Sums",
    "anomalies": "Anomalies",
    "gate": "Condition of the switch",
    "features": "Features",
    "contract": "Contract",
    "quality": "Quality",
    "rules": "Rules of cleaning",
    "training": "Training",
    "how": "How to forecast",
    "columns": "Columns of the input",
    "csv": "Form of CSV files",
    "covariates": "Covariates and joint targets",
    "with": "Resources",
    "synthetic": "Synthetic partitions",
    "amount": "Amount of work",
    "table": "Table of the results",
    "array": "Array jobs on AWS Batch",
    "version": "Version to publish or change",
    "files": "Files of the version",
    "retention": "Versions to delete",
    "output": "Output",
    "other": "Settings file and help",
}
"""Groups of flags in the order of ``--help``, and their titles."""

_METAVARS: Mapping[Kind, str] = {
    "integer": "N",
    "number": "N",
    "jobs": "N",
    "names": "NAMES",
    "file": "FILE",
    "folder": "DIRECTORY",
    "path": "PATH",
}
_KEYWORD_TYPES: Mapping[Kind, str] = {
    "switch": "bool",
    "choice": "str",
    "integer": "int",
    "number": "float",
    "text": "str",
    "names": "str | Sequence[str]",
    "numbers": "Sequence[float]",
    "size": "int | str",
    "jobs": "int | str",
    "file": "str | Path",
    "folder": "str | Path",
    "path": "str | Path",
}


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers that a flag takes.

    Parameters
    ----------
    least, most : int, optional
        Bounds, which are allowed themselves; none by default.
    above : bool
        Whether ``least`` itself is refused.
    """

    least: int | None = None
    most: int | None = None
    above: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """An option: a setting with the flag and keyword that set it, or a flag of single commands.

    Parameters
    ----------
    name : str
        Name of flag and keyword; empty for settings without them.
    kind : str
        Type of the value, see `Kind`.
    help : str
        One line for ``--help``.
    default : object
    path : tuple of str
        Sections and key of the setting in a settings file; empty for flags of no setting.
    choices : tuple of str
        Allowed texts; empty for other kinds than ``choice``.
    details : str
        Further sentences for the guide and the docstrings.
    group : str
        One of `GROUPS`; empty without a flag.
    aliases : tuple of str
        Other names of the flag.
    without_effect : str
        What to use instead of a setting that has no effect; empty for all others.
    key : str
        Name of the value in Python, where it is not that of the flag.
    placeholder : str
        Placeholder of the value in ``--help``; by default that of the kind.
    range : Range, optional
        Numbers that the flag takes. Settings have none: they are checked however they were set.
    is_repeated : bool
        Whether the flag is given once for each of several values.
    is_required : bool
    """

    name: str
    kind: Kind
    help: str
    default: Any = None
    path: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    details: str = ""
    group: str = ""
    aliases: tuple[str, ...] = ()
    without_effect: str = ""
    key: str = ""
    placeholder: str = ""
    range: Range | None = None
    is_repeated: bool = False
    is_required: bool = False

    def read(self, settings: Any) -> Any:
        """Return the value that settings have for this option."""
        value: Any = settings
        for part in self.path:
            value = getattr(value, part)
        return value

    @property
    def keyword(self) -> str:
        """Name of the value in Python."""
        return self.key or self.name

    @property
    def has_no_form(self) -> bool:
        """Whether the flag of a switch has a form that switches it off, as ``--no_integer``."""
        # What is off without the flag needs none; a setting may have switched it on elsewhere.
        return self.kind == "switch" and (bool(self.path) or self.default is True)

    @property
    def setting(self) -> str:
        """Name of the setting, as ``model.prediction_length``."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """Name of the environment variable, as ``GIGACAST_MODEL__PREDICTION_LENGTH``."""
        return ENV_PREFIX + "__".join(self.path).upper()

    @property
    def metavar(self) -> str:
        """Placeholder of the value in ``--help``."""
        return self.placeholder or _METAVARS.get(self.kind, "TEXT")

    @property
    def help_with_default(self) -> str:
        """One line for ``--help``, with the default of the setting."""
        shown = self.default_text if self.kind != "switch" else ""
        return f"{self.help} [default: {shown}]" if shown else self.help

    @property
    def annotation(self) -> str:
        """Type of the keyword argument, as Python source."""
        return _KEYWORD_TYPES[self.kind]

    @property
    def described_type(self) -> str:
        """Type in numpy docstrings, with choices in braces."""
        if self.kind != "choice":
            return (
                self.annotation.replace(" | Sequence[str]", " or sequence of str")
                .replace("Sequence[float]", "sequence of float")
                .replace(" | ", " or ")
            )
        return "{" + ", ".join(f'"{choice}"' for choice in self.choices) + "}"

    @property
    def default_value(self) -> str:
        """Default as Python source; empty where the help says what happens without the option."""
        return (
            repr(self.default_text if self.kind in ("size", "jobs") else self.default)
            if (self.default_text)
            else ""
        )

    @property
    def default_text(self) -> str:
        """Default as on a command line; empty where the help says what happens without it."""
        if self.kind == "jobs":
            return "auto" if self.default is None else str(self.default)
        if self.default is None or self.default in ((), ""):
            return ""
        if isinstance(self.default, bool):
            return str(self.default).lower()
        if self.kind == "numbers":
            return ",".join(f"{number:g}" for number in self.default)
        if self.kind == "size":  # all defaults are whole gibibytes
            return f"{self.default // 2**30}GB"
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)
