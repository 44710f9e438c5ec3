"""SQL expressions as Python functions of a row: for single rows no SQL engine is quick enough.

The tree of an expression becomes nested functions; nothing of its text is run. Only operators and
functions whose result is that of the engines for every value are taken, the others are refused by
name.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gigacast.errors import ConfigError
from gigacast.feature_store.definition.expression import DIALECT, parse_expression
from gigacast.feature_store.definition.number_kind import (
    NumberKind,
    fit_to,
    kind_of_tree,
    mark_kinds,
    round_single,
)
from gigacast.feature_store.definition.sql_order import at_most, both, equal, less

if TYPE_CHECKING:
    from sqlglot import exp

Row = Mapping[str, Any]
Function = Callable[[Row], Any]


def make_function(text: str, kinds: Mapping[str, NumberKind] | None = None) -> Function:
    """Return the function of a SQL expression; it takes values by column.

    Parameters
    ----------
    text : str
    kinds : mapping of str to str, optional
        Kinds of the columns with numbers, see `number_kind`: what does not fit its kind is null.
        Whole numbers of other columns have 64 bits.

    Raises
    ------
    ConfigError
        If an operator or function of it cannot be computed here; the message names it.
    """
    tree = parse_expression(text).copy()
    mark_kinds(tree, kinds or {})
    return _compile(tree)


def kind_of(text: str, kinds: Mapping[str, NumberKind]) -> NumberKind | None:
    """Return the kind of an expression's numbers; None for what is no number or not known."""
    return mark_kinds(parse_expression(text).copy(), kinds)


def find_refused(text: str) -> str | None:
    """Return the operator or function because of which an expression cannot be served, if any."""
    try:
        make_function(text)
    except ConfigError as error:
        return error.message
    return None


def _compile(tree: "exp.Expression") -> Function:
    name = type(tree).__name__
    make = _MAKERS.get(name)
    if make is None:
        called = tree.name if name == "Anonymous" else name
        raise ConfigError(
            f"{_shown(tree)}: {called.upper()} cannot be computed for single rows",
            hint=f"select it in a staging query; served are {', '.join(sorted(_MAKERS))}",
        )
    return make(tree)


def _shown(tree: "exp.Expression") -> str:
    return repr(tree.sql(dialect=DIALECT)[:80])


def _column(tree: Any) -> Function:
    parts = [part.name for part in tree.parts]
    name, fields = parts[0], parts[1:]
    if not fields:
        return lambda row: row[name]

    def field(row: Row) -> Any:
        value = row[name]
        for part in fields:
            value = None if value is None else value.get(part)
        return value

    return field


def _literal(tree: Any) -> Function:
    if tree.is_string:
        value: Any = tree.this
    else:
        value = int(tree.this) if tree.this.isdecimal() else float(tree.this)
    return lambda row: value


def _binary(function: Callable[[Any, Any], Any]) -> Callable[[Any], Function]:
    def make(tree: Any) -> Function:
        first, second = _compile(tree.this), _compile(tree.expression)

        def compute(row: Row) -> Any:
            mine = first(row)
            if mine is None:
                return None
            theirs = second(row)
            return None if theirs is None else function(mine, theirs)

        return compute

    return make


def _unary(function: Callable[[Any], Any]) -> Callable[[Any], Function]:
    def make(tree: Any) -> Function:
        inner = _compile(tree.this)
        return lambda row: None if (value := inner(row)) is None else function(value)

    return make


def _fitted(make: Callable[[Any], Function]) -> Callable[[Any], Function]:
    """Return a maker of functions whose numbers fit the kind of their tree, or are null."""

    def make_fitted(tree: Any) -> Function:
        compute, fit = make(tree), fit_to(kind_of_tree(tree))
        return lambda row: None if (value := compute(row)) is None else fit(value)

    return make_fitted


def _divide(first: Any, second: Any) -> Any:
    # Spark divides integers as fractions, and by zero to null.
    return float(first) / float(second) if second else None


def _remainder(first: Any, second: Any) -> Any:
    if not second:
        return None
    if isinstance(first, float) or isinstance(second, float):
        try:
            return math.fmod(first, second)
        except ValueError:
            return math.nan  # of infinity
    # The sign is that of the first side in SQL, and of the second side in Python.
    size = abs(first) % abs(second)
    return size if first >= 0 else -size


def _and(tree: Any) -> Function:
    first, second = _compile(tree.this), _compile(tree.expression)
    return lambda row: both(first(row), second(row))


def _or(tree: Any) -> Function:
    first, second = _compile(tree.this), _compile(tree.expression)

    def compute(row: Row) -> Any:
        values = (first(row), second(row))
        if True in values:
            return True
        return None if None in values else False

    return compute


def _is(tree: Any) -> Function:
    inner, expected = _compile(tree.this), _compile(tree.expression)
    return lambda row: inner(row) is expected(row)


def _case(tree: Any) -> Function:
    subject = _compile(tree.this) if tree.this else None
    branches = [(_compile(b.this), _compile(b.args["true"])) for b in tree.args["ifs"]]
    default = _compile(tree.args["default"]) if tree.args.get("default") else lambda row: None

    def compute(row: Row) -> Any:
        value = True if subject is None else subject(row)
        for condition, result in branches:
            option = condition(row)
            if value is not None and option is not None and equal(option, value):
                return result(row)
        return default(row)

    return compute


def _if(tree: Any) -> Function:
    condition, then = _compile(tree.this), _compile(tree.args["true"])
    default = _compile(tree.args["false"]) if tree.args.get("false") else lambda row: None
    return lambda row: then(row) if condition(row) else default(row)


def _coalesce(tree: Any) -> Function:
    inner = [_compile(entry) for entry in (tree.this, *tree.expressions)]
    return lambda row: next((v for part in inner if (v := part(row)) is not None), None)


def _null_if(tree: Any) -> Function:
    first, second = _compile(tree.this), _compile(tree.expression)

    def compute(row: Row) -> Any:
        value, other = first(row), second(row)
        is_null = value is None or (other is not None and equal(value, other))
        return None if is_null else value

    return compute


def _concat(tree: Any) -> Function:
    inner = [_compile(entry) for entry in tree.expressions]

    def compute(row: Row) -> Any:
        values = [part(row) for part in inner]
        return None if None in values else "".join(map(_as_text, values))

    return compute


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value)
    raise TypeError(f"the text of {value!r} depends on the engine")


def _null_safe(tree: Any) -> Function:
    first, second = _compile(tree.this), _compile(tree.expression)

    def compute(row: Row) -> Any:
        values = (first(row), second(row))
        return values[0] is values[1] if None in values else equal(*values)

    return compute


def _in(tree: Any) -> Function:
    inner, options = _compile(tree.this), [_compile(entry) for entry in tree.expressions]

    def compute(row: Row) -> Any:
        value, values = inner(row), [option(row) for option in options]
        if value is None:
            return None
        if any(other is not None and equal(value, other) for other in values):
            return True
        return None if None in values else False

    return compute


def _between(tree: Any) -> Function:
    inner, low, high = (
        _compile(entry) for entry in (tree.this, tree.args["low"], tree.args["high"])
    )

    def compute(row: Row) -> Any:
        value, least, greatest = inner(row), low(row), high(row)
        if value is None:
            return None
        over = None if least is None else at_most(least, value)
        return both(over, None if greatest is None else at_most(value, greatest))

    return compute


def _cast(tree: Any) -> Function:
    kind = tree.args["to"].this.name
    convert = _CASTS.get(kind)
    if convert is None:
        raise ConfigError(
            f"{_shown(tree)}: CAST to {kind} cannot be computed for single rows",
            hint=f"served are casts to {', '.join(sorted(_CASTS))}",
        )
    inner = _compile(tree.this)

    def compute(row: Row) -> Any:
        value = inner(row)
        try:
            return None if value is None else convert(value)
        except (ValueError, OverflowError):
            return None  # as Spark does, and DuckDB's TRY_CAST

    return compute


def _whole(bits: int) -> Callable[[Any], int | None]:
    """Return the cast to a whole number, which cuts off; None for what does not fit."""

    def convert(value: Any) -> int | None:
        if isinstance(value, str) and not _WHOLE_TEXT.fullmatch(value):
            return None
        number = int(value)
        return number if -(1 << bits - 1) <= number < 1 << bits - 1 else None

    return convert


def _truth(value: Any) -> bool | None:
    if not isinstance(value, str):
        return bool(value)
    text = value.strip(_SPACES).lower()
    if text in {"t", "true", "y", "yes", "1"}:
        return True
    return False if text in {"f", "false", "n", "no", "0"} else None


def _fraction(value: Any) -> float | None:
    if not isinstance(value, str):
        return float(value)
    text = value.strip(_SPACES)
    number = text.rstrip("dDfF") if _NUMBER_TEXT.fullmatch(text) else text
    return float(number) if _NUMBER_TEXT.fullmatch(text) or _NOT_FINITE.fullmatch(text) else None


def _single(value: Any) -> float | None:
    number = _fraction(value)
    return None if number is None else round_single(number)


_SPACES = "\t\n\x0b\f\r "
_WHOLE_TEXT = re.compile(r"[\x00-\x20]*[+-]?[0-9]+[\x00-\x20]*")
_NUMBER_TEXT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[dDfF]?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_CASTS: Mapping[str, Callable[[Any], Any]] = {
    "TINYINT": _whole(8),
    "SMALLINT": _whole(16),
    "INT": _whole(32),
    "BIGINT": _whole(64),
    "DOUBLE": _fraction,
    "FLOAT": _single,
    "TEXT": _as_text,
    "VARCHAR": _as_text,
    "BOOLEAN": _truth,
}
_MAKERS: Mapping[str, Callable[[Any], Function]] = {
    "Column": _column,
    "Literal": _literal,
    "Null": lambda tree: lambda row: None,
    "Boolean": lambda tree: lambda row: bool(tree.this),
    "Paren": lambda tree: _compile(tree.this),
    "Add": _fitted(_binary(operator.add)),
    "Sub": _fitted(_binary(operator.sub)),
    "Mul": _fitted(_binary(operator.mul)),
    "Div": _binary(_divide),
    "Mod": _fitted(_binary(_remainder)),
    "Neg": _fitted(_unary(operator.neg)),
    "EQ": _binary(equal),
    "NEQ": _binary(lambda first, second: not equal(first, second)),
    "LT": _binary(less),
    "LTE": _binary(at_most),
    "GT": _binary(lambda first, second: less(second, first)),
    "GTE": _binary(lambda first, second: at_most(second, first)),
    "NullSafeEQ": _null_safe,
    "And": _and,
    "Or": _or,
    "Not": _unary(operator.not_),
    "Is": _is,
    "In": _in,
    "Between": _between,
    "Case": _fitted(_case),
    "If": _fitted(_if),
    "Coalesce": _fitted(_coalesce),
    "Nullif": _null_if,
    "Concat": _concat,
    "Cast": _cast,
    "TryCast": _cast,
    "DPipe": _binary(lambda first, second: _as_text(first) + _as_text(second)),
    "Abs": _fitted(_unary(abs)),
    "Lower": _unary(lambda text: text.replace("\u03a3", "\u03c3").lower()),
    "Upper": _unary(str.upper),
}
