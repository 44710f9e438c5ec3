"""Results of the feature store for people and programs: documents, and values for JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from gigacast.core.problem import Source
from gigacast.core.record import decode_json
from gigacast.errors import ConfigError
from gigacast.feature_store.analyze import Analysis
from gigacast.feature_store.compile import Compilation, Compiled
from gigacast.feature_store.definition.json import semantic_digest
from gigacast.feature_store.definition.name import (
    SUFFIXES,
    Definition,
    columns_of,
    kind_of,
    name_of,
    table_name,
    table_names,
)
from gigacast.feature_store.definition.problem import Problem
from gigacast.feature_store.lineage import Lineage
from gigacast.feature_store.stored import StoredDefinition
from gigacast.report.document import (
    Column,
    Document,
    Heading,
    Items,
    KeyValues,
    Kind,
    Table,
    Tone,
    titled,
)

_SHOWN_KEYS = 30


def problems_document(problems: Sequence[object]) -> Document:
    """Return the reasons why definitions are refused."""
    lines = [
        f"{problem} ({problem.hint})" if isinstance(problem, Problem) and problem.hint
        else str(problem)
        for problem in problems
    ]  # fmt: skip
    return Document((Items.of(lines),), f"{len(lines)} problems", Tone.BAD)


def compilation_document(compilation: Compilation, *, lists_names: bool = False) -> Document:
    """Return what was compiled, with the names of features and tables if they are wanted."""
    columns = (Column("definition"), Column("kind"), Column("state"), Column("key", Kind.KEY, 1))
    rows = tuple(
        (name_of(entry.definition), kind_of(entry.definition), entry.state, entry.key)
        for entry in compilation.compiled
    )
    names = [
        block
        for entry in compilation.compiled
        if lists_names
        for block in _name_blocks(entry.definition)
    ]
    return Document((Table(columns, rows), *names))


def compilation_json(compilation: Compilation) -> dict[str, Any]:
    """Return what was compiled as plain values."""
    return {
        "compiled": [_compiled_json(entry) for entry in compilation.compiled],
        "warnings": [str(warning) for warning in compilation.warnings],
    }


def names_document(names: Iterable[tuple[str, str]]) -> Document:
    """Return the folders and names of compiled definitions."""
    rows = tuple((name, folder) for folder, name in names)
    if not rows:
        return Document((), "no compiled definitions")
    return Document((Table((Column("definition"), Column("folder")), rows),))


def definition_document(stored: StoredDefinition) -> Document:
    """Return a compiled definition with its features and tables."""
    definition: Definition = stored.definition
    facts = [
        ("kind", kind_of(definition)),
        ("digest", semantic_digest(definition)),
        ("online", "yes" if definition.online else "no"),
        ("file", definition_json(stored).get("file")),
        ("description", definition.description),
        ("deprecated from", definition.deprecation_date),
        ("key", stored.key),
    ]
    return Document((KeyValues.of(facts), *_name_blocks(definition)), name_of(definition))


def definition_json(stored: StoredDefinition) -> Any:
    """Return a compiled definition as plain values: the content of its object."""
    return decode_json(stored.content, Source(stored.key, ConfigError))


def analysis_document(analysis: Analysis) -> Document:
    """Return what the tables of a definition hold, and the cost of its backfill."""
    tables = Table(
        (
            Column("table"),
            Column("read by", priority=1),
            Column("days", Kind.COUNT),
            Column("first", Kind.DATE, 2),
            Column("last", Kind.DATE, 2),
            Column("rows", Kind.COUNT),
            Column("files", Kind.COUNT, 3),
            Column("size", Kind.SIZE, 1),
        ),
        tuple(
            (
                *(fact.table, fact.role, len(fact.days)),
                *((fact.days[0], fact.days[-1]) if fact.days else (None, None)),
                *(fact.rows, fact.files, fact.size_bytes),
            )
            for fact in analysis.tables
        ),
    )
    cost = analysis.cost
    facts = [
        ("days to write", f"{cost.days:,}"),
        ("rows to read", f"{cost.rows:,}, each day once"),
        ("CPU time", f"about {cost.cpu_s:.1f} s"),
    ]
    return Document(
        (
            *titled("Tables", tables),
            *titled("Columns", _column_table(analysis)),
            *titled("Hot keys", _key_table(analysis)),
            Heading("Backfill of all days"),
            KeyValues.of(facts),
        ),
        name_of(analysis.definition),
    )


def analysis_json(analysis: Analysis) -> dict[str, Any]:
    """Return an analysis as plain values."""
    return {
        "name": name_of(analysis.definition),
        "tables": [asdict(fact) for fact in analysis.tables],
        "hot_keys": [{**asdict(key), "key": list(key.key)} for key in analysis.hot_keys],
        "cost": asdict(analysis.cost),
    }


def lineage_document(definition: Definition, lineage: Lineage) -> Document:
    """Return the lineage of a definition's columns as a table."""
    columns = (
        Column("column"),
        Column("table"),
        Column("input"),
        Column("through", priority=1),
    )
    rows = tuple(
        (name, origin.table or "unknown", origin.column, " > ".join(origin.transforms))
        for name, origins in lineage.items()
        for origin in origins
    )
    constants = [name for name, origins in lineage.items() if not origins]
    facts = KeyValues.of([("without a table", ", ".join(constants))])
    return Document((Table(columns, rows), facts), name_of(definition))


def lineage_json(lineage: Lineage) -> dict[str, Any]:
    """Return lineage as plain values."""
    return {
        name: [
            {"table": o.table, "column": o.column, "transforms": list(o.transforms)}
            for o in origins
        ]
        for name, origins in lineage.items()
    }


def _compiled_json(entry: Compiled) -> dict[str, Any]:
    definition = entry.definition
    return {
        "name": name_of(definition),
        "kind": kind_of(definition),
        "state": entry.state,
        "changes": list(entry.changes),
        "key": entry.key,
        "digest": semantic_digest(definition),
        "columns": list(columns_of(definition)),
        "tables": list(table_names(definition)),
    }


def _name_blocks(definition: Definition) -> tuple[Heading | Items | KeyValues, ...]:
    """Return the names of a definition's features and tables."""
    features = columns_of(definition)
    contents = {table_name(definition, suffix): text for suffix, text in SUFFIXES.items()}
    tables = [(name, contents.get(name, "features")) for name in table_names(definition)]
    title = Heading(f"Tables of {name_of(definition)}")
    if not features:
        return (title, KeyValues.of(tables))
    features_title = Heading(f"Features of {name_of(definition)}")
    return (features_title, Items.of(features), title, KeyValues.of(tables))


def _column_table(analysis: Analysis) -> Table:
    columns_by_table = {fact.table: fact.columns for fact in analysis.tables}
    rows = tuple(
        (table, name, kind)
        for table, columns in columns_by_table.items()
        for name, kind in columns.items()
    )
    return Table((Column("table"), Column("column"), Column("type")), rows)


def _key_table(analysis: Analysis) -> Table:
    columns = (
        Column("table"),
        Column("read by", priority=1),
        Column("key"),
        Column("rows", Kind.COUNT),
        Column("share", Kind.PERCENT, digits=1),
    )
    rows = tuple(
        (key.table, key.role, ", ".join(key.key), key.rows, key.share) for key in analysis.hot_keys
    )
    return Table(columns, rows, limit=_SHOWN_KEYS, rest="in --json")
