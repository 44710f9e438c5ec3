"""The measuring behind ``make house``, on sources made by hand."""

import ast
import json
from pathlib import Path
from textwrap import dedent

import pytest

from tools import house
from tools.imports import Claim, find_circles, find_claims, make_graph
from tools.options import find_options, find_places
from tools.source import (
    Source,
    count_line_kinds,
    count_widths,
    find_undocumented,
    make_source,
    measure_functions,
    percentile,
)
from tools.wording import count_local_names

FUNCTIONS = '''
class Reader:
    def read(self, rows):
        """Return rows.

        Two more lines of docstring.
        """
        def inner(one):
            return one

        found = [inner(row) for row in rows]
        return found

    @property
    def width(self): return 1

    def _private(self): ...


async def load(): pass
'''


def sources(**texts: str) -> list[Source]:
    """Modules of a package `top`; two underscores in a name stand for a slash."""
    return [
        make_source(f"top/{name.replace('__', '/', 1)}.py", dedent(text))
        for name, text in texts.items()
    ]


def test_function_bodies_are_counted_without_their_docstring() -> None:
    sizes = measure_functions(ast.parse(FUNCTIONS))
    assert sizes == {
        "Reader.read": 5,
        "Reader.read.inner": 1,
        "Reader.width": 1,
        "Reader._private": 1,
        "load": 1,
    }


def test_every_line_is_of_one_kind() -> None:
    kinds = count_line_kinds(
        dedent(
            '''\
            """Docstring

            of three lines."""
            # A reason.
            import os  # noqa: F401
            # type: ignore

            LIMIT = 3  # of a kind
            """What the limit is."""
            TEXT = """
            # no comment
            """
            '''
        )
    )
    assert kinds == {"docstring": 4, "comment": 1, "blank": 1, "code": 6, "trailing": 1}


def test_public_functions_without_docstring_are_found() -> None:
    assert find_undocumented(ast.parse(FUNCTIONS)) == ["Reader.width", "load"]


@pytest.mark.parametrize(("percent", "expected"), [(50, 2), (90, 4), (100, 4), (0, 1)])
def test_percentiles_are_values_that_occur(percent: int, expected: int) -> None:
    assert percentile([4, 1, 3, 2], percent) == expected


def test_percentile_of_nothing() -> None:
    assert percentile([], 50) == 0


def test_widths_count_modules_of_a_folder_but_not_below_it() -> None:
    assert count_widths(["a/__init__.py", "a/b.py", "a/c/d.py"]) == {"a": 2, "a/c": 1}


def test_local_names_are_parameters_and_assignments_within_functions() -> None:
    assert count_local_names(ast.parse(f"LIMIT = 3\n{FUNCTIONS}")) == {
        "rows": 1,
        "one": 1,
        "found": 1,
        "row": 1,
    }


def test_imports_inside_functions_close_a_circle() -> None:
    modules = sources(
        a="from top import b",
        b="def f():\n    from top.c import thing",
        c="import top.a",
        d="from top.a import thing",
    )
    assert find_circles(make_graph(modules)) == [["top.a", "top.b", "top.c"]]


def test_imports_for_type_checkers_can_be_left_out() -> None:
    modules = sources(
        a="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from top.b import B\n",
        b="from top.a import A",
    )
    assert find_circles(make_graph(modules)) == [["top.a", "top.b"]]
    assert find_circles(make_graph(modules, typing=False)) == []


def test_relative_imports_are_resolved_in_packages_and_modules() -> None:
    modules = sources(part____init__="from .first import x", part__first="from . import second")
    modules += sources(part__second="from ..other import y", other="")
    assert make_graph(modules) == {
        "top.part": {"top.part.first"},
        "top.part.first": {"top.part.second"},
        "top.part.second": {"top.other"},
        "top.other": set(),
    }


def test_a_package_that_imports_its_modules_is_no_circle_by_itself() -> None:
    modules = sources(part____init__="from top.part.first import x", part__first="")
    assert find_circles(make_graph(modules)) == []


@pytest.mark.parametrize(
    ("sentence", "verdict"),
    [
        ("Imports ``core`` and numpy.", "true"),
        ("Imports ``core``, ``errors``, numpy.", "true"),
        ("Imports numpy.", "false"),
        ("Imports ``core``, numpy and click.", "false"),
        ("May import click, numpy and ``core``.", "true"),
        ("May import numpy.", "false"),
        ("Alone imports numpy.", "true"),
        ("Alone imports click.", "false"),
        ("Pure; imports numpy, `top.core` and its neighbours.", "true"),
        ("Imports ``core``; numpy when it counts.", "true"),
        ("Imports nothing.", "false"),
        ("Imports all below.", "unchecked"),
    ],
)
def test_sentences_about_imports_are_compared_with_the_imports(sentence: str, verdict: str) -> None:
    text = f'"""Title. {sentence}"""\nimport os, numpy\nfrom top.core.a import x\n'
    text += "from top.errors import E\nfrom top.part.beside import y"
    modules = sources(part__module=text, core__a="", errors="", cli="import click")
    modules += sources(part__beside='"""No names are imported here. >>> import x"""')
    assert find_claims(modules) == [Claim("top.part.module", sentence, verdict)]


def test_an_import_of_a_package_counts_for_its_modules() -> None:
    modules = sources(
        part____init__='"""Title. Imports ``core`` only."""',
        part__first="import numpy\nfrom top.core import x",
        part__second="from top.other import y",
        core="",
        other="",
    )
    assert [claim.verdict for claim in find_claims(modules)] == ["false"]
    assert [claim.verdict for claim in find_claims(modules[:2] + modules[3:])] == ["true"]


SECTION = "class Section:\n    config = 1\n    level: int = 3\n    width: int | None = None\n"
ROOT = "class Settings:\n    run: Section = Section()\n    name: str = ''\n"


@pytest.mark.parametrize(
    "modules",
    [
        sources(settings=SECTION + ROOT),
        sources(settings__model=SECTION + ROOT, settings____init__="from .model import Settings"),
        sources(
            settings__model="from top.settings.part import Section\n" + ROOT,
            settings__part=SECTION,
        ),
    ],
)
def test_settings_are_found_where_they_are(modules: list[Source]) -> None:
    assert find_options(modules) == ["level", "name", "width"]


def test_without_settings_there_are_no_options() -> None:
    assert find_options(sources(other="")) == []


@pytest.mark.parametrize(
    "text",
    [
        "class A:\n    level: int",
        "def f(x, level=3): ...",
        "def f(*, level=3): ...",
        'TABLE = {"level": 3}',
        'NAMES = {"a", "level"}',
        'option = click.option("--level/--no-level", "level")',
        'ROWS = Option("level", int)',
        "f(level=job.level)",
    ],
)
def test_declarations_are_counted(text: str) -> None:
    assert find_places(sources(a=text), ["level"]) == {
        "level": {"top/a.py": [text.count("\n") + 1]}
    }


@pytest.mark.parametrize(
    "text", ["def f(level): ...", "f(level=3)", "level = 3", 'print("level")', "f(level=job.depth)"]
)
def test_uses_are_not_declarations(text: str) -> None:
    assert find_places(sources(a=text), ["level"]) == {"level": {}}


def test_generated_modules_are_not_counted_as_places() -> None:
    text = '''
    """Types of keywords. Written by a tool: do not edit."""
    class Options:
        level: int
    '''
    assert find_places(sources(a=text), ["level"]) == {"level": {}}


def make_checkout(folder: Path) -> Path:
    (folder / "lib" / "gigacast").mkdir(parents=True)
    (folder / "tests").mkdir()
    (folder / "lib" / "gigacast" / "a.py").write_text("from gigacast import b\n" * 401)
    (folder / "lib" / "gigacast" / "b.py").write_text("from gigacast import a\n")
    (folder / "tests" / "test_a.py").write_text("")
    return folder


def test_the_report_is_printed_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout = ["--root", str(make_checkout(tmp_path))]
    house.main(checkout)
    report = capsys.readouterr().out
    assert "gigacast/a.py 401" in report
    assert "gigacast.a <-> gigacast.b" in report
    assert max(map(len, report.splitlines())) <= 100

    house.main([*checkout, "--json"])
    before = tmp_path / "before.json"
    before.write_text(capsys.readouterr().out)
    assert json.loads(before.read_text())["modules"]["lines"] == 402

    (tmp_path / "lib" / "gigacast" / "b.py").write_text("# nothing\n")
    house.main([*checkout, "--compare", str(before)])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "modules in them 2 -> 0 *" in lines
    assert "lines 402 -> 402" in lines


def test_a_figure_that_one_report_lacks_is_shown_as_a_dash() -> None:
    text = house.format_comparison({"a": {"x": 1}}, {"a": {"y": 0.5}})
    assert [line.split() for line in text.splitlines()[1:]] == [
        ["x", "1", "->", "-", "*"],
        ["y", "-", "->", "0.50", "*"],
    ]
