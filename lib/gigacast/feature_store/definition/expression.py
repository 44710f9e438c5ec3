"""SQL as users write it: its columns, tables and faults. The dialect is Spark's."""

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from gigacast.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from sqlglot import exp

DIALECT = "spark"
"""Dialect in which users write SQL."""
_MACRO = re.compile(r"\{\{[^{}]*\}\}")


def parse_expression(text: str) -> "exp.Expression":
    """Return the tree of a SQL expression.

    Raises
    ------
    ConfigError
        If it is no expression; the message has the position.
    """
    tree = _parse(f"SELECT {text} AS value")
    projections: list[exp.Expression] = tree.args.get("expressions") or []
    if len(projections) != 1 or set(_parts(tree)) != {"expressions"}:
        raise ConfigError(f"{_shown(text)}: expected one SQL expression")
    value: exp.Expression = projections[0].this
    if value.find(load_sqlglot().exp.Query):
        # It would read tables that no definition names, or files of the machine that computes.
        raise ConfigError(f"{_shown(text)}: a query is in the expression")
    return value


def parse_query(text: str) -> "exp.Expression":
    """Return the tree of a SQL query; macros in it count as texts.

    Raises
    ------
    ConfigError
        If it is no query; the message has the position.
    """
    tree = _parse(plain_sql(text))
    if not _is_query(tree):
        raise ConfigError(f"{_shown(text)}: expected a query", hint="write SELECT ... FROM ...")
    return tree


def plain_sql(text: str) -> str:
    """Return SQL with a word in place of each macro, so that it can be parsed."""
    return _MACRO.sub("macro", text)


def columns_in(text: str) -> tuple[str, ...]:
    """Return the names of the columns in a SQL expression, each once.

    A field of a structure counts as its column: ``address`` for ``address.city``.
    """
    columns = parse_expression(text).find_all(load_sqlglot().exp.Column)
    return tuple(dict.fromkeys(column.parts[0].name for column in columns))


def tables_in(text: str) -> tuple[str, ...]:
    """Return the names of the tables that a SQL query reads, each once and sorted."""
    tree = parse_query(text)
    exp = load_sqlglot().exp
    inner = {cte.alias for cte in tree.find_all(exp.CTE)}
    tables = {".".join(part.name for part in table.parts) for table in tree.find_all(exp.Table)}
    return tuple(sorted(tables - inner))


@cache
def load_sqlglot() -> Any:
    """Return the library that reads SQL.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import sqlglot  # noqa: PLC0415 - an extra; definitions without SQL need none
        import sqlglot.errors  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            "the feature store reads SQL by sqlglot, which is not installed",
            hint="pip install 'gigacast[store]'",
        ) from error
    return sqlglot


@cache  # a definition is checked, shown and traced, each of which parses its expressions
def _parse(text: str) -> "exp.Expression":
    glot = load_sqlglot()
    try:
        trees = glot.parse(text, read=DIALECT)
    except glot.errors.SqlglotError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{_shown(text)}: {_without_marks(reason)}") from error
    if len(trees) != 1 or trees[0] is None:
        raise ConfigError(f"{_shown(text)}: expected one statement")
    tree: exp.Expression = trees[0]
    return tree


def _is_query(tree: "exp.Expression") -> bool:
    return isinstance(tree, load_sqlglot().exp.Query)


def _parts(tree: "exp.Expression") -> list[str]:
    return [name for name, value in tree.args.items() if value]


def _shown(text: str) -> str:
    text = text.removeprefix("SELECT ").removesuffix(" AS value")
    line = " ".join(text.split())
    return repr(line if len(line) <= 80 else f"{line[:77]}...")


def _without_marks(text: str) -> str:
    # sqlglot underlines the fault by the codes of terminals.
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip(" .")
