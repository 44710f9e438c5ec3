"""Counts with their nouns."""

import pytest

from gigacast.core.plural import counted


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1204, "1,204 files")],
)
def test_only_a_single_one_has_the_singular(number: int, expected: str) -> None:
    assert counted(number, "file") == expected


def test_an_irregular_noun_has_its_own_plural() -> None:
    assert [counted(n, "child", "children") for n in (1, 3)] == ["1 child", "3 children"]
