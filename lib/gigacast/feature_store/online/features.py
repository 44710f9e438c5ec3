"""The aggregations of a group-by, arranged for serving."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from gigacast.feature_store.aggregation.row_state import Part, RowState
from gigacast.feature_store.aggregation.value import Value


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
    """

    window_ms: int | None
    units: tuple[int, ...]
    names: tuple[str, ...]


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

    def finish(self, states: Mapping[int | None, Sequence[Any]]) -> dict[str, Value]:
        """Return the features by name, in the order of the parts.

        Parameters
        ----------
        states : mapping of int or None to sequence
            States of each window's units, by the window's length.
        """
        features: dict[str, Value] = dict.fromkeys(part.name for part in self.parts)
        for group in self.groups:
            for unit, name, state in zip(
                group.units, group.names, states[group.window_ms], strict=True
            ):
                features[name] = self.state.aggregators[unit].finish(state)
        return features

    def _group(self, window_ms: int | None) -> WindowGroup:
        members = [part for part in self.parts if part.window_ms == window_ms]
        units = tuple(self.units.index(replace(part, name="", window_ms=None)) for part in members)
        return WindowGroup(window_ms, units, tuple(part.name for part in members))
