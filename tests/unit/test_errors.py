"""The error tree: whole, drawn as it is, and able to cross process borders."""

import pickle
import re

import pytest

from gigacast import errors
from gigacast.errors import GigacastError


def all_errors(root: type[GigacastError] = GigacastError) -> list[type[GigacastError]]:
    """Return an error class and those below it, but for those of other tests."""
    children = [kind for kind in root.__subclasses__() if not kind.__module__.startswith("tests.")]
    return [root, *(kind for child in children for kind in all_errors(child))]


def test_the_docstring_draws_the_tree_as_it_is() -> None:
    drawn = re.findall(r"^\s+[│├└─ ]*(\w+Error)\b", errors.__doc__ or "", flags=re.MULTILINE)
    assert sorted(drawn) == sorted({kind.__name__ for kind in all_errors()})


@pytest.mark.parametrize("kind", all_errors())
def test_an_error_crosses_process_borders_whole(kind: type[GigacastError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what and where", hint="what to do")))
    assert type(error) is kind
    assert (error.message, error.hint) == ("what and where", "what to do")
    assert str(error) == "what and where (what to do)"
