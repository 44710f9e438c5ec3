"""Checks of definitions' SQL against their tables: expressions are planned, and no row is read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from gigacast.errors import ConfigError, DataNotFoundError, SchemaError
from gigacast.feature_store.aggregation.row_state import parts_of
from gigacast.feature_store.definition.check_schema import find_schema_problems
from gigacast.feature_store.definition.dialect import translate
from gigacast.feature_store.definition.expression import columns_in
from gigacast.feature_store.definition.group_by import Derivation, GroupBy
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.name import (
    PARTITION_COLUMN,
    TIME_COLUMN,
    aggregated_columns,
    external_columns,
    group_by_columns,
    kind_of,
    name_of,
    part_columns,
)
from gigacast.feature_store.definition.place import Place
from gigacast.feature_store.definition.problem import Problem
from gigacast.feature_store.definition.source import Source, split_table
from gigacast.feature_store.engine.session import Session
from gigacast.feature_store.offline.value_type import arrow_type
from gigacast.feature_store.rows import read_schema
from gigacast.feature_store.table import Table, Tables
from gigacast.storage.store import ObjectMeta

_MEMORY = 64 << 20
_ROWS = "source_rows"
_MOST_FILES = 30
"""Files that are looked into for the type of a column without a value in the newest one."""


Features = dict[str, pa.Schema | None]
"""Types of features by the name of their group-by; none where they are not known."""


def find_type_problems(
    definition: GroupBy | Join, schemas: Mapping[str, pa.Schema]
) -> list[Problem]:
    """Return the reasons why a definition cannot be computed from its tables.

    Besides missing columns these are expressions with values of types that their functions do not
    take, and operations over such types. Expressions of queries with setups are not checked.

    Parameters
    ----------
    definition : GroupBy or Join
    schemas : mapping of str to pyarrow.Schema
        Columns by table; tables that are not in it are not checked.
    """
    spelled = {
        table: {field.name: str(field.type) for field in schema}
        for table, schema in schemas.items()
    }
    if problems := find_schema_problems(definition, spelled):
        return problems  # an expression over a missing column has no type
    group_bys = definition.group_bys if isinstance(definition, Join) else (definition,)
    features: Features = {}
    problems = []
    for group_by in group_bys:
        faults, features[name_of(group_by)] = _bind_group_by(group_by, schemas)
        label = f"{kind_of(group_by)} {name_of(group_by)}"
        problems += [replace(problem, definition=label) for problem in faults]
    if isinstance(definition, Join):
        label = f"{kind_of(definition)} {name_of(definition)}"
        left = definition.left
        faults, columns = _bind(left, left.query.selects or {}, schemas)
        faults += _derived_problems(definition, columns, features) if not problems else []
        problems = [*(replace(problem, definition=label) for problem in faults), *problems]
    return list(dict.fromkeys(problems))


def read_schemas(
    definition: GroupBy | Join, tables: Tables
) -> tuple[dict[str, pa.Schema], list[str]]:
    """Return the columns of the tables of a definition, and the tables without files.

    Parameters
    ----------
    definition : GroupBy or Join
    tables : Tables
    """
    group_bys = definition.group_bys if isinstance(definition, Join) else (definition,)
    sources = [source for group_by in group_bys for source in group_by.sources]
    sources += [definition.left] if isinstance(definition, Join) else []
    schemas: dict[str, pa.Schema] = {}
    missing: list[str] = []
    for source in sources:
        column = source.query.partition_column or PARTITION_COLUMN
        for name in source.tables:
            try:
                table = tables.find(name)
                files = table.partitions(column)
            except DataNotFoundError:
                missing.append(split_table(name)[0])
                continue
            days = [files[day][-1] for day in sorted(files, reverse=True)]
            schemas[table.name] = _known_schema(table, days, column)
    return schemas, list(dict.fromkeys(missing))


def _known_schema(table: Table, files: Sequence[ObjectMeta], column: str) -> pa.Schema:
    """Return the columns of the newest file; those without a value have an older file's type."""
    schema = read_schema(table, files[0], column)
    for file in files[1:_MOST_FILES]:
        unknown = [field.name for field in schema if pa.types.is_null(field.type)]
        if not unknown:
            break
        older = read_schema(table, file, column)
        known = {name: older.field(name) for name in unknown if name in older.names}
        schema = pa.schema([known.get(field.name, field) for field in schema])
    return schema


def _bind_group_by(
    group_by: GroupBy, schemas: Mapping[str, pa.Schema]
) -> tuple[list[Problem], pa.Schema | None]:
    """Return the problems of a group-by, and the types of its features as far as known."""
    problems: list[Problem] = []
    rows: pa.Schema | None = None
    for source in group_by.sources:
        faults, columns = _bind(source, group_by.selects_of(source), schemas)
        problems += faults
        if faults or columns is None:
            continue
        if any(pa.types.is_null(kind) for kind in columns.types):
            continue  # no file that was read has a value, and so a type
        refused = list(_part_problems(group_by, columns))
        problems += refused
        if not refused:
            outputs = [pa.field(part.name, part.output(columns)) for part in parts_of(group_by)]
            if group_by.aggregations is None:
                outputs = [columns.field(name) for name in aggregated_columns(group_by)]
            rows = pa.schema([*(columns.field(key) for key in group_by.keys), *outputs])
    if rows is None or problems:
        return problems, None
    problems, derived = _derive(rows, group_by.derivations or ())
    names = group_by_columns(group_by)
    types = {field.name: field for field in (*rows, *derived)}
    return problems, pa.schema([types[name] for name in names if name in types])


def _derive(
    rows: pa.Schema, derivations: Sequence[Derivation]
) -> tuple[list[Problem], list[pa.Field]]:
    """Return the problems of derivations over rows, and their types.

    Those over columns of which no type is known are left out.
    """
    rows = _with_own(rows, [(TIME_COLUMN, pa.int64()), (PARTITION_COLUMN, pa.string())])
    problems: list[Problem] = []
    fields: list[pa.Field] = []
    written = [entry for entry in derivations if entry.name != "*"]
    plannable = [entry for entry in written if {*columns_in(entry.expression)} <= {*rows.names}]
    if not plannable:
        return [], []
    with Session(_MEMORY, "") as session:
        session.register(_ROWS, _one_row(rows))
        for entry in plannable:
            role = f"the derivation {entry.name!r}"
            kind = _planned(session, (role, entry.expression), entry.place)
            if isinstance(kind, Problem):
                problems.append(kind)
            else:
                fields.append(pa.field(entry.name, kind))
    return problems, fields


def _derived_problems(join: Join, left: pa.Schema | None, features: Features) -> list[Problem]:
    """Return the problems of a join's derivations, over its left side and its features."""
    fields = {field.name: field.type for field in left or ()}
    for part in join.right_parts:
        names = zip(part_columns(part), group_by_columns(part.group_by), strict=True)
        fields |= _named(names, features.get(name_of(part.group_by)))
    for external in join.online_external_parts or ():
        columns = external_columns(external)
        offline = getattr(external.source, "offline_group_by", None)
        if offline is None:
            kinds = [kind for _, kind in external.source.value_fields]
            label = f"{kind_of(join)} {name_of(join)}"
            fields |= {n: arrow_type(k, label) for n, k in zip(columns, kinds, strict=True)}
        else:
            start = columns[0].removesuffix(external.source.value_fields[0][0])
            served = group_by_columns(offline)
            fields |= _named([(f"{start}{n}", n) for n in served], features.get(name_of(offline)))
    some = pa.schema([(name, kind) for name, kind in fields.items() if not pa.types.is_null(kind)])
    return _derive(some, join.derivations or ())[0]


def _named(names: Iterable[tuple[str, str]], features: pa.Schema | None) -> dict[str, pa.DataType]:
    """Return the types of features by their names in a join, as far as known."""
    if features is None:
        return {}
    return {shown: features.field(n).type for shown, n in names if n in features.names}


def _part_problems(group_by: GroupBy, columns: pa.Schema) -> Iterator[Problem]:
    for written in group_by.aggregations or ():
        for part in parts_of(replace(group_by, aggregations=(written,))):
            try:
                part.output(columns)
            except SchemaError as error:
                message = f"{written.operation.name} of {written.input_column}: {error.message}"
                yield Problem(message, written.place, error.hint or "")
                break


def _with_own(schema: pa.Schema, fields: Sequence[tuple[str, pa.DataType]]) -> pa.Schema:
    """Return a schema with further columns, unless it has some of that name."""
    return pa.schema([*schema, *(pa.field(n, k) for n, k in fields if n not in schema.names)])


def _bind(
    source: Source, selects: Mapping[str, str], schemas: Mapping[str, pa.Schema]
) -> tuple[list[Problem], pa.Schema | None]:
    """Return the problems of a source's expressions, and the types of its selects."""
    tables = [split_table(table)[0] for table in source.tables[:1]]
    schema = next((schemas[table] for table in tables if table in schemas), None)
    query = source.query
    if schema is None or query.setups:
        return [], None  # statements of setups are of one engine, which may be another
    others = [("where", text) for text in query.wheres or ()]
    others += [("time_column", query.time_column)] if query.time_column else []
    problems: list[Problem] = []
    fields: list[pa.Field] = []
    with Session(_MEMORY, "") as session:
        session.register(_ROWS, _one_row(schema))
        for name, text in (*selects.items(), *others):
            kind = _planned(session, (name, text), query.place)
            if isinstance(kind, Problem):
                problems.append(kind)
            elif name in selects:
                fields.append(pa.field(name, kind))
    return problems, pa.schema(fields)


def _planned(session: Session, expression: tuple[str, str], place: Place) -> pa.DataType | Problem:
    """Return the type of an expression, or why it has none."""
    name, text = expression
    try:
        return session.table(f"SELECT {translate(text)} FROM {_ROWS}").schema.types[0]  # noqa: S608 - expressions are parsed and written again
    except ConfigError as error:
        shown = " ".join(text.split())[:80]
        return Problem(
            f"{name}, {shown!r}: {error.message.removeprefix(': ')}", place, error.hint or ""
        )


def _one_row(schema: pa.Schema) -> pa.Table:
    # With a row, so that what is refused by value of its type is refused here, too.
    return pa.table([pa.nulls(1, field.type) for field in schema], schema=_nullable(schema))


def _nullable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in schema])


def missing_notes(definition: GroupBy | Join, missing: Sequence[str]) -> Iterator[Problem]:
    """Yield a note for each table without files, whose columns and types are not checked."""
    for table in missing:
        yield Problem(
            f"{table} has no files yet, so its columns and types are not checked",
            definition.place,
            "put its files there, or name their place in the setting tables",
            f"{kind_of(definition)} {name_of(definition)}",
        )
