"""Readings as every engine takes them: their columns, their label in messages, their queries."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa

from gigacast.errors import ConfigError
from gigacast.feature_store.definition.dialect import functions_in, query_sql
from gigacast.feature_store.definition.expression import columns_in, load_sqlglot, parse_query
from gigacast.feature_store.definition.sql_template import Engine
from gigacast.feature_store.engine.engine import END_OF_DAY, Reading


def needed_columns(reading: Reading, schema: pa.Schema) -> list[str] | None:
    """Return the columns of the table that a reading uses; none means all.

    Raises
    ------
    ConfigError
        If the table lacks one.
    """
    if reading.columns is None:
        return None
    texts = [*reading.columns.values(), *reading.times.values(), *reading.wheres]
    used = dict.fromkeys(name for text in texts if text for name in columns_in(text))
    has_days = reading.days is not None and reading.partition_column in schema.names
    if has_days or END_OF_DAY in reading.times.values():
        used[reading.partition_column] = None
    for name in used:
        if name not in schema.names:
            raise ConfigError(
                f"{label_of(reading)}: table {reading.table.name} has no column {name}",
                hint=f"it has {', '.join(schema.names[:12])}",
            )
    # A query of constants still needs the number of rows.
    return list(used) or schema.names[:1]


def label_of(reading: Reading) -> str:
    """Return the place, definition and table of a reading, for messages."""
    place = f"{reading.place}: " if str(reading.place) else ""
    return f"{place}{reading.label} on table {reading.table.name}"


@contextmanager
def labelled(label: str) -> Iterator[None]:
    """Raise errors of expressions with the place and definition before their message."""
    try:
        yield
    except ConfigError as error:
        if error.message.startswith(label):
            raise
        raise ConfigError(f"{label}: {error.message}", hint=error.hint) from error


def translate_query(
    text: str,
    names: Mapping[str, str],
    dialect: Engine = "duckdb",
    setups: Sequence[str] = (),
) -> str:
    """Return a query of Spark in the dialect of an engine, with other names of tables.

    Parameters
    ----------
    text : str
    names : mapping of str to str
        Names in the session by names in the query.
    dialect : str
        Dialect of the engine, as sqlglot names it.
    setups : sequence of str
        Statements that create functions of the query.
    """
    exp = load_sqlglot().exp
    tree = parse_query(text).copy()
    for table in list(tree.find_all(exp.Table)):
        name = ".".join(part.name for part in table.parts)
        if name in names:
            alias = table.alias or table.name
            table.replace(exp.alias_(exp.to_table(names[name]), alias, table=True))
    return query_sql(tree, dialect, functions_in(setups))
