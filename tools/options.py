"""Settings, and the places of the source where each one is declared."""

import ast
import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tools.source import Function, Source

MODELS = ("settings.model", "settings")
GENERATED = "do not edit"
"""Mark in the docstring of modules that a tool writes."""
TABLE_ROWS = ("option", "argument", "flag", "row")


def find_options(sources: Sequence[Source]) -> list[str]:
    """Return the names of all settings, sorted; a name in two sections counts once.

    The fields are read from the source of the class ``Settings`` and its sections. A model that
    makes its fields while it runs is imported instead.
    """
    top = sources[0].name.partition(".")[0] if sources else ""
    by_name = {source.name: source for source in sources}
    for module in (f"{top}.{suffix}" for suffix in MODELS):
        if module not in by_name:
            continue
        classes = _classes_seen(by_name[module], by_name)
        if "Settings" not in classes:
            continue
        names = set(_field_names(classes["Settings"], classes))
        return sorted(names or _imported_fields(importlib.import_module(module).Settings))
    return []


def _classes_seen(source: Source, by_name: Mapping[str, Source]) -> dict[str, ast.ClassDef]:
    """Return the classes that a module defines or imports from another module of the package."""
    classes: dict[str, ast.ClassDef] = {}
    for node in source.tree.body:
        if isinstance(node, ast.ImportFrom) and (origin := by_name.get(node.module or "")):
            classes |= _own_classes(origin)
    return classes | _own_classes(source)


def _own_classes(source: Source) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in source.tree.body if isinstance(node, ast.ClassDef)}


def _field_names(section: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> Iterator[str]:
    """Yield the fields of a class; a field whose type is a class stands for that class' fields."""
    for node in section.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        kind = node.annotation.id if isinstance(node.annotation, ast.Name) else ""
        if kind in classes:
            yield from _field_names(classes[kind], classes)
        elif "ClassVar" not in ast.unparse(node.annotation):
            yield node.target.id


def _imported_fields(model: Any) -> set[str]:
    """Return the fields of a pydantic model, those of its sections instead of the sections."""
    names: set[str] = set()
    for name, field in model.model_fields.items():
        inner = hasattr(field.annotation, "model_fields")
        names |= _imported_fields(field.annotation) if inner else {name}
    return names


def find_places(
    sources: Sequence[Source], options: Iterable[str]
) -> dict[str, dict[str, list[int]]]:
    """Return for each option the line numbers where it is declared, by file.

    Files that are written by a tool are no place: nobody edits them. Only the name counts, so that
    an option called ``prefix`` has all its namesakes counted with it. See `declared_names` for what
    a declaration is.
    """
    places: dict[str, dict[str, list[int]]] = {name: {} for name in sorted(options)}
    for source in sources:
        if GENERATED in (ast.get_docstring(source.tree) or ""):
            continue
        lines = {(name, line) for name, line in declared_names(source.tree) if name in places}
        for name, line in sorted(lines, key=lambda pair: pair[1]):
            places[name].setdefault(source.path, []).append(line)
    return places


def declared_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the name and the line of everything that would be edited to add an option.

    That is: an annotated field of a class, a parameter with a default, a string key of a
    dictionary, a string in a list at the top of a module, a flag such as ``"--name"``, the first
    argument of a call such as ``Option("name", ...)``, and a value handed on under its own name, as
    in ``name=job.name``.
    """
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            yield from _listed_names(statement.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from _annotated_names(node)
        elif isinstance(node, Function):
            yield from _default_names(node.args)
        elif isinstance(node, ast.Dict):
            yield from _strings(key for key in node.keys if key is not None)
        elif isinstance(node, ast.Call):
            yield from _call_names(node)


def _listed_names(value: ast.expr) -> Iterator[tuple[str, int]]:
    for node in ast.walk(value):
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            yield from _strings(node.elts)


def _annotated_names(section: ast.ClassDef) -> Iterator[tuple[str, int]]:
    for node in section.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.lineno


def _default_names(arguments: ast.arguments) -> Iterator[tuple[str, int]]:
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :]
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    with_default += [argument for argument, default in pairs if default is not None]
    yield from ((argument.arg, argument.lineno) for argument in with_default)


def _call_names(call: ast.Call) -> Iterator[tuple[str, int]]:
    for name, line in _strings(call.args):
        if name.startswith("--"):
            yield name.partition("/")[0].lstrip("-").replace("-", "_"), line
    if call.args and ast.unparse(call.func).lower().endswith(TABLE_ROWS):
        yield from _strings(call.args[:1])
    for keyword in call.keywords:
        if isinstance(keyword.value, ast.Attribute) and keyword.value.attr == keyword.arg:
            yield keyword.arg, keyword.value.lineno


def _strings(nodes: Iterable[ast.expr]) -> Iterator[tuple[str, int]]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, node.lineno
