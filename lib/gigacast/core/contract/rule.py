"""Rules between the columns of a row, written as ``high >= low`` or ``bid <= ask and ask > 0``.

The text is parsed by Python's own parser, and only comparisons, ``and``, ``or``, ``not``, ``+ - *
/``, numbers, text and column names are accepted; nothing is ever evaluated as code. As in SQL, a
rule is not broken by a missing value.
"""

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.column import may_hold_nan, null_of, to_scalar
from gigacast.errors import ConfigError

_COMPARE: Mapping[type, Callable[..., Any]] = {
    ast.Eq: pc.equal,
    ast.NotEq: pc.not_equal,
    ast.Lt: pc.less,
    ast.LtE: pc.less_equal,
    ast.Gt: pc.greater,
    ast.GtE: pc.greater_equal,
}
_ARITHMETIC: Mapping[type, Callable[..., Any]] = {
    ast.Add: pc.add,
    ast.Sub: pc.subtract,
    ast.Mult: pc.multiply,
    # As in Python, 1 / 2 is 0.5. Arrow would divide integers to an integer.
    ast.Div: lambda dividend, divisor: pc.divide(pc.cast(dividend, pa.float64()), divisor),
}
_QUOTED = re.compile(r"`([^`]+)`")
_HINT = "compare columns and numbers, as in `high >= low` or `bid <= ask and volume > 0`"


@dataclass(frozen=True)
class Rule:
    """A condition that every row must meet.

    Parameters
    ----------
    text : str
        Condition; column names that are no Python identifiers are put in backquotes.

    Raises
    ------
    ConfigError
        When the text is no rule.

    Examples
    --------
    >>> Rule("high >= low").holds(pa.table({"high": [2, 1], "low": [1, 2]})).to_pylist()
    [True, False]
    """

    text: str
    _tree: ast.expr = field(init=False, repr=False, compare=False)
    _names: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names: dict[str, str] = {}

        def stand_in(match: re.Match[str]) -> str:
            return names.setdefault(match[1], f"_quoted_{len(names)}")

        # Quoted column names may hold spaces and signs that Python's parser would refuse.
        plain = _QUOTED.sub(stand_in, self.text)
        try:
            tree = ast.parse(plain.strip(), mode="eval").body
            _check(tree, top=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(
                f"the rule {self.text!r} can't be read: {error}", hint=_HINT
            ) from error
        object.__setattr__(self, "_tree", tree)
        object.__setattr__(self, "_names", {stand: name for name, stand in names.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        return (Rule, (self.text,))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the rule compares."""
        names = (node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name))
        return tuple(dict.fromkeys(self._names.get(name, name) for name in names))

    def holds(self, rows: pa.RecordBatch | pa.Table) -> Any:
        """Return the mask of rows that keep the rule, boolean [N]; True where a value is missing.

        Raises
        ------
        ConfigError
            When the types of the columns cannot be compared.
        """
        try:
            mask = self._value(self._tree, rows)
        except pa.ArrowException as error:
            raise ConfigError(
                f"the rule {self.text!r} does not fit the columns: {error}"
            ) from error
        is_complete = isinstance(mask, pa.Array | pa.ChunkedArray) and not mask.null_count
        return mask if is_complete else pc.fill_null(mask, to_scalar(True))

    def as_order(self) -> tuple[str, str] | None:
        """Return (greater, lesser) of a rule that orders two columns; ``None`` for other rules."""
        node = self._tree
        if not isinstance(node, ast.Compare) or len(node.ops) > 1:
            return None
        first, second = node.left, node.comparators[0]
        if not isinstance(first, ast.Name) or not isinstance(second, ast.Name):
            return None
        first_name, second_name = (self._names.get(name.id, name.id) for name in (first, second))
        if isinstance(node.ops[0], ast.GtE):
            return first_name, second_name
        return (second_name, first_name) if isinstance(node.ops[0], ast.LtE) else None

    def _value(self, node: ast.expr, rows: pa.RecordBatch | pa.Table) -> Any:
        if isinstance(node, ast.Name):
            return _comparable(rows.column(self._names.get(node.id, node.id)))
        if isinstance(node, ast.Constant):
            return to_scalar(node.value)
        if isinstance(node, ast.UnaryOp):
            operand = self._value(node.operand, rows)
            return pc.invert(operand) if isinstance(node.op, ast.Not) else pc.negate(operand)
        if isinstance(node, ast.BinOp):
            operate = _ARITHMETIC[type(node.op)]
            return operate(self._value(node.left, rows), self._value(node.right, rows))
        parts = self._parts(node, rows)
        # Three-valued logic: a missing value decides nothing, so that it breaks `nullable` only.
        join = pc.or_kleene if isinstance(getattr(node, "op", None), ast.Or) else pc.and_kleene
        result = parts[0]
        for part in parts[1:]:
            result = join(result, part)
        return result

    def _parts(self, node: ast.expr, rows: pa.RecordBatch | pa.Table) -> list[Any]:
        if isinstance(node, ast.BoolOp):
            return [self._value(operand, rows) for operand in node.values]
        assert isinstance(node, ast.Compare)  # noqa: S101 - nothing else passes the check
        sides = [self._value(operand, rows) for operand in (node.left, *node.comparators)]
        return [
            _compare(type(operator), operand, following)
            for operator, operand, following in zip(node.ops, sides, sides[1:], strict=False)
        ]


def _comparable(column: Any) -> Any:
    kind = column.type
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


def _compare(operator: type, first: Any, second: Any) -> Any:
    """Compare two operands; comparisons with NaN are null, as those with a null are."""
    result = _COMPARE[operator](first, second)
    for side in (first, second):
        if not isinstance(side, pa.Scalar) and may_hold_nan(side):
            result = pc.if_else(pc.is_nan(side), null_of(pa.bool_()), result)
    return result


def _check(node: ast.expr, *, top: bool = False) -> None:  # noqa: C901 - a list of accepted nodes
    """Accept only the nodes listed here: comparisons at the top, values below them."""
    # A list of what is allowed, not of what is forbidden: rules come from files of others.
    if isinstance(node, ast.BoolOp) and top:
        for operand in node.values:
            _check(operand, top=True)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) and top:
        _check(node.operand, top=True)
    elif isinstance(node, ast.Compare) and top:
        if any(type(operator) not in _COMPARE for operator in node.ops):
            raise ValueError("an unknown operator")
        for operand in (node.left, *node.comparators):
            _check(operand)
    elif isinstance(node, ast.BinOp) and not top and type(node.op) in _ARITHMETIC:
        _check(node.left)
        _check(node.right)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not top:
        _check(node.operand)
    elif isinstance(node, ast.Constant) and not top and type(node.value) in {int, float, str}:
        return
    elif not (isinstance(node, ast.Name) and not top):
        raise ValueError(f"{type(node).__name__} is not allowed here")
