"""Templates of SQL: how a node of a tree is written for an engine in other words."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal

from gigacast.feature_store.definition.expression import DIALECT, load_sqlglot

Engine = Literal["duckdb", "spark"]
"""Dialect of an engine."""
Rule = Callable[[Any, Engine], Any]
"""Function that returns a node of a tree as an engine needs it; its parts are written already."""


def fill(template: str, engine: Engine, arguments: Mapping[str, Any]) -> Any:
    """Return the tree of SQL with places such as ``:this``, and arguments at the places."""
    tree = _template(template, engine).copy()
    exp = load_sqlglot().exp
    for place in list(tree.find_all(exp.Placeholder)):
        value = arguments[place.name].copy()
        if isinstance(value, exp.Binary | exp.Unary) and not isinstance(value, exp.Paren):
            value = exp.Paren(this=value)
        if place is tree:
            return value
        place.replace(value)
    return tree


@cache
def _template(text: str, engine: Engine) -> Any:
    return load_sqlglot().parse_one(text, read=engine)


def by(duckdb: str, spark: str) -> Rule:
    """Return the rule that writes a node by a template for each engine; ``:this`` is its part."""

    def write(node: Any, engine: Engine) -> Any:
        return fill(duckdb if engine == "duckdb" else spark, engine, arguments_of(node))

    return write


def in_duckdb(duckdb: str) -> Rule:
    """Return the rule that writes a node in other words for DuckDB only."""

    def write(node: Any, engine: Engine) -> Any:
        return fill(duckdb, engine, arguments_of(node)) if engine == "duckdb" else node

    return write


def arguments_of(node: Any) -> dict[str, Any]:
    """Return the parts of a node by name."""
    exp = load_sqlglot().exp
    values = {name: value for name, value in node.args.items() if isinstance(value, exp.Expression)}
    for name, value in values.items():
        # The library writes for itself that a text may stand for a day.
        if isinstance(value, exp.TsOrDsToDate | exp.TimeStrToTime):
            values[name] = value.this
    return values


def shown(node: Any) -> str:
    """Return the SQL of a node for messages, at most 80 characters."""
    text = " ".join(node.sql(dialect=DIALECT).split())
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
