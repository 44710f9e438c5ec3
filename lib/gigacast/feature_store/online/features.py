"""The aggregations of a group-by, arranged for serving."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa

from gigacast.feature_store.aggregation.row_state import Part, RowState
from gigacast.feature_store.aggregation.value import Value
from gigacast.feature_store.definition.window_edge import start_finder
from gigacast.feature_store.online.plan import Step, make_steps


@dataclass(frozen=True)
class WindowGroup:
    """The features of one window.

    Parameters
    ----------
    window_ms : int or None
        Length; none for all time.
    units : tuple of int
        Places of the features' aggregations among those of `Features.units`.
    names : tuple of str
        Names of the features.
    start : function
        Start of the window by the moment.
    steps : tuple of function
        Steps from stored states to the features; see `make_steps`.
    """

    window_ms: int | None
    units: tuple[int, ...]
    names: tuple[str, ...]
    start: Callable[[int], int]
    steps: tuple[Step, ...]


class Features:
    """The aggregations of a group-by: each once, whatever its windows, and which window has which.

    Parameters
    ----------
    parts : sequence of Part
    schema : pyarrow.Schema
        Columns that the parts name, and their types.
    """

    def __init__(self, parts: Sequence[Part], schema: pa.Schema) -> None:
        self.parts = tuple(parts)
        self.schema = schema
        # Features that differ in their windows alone have the same state over the same rows.
        units = dict.fromkeys(replace(part, name="", window_ms=None) for part in parts)
        self.units = tuple(units)
        self.state = RowState(self.units, schema)
        self.groups = tuple(self._group(window) for window in {p.window_ms: None for p in parts})
        self.decoders = tuple(aggregator.direct().decode for aggregator in self.state.aggregators)
        self.empty: dict[str, Value] = dict.fromkeys(part.name for part in parts)
        self.columns = tuple(
            dict.fromkeys(n for p in self.units for n in (p.column, p.bucket) if n is not None)
        )

    @cached_property
    def types(self) -> dict[str, pa.DataType]:
        """Types of the features by name."""
        return {part.name: part.output(self.schema) for part in self.parts}

    def row(self, values: Sequence[Value]) -> dict[str, Value]:
        """Return the values of `columns` by name."""
        return dict(zip(self.columns, values, strict=True))

    def _group(self, window_ms: int | None) -> WindowGroup:
        members = [part for part in self.parts if part.window_ms == window_ms]
        units = tuple(self.units.index(replace(part, name="", window_ms=None)) for part in members)
        names = tuple(part.name for part in members)
        steps = make_steps(units, names, self.units, dict(enumerate(self.state.aggregators)))
        return WindowGroup(window_ms, units, names, start_finder(window_ms), steps)
