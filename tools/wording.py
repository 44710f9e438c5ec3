"""Local names that leave open which thing they hold."""

import ast
from collections import Counter
from collections.abc import Iterator

from tools.source import Function

# Participles, pronouns and adverbs: a noun would say what was found, known or wanted.
# fmt: off
VAGUE_NAMES = frozenset(
    {
        "found", "one", "known", "where", "given", "wanted", "told", "asked", "lies",
        "said", "seen", "meant", "what", "which", "whole", "other", "others", "rest",
        "kept", "left", "done", "held", "taken", "made", "most", "there", "here", "how",
    }
)
# fmt: on


def count_local_names(tree: ast.Module) -> Counter[str]:
    """Return how often each name is a parameter or is assigned within a function.

    Loop and comprehension variables are assignments; ``self`` and ``cls`` are not counted.
    """
    counts: Counter[str] = Counter()
    for function in _outer_functions(tree):
        for node in ast.walk(function):
            if isinstance(node, ast.arg) and node.arg not in {"self", "cls"}:
                counts[node.arg] += 1
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                counts[node.id] += 1
    return counts


def _outer_functions(tree: ast.AST) -> Iterator[Function]:
    """Yield functions and methods, but not what is defined inside of them."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function):
            yield node
        else:
            yield from _outer_functions(node)
