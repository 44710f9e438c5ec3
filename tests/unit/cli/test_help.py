"""Help shows the flags of each group under its heading, readable on a terminal of 80 columns."""

import re

import click
import pytest
from click.testing import CliRunner

from gigacast.cli.program import program
from gigacast.settings.option import GROUPS
from tests.support.commands import commands

LEAVES = sorted(
    name for name, command in commands().items() if not isinstance(command, click.Group)
)
TITLES = list(GROUPS.values())


def help_of(name: str, width: int = 80) -> str:
    """Return the help of a command on a terminal of a width."""
    result = CliRunner().invoke(program, [*name.split(), "--help"], env={"COLUMNS": str(width)})
    assert result.exit_code == 0
    return result.output


def headings_of(text: str) -> list[str]:
    return [line[:-1] for line in text.splitlines() if re.fullmatch(r"\S.*:", line)]


def section_of(text: str, title: str) -> str:
    return text.split(f"\n{title}:\n")[1].split("\n\n", maxsplit=1)[0]


@pytest.mark.parametrize("name", LEAVES)
def test_flags_stand_under_the_headings_of_their_groups(name: str) -> None:
    text = help_of(name)
    headings = headings_of(text)
    assert headings == [title for title in TITLES if title in headings]
    for parameter in commands()[name].params:
        if isinstance(parameter, click.Argument):
            continue
        flag = rf"^  (?:-\w, )?{re.escape(parameter.opts[0])}\b"
        assert len(re.findall(flag, text, flags=re.MULTILINE)) == 1
        assert re.search(flag, section_of(text, GROUPS[parameter.row.group]), flags=re.MULTILINE)


@pytest.mark.parametrize("name", LEAVES)
def test_help_fits_a_terminal_of_80_columns(name: str) -> None:
    text = help_of(name)
    options = text[text.index(f"\n{headings_of(text)[0]}:\n") :]
    assert max(map(len, options.splitlines())) <= 80
    assert "None" not in options
    words = {word for line in options.splitlines() for word in line.split()}
    for parameter in commands()[name].params:
        assert set(getattr(parameter, "opts", ())) <= {w.rstrip(",") for w in words} | {
            parameter.name
        }


def test_the_headings_of_a_long_help_are_those_of_the_table() -> None:
    assert headings_of(help_of("backtest")) == [
        "Where to read and write",
        "Which partitions",
        "Backtest",
        "How to forecast",
        "Columns of the input",
        "Form of CSV files",
        "Covariates and joint targets",
        "Resources",
        "Amount of work",
        "Array jobs on AWS Batch",
        "Output",
        "Settings file and help",
    ]


def test_the_own_flags_of_a_command_are_not_among_those_of_settings() -> None:
    section = section_of(help_of("models switch"), "Condition of the switch")
    assert re.findall(r"^  --(\w+)", section, flags=re.MULTILINE) == [
        "if_better",
        "sample_partitions",
        "sample_series",
        "windows",
        "segment",
        "tolerance",
    ]
