"""What the sources of one partition must agree on, and do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from gigacast.core.time.frequency import Frequency
from gigacast.errors import SchemaError
from gigacast.series.category import CategoryCodes
from gigacast.series.columns import is_category_type, is_list_type
from gigacast.series.decode import Decoder
from gigacast.series.formats import Limits, OpenTable
from gigacast.series.identity import id_type
from gigacast.series.scan import scan
from gigacast.series.source import ReadOptions
from gigacast.series.timestamp import Clock, clock_of

_UNNAMED = "series"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How all sources are read.

    Parameters
    ----------
    decoder : Decoder
    contiguous : bool
        Whether no item comes back after another.
    """

    decoder: Decoder
    contiguous: bool


def agree(tables: Sequence[OpenTable], options: ReadOptions, limits: Limits) -> Agreement:
    """Find out what the sources agree on, with a first pass over their ids.

    Raises
    ------
    SchemaError
        Naming the source that does not.
    """
    targets = _agreed_targets(tables)
    kind = _agreed_id_type(tables)
    item_id = options.item_id or _UNNAMED
    found = scan(tables, kind, item_id, limits, want_bounds=options.timestamp_unit is None)
    clock = _agreed_clock(tables, options, found.bounds)
    _check_frequency(tables, options.freq, clock)
    covariates = tables[0].layout.covariates
    codes = {name: CategoryCodes() for name in covariates if _agreed_category(tables, name)}
    decoder = Decoder(kind, clock, targets, item_id, options.freq, covariates, codes)
    return Agreement(decoder, found.contiguous)


def _agreed_targets(tables: Sequence[OpenTable]) -> tuple[str, ...]:
    first = tables[0]
    for table in tables[1:]:
        if set(table.layout.targets) != set(first.layout.targets):
            raise _disagreement(table, first, "targets", _targets_text)
        if (table.layout.freq is None) != (first.layout.freq is None):
            raise SchemaError(
                f"{table.source.name}: only one of it and {first.source.name} states frequencies"
            )
    return first.layout.targets


def _agreed_category(tables: Sequence[OpenTable], name: str) -> bool:
    """Tell whether a covariate is one of categories."""

    def told(table: OpenTable) -> str:
        kind = table.schema.field(name).type
        kind = kind.value_type if is_list_type(kind) else kind
        return "categories" if is_category_type(kind) else "numbers"

    typed = [t for t in tables if not pa.types.is_null(t.schema.field(name).type)]
    for table in typed[1:]:
        if told(table) != told(typed[0]):
            raise _disagreement(table, typed[0], f"covariate {name!r}", told)
    return bool(typed) and told(typed[0]) == "categories"


def _targets_text(table: OpenTable) -> str:
    return ", ".join(table.layout.targets)


def _agreed_id_type(tables: Sequence[OpenTable]) -> pa.DataType:
    named = [table for table in tables if not _is_silent(table)]
    if not named:
        return pa.string()
    first = named[0]
    for table in named[1:]:
        if _id_type(table) != _id_type(first):
            raise _disagreement(table, first, "item ids", lambda one: str(_id_type(one)))
    return _id_type(first)


def _is_silent(table: OpenTable) -> bool:
    item_id = table.layout.item_id
    return item_id is not None and pa.types.is_null(table.schema.field(item_id).type)


def _id_type(table: OpenTable) -> pa.DataType:
    item_id = table.layout.item_id
    return pa.string() if item_id is None else id_type(table.schema.field(item_id).type)


def _agreed_clock(
    tables: Sequence[OpenTable], options: ReadOptions, bounds: tuple[float, float] | None
) -> Clock:
    ordered = sorted(tables, key=lambda table: not table.source.primary)
    clocks = [
        clock_of(_time_type(table), table.source.name, options.timestamp_unit, bounds)
        for table in ordered
    ]
    first = clocks[0]
    for table, clock in zip(ordered, clocks, strict=True):
        if (clock.counts_steps, _zone(clock)) != (first.counts_steps, _zone(first)):
            raise _disagreement(table, ordered[0], "timestamps", lambda one: str(_time_type(one)))
    # The unit is that of the columns of numbers, wherever they are; others need none.
    unit = next((clock.unit for clock in clocks if clock.unit), None)
    return Clock(first.output_type, unit)


def _zone(clock: Clock) -> str | None:
    kind = clock.output_type
    return kind.tz if pa.types.is_timestamp(kind) else None


def _time_type(table: OpenTable) -> pa.DataType:
    kind = table.schema.field(table.layout.timestamp).type
    return kind.value_type if is_list_type(kind) else kind


def _check_frequency(tables: Sequence[OpenTable], freq: Frequency | None, clock: Clock) -> None:
    name = tables[0].source.name
    if freq is not None and (freq.kind == "steps") != clock.counts_steps:
        held = "plain numbers" if clock.counts_steps else "times"
        raise SchemaError(
            f"{name}: the timestamps are {held}, which the frequency {freq} does not fit",
            hint="change freq, or say in timestamp_unit what the numbers are",
        )
    for table in tables:
        starts = table.layout.kind == "list" and not is_list_type(
            table.schema.field(table.layout.timestamp).type
        )
        if starts and table.layout.freq is None and freq is None and not clock.counts_steps:
            raise SchemaError(
                f"{table.source.name}: the lists have a start but no frequency", hint="set freq"
            )


def _disagreement(
    table: OpenTable, first: OpenTable, what: str, text: Callable[[OpenTable], str]
) -> SchemaError:
    return SchemaError(
        f"{table.source.name}: its {what} ({text(table)}) are not those of "
        f"{first.source.name} ({text(first)})",
        hint="sources of one partition must agree",
    )
