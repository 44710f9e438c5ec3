"""Records of a stream as rows of a group-by: parsed, selected and filtered like its table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.types as pat

from gigacast.errors import DataError
from gigacast.feature_store.aggregation.value import Value
from gigacast.feature_store.definition.closure import Function, make_function
from gigacast.feature_store.definition.expression import columns_in
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.name import PARTITION_COLUMN
from gigacast.feature_store.definition.source import Source, split_table
from gigacast.feature_store.definition.window_edge import DAY
from gigacast.feature_store.online.serving import ServedGroupBy
from gigacast.feature_store.online.stream_state import StreamRow
from gigacast.feature_store.online.typed import kinds_of, reader_of
from gigacast.feature_store.stream.encoding import Parsers, text_parser, to_milliseconds

_TIME_RANGE = (0, 1 << 46)
"""Plausible times, epoch milliseconds: to the year 4199."""


@dataclass(frozen=True)
class DecodedRow:
    """A row of a stream.

    Parameters
    ----------
    keys : tuple of Value
        Keys of the entity.
    row : StreamRow
    """

    keys: tuple[Value, ...]
    row: StreamRow


def topic_of(source: Source) -> tuple[str, dict[str, str]]:
    """Return the name and the parameters of a source's topic: ``name/host=kafka/port=9092``."""
    name, parameters = split_table(source.topic or "")
    return name, parameters


def topic_name_of(group_by: GroupBy) -> str | None:
    """Return the name of a group-by's topic in its broker; None without a topic."""
    return split_table(group_by.topic)[0].rpartition("/")[2] if group_by.topic else None


class Decoder:
    """Makes rows of records, as a backfill makes them of the table.

    Parameters
    ----------
    served : ServedGroupBy
    columns : sequence of str
        Columns of the rows, in order: `Features.columns`.
    parsers : Parsers
        Form of the records, by the parameters of the topic.

    Raises
    ------
    ConfigError
        If an expression of the source cannot be computed for single rows, or the topic's form
        cannot be read.
    """

    def __init__(
        self, served: ServedGroupBy, columns: tuple[str, ...], parsers: Parsers = text_parser
    ) -> None:
        group_by = served.group_by
        source = next(s for s in group_by.sources if s.topic)
        query, selects = source.query, group_by.selects_of(source)
        self._parse = parsers(topic_of(source)[1])
        kinds = kinds_of(served.events)
        self._select = {
            name: (make_function(selects[name], kinds), reader_of(served.schema.field(name).type))
            for name in dict.fromkeys([*group_by.keys, *columns])
        }
        self._keys, self._columns = tuple(group_by.keys), columns
        self._wheres = [make_function(text, kinds) for text in query.wheres or ()]
        texts = [*(selects[name] for name in self._select), *(query.wheres or ())]
        time = query.time_column or "ts"
        self._time = _moment(time, served.events)
        texts.append(time)
        self._known: Callable[[Mapping[str, Any]], Any] | None = None
        self._reverse: Function | None = None
        if served.has_mutations:
            change_time, back = query.mutation_time_column, query.reversal_column
            self._known = _moment(change_time or "mutation_ts", served.events)
            self._reverse = make_function(back or "is_before", kinds)
            texts += [change_time or "mutation_ts", back or "is_before"]
        used = dict.fromkeys(name for text in texts for name in columns_in(text))
        self._readers = {
            name: _reader_of(served.events.field(name).type)
            if name in served.events.names
            else _plain
            for name in used
            if name != PARTITION_COLUMN
        }

    def decode(self, value: bytes) -> DecodedRow | None:
        """Return the row of a record; None if the conditions of the source leave it out.

        Raises
        ------
        DataError
            If the record is none of the source.
        """
        fields = self._parse(value)
        event = {name: read(fields.get(name)) for name, read in self._readers.items()}
        try:
            if not all(condition(event) is True for condition in self._wheres):
                return None
            values = {name: read(make(event)) for name, (make, read) in self._select.items()}
            time = self._time(event)
            changed_at = self._known(event) if self._known else time
            reverse = bool(self._reverse(event)) if self._reverse else False
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"a record cannot be computed: {error}") from None
        for name, moment in (("time", time), ("time of the change", changed_at)):
            if not isinstance(moment, int) or not _TIME_RANGE[0] <= moment < _TIME_RANGE[1]:
                raise DataError(f"a record without a plausible {name} in milliseconds")
        keys = tuple(values[name] for name in self._keys)
        row = StreamRow(changed_at, time, reverse, [values[name] for name in self._columns])
        return DecodedRow(keys, row)


def _reader_of(kind: pa.DataType) -> Callable[[Any], Any]:
    """Return the function of a field's value. Forms with times of their own may meet integers."""
    read = reader_of(kind)
    return (lambda value: read(to_milliseconds(value))) if pat.is_integer(kind) else read


def _plain(value: Any) -> Any:
    return value


def _moment(text: str, events: pa.Schema) -> Callable[[Mapping[str, Any]], Any]:
    """Return the function of a time in milliseconds, as an engine computes it."""
    compute = make_function(text, kinds_of(events))
    kind = events.field(text).type if text in events.names else None
    if kind is not None and pat.is_timestamp(kind):
        per_ms = {"s": 0.001, "ms": 1, "us": 1_000, "ns": 1_000_000}[kind.unit]
        return lambda row: None if (value := compute(row)) is None else int(value // per_ms)
    if kind is not None and pat.is_date(kind):
        return lambda row: None if (value := compute(row)) is None else value * DAY
    return compute
