"""Imports between modules: who imports whom, circles, and docstrings that recite imports."""

import ast
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from tools.source import Source

SENTENCE = re.compile(r"\b(?:may import|imports)\b(?P<rest>.*)", re.IGNORECASE)
# The list of packages ends where a condition or a reason begins; what comes then is optional.
LIST_END = re.compile(r"[;:(]|, (?:so|which|and never)\b|\b(?:so that|when|inside|through)\b")
WORD = re.compile(r"[A-Za-z_]\w*(?:\.\w+|-[A-Za-z]\w*)*(?:'s)?")
ALIASES = {"scikit-learn": "sklearn", "error tree": "errors", "standard library": "stdlib"}
# Words that join the names of packages. Any other word in the list makes it uncheckable.
JOINING = frozenset({"and", "only", "alone", "the", "its", "in", "beside", "values"})
OWN_WORDS = frozenset({"neighbour", "neighbours", "stdlib"})
NOTHING = re.compile(r"imports nothing(?: of ours| of the package)?[.,;:]", re.IGNORECASE)


@dataclass(frozen=True)
class Import:
    """One imported module, and whether only type checkers see the import."""

    target: str
    typing: bool = False


@dataclass(frozen=True)
class Claim:
    """A sentence of a module's docstring that says what the module imports.

    Parameters
    ----------
    module : str
    sentence : str
    verdict : {"true", "false", "unchecked"}
    """

    module: str
    sentence: str
    verdict: str


@cache
def list_imports(source: Source) -> Sequence[Import]:
    """Return the imports of a module, those inside functions included.

    ``from a import b`` is given as ``a.b``, as nothing here knows whether ``b`` is a module.
    """
    package = source.name if source.is_package else source.name.rpartition(".")[0]
    imports: list[Import] = []
    for node, typing in _import_statements(source.tree):
        if isinstance(node, ast.Import):
            imports += [Import(alias.name, typing) for alias in node.names]
            continue
        base = node.module or ""
        if node.level:
            parents = package.split(".")
            parents = parents[: len(parents) - node.level + 1]
            base = ".".join([*parents, base] if base else parents)
        imports += [Import(f"{base}.{alias.name}", typing) for alias in node.names]
    return imports


def _import_statements(
    tree: ast.AST, typing: bool = False
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Yield import statements, and whether ``if TYPE_CHECKING`` surrounds them."""
    if isinstance(tree, ast.Import | ast.ImportFrom):
        yield tree, typing
    elif isinstance(tree, ast.If) and ast.unparse(tree.test).endswith("TYPE_CHECKING"):
        for child in tree.body:
            yield from _import_statements(child, True)
        for child in tree.orelse:
            yield from _import_statements(child, typing)
    elif not isinstance(tree, ast.expr):
        for node in ast.iter_child_nodes(tree):
            yield from _import_statements(node, typing)


def make_graph(sources: Sequence[Source], *, typing: bool = True) -> dict[str, set[str]]:
    """Return the modules that each module imports, by name.

    A module's parent packages are no targets unless they are imported by name: Python runs their
    ``__init__`` first, but that is true of every module and would make a circle of each package.

    Parameters
    ----------
    sources : sequence of Source
    typing : bool
        Whether imports for type checkers only count as well.
    """
    names = {source.name for source in sources}
    graph: dict[str, set[str]] = {}
    for source in sources:
        targets = {
            nearest
            for imported in list_imports(source)
            if (typing or not imported.typing) and (nearest := _nearest(imported.target, names))
        }
        graph[source.name] = targets - {source.name}
    return graph


def _nearest(target: str, names: Collection[str]) -> str:
    """Return the module that a dotted name is or lies in, and "" for foreign names."""
    while target and target not in names:
        target = target.rpartition(".")[0]
    return target


def find_circles(graph: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or not; largest first."""
    reach = {name: _reachable(graph, name) for name in graph}
    circles: list[list[str]] = []
    grouped: set[str] = set()
    for name in sorted(graph):
        if name in grouped or name not in reach[name]:
            continue
        circle = [member for member in sorted(reach[name]) if name in reach[member]]
        grouped.update(circle)
        circles.append(circle)
    return sorted(circles, key=len, reverse=True)


def _reachable(graph: Mapping[str, Collection[str]], start: str) -> set[str]:
    reached: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(graph[name])
    return reached


def docstring_sentences(source: Source) -> list[str]:
    """Return the sentences of a module's docstring, without its examples."""
    text = ast.get_docstring(source.tree) or ""
    prose = re.split(r"^(?:Examples\n-+|>>>)", text, flags=re.MULTILINE)[0]
    return re.split(r"(?<=[.!?])\s+", " ".join(prose.split()))


def find_claims(sources: Sequence[Source]) -> list[Claim]:
    """Return every sentence that says what a module imports, with whether it is true.

    A sentence is checked when it is only a list of packages, as "Imports ``core`` and numpy." It is
    true of a module that imports each of them and nothing else. Packages are the parts of the top
    package and foreign libraries. The standard library, the module's own package and the errors may
    always be left out. The ``__init__`` of a package speaks for all its modules, and only of parts
    of the top package.
    """
    claims: list[Claim] = []
    top = sources[0].name.partition(".")[0] if sources else ""
    used = {source.name: _packages_used(source, top) for source in sources}
    parts = {_part(source.name, top) for source in sources}
    packages = parts.union(*used.values())
    for source in sources:
        for sentence in docstring_sentences(source):
            if SENTENCE.search(sentence):
                own, actual = _part(source.name, top), used[source.name]
                beside = {name.rpartition(".")[2]: own for name in used if _part(name, top) == own}
                words = beside | {name: name for name in packages}
                if source.is_package:
                    inside = [name for name in used if name.startswith(f"{source.name}.")]
                    actual = actual.union(*(used[name] for name in inside))
                    actual = {name for name in actual if name in parts or name in sentence}
                verdict = judge_claim(sentence, actual, words, own)
                claims.append(Claim(source.name, sentence, verdict))
    return claims


def judge_claim(
    sentence: str, actual: Collection[str], vocabulary: Mapping[str, str], own: str
) -> str:
    """Return "true", "false" or "unchecked" of a sentence that says what is imported.

    Parameters
    ----------
    sentence : str
    actual : collection of str
        Packages that the module imports.
    vocabulary : mapping of str to str
        The package that each word names: packages, and modules beside this one.
    own : str
        Package of the module.
    """
    if NOTHING.search(sentence):
        return "false" if actual else "true"
    match = SENTENCE.search(sentence)
    text = match["rest"].lower() if match else ""
    for alias, name in ALIASES.items():
        text = text.replace(alias, name)
    end = LIST_END.search(text)
    required, optional = (text[: end.start()], text[end.start() :]) if end else (text, "")
    words = {_package_named(word, vocabulary) for word in WORD.findall(required)}
    named = {vocabulary[word] for word in words if word in vocabulary}
    if not (named or words & OWN_WORDS) or words - set(vocabulary) - JOINING - OWN_WORDS:
        return "unchecked"
    unnamed = set(actual) - named - {own, "errors"} - set(WORD.findall(optional))
    missing = named - set(actual) - {own}
    # "Alone imports" and "Importing this imports" promise the named packages, and "May import" that
    # there are no others; a plain list promises both.
    if re.search(r"\b(?:alone imports|importing)\b", sentence, re.IGNORECASE):
        unnamed = set()
    elif "may import" in sentence.lower():
        missing = set()
    return "false" if unnamed or missing else "true"


def _package_named(word: str, vocabulary: Collection[str]) -> str:
    """Return ``core`` of ``core's``, of ``core.task`` and of ``gigacast.core.task``."""
    parts = word.removesuffix("'s").split(".")
    return parts[1] if len(parts) > 1 and parts[0] not in vocabulary else parts[0]


def _packages_used(source: Source, top: str) -> set[str]:
    used = set()
    for imported in list_imports(source):
        first = imported.target.partition(".")[0]
        if first == top:
            used.add(_part(imported.target, top))
        elif first not in sys.stdlib_module_names:
            used.add(first)
    return used - {""}


def _part(name: str, top: str) -> str:
    """Return the part of the top package that a module lies in."""
    return name.removeprefix(f"{top}.").partition(".")[0] if name != top else ""
