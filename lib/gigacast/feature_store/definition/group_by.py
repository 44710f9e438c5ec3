"""Group-bys: features of a key, aggregated over rows or taken from entities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gigacast.feature_store.definition.aggregation import Aggregation
from gigacast.feature_store.definition.place import Placed, check_fields, refuse, set_field
from gigacast.feature_store.definition.source import Source, as_names, make_source


class Accuracy(StrEnum):
    """Up to when features see rows: to the millisecond, or to the last midnight."""

    TEMPORAL = "TEMPORAL"
    SNAPSHOT = "SNAPSHOT"


@dataclass(frozen=True, slots=True)
class Derivation(Placed):
    """A feature computed of other features.

    Parameters
    ----------
    name : str
        Name of the feature; ``*`` with the expression ``*`` keeps all features that are not
        renamed.
    expression : str
        SQL expression over the features.
    """

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class GroupBy(Placed):
    """Features of a key.

    Parameters
    ----------
    sources : sequence of Source
        Sources with the same columns; at most one is streamed.
    keys : sequence of str
        Columns of the key.
    aggregations : sequence of Aggregation, optional
        Aggregations; None for entities whose columns are the features.
    accuracy : Accuracy, optional
        Up to when rows are seen; TEMPORAL for streamed sources, else SNAPSHOT.
    derivations : sequence of Derivation, optional
    online : bool
        Whether the features are served.
    production : bool, optional
        Whether something in production depends on them.
    output_namespace : str, optional
        Namespace of the tables; that of the team by default.
    backfill_start_date : str, optional
        First day to backfill, as ``2023-11-30``.
    historical_backfill : bool, optional
    is_incremental : bool
    table_properties, env, tags : mapping, optional
    lag : int, optional
        Days by which sources come late.
    offline_schedule : str, optional
        Schedule of the backfill.
    deprecation_date : str, optional
        Day after which the features should not be used.
    description : str, optional
    name : str, optional
        Name, as ``team.file.variable``; by default that of the file and the variable.
    """

    sources: Sequence[Source]
    keys: Sequence[str]
    aggregations: Sequence[Aggregation] | None = None
    accuracy: Accuracy | None = None
    derivations: Sequence[Derivation] | None = None
    online: bool = False
    production: bool | None = None
    output_namespace: str | None = None
    backfill_start_date: str | None = None
    historical_backfill: bool | None = None
    is_incremental: bool = False
    table_properties: Mapping[str, str] | None = None
    env: Mapping[str, Mapping[str, str]] | None = None
    lag: int | None = None
    offline_schedule: str | None = None
    tags: Mapping[str, str] | None = None
    deprecation_date: str | None = None
    description: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        single = not isinstance(self.sources, list | tuple)
        sources: Any = (self.sources,) if single else self.sources
        set_field(self, "sources", tuple(make_source(source) for source in sources))
        set_field(self, "keys", as_names("GroupBy(keys=...)", self.keys))
        if self.aggregations is not None:
            set_field(
                self, "aggregations", as_values("aggregations", self.aggregations, Aggregation)
            )
        if self.derivations is not None:
            set_field(self, "derivations", as_values("derivations", self.derivations, Derivation))
        set_field(self, "accuracy", _read_accuracy(self.accuracy))
        check_fields(self)

    @property
    def topic(self) -> str | None:
        """Stream of its sources, if one is streamed."""
        return next((source.topic for source in self.sources if source.topic), None)

    @property
    def used_accuracy(self) -> Accuracy:
        """Accuracy; by default TEMPORAL for streamed sources, else SNAPSHOT."""
        if self.accuracy is not None:
            return self.accuracy
        return Accuracy.TEMPORAL if self.topic else Accuracy.SNAPSHOT

    @property
    def is_events(self) -> bool:
        """Whether its rows are events."""
        return any(source.is_events for source in self.sources)

    def selects_of(self, source: Source) -> dict[str, str]:
        """Return the columns read of a source: its selects, and the needed ones it leaves out."""
        written = dict(source.query.selects or {})
        inputs = [aggregation.input_column for aggregation in self.aggregations or ()]
        buckets = [name for part in self.aggregations or () for name in part.buckets or ()]
        needed = dict.fromkeys([*self.keys, *inputs, *buckets])
        return {name: written.get(name, name) for name in [*needed, *written] if name is not None}


def as_values(name: str, values: Sequence[Any], kind: type) -> tuple[Any, ...]:
    """Return values of one kind as a tuple; others are refused.

    Raises
    ------
    ConfigError
    """
    if not isinstance(values, list | tuple):
        raise refuse(f"{name}: expected a list", hint=f"write {name}=[{kind.__name__}(...)]")
    for value in values:
        if not isinstance(value, kind):
            raise refuse(f"{name}: {type(value).__name__} is no {kind.__name__}")
    return tuple(values)


def _read_accuracy(value: object) -> Accuracy | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in tuple(Accuracy):
        raise refuse(f"accuracy: {value!r}", hint="write Accuracy.TEMPORAL or .SNAPSHOT")
    return Accuracy(str(value))
