"""Lineage: the columns of tables that each column of a definition is computed of."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gigacast.errors import ConfigError
from gigacast.feature_store.definition.expression import (
    DIALECT,
    load_sqlglot,
    parse_expression,
    parse_query,
)
from gigacast.feature_store.definition.group_by import Derivation, GroupBy
from gigacast.feature_store.definition.join import ExternalSource, Join, JoinPart
from gigacast.feature_store.definition.name import (
    Definition,
    aggregated_columns,
    aggregation_columns,
    derived_columns,
    external_columns,
    group_by_columns,
    part_columns,
    table_name,
)
from gigacast.feature_store.definition.source import Source, split_table
from gigacast.feature_store.definition.staging_query import StagingQuery

if TYPE_CHECKING:
    from sqlglot import exp

Schema = Mapping[str, Sequence[str]]
"""Columns by table."""
_DEPTH = 50  # of tables that are outputs of definitions; compiled ones have no circles


class Origin(NamedTuple):
    """A column of a table, and what is done to it on the way.

    Parameters
    ----------
    table : str
        Name of the table; empty if several tables could have the column.
    column : str
        Name of the column, as ``address.city`` for the field of a structure; ``*`` if it is one of
        all columns.
    transforms : tuple of str
        Names of operations from the table outwards, as ``AGG_SUM``, ``Add``.
    """

    table: str
    column: str
    transforms: tuple[str, ...] = ()


Lineage = Mapping[str, tuple[Origin, ...]]
"""Origins by column; none for constants."""


def trace(definition: Definition, outputs: Mapping[str, Definition] | None = None) -> Lineage:
    """Return the lineage of a definition's columns.

    Parameters
    ----------
    definition : GroupBy, Join or StagingQuery
    outputs : mapping, optional
        Definitions by the name of their output table, which are followed to their own tables.

    Raises
    ------
    ConfigError
        If SQL in a definition cannot be read.
    """
    lineage = _trace(definition)
    by_table = outputs or {}
    return {
        column: _unique(o for origin in origins for o in _followed(origin, by_table, _DEPTH))
        for column, origins in lineage.items()
    }


def trace_query(sql: str, schema: Schema | None = None) -> Lineage:
    """Return the lineage of the columns of a SQL query.

    Parameters
    ----------
    sql : str
        Query in the dialect of Spark; macros count as texts.
    schema : mapping, optional
        Columns of tables, which resolve ``*``.

    Raises
    ------
    ConfigError
        If the query cannot be read.
    """
    from sqlglot.optimizer.qualify import qualify  # noqa: PLC0415 - an extra
    from sqlglot.optimizer.scope import build_scope  # noqa: PLC0415

    tree = parse_query(sql).copy()
    try:
        tree = qualify(
            tree,
            schema=_nested(schema or {}),
            # Spark ignores case; lineage shows names as they are written.
            dialect=f"{DIALECT}, normalization_strategy=case_sensitive",
            validate_qualify_columns=False,
        )
    except load_sqlglot().errors.SqlglotError as error:
        raise ConfigError(f"the query cannot be traced: {str(error).splitlines()[0]}") from error
    scope = build_scope(tree)
    if scope is None:
        raise ConfigError("the query cannot be traced: it selects nothing")
    names = dict.fromkeys(_output_name(projection) for projection in _projections(scope))
    return {name: _unique(_column_origins(scope, name, ())) for name in names}


def _trace(definition: Definition) -> Lineage:
    if isinstance(definition, StagingQuery):
        return trace_query(definition.query)
    return (
        _trace_group_by(definition) if isinstance(definition, GroupBy) else _trace_join(definition)
    )


def _trace_group_by(group_by: GroupBy) -> Lineage:
    """Return the lineage of a group-by's keys and features."""
    inputs = _merged(_source_columns(group_by, source) for source in group_by.sources)
    keys = {key: inputs.get(key, ()) for key in group_by.keys}
    if group_by.aggregations is None:
        features = {name: inputs.get(name, ()) for name in aggregated_columns(group_by)}
    else:
        features = {
            name: _after(inputs.get(part.input_column or "", ()), f"AGG_{part.operation.name}")
            for part in group_by.aggregations
            for name in aggregation_columns(part)
        }
    return {**keys, **_derived(features, group_by.derivations, keys)}


def _trace_join(join: Join) -> Lineage:
    """Return the lineage of a join's left columns, its features and its derivations."""
    left = _left_columns(join)
    features: dict[str, tuple[Origin, ...]] = {}
    for part in join.right_parts:
        features |= _part_features(part)
    for external in join.online_external_parts or ():
        source = external.source
        offline = source.offline_group_by if isinstance(source, ExternalSource) else None
        traced = _trace_group_by(offline) if offline is not None else {}
        fields = [name for name, _ in source.value_fields]
        for outer, inner in zip(external_columns(external), fields, strict=True):
            features[outer] = traced.get(inner, ())
    return {**left, **_derived(features, join.derivations, left)}


def _part_features(part: JoinPart) -> dict[str, tuple[Origin, ...]]:
    traced = _trace_group_by(part.group_by)
    names = zip(part_columns(part), group_by_columns(part.group_by), strict=True)
    return {outer: traced.get(inner, ()) for outer, inner in names}


def _left_columns(join: Join) -> dict[str, tuple[Origin, ...]]:
    selects = join.left.query.selects or {}
    return {name: _traced_select(join.left, text) for name, text in selects.items()}


def _source_columns(group_by: GroupBy, source: Source) -> dict[str, tuple[Origin, ...]]:
    selects = group_by.selects_of(source)
    return {name: _traced_select(source, text) for name, text in selects.items()}


def _traced_select(source: Source, text: str) -> tuple[Origin, ...]:
    """Return the origins of an expression over the rows of a source."""
    if source.joinSource is None:
        return _unique(
            Origin(split_table(table)[0], column, transforms)
            for table in source.tables
            for column, transforms in _columns_of(parse_expression(text))
        )
    parent = source.joinSource.join
    traced = _trace_join(parent) if isinstance(parent, Join) else {}
    return _unique(
        Origin(origin.table, origin.column, (*origin.transforms, *transforms))
        for column, transforms in _columns_of(parse_expression(text))
        for origin in traced.get(column, ())
    )


def _derived(
    features: Mapping[str, tuple[Origin, ...]],
    derivations: Sequence[Derivation] | None,
    others: Mapping[str, tuple[Origin, ...]],
) -> dict[str, tuple[Origin, ...]]:
    """Return the lineage of features after derivations, which may use other columns, too."""
    if not derivations:
        return dict(features)
    inputs = {**others, **features}
    expressions = {d.name: d.expression for d in derivations if d.name != "*"}
    return {
        name: _traced_derivation(inputs, expressions[name])
        if name in expressions
        else features.get(name, ())
        for name in derived_columns(tuple(features), derivations)
    }


def _traced_derivation(inputs: Mapping[str, tuple[Origin, ...]], text: str) -> tuple[Origin, ...]:
    return _unique(
        Origin(origin.table, origin.column, (*origin.transforms, *transforms))
        for column, transforms in _columns_of(parse_expression(text))
        for origin in inputs.get(column, ())
    )


def _followed(origin: Origin, outputs: Mapping[str, Definition], depth: int) -> Iterator[Origin]:
    """Yield the origins of a column of a definition's output; other origins as they are."""
    definition = outputs.get(origin.table)
    if definition is None or depth == 0:
        yield origin
        return
    for inner in _trace(definition).get(origin.column, ()):
        moved = Origin(inner.table, inner.column, (*inner.transforms, *origin.transforms))
        yield from _followed(moved, outputs, depth - 1)


def outputs_of(definitions: Iterable[Definition]) -> dict[str, Definition]:
    """Return definitions by the names of their output tables."""
    return {table_name(definition): definition for definition in definitions}


def _columns_of(tree: "exp.Expression") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the columns of an expression outside a query, and the operations on each."""
    exp = load_sqlglot().exp
    for column in tree.find_all(exp.Column, bfs=False):
        parts = [part.name for part in column.parts]
        operations = tuple(_operations(column, tree))
        # Outside a query nothing names a table: `address.city` is the field of a structure.
        yield ".".join(parts), ("Dot", *operations) if len(parts) > 1 else operations


def _column_origins(scope: Any, name: str, outer: tuple[str, ...]) -> Iterator[Origin]:
    """Yield the origins of an output column of a scope, with the operations outside it."""
    if scope.set_operation_scopes:
        # The branches of a union have their own names: columns go together by their place.
        names = [_output_name(p) for p in _projections(scope)]
        for branch in scope.set_operation_scopes:
            inner = [_output_name(p) for p in _projections(branch)]
            place = names.index(name) if name in names else -1
            yield from _column_origins(branch, inner[place] if place >= 0 else name, outer)
        return
    exp = load_sqlglot().exp
    projections = _projections(scope)
    projection = next((p for p in projections if _output_name(p) == name), None)
    if projection is not None and not projection.is_star:
        for column in projection.find_all(exp.Column, bfs=False):
            yield from _leaf_origins(scope, column, projection, outer)
    elif projection is None or isinstance(projection, exp.Star):
        # Of a star without a schema only the table is known.
        for source in _sources(scope).values():
            yield from _source_origins(source, name, outer, column="*")


def _leaf_origins(
    scope: Any, column: Any, projection: Any, outer: tuple[str, ...]
) -> Iterator[Origin]:
    exp = load_sqlglot().exp
    if isinstance(column.this, exp.Star):
        return  # COUNT(*) reads no column
    sources = _sources(scope)
    names = [part.name for part in column.parts]
    if column.table in sources:
        names = names[-1:]
    field = column
    while isinstance(field.parent, exp.Dot):
        field = field.parent
        names.append(field.expression.name)
    # Parts before the name that are no table are structures around a field.
    written = ["Dot"] * (len(column.parts) - 1) if column.table not in sources else []
    transforms = (*written, *_operations(column, projection), *outer)
    source = sources.get(column.table)
    if source is None and len(sources) == 1:
        source = next(iter(sources.values()))
    if source is None:
        yield Origin("", ".".join(names), transforms)
        return
    yield from _source_origins(source, ".".join(names), transforms)


def _source_origins(
    source: Any, name: str, transforms: tuple[str, ...], column: str | None = None
) -> Iterator[Origin]:
    exp = load_sqlglot().exp
    if isinstance(source, exp.Table):
        table = ".".join(part.name for part in source.parts)
        yield Origin(table, column or name, transforms)
        return
    yield from _column_origins(source, name, transforms)


def _operations(node: Any, top: Any) -> Iterator[str]:
    """Yield the names of the operations around a node, from the inside."""
    exp = load_sqlglot().exp
    while node is not top and node.parent is not None:
        node = node.parent
        if isinstance(node, exp.Anonymous):
            yield node.name.upper()
        elif isinstance(node, exp.Agg):
            yield "AGG"  # a function of another dialect; in Spark's it is the user's own
        elif isinstance(node, exp.Func | exp.Binary | exp.Unary) and not isinstance(
            node, exp.Paren
        ):
            yield type(node).__name__


def _sources(scope: Any) -> dict[str, Any]:
    """Return the tables and scopes that a scope selects from, by the names it gives them."""
    return {name: source for name, (_, source) in scope.selected_sources.items()}


def _projections(scope: Any) -> list[Any]:
    tree = scope.expression
    return list(tree.selects)


def _nested(schema: Schema) -> dict[str, Any]:
    """Return columns in a mapping by each part of their table's name."""
    nested: dict[str, Any] = {}
    for table, columns in schema.items():
        level = nested
        for part in table.split("."):
            level = level.setdefault(part, {})
        level.update(dict.fromkeys(columns, "unknown"))
    return nested


def _output_name(projection: Any) -> str:
    return str(projection.alias_or_name)


def _after(origins: Iterable[Origin], operation: str) -> tuple[Origin, ...]:
    return tuple(o._replace(transforms=(*o.transforms, operation)) for o in origins)


def _merged(
    parts: Iterable[Mapping[str, tuple[Origin, ...]]],
) -> dict[str, tuple[Origin, ...]]:
    """Return the lineages of several sources as one."""
    merged: dict[str, tuple[Origin, ...]] = {}
    for part in parts:
        for name, origins in part.items():
            merged[name] = _unique([*merged.get(name, ()), *origins])
    return merged


def _unique(origins: Iterable[Origin]) -> tuple[Origin, ...]:
    return tuple(dict.fromkeys(origins))
