"""SQL of definitions as each engine runs it, so that all give the same values.

Definitions are in the dialect of Spark. A library translates its spelling, but engines differ in
values, too: in casts, overflows, divisions by zero, and ends of texts. So an operator or function
is taken only if it is one of those with the same values in both engines, or of those that are
written in other words for one of them (`sql_rule`). All others are refused by name.
"""

import re
from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING, Any

from gigacast.core.problem import did_you_mean
from gigacast.errors import ConfigError
from gigacast.feature_store.definition.expression import (
    load_sqlglot,
    parse_expression,
    parse_query,
)
from gigacast.feature_store.definition.sql_aggregate import aggregated_rules
from gigacast.feature_store.definition.sql_rule import CALLS, rules
from gigacast.feature_store.definition.sql_template import Engine, fill, shown

if TYPE_CHECKING:
    from sqlglot import exp


def _words(text: str) -> list[str]:
    return text.split()


SAME = frozenset(
    _words(
        """
    Dot Paren EQ NEQ LT LTE GT GTE NullSafeEQ NullSafeNEQ And Or Not Is In Between Escape
    BitwiseAnd BitwiseOr BitwiseXor BitwiseNot Case Coalesce Nullif Nvl2 Greatest Least ConcatWs
    Reverse Repeat Replace Translate Pad SplitPart StartsWith EndsWith Contains MD5 SHA SHA2
    Sqrt TimeStrToTime Array ArrayMax ArrayMin ArraySort ArraySlice ArrayFilter Transform Struct
    MapKeys Map Count Min Max CountIf LogicalAnd LogicalOr RowNumber Rank DenseRank Lag Lead
    Ntile FirstValue LastValue Filter Distinct Explode Unnest Inline Posexplode Alias Exists
    Kwarg PropertyEQ
    """
    )
)
"""Operators and functions that engines compute alike, by the names of their trees."""
_CHANGING = frozenset(
    _words(
        """
    Rand Randn Uuid CurrentDate CurrentTime CurrentTimestamp CurrentUser
    MonotonicallyIncreasingId TsOrDsToTimestamp
    """
    )
) | {"now", "rand", "random", "shuffle", "localtimestamp", "input_file_name", "spark_partition_id"}


def translate(text: str, functions: Collection[str] = ()) -> str:
    """Return a SQL expression in the dialect of DuckDB.

    Parameters
    ----------
    text : str
    functions : collection of str
        Names of functions that setups create.

    Raises
    ------
    ConfigError
        If it is no expression, or has a function that engines do not compute alike.
    """
    return _written(parse_expression(text), "duckdb", functions)


def spark_sql(text: str, functions: Collection[str] = ()) -> str:
    """Return a SQL expression as Spark runs it; parameters and errors as of `translate`."""
    return _written(parse_expression(text), "spark", functions)


def query_sql(tree: "exp.Expression", engine: Engine, functions: Collection[str] = ()) -> str:
    """Return a query, as `parse_query` reads it, for an engine; errors as of `translate`."""
    return _written(tree, engine, functions)


def check_sql(text: str, functions: Collection[str] = (), *, is_query: bool = False) -> None:
    """Refuse SQL with functions that engines do not compute alike; errors as of `translate`."""
    tree = parse_query(text) if is_query else parse_expression(text)
    for engine in ("duckdb", "spark"):
        _written(tree, engine, functions)


def functions_in(setups: Collection[str] | None) -> tuple[str, ...]:
    """Return the names of the functions that setups create, in lower case."""
    names = (_SETUP_NAME.search(statement) for statement in setups or ())
    return tuple(match[1].lower() for match in names if match)


_SETUP_NAME = re.compile(
    r"^\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:TEMP(?:ORARY)?\s+)?(?:FUNCTION|MACRO)\s+"
    r"(?:IF\s+NOT\s+EXISTS\s+)?[`\"]?(\w+)",
    re.IGNORECASE,
)


def _written(tree: "exp.Expression", engine: Engine, functions: Collection[str]) -> str:
    exp = load_sqlglot().exp
    root = exp.Tuple(expressions=[tree.copy()])
    # A parent comes before its children, so that here all below a node is written already.
    for node in reversed(list(root.bfs())):
        if node is root:
            continue
        replacement = _rewritten(node, engine, functions)
        if replacement is not node:
            node.replace(replacement)
    written: str = root.expressions[0].sql(dialect=engine)
    return written


def _rewritten(node: Any, engine: Engine, functions: Collection[str]) -> Any:
    exp = load_sqlglot().exp
    name = type(node).__name__
    if name == "Anonymous":
        return _called(node, engine, functions)
    rule = rules().get(name)
    if engine == "duckdb" and name in aggregated_rules() and node.find(exp.AggFunc, exp.Window):
        rule = aggregated_rules()[name]
    if rule is not None:
        return rule(node, engine)
    kinds = (exp.Func, exp.Binary, exp.Unary, exp.Predicate, exp.AtTimeZone, exp.FromTimeZone)
    if isinstance(node, kinds) and name not in SAME:
        raise _refusal(node, node.sql_name() if isinstance(node, exp.Func) else name.upper())
    return node


def _called(node: Any, engine: Engine, functions: Collection[str]) -> Any:
    """Return a call of a function that the library of dialects does not know."""
    name = node.name.lower()
    if name in functions:
        return node
    template = CALLS.get(name)
    if template is None:
        raise _refusal(node, node.name)
    arguments = {f"a{n}": argument for n, argument in enumerate(node.expressions)}
    count = len(set(re.findall(r":a\d", template[0])))
    if count != len(arguments):
        raise ConfigError(f"{shown(node)}: {node.name} takes {count} arguments")
    return fill(template[engine == "spark"], engine, arguments)


def _refusal(node: Any, name: str) -> ConfigError:
    if name.lower() in {"java_method", "reflect", "try_reflect"}:
        return ConfigError(
            f"{shown(node)}: {name} calls Java, which no definition may",
            hint="create a function in setups",
        )
    if type(node).__name__ in _CHANGING or name.lower() in _CHANGING:
        return ConfigError(
            f"{shown(node)}: {name.upper()} has another value in each run",
            hint="use a column of the table, or the macros of a staging query",
        )
    if type(node).__name__ == "Anonymous":
        return ConfigError(
            f"{shown(node)}: there is no function {name.upper()}",
            hint=did_you_mean(name.lower(), function_names()) or "create it in setups",
        )
    return ConfigError(
        f"{shown(node)}: {name.upper()} differs between the engines, so it is not computed",
        hint="the guide lists the functions of expressions; or create one in setups",
    )


@cache
def function_names() -> tuple[str, ...]:
    """Return the names of the functions that expressions may call, in lower case and sorted."""
    exp = load_sqlglot().exp
    names = {*CALLS}
    for name in {*SAME, *rules()}:
        kind = getattr(exp, name, None)
        if kind is not None and issubclass(kind, exp.Func) and name not in {"And", "Or"}:
            names |= {spelling.lower() for spelling in kind.sql_names()}
    return tuple(sorted(names | set(_SPELLED)))


_SPELLED = _words(
    """
    date_add date_sub datediff date_trunc trunc to_date to_timestamp date_format from_unixtime
    unix_timestamp size element_at substr length char_length instr locate rlike split ltrim
    rtrim nvl ifnull if array sort_array transform lpad rpad concat collect
    """
)[:-1]
