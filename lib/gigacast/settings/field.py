"""Declaration of a setting: its default, help, flag and bounds, beside its name and type."""

from math import isnan
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.config import JsonDict


class Section(BaseModel):
    """Section of the settings: frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth(cls, value: Any, info: ValidationInfo) -> Any:
        return refuse_truth(cls, value, info)

    @field_validator("*")
    @classmethod
    def _fits_into_arrays(cls, value: Any) -> Any:
        if isinstance(value, int) and value.bit_length() > 63:
            raise ValueError(f"a number of {value.bit_length()} bits is too large")
        if isinstance(value, float) and isnan(value):
            raise ValueError("not a number")
        return value


def refuse_truth(section: type[BaseModel], value: Any, info: ValidationInfo) -> Any:
    """Return a value of a field; Python counts True as 1, which is refused for a number."""
    if isinstance(value, bool) and info.field_name is not None:
        kinds = _kinds_of(section.model_fields[info.field_name].annotation)
        if bool not in kinds and kinds & {int, float}:
            raise ValueError("expected a number")
    return value


def _kinds_of(annotation: Any) -> set[Any]:
    """Return the types in an annotation: ``{int, None}`` of ``int | None``."""
    parts = get_args(annotation)
    if parts:
        return {kind for part in parts for kind in _kinds_of(part)}
    return {annotation} if isinstance(annotation, type) else set()


def option(  # noqa: PLR0913 - keywords, each a column of the table of options
    default: Any,
    help_text: str,
    *,
    group: str | None = None,
    flag: str | None = None,
    aliases: tuple[str, ...] = (),
    details: str = "",
    without_effect: str = "",
    **constraints: Any,
) -> Any:
    """Declare a setting: a field of a section, and the row of the option in the table.

    The field's name and type complete the row; a type of literals has choices. Everything else is
    made of it, see `gigacast.settings.options`.

    Parameters
    ----------
    default : object
    help_text : str
        One line for ``--help``.
    group : str, optional
        Group of the flag and keyword, see `gigacast.settings.options.GROUPS`; without a group the
        setting has neither, and is set in files and the environment only.
    flag : str, optional
        Name of flag and keyword; the field's by default.
    aliases : tuple of str
        Other names of the flag.
    details : str
        Sentences that the guide and ``help(gigacast.forecast)`` add to ``help_text``.
    without_effect : str
        For settings that are read from older files and have no effect: what to use instead.
    **constraints
        Bounds of the value, for `pydantic.Field`: ``ge``, ``gt``, ``le``, ``pattern``.
    """
    row: JsonDict = {
        "group": group,
        "flag": flag,
        "aliases": [*aliases],
        "details": details,
        "without_effect": without_effect,
    }
    return Field(default, description=help_text, json_schema_extra=row, **constraints)
