"""Sources: tables of events or entities, or a join's output, and the query over them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

from gigacast.feature_store.definition.place import Placed, check_fields, refuse, set_field


class ParentJoin(Protocol):
    """A join as the sources that stand on it see it."""

    @property
    def left(self) -> "Source":
        """Rows that the features are computed for."""

    @property
    def name(self) -> str | None:
        """Name of the join."""


def select(*columns: str, **expressions: str) -> dict[str, str]:
    """Return the selects of a query: columns by their own names, and expressions by given names.

    Examples
    --------
    >>> select("user_id", price="amount / 100")
    {'user_id': 'user_id', 'price': 'amount / 100'}
    """
    return {**{column: column for column in columns}, **expressions}


@dataclass(frozen=True, slots=True)
class Query(Placed):
    """What is read of a table.

    Parameters
    ----------
    selects : mapping of str to str, optional
        SQL expression of each column by its name, see `select`; columns of the table that are
        needed and not named are read as they are.
    wheres : sequence of str, optional
        SQL conditions that all must hold.
    start_partition, end_partition : str, optional
        First and last day read, as ``2023-11-30``; all days by default.
    time_column : str, optional
        SQL expression of the time of a row, in milliseconds since 1970 (UTC). Without it, rows
        count at the end of their day.
    setups : sequence of str, optional
        SQL statements to run before, such as the creation of functions.
    mutation_time_column : str, optional
        Expression of the time of a mutation, in milliseconds.
    reversal_column : str, optional
        Expression that is true for a row that takes an earlier one back.
    partition_column : str, optional
        Name of the column of days; ``ds`` by default.
    """

    selects: Mapping[str, str] | None = None
    wheres: Sequence[str] | None = None
    start_partition: str | None = None
    end_partition: str | None = None
    time_column: str | None = None
    setups: Sequence[str] = ()
    mutation_time_column: str | None = None
    reversal_column: str | None = None
    partition_column: str | None = None

    def __post_init__(self) -> None:
        if self.selects is not None:
            set_field(self, "selects", _texts("Query(selects=...)", self.selects))
        if self.wheres is not None:
            set_field(self, "wheres", as_names("Query(wheres=...)", self.wheres))
        set_field(self, "setups", as_names("Query(setups=...)", self.setups))
        check_fields(self)


@dataclass(frozen=True, slots=True)
class EventSource(Placed):
    """A table of events, each with a time, and the topic that streams them.

    Parameters
    ----------
    table : str
        Table, as ``data.purchases``; ``data.purchases/country=NO`` is the part of it with these
        values in its folders.
    topic : str, optional
        Stream of the same events, as ``events.purchases/host=kafka/port=9092``.
    query : Query
        What is read.
    isCumulative : bool
        Whether each day holds all events up to it, so that the newest is enough.
    """

    table: str
    topic: str | None = None
    query: Query | None = None
    isCumulative: bool = False


@dataclass(frozen=True, slots=True)
class EntitySource(Placed):
    """A table with a snapshot of entities for each day, and their changes within the days.

    Parameters
    ----------
    snapshotTable : str
        Table of snapshots, one per day.
    mutationTable : str, optional
        Table of changes.
    mutationTopic : str, optional
        Stream of changes.
    query : Query
        What is read.
    """

    snapshotTable: str
    mutationTable: str | None = None
    mutationTopic: str | None = None
    query: Query | None = None


@dataclass(frozen=True, slots=True)
class JoinSource(Placed):
    """The output of a join as a source of further features.

    Parameters
    ----------
    join : Join
        Parent join; its left side must be streamed.
    query : Query
        What is read.
    """

    join: ParentJoin
    query: Query | None = None

    def __post_init__(self) -> None:
        if not (hasattr(self.join, "left") and hasattr(self.join, "name")):
            raise refuse(f"JoinSource(join=...): {type(self.join).__name__} is no Join")
        check_fields(self)


@dataclass(frozen=True, slots=True)
class Source(Placed):
    """One source: of events, of entities, or a join.

    Parameters
    ----------
    events : EventSource, optional
    entities : EntitySource, optional
    joinSource : JoinSource, optional

    Raises
    ------
    ConfigError
        If not exactly one of them is given.
    """

    events: EventSource | None = None
    entities: EntitySource | None = None
    joinSource: JoinSource | None = None

    def __post_init__(self) -> None:
        parts = (self.events, self.entities, self.joinSource)
        if sum(part is not None for part in parts) != 1:
            raise refuse("Source: expected one of events, entities and joinSource")
        check_fields(self)

    @property
    def inner(self) -> EventSource | EntitySource | JoinSource:
        """The one that is given."""
        inner = self.events or self.entities or self.joinSource
        assert inner is not None  # noqa: S101 - checked when the source was made
        return inner

    @property
    def query(self) -> Query:
        """What is read; everything if no query is given."""
        return self.inner.query or Query(place=self.place)

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables read, with their sub-partitions; none for a join."""
        if self.events:
            return (self.events.table,)
        if self.entities:
            tables = (self.entities.snapshotTable, self.entities.mutationTable)
            return tuple(table for table in tables if table)
        return ()

    @property
    def topic(self) -> str | None:
        """Stream of the source; for a join that of its left side."""
        if self.events:
            return self.events.topic
        if self.entities:
            return self.entities.mutationTopic
        assert self.joinSource is not None  # noqa: S101 - checked when the source was made
        return self.joinSource.join.left.topic

    @property
    def is_events(self) -> bool:
        """Whether rows are events; those of a join are what its left side is."""
        return self.joinSource.join.left.is_events if self.joinSource else self.events is not None

    @property
    def has_mutations(self) -> bool:
        """Whether entities come with their changes within a day."""
        entities = self.entities
        return bool(entities and (entities.mutationTable or entities.mutationTopic))


def make_source(value: "Source | EventSource | EntitySource | JoinSource") -> Source:
    """Return a source; one that was given without ``Source(...)`` around it is wrapped.

    Raises
    ------
    ConfigError
        If the value is no source.
    """
    if isinstance(value, Source):
        return value
    names = {EventSource: "events", EntitySource: "entities", JoinSource: "joinSource"}
    if type(value) not in names:
        raise refuse(f"{type(value).__name__} is no source", hint="write Source(events=...)")
    return Source(**{names[type(value)]: value, "place": value.place})  # type: ignore[arg-type]


def split_table(table: str) -> tuple[str, dict[str, str]]:
    """Return the name of a table, and the sub-partitions written behind it.

    Examples
    --------
    >>> split_table("db.table/system=mobile/currency=USD")
    ('db.table', {'system': 'mobile', 'currency': 'USD'})
    """
    parts = table.split("/")
    # Datasets of the lake have slashes in their names, too: only `name=value` is a sub-partition.
    names = [part for part in parts if "=" not in part]
    pairs = [part.partition("=") for part in parts if "=" in part]
    return "/".join(names), {name: value for name, _, value in pairs}


def as_names(place: str, values: Sequence[str]) -> tuple[str, ...]:
    """Return texts as a tuple; a single text, which is a sequence of letters, is refused.

    Raises
    ------
    ConfigError
    """
    is_list = isinstance(values, Iterable) and not isinstance(values, str)
    if not is_list or not all(isinstance(value, str) for value in values):
        raise refuse(f"{place}: expected a list of texts", hint='write ["a", "b"]')
    return tuple(values)


def _texts(place: str, values: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(values, Mapping) or not all(
        isinstance(text, str) for pair in values.items() for text in pair
    ):
        raise refuse(f"{place}: expected expressions by name", hint='write select("a", b="c + 1")')
    return dict(values)


def field_names(kind: type) -> tuple[str, ...]:
    """Return the names of a definition's fields, without the place where it is written."""
    return tuple(field.name for field in fields(kind) if field.name != "place")
