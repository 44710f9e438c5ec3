"""The table of all options, made from the settings' fields.

Flags, keyword arguments, names of environment variables and the guide's tables are made from it: a
new option is one field in `gigacast.settings.model` or `loader`, and its use.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from gigacast.core.problem import did_you_mean
from gigacast.errors import ConfigError
from gigacast.settings.argument import as_text
from gigacast.settings.model import ENV_PREFIX, Settings

Kind = Literal[
    "switch", "choice", "integer", "number", "text", "names", "numbers", "size", "folder"
]
GROUPS: Mapping[str, str] = {
    "where": "Where to read and write",
    "which": "Which partitions",
    "how": "How to forecast",
    "columns": "Columns of the input",
    "covariates": "Covariates and joint targets",
    "with": "Resources",
    "synthetic": "Synthetic partitions",
    "amount": "Amount of work",
    "array": "Array jobs on AWS Batch",
}
"""Groups of flags in the order of ``--help``, and their titles."""

_METAVARS: Mapping[Kind, str] = {
    "integer": "N",
    "number": "N",
    "names": "NAMES",
    "folder": "DIRECTORY",
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
    "folder": "str | Path",
}


@dataclass(frozen=True, slots=True)
class Option:
    """A setting, and the flag and keyword argument that set it.

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

    def read(self, settings: Settings) -> Any:
        """Return the value that settings have for this option."""
        value: Any = settings
        for part in self.path:
            value = getattr(value, part)
        return value

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
        return _METAVARS.get(self.kind, "TEXT")

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
            repr(self.default_text if self.kind == "size" else self.default)
            if (self.default_text)
            else ""
        )

    @property
    def default_text(self) -> str:
        """Default as on a command line; empty where the help says what happens without it."""
        if self.default is None or self.default in ((), ""):
            return ""
        if isinstance(self.default, bool):
            return str(self.default).lower()
        if self.kind == "numbers":
            return ",".join(f"{number:g}" for number in self.default)
        if self.kind == "size":  # all defaults are whole gibibytes
            return f"{self.default // 2**30}GB"
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)


def nest_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings by section of arguments by name; ``None`` counts as not given.

    Raises
    ------
    ConfigError
        If a name is not that of a flag.
    """
    nested: dict[str, Any] = {}
    for name, value in arguments.items():
        if name not in ARGUMENTS:
            near = did_you_mean(name, ARGUMENTS)
            raise ConfigError(
                f"{name}: no such argument", hint=near or f"one of {', '.join(ARGUMENTS)}"
            )
        if value is None:
            continue
        for text in value if isinstance(value, list | tuple) else (value,):
            if isinstance(text, str):
                as_text(name, text)
        *sections, key = ARGUMENTS[name].path
        section = nested
        for part in sections:
            section = section.setdefault(part, {})
        section[key] = value
    if arguments.get("model") is not None:
        # If the named model does not exist, `model_type` must not be used in its place.
        nested["model"]["model_type"] = arguments["model"]
    return nested


def names_of(*groups: str) -> tuple[str, ...]:
    """Return the names of the flags of some groups, in the order of ``--help``."""
    return tuple(name for name, option in ARGUMENTS.items() if option.group in groups)


def options_of(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[Option]:
    """Yield the options of a section and of the sections in it."""
    for name, field in model.model_fields.items():
        # `schema` is an alias: files and variables have that name, which pydantic itself uses.
        own_path = (*path, field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from options_of(field.annotation, own_path)
        else:
            yield _option_of(own_path, field)


def _option_of(path: tuple[str, ...], field: FieldInfo) -> Option:
    # pydantic keeps only JSON values beside a field, so the row is a dictionary until here.
    row = field.json_schema_extra
    if not isinstance(row, dict):
        raise TypeError(f"{'.'.join(path)}: declare it by `gigacast.settings.field.option`")
    kind, choices = _kind_of(field)
    group: Any = row["group"] or ""
    flag: Any = row["flag"] or path[-1]
    aliases: Any = row["aliases"]
    return Option(
        name=flag if group else "",
        path=path,
        kind=kind,
        choices=choices,
        default=field.default,
        help=field.description or "",
        details=str(row["details"]),
        group=group,
        aliases=tuple(aliases),
        without_effect=str(row["without_effect"]),
    )


def _kind_of(field: FieldInfo) -> tuple[Kind, tuple[str, ...]]:
    """Return the kind of a field's values, and their choices."""
    kind: Any = field.annotation
    if get_origin(kind) in (Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not NoneType)
    if get_origin(kind) is Literal:
        return "choice", get_args(kind)
    if get_origin(kind) is tuple:
        return ("numbers" if float in get_args(kind) else "names"), ()
    # A whole number that may be written with a unit, as `loader.Size`.
    if kind is int and any(isinstance(part, BeforeValidator) for part in field.metadata):
        return "size", ()
    kinds: dict[Any, Kind] = {bool: "switch", int: "integer", float: "number"}
    return kinds.get(kind, "text"), ()


OPTIONS: tuple[Option, ...] = tuple(options_of(Settings))
"""All settings, in the order of a settings file."""
ARGUMENTS: Mapping[str, Option] = {
    option.name: option for group in GROUPS for option in OPTIONS if option.group == group
}
"""Options with a flag and keyword by their names, in the order of ``--help``."""
KEYWORDS: tuple[Option, ...] = tuple(
    option for option in ARGUMENTS.values() if option.name != "bucket"
)
"""Options of functions that take ``**options``. They have the bucket as a parameter of its own."""
