"""The mutants of a module: every small change of its syntax tree that a test should notice.

A comparison, an operator, a negation, a constant or a returned value is changed. Left alone are
texts to people (raised errors, log lines, f-strings), annotations, decorators and assertions.
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
_SMALL = (ast.UnaryOp, ast.Slice, ast.Tuple, ast.keyword)
_SPEED = ("strict", "use_threads", "copy")
"""Keywords that state what holds anyway, or change the speed alone."""
_UNREAD = ("annotation", "returns", "decorator_list", "type_params", "bases")
"""Fields of nodes that are no code to run, or whose change every import notices."""


@dataclass(frozen=True)
class Mutant:
    """One change of a module.

    It is named by what it changes, without line numbers, so that the name holds while other lines
    come and go.

    Parameters
    ----------
    module : str
        Dotted name.
    function : str
        Qualified name of the function or class around it; empty at the level of the module.
    before, after : str
        The changed expression, or the head of its statement, in the spelling of ``ast.unparse``.
    nth : int
        Place among equal changes in the function, from 0.
    """

    module: str
    function: str
    before: str
    after: str
    nth: int = 0

    def describe(self) -> str:
        """Return the mutant as a line."""
        place = f"{self.module}:{self.function}" if self.function else self.module
        number = f" (#{self.nth + 1})" if self.nth else ""
        return f"{place}{number}: {self.before}  ->  {self.after}"


@dataclass(frozen=True)
class _Change:
    """A change that can be made and unmade: a value at a place of the tree.

    Parameters
    ----------
    shown : ast.AST
        Node whose text names the change.
    function : str
    read, write : callable
        Reads and writes the value.
    value : object
    """

    shown: ast.AST
    function: str
    read: Callable[[], object]
    write: Callable[[object], None]
    value: object


def mutants_of(source: str, module: str) -> list[Mutant]:
    """Return all mutants of a module, in the order of its text."""
    mutants: list[Mutant] = []
    counts: Counter[Mutant] = Counter()
    for change in _changes(ast.parse(source)):
        before, after = _texts(change)
        if before == after:
            continue
        first = Mutant(module, change.function, before, after)
        mutants.append(Mutant(module, change.function, before, after, counts[first]))
        counts[first] += 1
    return mutants


def mutated_tree(source: str, mutant: Mutant) -> ast.Module:
    """Return the syntax tree of a module with one mutant in it.

    Raises
    ------
    LookupError
        When the module has no such place.
    """
    tree, seen = ast.parse(source), 0
    for change in _changes(tree):
        if change.function != mutant.function or _texts(change) != (mutant.before, mutant.after):
            continue
        if seen == mutant.nth:
            change.write(change.value)
            return ast.fix_missing_locations(tree)
        seen += 1
    raise LookupError(f"{mutant.module} has no such place: {mutant.describe()}")


def _texts(change: _Change) -> tuple[str, str]:
    before, original = _text(change.shown), change.read()
    change.write(change.value)
    after = _text(change.shown)
    change.write(original)
    return before, after


def _text(node: ast.AST) -> str:
    """Return a node as code; of a statement with a body its head."""
    text = ast.unparse(ast.fix_missing_locations(node))
    # Decorators stand above the head of a function or class.
    lines = [line for line in text.splitlines() if not line.startswith("@")]
    return lines[0] if hasattr(node, "body") and not isinstance(node, ast.expr) else text


def _changes(tree: ast.Module) -> Iterator[_Change]:
    for node, parents, function in _walk(tree, (tree,), ""):
        yield from _operator_changes(node, function)
        yield from _value_changes(node, parents, function)


def _walk(
    node: ast.AST, parents: tuple[ast.AST, ...], function: str
) -> Iterator[tuple[ast.AST, tuple[ast.AST, ...], str]]:
    """Yield the nodes that count, each with its parents, the nearest last, and its function."""
    if _is_text_to_people(node):
        return
    yield node, parents, function
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}" if function else node.name
    for name, value in ast.iter_fields(node):
        if name in _UNREAD:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child, (*parents, node), function)


def _is_text_to_people(node: ast.AST) -> bool:
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.keyword) and node.arg in _SPEED:
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return isinstance(node.func.value, ast.Name) and node.func.value.id == "logger"
    # A union of types at the level of a module is an annotation by another name.
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.BinOp)
        and (isinstance(node.value.op, ast.BitOr))
    )


def _operator_changes(node: ast.AST, function: str) -> Iterator[_Change]:
    if isinstance(node, ast.Compare):
        for place, op in enumerate(node.ops):
            for other in _COMPARISONS[type(op)]:
                yield _item_change(node, node.ops, place, other(), function)
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OPERATORS:
        yield _field_change(node, node, "op", _OPERATORS[type(node.op)](), function)
    elif isinstance(node, ast.BoolOp):
        other_op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield _field_change(node, node, "op", other_op, function)
    elif isinstance(node, ast.Return) and not _is_none(node.value):
        yield _field_change(node, node, "value", ast.Constant(None), function)
    else:
        yield from _negations(node, function)


def _negations(node: ast.AST, function: str) -> Iterator[_Change]:
    # Comparisons and `not` have changes of their own that negate them.
    own = (ast.Compare, ast.UnaryOp)
    if isinstance(node, ast.If | ast.While | ast.IfExp) and not isinstance(node.test, own):
        yield _field_change(node, node, "test", ast.UnaryOp(ast.Not(), node.test), function)
    elif isinstance(node, ast.comprehension):
        for place, test in enumerate(node.ifs):
            if not isinstance(test, own):
                yield _item_change(node, node.ifs, place, ast.UnaryOp(ast.Not(), test), function)


def _value_changes(node: ast.AST, parents: tuple[ast.AST, ...], function: str) -> Iterator[_Change]:
    """Yield the changes that put another value in the place of a constant or of a sign."""
    parent = parents[-1]
    if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.UAdd):
        if not isinstance(node.operand, ast.Constant):
            yield from _replacement(node, node.operand, parent, function)
    elif isinstance(node, ast.Constant) and not _is_free_length(node, parents):
        value = _other_value(node.value, parent)
        if value is not None:
            # `[-1]` says more than `1`.
            shown = next(p for p in reversed(parents) if not isinstance(p, _SMALL))
            yield _field_change(shown, node, "value", value, function)


def _is_free_length(node: ast.Constant, parents: tuple[ast.AST, ...]) -> bool:
    """Check for the one of ``reshape(-1, n)``: every negative number is the length that is left."""
    sign, call = parents[-1], parents[-2] if len(parents) > 1 else parents[-1]
    return (
        isinstance(sign, ast.UnaryOp)
        and isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "reshape"
        and node.value == 1
    )


def _other_value(value: object, parent: ast.AST) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 2 if value else 1.0
    if isinstance(value, str) and isinstance(parent, ast.Compare):
        return f"{value}?"
    return None


def _replacement(
    node: ast.expr, value: ast.expr, parent: ast.AST, function: str
) -> Iterator[_Change]:
    for name, child in ast.iter_fields(parent):
        if child is node:
            yield _field_change(parent, parent, name, value, function)
        elif isinstance(child, list) and any(entry is node for entry in child):
            place = next(n for n, entry in enumerate(child) if entry is node)
            yield _item_change(parent, child, place, value, function)


def _field_change(
    shown: ast.AST, node: ast.AST, name: str, value: object, function: str
) -> _Change:
    def write(other: object) -> None:
        setattr(node, name, other)

    return _Change(shown, function, lambda: getattr(node, name), write, value)


def _item_change(
    shown: ast.AST,
    items: list[ast.cmpop] | list[ast.expr],
    place: int,
    value: object,
    function: str,
) -> _Change:
    def write(other: object) -> None:
        items[place] = other  # type: ignore[call-overload]

    return _Change(shown, function, lambda: items[place], write, value)


def _is_none(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)
