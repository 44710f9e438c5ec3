"""Source files as syntax trees, and the sizes and kinds of their lines."""

import ast
import io
import math
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = ast.ClassDef | Function
DOORS = {"__init__", "__main__"}
PRAGMA = re.compile(r"#\s*(noqa|type:|pragma:|fmt:|ruff:|pyright:|!/)")


@dataclass(frozen=True)
class Source:
    """One module.

    Parameters
    ----------
    name : str
        Dotted name, as in an import; a package's name for its ``__init__.py``.
    path : str
        Path from the folder that holds the top package, with slashes.
    text : str
        Content of the file.
    """

    name: str
    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Syntax tree of the text."""
        return ast.parse(self.text)

    @property
    def lines(self) -> int:
        """Number of lines."""
        return len(self.text.splitlines())

    @property
    def is_package(self) -> bool:
        """True for ``__init__.py``."""
        return self.path.endswith("__init__.py")

    @property
    def is_door(self) -> bool:
        """True for ``__init__.py`` and ``__main__.py``, which are small on purpose."""
        return Path(self.path).stem in DOORS


def read_sources(folder: Path, package: str) -> list[Source]:
    """Return the modules of a package below a folder, sorted by path."""
    paths = sorted((folder / package).rglob("*.py"))
    return [make_source(path.relative_to(folder), path.read_text("utf-8")) for path in paths]


def make_source(path: Path | str, text: str) -> Source:
    """Return a module from its path below the top package's folder and its text."""
    parts = list(Path(path).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return Source(".".join(parts), Path(path).as_posix(), text)


def median(values: Sequence[int]) -> int:
    """Return the lower median; 0 without values."""
    return percentile(values, 50)


def percentile(values: Sequence[int], percent: int) -> int:
    """Return the smallest value that at least this share of the values do not exceed."""
    if not values:
        return 0
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def walk_definitions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Definition, ast.AST]]:
    """Yield dotted name, class or function, and the syntax node that directly contains it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Definition):
            yield f"{prefix}{node.name}", node, tree
            yield from walk_definitions(node, f"{prefix}{node.name}.")
        elif not isinstance(node, ast.expr):
            # Definitions inside an `if` or a `with` belong to what surrounds the statement.
            yield from ((name, inner, tree) for name, inner, _ in walk_definitions(node, prefix))


def measure_functions(tree: ast.Module) -> dict[str, int]:
    """Return the lines of each function's body by dotted name, without the docstring.

    A name that is defined again (overloads, setters) counts with its longest body.
    """
    sizes: dict[str, int] = {}
    for name, node, _ in walk_definitions(tree):
        if isinstance(node, Function):
            sizes[name] = max(sizes.get(name, 0), count_body_lines(node))
    return sizes


def count_body_lines(function: Function) -> int:
    """Return the lines from the first statement behind the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def count_line_kinds(text: str) -> Counter[str]:
    """Return the number of lines of each kind: code, docstring, comment and blank.

    A comment line holds nothing but a comment that is no pragma for a tool; a comment behind code
    counts as code there, and once more as ``trailing``.
    """
    prose = docstring_lines(ast.parse(text))
    comments: dict[int, bool] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not PRAGMA.match(token.string):
            comments[token.start[0]] = not token.line[: token.start[1]].strip()
    kinds = Counter(dict.fromkeys(("code", "docstring", "comment", "trailing", "blank"), 0))
    for number, line in enumerate(text.splitlines(), 1):
        if number in prose:
            kinds["docstring"] += 1
        elif not line.strip():
            kinds["blank"] += 1
        elif comments.get(number):
            kinds["comment"] += 1
        else:
            kinds["code"] += 1
            kinds["trailing"] += number in comments
    return kinds


def docstring_lines(tree: ast.Module) -> set[int]:
    """Return the numbers of lines that belong to docstrings, those of attributes included."""
    numbers: set[int] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            numbers.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return numbers


def count_widths(paths: Sequence[str]) -> dict[str, int]:
    """Return the number of modules in each folder, ``__init__.py`` included, widest first."""
    return dict(Counter(Path(path).parent.as_posix() for path in paths).most_common())


def find_undocumented(tree: ast.Module) -> list[str]:
    """Return the public functions and methods without a docstring.

    Inner functions, overloads and everything inside a private class are not public.
    """
    names: list[str] = []
    for name, node, parent in walk_definitions(tree):
        if not isinstance(node, Function) or isinstance(parent, Function):
            continue
        if any(part.startswith("_") for part in name.split(".")):
            continue
        decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
        if not decorators & {"overload", "typing.overload"} and not ast.get_docstring(node):
            names.append(name)
    return names
