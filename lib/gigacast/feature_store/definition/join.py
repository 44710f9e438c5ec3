"""Joins: features of several group-bys at the keys and times of a left side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gigacast.feature_store.definition.group_by import Derivation, GroupBy, as_values
from gigacast.feature_store.definition.place import Placed, check_fields, refuse, set_field
from gigacast.feature_store.definition.source import Query, Source, as_names, make_source

Fields = Sequence[tuple[str, str]]
"""Names and types of columns, as ``("user_id", "long")``."""


@dataclass(frozen=True, slots=True)
class JoinPart(Placed):
    """A group-by in a join.

    Parameters
    ----------
    group_by : GroupBy
    key_mapping : mapping of str to str, optional
        Keys of the group-by by the left side's columns, where their names differ.
    prefix : str, optional
        Start of the features' names, for a group-by that is joined twice.
    tags : mapping of str to str, optional
    """

    group_by: GroupBy
    key_mapping: Mapping[str, str] | None = None
    prefix: str | None = None
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.group_by, GroupBy):
            raise refuse(f"JoinPart: {type(self.group_by).__name__} is no GroupBy")
        check_fields(self)


@dataclass(frozen=True, slots=True)
class ExternalSource(Placed):
    """A service outside that answers a request with features.

    Parameters
    ----------
    name : str
    team : str
    key_fields, value_fields : sequence of (str, str)
        Names and types of what is asked for and answered, as ``("user_id", "long")``.
    custom_json : str, optional
        Text handed to the service.
    factory_name : str, optional
        Python object, as ``package.module:name``, that makes the service's client.
    factory_config : mapping of str to str, optional
        Arguments of the factory.
    offline_group_by : GroupBy, optional
        Features to backfill in place of the service's answers.
    """

    name: str
    team: str = "default"
    key_fields: Fields = ()
    value_fields: Fields = ()
    custom_json: str | None = None
    factory_name: str | None = None
    factory_config: Mapping[str, str] | None = None
    offline_group_by: GroupBy | None = None

    def __post_init__(self) -> None:
        set_field(self, "key_fields", _as_fields("key_fields", self.key_fields))
        set_field(self, "value_fields", _as_fields("value_fields", self.value_fields))
        check_fields(self)


@dataclass(frozen=True, slots=True)
class ContextualSource(Placed):
    """Values that a request brings along.

    Parameters
    ----------
    fields : sequence of (str, str)
        Names and types.
    team : str
    """

    fields: Fields
    team: str = "default"

    def __post_init__(self) -> None:
        set_field(self, "fields", _as_fields("fields", self.fields))
        check_fields(self)

    @property
    def name(self) -> str:
        """Name in columns: ``contextual``."""
        return "contextual"

    @property
    def key_fields(self) -> Fields:
        """Fields of the request."""
        return self.fields

    @property
    def value_fields(self) -> Fields:
        """Fields of the answer: those of the request."""
        return self.fields


@dataclass(frozen=True, slots=True)
class ExternalPart(Placed):
    """An external source in a join.

    Parameters
    ----------
    source : ExternalSource or ContextualSource
    key_mapping : mapping of str to str, optional
        Fields of the source by the left side's columns, where their names differ.
    prefix : str, optional
        Start of the features' names.
    """

    source: ExternalSource | ContextualSource
    key_mapping: Mapping[str, str] | None = None
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class BootstrapPart(Placed):
    """A table whose values take the place of computed features.

    Parameters
    ----------
    table : str
    key_columns : sequence of str, optional
        Columns to match on; the join's ``row_ids`` by default.
    query : Query, optional
        What is read; its selects name features.
    """

    table: str
    key_columns: Sequence[str] | None = None
    query: Query | None = None

    def __post_init__(self) -> None:
        if self.key_columns is not None:
            set_field(self, "key_columns", as_names("key_columns", self.key_columns))
        check_fields(self)


@dataclass(frozen=True, slots=True)
class LabelPart(Placed):
    """Labels of a join's rows, which are known some days after them.

    Parameters
    ----------
    labels : sequence of JoinPart
    left_start_offset, left_end_offset : int
        Days before the day of the labels, of the first and last left partition that gets labels.
    label_offline_schedule : str, optional
    """

    labels: Sequence[JoinPart]
    left_start_offset: int
    left_end_offset: int
    label_offline_schedule: str | None = None

    def __post_init__(self) -> None:
        set_field(self, "labels", as_values("labels", self.labels, JoinPart))
        check_fields(self)


@dataclass(frozen=True, slots=True)
class Join(Placed):
    """Features of several group-bys at the keys and times of a left side.

    Parameters
    ----------
    left : Source
        Rows whose keys and times the features are computed for.
    right_parts : sequence of JoinPart
        Group-bys joined.
    row_ids : sequence of str, optional
        Columns that identify a row of the left side.
    bootstrap_parts : sequence of BootstrapPart, optional
    bootstrap_from_log : bool
        Whether values that were served take the place of computed ones.
    derivations : sequence of Derivation, optional
    online_external_parts : sequence of ExternalPart, optional
    label_part : LabelPart, optional
    skew_keys : mapping of str to sequence of str, optional
        Values of the left side's keys that get no features.
    sample_percent : float
        Share of requests that are logged, in percent.
    check_consistency : bool
    consistency_sample_percent : float
    historical_backfill : bool, optional
    online : bool
    production : bool, optional
    output_namespace : str, optional
    table_properties, env, tags : mapping, optional
    lag : int, optional
    offline_schedule : str, optional
    deprecation_date : str, optional
    description : str, optional
    name : str, optional
        Name, as ``team.file.variable``; by default that of the file and the variable.
    """

    left: Source
    right_parts: Sequence[JoinPart]
    row_ids: Sequence[str] | None = None
    bootstrap_parts: Sequence[BootstrapPart] | None = None
    bootstrap_from_log: bool = False
    derivations: Sequence[Derivation] | None = None
    online_external_parts: Sequence[ExternalPart] | None = None
    label_part: LabelPart | None = None
    skew_keys: Mapping[str, Sequence[str]] | None = None
    sample_percent: float = 100.0
    check_consistency: bool = False
    consistency_sample_percent: float = 5.0
    historical_backfill: bool | None = None
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
        set_field(self, "left", make_source(self.left))
        kinds: Mapping[str, type] = {
            "right_parts": JoinPart,
            "bootstrap_parts": BootstrapPart,
            "derivations": Derivation,
            "online_external_parts": ExternalPart,
        }
        for name, kind in kinds.items():
            values: Any = getattr(self, name)
            if values is not None:
                set_field(self, name, as_values(name, values, kind))
        if self.row_ids is not None:
            single = isinstance(self.row_ids, str)
            ids: Any = (self.row_ids,) if single else self.row_ids
            set_field(self, "row_ids", as_names("row_ids", ids))
        if self.skew_keys is not None:
            set_field(self, "skew_keys", _as_lists("skew_keys", self.skew_keys))
        check_fields(self)

    @property
    def group_bys(self) -> tuple[GroupBy, ...]:
        """All group-bys: of the parts, the labels and the external parts."""
        labels = self.label_part.labels if self.label_part else ()
        sources = [part.source for part in self.online_external_parts or ()]
        offline = [s.offline_group_by for s in sources if isinstance(s, ExternalSource)]
        parts = [part.group_by for part in (*self.right_parts, *labels)]
        return (*parts, *(group_by for group_by in offline if group_by is not None))


def _as_fields(name: str, fields: Fields) -> tuple[tuple[str, str], ...]:
    if not isinstance(fields, Iterable):
        raise refuse(f"{name}: expected names and types", hint='write [("user_id", "long")]')
    pairs = [tuple(field) if isinstance(field, list | tuple) else () for field in fields]
    if not all(len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in pairs):
        raise refuse(f"{name}: expected names and types", hint='write [("user_id", "long")]')
    return tuple((pair[0], pair[1]) for pair in pairs)


def _as_lists(name: str, values: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    is_mapping = isinstance(values, Mapping)
    if not is_mapping or not all(isinstance(part, list | tuple) for part in values.values()):
        raise refuse(f"{name}: expected lists of values by key", hint='write {"user_id": ["0"]}')
    return {key: tuple(part) for key, part in values.items()}
