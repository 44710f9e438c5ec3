"""Lookups of a group-by: the keys of the store that a request needs, and the answer of them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa

from gigacast.errors import DataError, DataNotFoundError, MomentNotServedError, SchemaError
from gigacast.feature_store.aggregation.row_state import parts_of
from gigacast.feature_store.aggregation.value import Value, unpack
from gigacast.feature_store.definition.closure import Function, kind_of, make_function
from gigacast.feature_store.definition.json import semantic_digest
from gigacast.feature_store.definition.name import TIME_COLUMN, aggregated_columns, derived_columns
from gigacast.feature_store.definition.number_kind import NumberKind
from gigacast.feature_store.online.answer import answer
from gigacast.feature_store.online.batch_state import BatchValue
from gigacast.feature_store.online.features import Features
from gigacast.feature_store.online.key import DAY_MS, day_of, key_digest, stream_prefix
from gigacast.feature_store.online.serving import STATES, ServedGroupBy
from gigacast.feature_store.online.store import Versioned
from gigacast.feature_store.online.stream_state import DayValue
from gigacast.feature_store.online.typed import kinds_of, reader_of, writer_of

NO_KINDS: Mapping[str, NumberKind] = MappingProxyType({})


class Read(NamedTuple):
    """The values that an answer needs.

    Parameters
    ----------
    lookup : GroupByLookup
    at : int
        Moment, epoch milliseconds.
    entity : mapping
        Keys of the entity, in their types.
    keys : sequence of str
        Keys in the store: of the batch, then of streamed days; none for an entity with a null key.
    days : sequence of int
        Starts of the days.
    """

    lookup: "GroupByLookup"
    at: int
    entity: Mapping[str, Value]
    keys: Sequence[str]
    days: Sequence[int]


class Answer(NamedTuple):
    """Features of an entity.

    Parameters
    ----------
    at : int
    features : dict
        Values by name.
    batch_age_ms : int
        Time from the end of the batch to the moment.
    freshness_ms : int, optional
        Time from the newest event of the entity to the moment; none without events.
    kinds : mapping of str to str
        Kinds of the features that are numbers.
    """

    at: int
    features: dict[str, Any]
    batch_age_ms: int
    freshness_ms: int | None
    kinds: Mapping[str, NumberKind] = NO_KINDS


class Derived:
    """Derivations as functions of a row.

    Parameters
    ----------
    columns : sequence of str
        Features before derivations, which ``*`` stands for.
    derivations : sequence of Derivation
    kinds : mapping of str to str, optional
        Kinds of the numbers of columns, as far as known.

    Raises
    ------
    ConfigError
        If an expression cannot be computed for single rows.
    """

    def __init__(
        self,
        columns: Sequence[str],
        derivations: Sequence[Any],
        kinds: Mapping[str, NumberKind] | None = None,
    ) -> None:
        kinds = kinds or {}
        written = {entry.name: entry.expression for entry in derivations if entry.name != "*"}
        self._functions: dict[str, Function | None] = {
            name: make_function(written[name], kinds) if name in written else None
            for name in derived_columns(columns, derivations)
        }
        derived_kinds = {name: kind_of(text, kinds) for name, text in written.items()}
        own = {name: kinds.get(name) for name in columns if name not in written}
        self.kinds = {
            name: kind for name, kind in (own | derived_kinds).items() if kind is not None
        }

    def compute(self, row: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the columns after derivations, and why others could not be computed.

        A column that is in no derivation, and that the row lacks, is left out.
        """
        values, errors = {}, []
        for name, function in self._functions.items():
            try:
                if function is not None:
                    values[name] = function(row)
                elif name in row:
                    values[name] = row[name]
            except KeyError as error:
                errors.append(f"{name} needs {error.args[0]}, which is not there")
            except (TypeError, ValueError, OverflowError, AttributeError) as error:
                errors.append(f"{name} cannot be computed: {error}")
        return values, errors


class GroupByLookup:
    """A served group-by, ready for requests.

    Parameters
    ----------
    served : ServedGroupBy
    """

    def __init__(self, served: ServedGroupBy) -> None:
        self.served = served
        group_by = served.group_by
        schema = served.schema
        self._prefix = served.prefix
        self._label = f"group-by {served.name}"
        self.definition = semantic_digest(group_by)
        self._keys = [(name, reader_of(schema.field(name).type)) for name in group_by.keys]
        self._has_states = served.form == STATES
        self._streams = self._has_states and group_by.topic is not None
        self._merges = not served.has_mutations
        self._features = Features(parts_of(group_by), schema) if self._has_states else None
        columns = aggregated_columns(group_by)
        types = (
            self._features.types
            if self._features
            else {name: schema.field(name).type for name in columns}
        )
        self._writers = {name: write for name in columns if (write := writer_of(types[name]))}
        self._names = columns
        self._day_prefixes: dict[int, str] = {}
        every = {field.name: field.type for field in schema} | dict(types)
        kinds = {**kinds_of(pa.schema(every.items())), TIME_COLUMN: "int64"}
        derivations = group_by.derivations
        self._derived = Derived(columns, derivations, kinds) if derivations else None
        self._kinds = self._derived.kinds if self._derived else kinds

    def prepare(self, keys: Mapping[str, Any], at: int, definition: str | None = None) -> Read:
        """Return what to read for an entity.

        Parameters
        ----------
        keys : mapping
            Values by name.
        at : int
            Moment.
        definition : str, optional
            Digest that the definition must have, that of a join's part.

        Raises
        ------
        SchemaError
            If a key is missing, or of another type.
        DataNotFoundError
            If another definition is served.
        MomentNotServedError
            If the batch does not answer for the moment.
        """
        batch = self.served.batch
        if definition not in {None, self.definition}:
            raise DataNotFoundError(
                f"{self._label}: another definition is uploaded than the join has",
                hint=f"gigacast feature-store upload {self.served.name}",
            )
        try:
            entity = {name: read(keys[name]) for name, read in self._keys}
        except KeyError as error:
            raise SchemaError(
                f"{self._label}: the request has no key {error.args[0]}",
                hint=f"its keys are {', '.join(key for key, _ in self._keys)}",
            ) from None
        if at < batch.end:
            raise MomentNotServedError(
                f"{self._label}: asked for a moment before the end of its batch {batch.day}",
                hint="ask for a later moment, or backfill the past",
            )
        if at > batch.end + batch.serving_ms:
            raise MomentNotServedError(
                f"{self._label}: its batch {batch.day} is too old: it is served for "
                f"{batch.serving_ms // DAY_MS} days",
                hint=f"gigacast feature-store upload {self.served.name} --ds LATER_DAY",
            )
        if None in entity.values():
            return Read(self, at, entity, (), ())
        digest = key_digest([*entity.values()])
        stored = [f"{self._prefix}{digest}"]
        if not self._streams:
            return Read(self, at, entity, stored, ())
        days = range(batch.end, day_of(at) + 1, DAY_MS)
        stored += [f"{self._day_prefix(day)}{digest}" for day in days]
        return Read(self, at, entity, stored, days)

    def answer(self, read: Read, stored: Sequence[Versioned | None]) -> Answer:
        """Return the features.

        Parameters
        ----------
        read : Read
        stored : sequence of Versioned or None
            Values of its keys.

        Raises
        ------
        DataError
            If a value is damaged, or the moment cannot be answered exactly.
        """
        end = self.served.batch.end
        first = stored[0] if stored else None
        newest: int | None = None
        if self._features is None:
            features = self._finished(first)
        else:
            base = BatchValue(None if first is None else first.value)
            newest = base.newest
            days = self._days(read.days, stored)
            features = answer(self._features, base, days, read.at, end)
            for day in days:
                newest = day.newest if newest is None or day.newest > newest else newest
        for name, write in self._writers.items():
            features[name] = write(features[name])
        if self._derived is not None:
            row = {TIME_COLUMN: read.at, **read.entity, **features}
            features, errors = self._derived.compute(row)
            if errors:
                raise DataError(f"{self._label}: {'; '.join(errors)}")
        freshness = None if newest is None else max(read.at - newest, 0)
        return Answer(read.at, features, read.at - end, freshness, self._kinds)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the features before derivations."""
        return self._names

    def _day_prefix(self, day: int) -> str:
        """Return the start of the keys of a streamed day."""
        prefix = self._day_prefixes.get(day)
        if prefix is None:
            prefix = stream_prefix(self.served.name, self.served.batch.digest, day)
            # Few days: requests after the end of serving are refused before.
            self._day_prefixes[day] = prefix
        return prefix

    def _days(self, starts: Sequence[int], stored: Sequence[Versioned | None]) -> list[DayValue]:
        """Return the streamed days that have a value; values follow that of the batch."""
        assert self._features is not None  # noqa: S101 - the caller has states
        days = []
        for place, start in enumerate(starts, 1):
            value = stored[place]
            if value is not None:
                days.append(
                    DayValue.decode(self._features, start, value.value, merges=self._merges)
                )
        return days

    def _finished(self, stored: Versioned | None) -> dict[str, Value]:
        if stored is None:
            return dict.fromkeys(self._names)
        try:
            return dict(zip(self._names, unpack(stored.value), strict=True))
        except (ValueError, TypeError) as error:
            raise DataError(f"{self._label}: a stored value is damaged: {error}") from error
