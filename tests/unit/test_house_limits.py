"""Limits that the layout of the code keeps; ``make house`` shows all figures."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.house import measure_names
from tools.imports import find_circles, find_claims, make_graph
from tools.source import Source, count_widths, read_sources

ROOT = Path(__file__).parents[2]
LIMITS = {
    "modules of a folder": 25,
    "lines of a module": 400,
    "circles of imports": 0,
    "docstrings about imports": 0,
    "vague local names, %": 0.5,
}


@pytest.fixture(scope="module", autouse=True)
def _no_collections() -> Iterator[None]:
    """Syntax trees are millions of objects and no garbage: to look for some doubles the time."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="module")
def package() -> list[Source]:
    return read_sources(ROOT / "lib", "gigacast")


@pytest.fixture(scope="module")
def tests() -> list[Source]:
    return read_sources(ROOT, "tests")


def test_no_folder_is_too_wide(package: list[Source], tests: list[Source]) -> None:
    widths = count_widths([source.path for source in [*package, *tests]])
    limit = LIMITS["modules of a folder"]
    assert {folder: width for folder, width in widths.items() if width > limit} == {}


def test_no_module_is_too_long(package: list[Source]) -> None:
    limit = LIMITS["lines of a module"]
    assert {source.path: source.lines for source in package if source.lines > limit} == {}


def test_no_modules_import_each_other(package: list[Source]) -> None:
    circles = find_circles(make_graph(package))
    assert len(circles) <= LIMITS["circles of imports"], circles


def test_no_module_docstring_says_what_it_imports(package: list[Source]) -> None:
    claims = [f"{claim.module}: {claim.sentence}" for claim in find_claims(package)]
    assert len(claims) <= LIMITS["docstrings about imports"], "\n".join(claims)


def test_few_local_names_are_vague(package: list[Source], tests: list[Source]) -> None:
    figures = measure_names(package, tests)
    shares = {name: share for name, share in figures.items() if name.endswith("share, %")}
    assert len(shares) == 2
    assert max(shares.values()) <= LIMITS["vague local names, %"], figures
