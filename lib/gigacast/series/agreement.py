"""The properties that all sources of a partition must share: targets, ids, clock, categories."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from gigacast.core.series.batch import wide_type
from gigacast.core.series.item_key import ItemKey
from gigacast.core.time.number import NumberRange, check_steps
from gigacast.core.time.zone import named_zone
from gigacast.errors import SchemaError
from gigacast.series.columns import is_list_type
from gigacast.series.csv.read import check_same_form
from gigacast.series.decode import Decoder
from gigacast.series.formats import Limits, OpenTable, read_batches
from gigacast.series.identity import id_type
from gigacast.series.scan import Runs, scan
from gigacast.series.source import ReadOptions
from gigacast.series.timestamp import Clock, clock_of, is_text, widened
from gigacast.series.timestamp_text import has_offsets
from gigacast.series.value import CategoryCodes, is_category_type

_UNNAMED = "series"


@dataclass(frozen=True, slots=True)
class Agreement:
    """The decoder of all sources, and the order of their rows.

    Parameters
    ----------
    decoder : Decoder
        Decoder of every record batch.
    contiguous : bool
        Whether the rows of every item follow each other, over all sources.
    runs : tuple of Runs or None
        Ids of each source, if they need not be read again.
    """

    decoder: Decoder
    contiguous: bool
    runs: tuple[Runs | None, ...]


def agree(tables: Sequence[OpenTable], options: ReadOptions, limits: Limits) -> Agreement:
    """Return the properties that the sources share. Reads their ids once.

    Raises
    ------
    SchemaError
        If a source differs; the message names it.
    """
    check_same_form([table.csv for table in tables if table.csv is not None])
    targets = _agreed_targets(tables)
    kind = _agreed_id_type(tables)
    item_id = options.item_id or _UNNAMED
    scanned = scan(tables, kind, item_id, limits, has_unit=options.timestamp_unit is not None)
    clock = _agreed_clock(tables, options, scanned.numbers)
    _check_frequency(tables, options, clock)
    clock = Clock(
        _output_type(_zoned(clock.output_type, tables, options, limits), options), clock.unit
    )
    covariates = tables[0].layout.covariates
    codes = {name: CategoryCodes() for name in covariates if _agreed_category(tables, name)}
    key = _agreed_key(tables)
    decoder = Decoder(
        kind,
        clock,
        targets,
        item_id,
        options.rows_freq,
        covariates,
        len(options.columns.known_covariates),
        codes,
        key,
    )
    return Agreement(decoder, scanned.contiguous, scanned.runs)


def _agreed_targets(tables: Sequence[OpenTable]) -> tuple[str, ...]:
    first = tables[0]
    for table in tables[1:]:
        if set(table.layout.targets) != set(first.layout.targets):
            raise _disagreement(table, first, "targets", _targets_text)
        if (table.layout.freq is None) != (first.layout.freq is None):
            raise SchemaError(
                f"{table.source.name}: either this file or {first.source.name} has a column of "
                "frequencies, but not both"
            )
    return first.layout.targets


def _agreed_category(tables: Sequence[OpenTable], name: str) -> bool:
    """Check whether a covariate holds categories."""

    def content_of(table: OpenTable) -> str:
        kind = table.schema.field(name).type
        kind = kind.value_type if is_list_type(kind) else kind
        return "categories" if is_category_type(kind) else "numbers"

    # A column of nulls only has no type of its own, so it fits either.
    typed = [t for t in tables if not pa.types.is_null(t.schema.field(name).type)]
    for table in typed[1:]:
        if content_of(table) != content_of(typed[0]):
            raise _disagreement(table, typed[0], f"covariate {name!r}", content_of)
    return bool(typed) and content_of(typed[0]) == "categories"


def _targets_text(table: OpenTable) -> str:
    return ", ".join(table.layout.targets)


def _agreed_id_type(tables: Sequence[OpenTable]) -> pa.DataType:
    # Without its ids a source would become one more item, made of all its rows.
    for table in tables[1:]:
        if (table.layout.item_id is None) != (tables[0].layout.item_id is None):
            raise _disagreement(table, tables[0], "column of item ids", _id_column)
    typed = [table for table in tables if not _has_null_ids(table)]
    if not typed:
        return pa.string()
    kinds = [_id_type(table) for table in typed]
    if all(pa.types.is_decimal(kind) for kind in kinds):
        return _widest_decimal(kinds)
    first = typed[0]
    for table in typed[1:]:
        if _id_type(table) != _id_type(first):
            raise _disagreement(table, first, "item ids", lambda table: str(_id_type(table)))
    return kinds[0]


def _widest_decimal(kinds: Sequence[pa.DataType]) -> pa.DataType:
    """Return a decimal type that holds the numbers of all types.

    pandas gives each file the digits of its own numbers.
    """
    scale = max(kind.scale for kind in kinds)
    precision = max(kind.precision - kind.scale for kind in kinds) + scale
    is_long = precision > 38 or any(pa.types.is_decimal256(kind) for kind in kinds)
    return pa.decimal256(min(precision, 76), scale) if is_long else pa.decimal128(precision, scale)


def _agreed_key(tables: Sequence[OpenTable]) -> ItemKey | None:
    """Return the item key of all sources; ``None`` with a single column of ids."""
    names = tables[0].layout.items
    return ItemKey(names, tuple(_agreed_part(tables, name) for name in names)) if names else None


def _agreed_part(tables: Sequence[OpenTable], name: str) -> pa.DataType:
    def type_in(table: OpenTable) -> pa.DataType:
        return id_type(table.schema.field(name).type)

    # A column of nulls only has no type of its own, so it fits either.
    typed = [t for t in tables if not pa.types.is_null(t.schema.field(name).type)] or tables
    kinds = [type_in(table) for table in typed]
    # Of another scale the same number is another text in the item key.
    if all(pa.types.is_decimal(kind) and kind.scale == kinds[0].scale for kind in kinds):
        return _widest_decimal(kinds)
    for table in typed[1:]:
        if type_in(table) != type_in(typed[0]):
            topic = f"item column {name!r}"
            raise _disagreement(table, typed[0], topic, lambda table: str(type_in(table)))
    return kinds[0]


def _id_column(table: OpenTable) -> str:
    return repr(table.layout.item_id) if table.layout.item_id is not None else "none"


def _has_null_ids(table: OpenTable) -> bool:
    # Keys of several columns are text, whatever their columns are.
    item_id = None if table.layout.items else table.layout.item_id
    return item_id is not None and pa.types.is_null(table.schema.field(item_id).type)


def _id_type(table: OpenTable) -> pa.DataType:
    item_id = None if table.layout.items else table.layout.item_id
    return pa.string() if item_id is None else id_type(table.schema.field(item_id).type)


def _agreed_clock(
    tables: Sequence[OpenTable], options: ReadOptions, numbers: NumberRange | None
) -> Clock:
    # A primary source comes first: its timestamp type is that of the forecasts.
    ordered = sorted(tables, key=lambda table: not table.source.primary)
    clocks = [
        clock_of(_time_type(table), table.source.name, options.timestamp_unit, numbers)
        for table in ordered
    ]
    if options.timestamp_unit is None and clocks[0].counts_steps:
        check_steps(numbers, ordered[0].layout.timestamp, ordered[0].source.name)
    first = clocks[0]
    for table, clock in zip(ordered, clocks, strict=True):
        if (clock.counts_steps, _zone(clock)) != (first.counts_steps, _zone(first)):
            raise _disagreement(
                table, ordered[0], "timestamps", lambda table: str(_time_type(table))
            )
    # Only columns of numbers have a unit, and one source of several may be such a column.
    unit = next((clock.unit for clock in clocks if clock.unit), None)
    return Clock(first.output_type, unit)


def _output_type(kind: pa.DataType, options: ReadOptions) -> pa.DataType:
    if options.wide_times and not pa.types.is_integer(kind):
        return wide_type(kind)
    return kind if options.freq is None else widened(kind, options.freq)


def _zoned(
    kind: pa.DataType, tables: Sequence[OpenTable], options: ReadOptions, limits: Limits
) -> pa.DataType:
    """Return the output type with the zone in which bins are cut, if one is named."""
    zone = options.aggregation.zone if options.aggregation is not None else None
    if zone is None or not pa.types.is_timestamp(kind):
        return kind
    # Times without a zone are wall time, in whichever zone. Texts with an offset are moments.
    is_moment = kind.tz is not None or any(_has_offsets(table, limits) for table in tables)
    return pa.timestamp(kind.unit, zone) if is_moment else kind


def _has_offsets(table: OpenTable, limits: Limits) -> bool:
    """Check whether the first timestamps are texts with an offset from UTC."""
    name = table.layout.timestamp
    if not is_text(_time_type(table)) or is_list_type(table.schema.field(name).type):
        return False
    batch = next(read_batches(table, [name], limits), None)
    return batch is not None and has_offsets(batch.column(name))


def _zone(clock: Clock) -> str | None:
    return named_zone(clock.output_type)


def _time_type(table: OpenTable) -> pa.DataType:
    kind = table.schema.field(table.layout.timestamp).type
    return kind.value_type if is_list_type(kind) else kind


def _check_frequency(tables: Sequence[OpenTable], options: ReadOptions, clock: Clock) -> None:
    name, freq = tables[0].source.name, options.freq
    if freq is not None and (freq.kind == "steps") != clock.counts_steps:
        content = "plain numbers" if clock.counts_steps else "times"
        raise SchemaError(
            f"{name}: the timestamps are {content}, which do not fit the frequency {freq}",
            hint="change freq, or set timestamp_unit to the unit of the numbers",
        )
    for table in tables:
        # A list with only a start has no timestamps from which a frequency could be inferred.
        has_starts = table.layout.kind == "list" and not is_list_type(
            table.schema.field(table.layout.timestamp).type
        )
        has_freq = table.layout.freq is not None or options.rows_freq is not None
        if has_starts and not has_freq and not clock.counts_steps:
            hint = (
                "give --freq, such as D"
                if freq is None
                else "write the frequency of each list beside it"
            )
            raise SchemaError(
                f"{table.source.name}: the lists have a start but no frequency", hint=hint
            )


def _disagreement(
    table: OpenTable, first: OpenTable, topic: str, describe: Callable[[OpenTable], str]
) -> SchemaError:
    return SchemaError(
        f"{table.source.name}: its {topic} ({describe(table)}) are not those of "
        f"{first.source.name} ({describe(first)})",
        hint="sources of one partition must agree",
    )
