"""Checks of definitions against the columns and types of their tables."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from gigacast.core.problem import did_you_mean
from gigacast.feature_store.definition.aggregation import Aggregation
from gigacast.feature_store.definition.expression import columns_in
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.name import kind_of, name_of
from gigacast.feature_store.definition.problem import Problem
from gigacast.feature_store.definition.source import Source, split_table

Schemas = Mapping[str, Mapping[str, str]]
"""Types of columns, as Arrow spells them, by column and table."""
_NUMERIC = frozenset(("SUM", "AVERAGE", "VARIANCE", "SKEW", "KURTOSIS", "APPROX_PERCENTILE"))
"""Operations over numbers only."""
_NO_NUMBERS = ("string", "large_string", "binary", "large_binary", "bool", "date", "time")
_SHOWN_COLUMNS = 12


def find_schema_problems(definition: GroupBy | Join, schemas: Schemas) -> list[Problem]:
    """Return the reasons why a definition cannot be computed from its tables.

    Parameters
    ----------
    definition : GroupBy or Join
    schemas : mapping
        Columns and their types by table; tables that are not in it are not checked.
    """
    if isinstance(definition, GroupBy):
        problems = list(_group_by_problems(definition, schemas))
        label = f"{kind_of(definition)} {name_of(definition)}"
        return [replace(problem, definition=label) for problem in problems]
    label = f"{kind_of(definition)} {name_of(definition)}"
    selects = definition.left.query.selects or {}
    left = [replace(p, definition=label) for p in _unknown(definition.left, selects, schemas)]
    parts = [p for g in definition.group_bys for p in find_schema_problems(g, schemas)]
    return list(dict.fromkeys([*left, *parts]))


def _group_by_problems(group_by: GroupBy, schemas: Schemas) -> Iterator[Problem]:
    for source in group_by.sources:
        selects = group_by.selects_of(source)
        yield from _unknown(source, selects, schemas)
        for table in source.tables:
            types = schemas.get(split_table(table)[0], {})
            for part in group_by.aggregations or ():
                yield from _type_problems(part, selects.get(part.input_column or "", ""), types)


def _unknown(source: Source, selects: Mapping[str, str], schemas: Schemas) -> Iterator[Problem]:
    """Yield the columns that the expressions over a source use and its tables do not have."""
    query = source.query
    expressions = [*selects.values(), *(query.wheres or ()), query.time_column]
    used = dict.fromkeys(name for text in expressions if text for name in columns_in(text))
    # Snapshots of entities lack the columns of their mutations, so one table is enough.
    for table in source.tables[:1]:
        columns = schemas.get(split_table(table)[0])
        for name in used if columns is not None else ():
            if columns is not None and name not in columns:
                shown = ", ".join([*columns][:_SHOWN_COLUMNS])
                yield Problem(
                    f"{split_table(table)[0]} has no column {name}",
                    query.place,
                    did_you_mean(name, columns) or f"it has {shown}",
                )


def _type_problems(
    part: Aggregation, expression: str, types: Mapping[str, str]
) -> Iterator[Problem]:
    """Yield the problem of an operation over a plain column of a type that it does not take."""
    kind = types.get(expression, "")
    if part.operation.name in _NUMERIC and kind.startswith(_NO_NUMBERS):
        yield Problem(
            f"{part.operation.name} of {part.input_column}, which is {kind} and no number",
            part.place,
            f"select a number, as CAST({expression} AS DOUBLE), or count its values",
        )
