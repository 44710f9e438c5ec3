"""Flags of single commands are rows of the table as well: typed classes, read as one value."""

import ast
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner

import gigacast
from gigacast.cleaning.rules import CleanRules
from gigacast.cli.flags import flags_of, make_flag
from gigacast.cli.help import Command, Flag
from gigacast.core.contract.definition import Mode
from gigacast.feature_sets import build_features, compute_features
from gigacast.feature_sets.kernel.predefined import RECIPES
from gigacast.models.gate import Gate
from gigacast.quality.partition import Measures
from gigacast.settings import command as package
from gigacast.settings.command import backtest, data, models, quality, training
from gigacast.settings.command.common import ReasonOption
from gigacast.settings.command.texts import setting_for
from gigacast.settings.commands import CLASSES, TEXTS, TRAIN_KEYWORDS
from gigacast.settings.flag import flag, rows_of, take
from gigacast.settings.option import GROUPS, Option, Range
from gigacast.settings.options import ARGUMENTS
from gigacast.settings.signature import describe_option, with_options
from gigacast.trainers.finetuning.config import FinetuneOptions
from tests.support.commands import commands

ROOT = Path(__file__).parents[3]
LIBRARY = ROOT / "lib" / "gigacast"
ROWS = [(word, row) for word, options in CLASSES.items() for row in rows_of(options)]


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, kw_only=True)
class Paint:
    """Options of a command that paints."""

    colour: Colour = flag(Colour.RED, "Colour.")
    coats: int = flag(2, "Number of coats.", range_=Range(1, 3))
    share: float | None = flag(None, "Share of the wall.", range_=Range(0, above=True))
    walls: tuple[str, ...] = flag((), "Wall; may be repeated.", name="wall")
    finish: Literal["matt", "gloss"] = flag("matt", "Finish.")
    dry: bool = flag(False, "Let it dry.")
    cover: bool = flag(True, "Cover the floor.")
    bucket: Path = flag(..., "Bucket of paint.", kind="file")


@click.command(cls=Command)
@flags_of(Paint)
def paint(**flags: Any) -> None:
    click.echo(repr(take(Paint, flags)))
    assert flags == {}


def painted(*arguments: str) -> str:
    result = CliRunner().invoke(paint, ["--bucket", "b", *arguments])
    return result.output.strip()


def test_without_flags_a_command_gets_the_defaults_of_its_class() -> None:
    assert painted() == repr(Paint(bucket=Path("b")))


def test_flags_become_one_typed_value() -> None:
    arguments = "--colour blue --coats 3 --share 0.5 --wall n --wall s --finish gloss --dry"
    value = Paint(
        colour=Colour.BLUE,
        coats=3,
        share=0.5,
        walls=("n", "s"),
        finish="gloss",
        dry=True,
        cover=False,
        bucket=Path("b"),
    )
    assert painted(*arguments.split(), "--no_cover") == repr(value)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("--colour green", "--colour"),
        ("--coats 4", "--coats"),
        ("--coats 0", "--coats"),
        ("--coats 1.5", "--coats"),
        ("--share 0", "--share"),
        ("--finish rough", "--finish"),
        ("--no_dry", "--no_dry"),
    ],
)
def test_a_value_that_a_flag_does_not_take_is_refused_by_name(arguments: str, name: str) -> None:
    assert name in painted(*arguments.split())
    assert "Error" in painted(*arguments.split())


def test_a_flag_without_a_default_is_required() -> None:
    result = CliRunner().invoke(paint, [])
    assert result.exit_code == 2
    assert "--bucket" in result.output


def test_the_flags_of_other_classes_stay() -> None:
    flags = {"why": "better", "json": True}
    assert take(ReasonOption, flags) == ReasonOption(why="better")
    assert flags == {"json": True}


def test_flags_are_declared_by_the_table_alone() -> None:
    calls = []
    for path in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(
                ("click.option", "click.Option")
            ):
                calls.append(str(path.relative_to(LIBRARY)))
    assert calls == ["cli/flags.py"]


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_flag_of_a_command_has_the_help_of_its_row(name: str) -> None:
    of_classes = [row for _, row in ROWS]
    of_settings = [setting_for(command, option) for command in TEXTS for option in ARGUMENTS]
    for parameter in commands()[name].params:
        if isinstance(parameter, click.Argument):
            continue
        assert isinstance(parameter, Flag)
        assert parameter.row in of_classes or parameter.row in of_settings
        assert parameter.help == parameter.row.help_with_default
        assert parameter.default is None or repr(parameter.default) == "Sentinel.UNSET"


@pytest.mark.parametrize(("word", "row"), ROWS, ids=[f"{word}-{row.name}" for word, row in ROWS])
def test_every_row_says_what_it_means_in_a_sentence(word: str, row: Option) -> None:
    assert row.help.endswith(".")
    assert not row.details or row.details.endswith(".")
    assert row.group in GROUPS
    assert word not in {*GROUPS, *ARGUMENTS}


def test_every_class_of_options_is_in_the_table() -> None:
    classes = {
        thing
        for module in iter_modules(package.__path__)
        for thing in vars(import_module(f"{package.__name__}.{module.name}")).values()
        if inspect.isclass(thing) and thing.__module__.startswith(package.__name__)
    }
    bases = {base for options in CLASSES.values() for base in options.__mro__}
    assert classes - bases == set()


def test_the_guide_has_a_table_of_every_class_of_options() -> None:
    pages = (ROOT / "docs" / "guide").glob("*.md")
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    words = {word for mark in re.findall(r"<!-- options: (.*?) -->", text) for word in mark.split()}
    shown = {row for word in words & set(CLASSES) for row in rows_of(CLASSES[word])}
    assert {row for _, row in ROWS} - shown == set()
    assert {f"{command}-shared" for command in TEXTS} - words == set()


def test_a_setting_has_the_help_of_the_command_that_it_means_something_else_to() -> None:
    assert setting_for("plan", "overwrite").help == "Plan finished partitions again."
    assert setting_for("plan", "limit") == setting_for("", "limit") == ARGUMENTS["limit"]


def test_jobs_have_the_defaults_of_the_table() -> None:
    policies, limits = quality.CleanPolicies(), quality.OutlierLimits()
    for entry in fields(policies):
        assert getattr(CleanRules(), entry.name) == getattr(policies, entry.name)
    assert (Measures().iqr, Measures().zscore, Measures().forest) == (
        limits.iqr,
        limits.zscore,
        limits.forest,
    )
    assert Measures().mode is data.ContractOptions().mode is Mode.STRICT
    gate = backtest.GateOptions()
    assert Gate() == Gate(
        gate.sample_partitions, gate.sample_series, gate.windows, gate.segment, gate.tolerance
    )


def test_training_has_a_row_for_each_of_its_options() -> None:
    names = {row.keyword: row.default for row in TRAIN_KEYWORDS}
    for entry in fields(FinetuneOptions):
        assert entry.name in names
    own = FinetuneOptions()
    for row in rows_of(training.TrainingOptions):
        assert row.default == getattr(own, row.keyword, training.DEFAULT_HISTORY)


def test_the_recipes_that_help_names_are_those_of_the_package() -> None:
    assert tuple(RECIPES) == data.RECIPES


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (gigacast.backtest, backtest.BacktestOptions),
        (gigacast.ModelManager.promote_model, ReasonOption),
        (gigacast.ModelManager.diff_versions, models.DiffModelOptions),
        (gigacast.ModelManager.switch_model, models.SwitchOptions),
        (gigacast.ModelManager.delete_model, ReasonOption),
        (build_features, data.FeatureSetOptions),
    ],
)
def test_help_of_a_function_describes_its_keywords_as_the_command_line_does(
    function: Callable[..., Any], options: type[Any]
) -> None:
    parameters = inspect.signature(function).parameters
    text = inspect.getdoc(function) or ""
    for row in rows_of(options):
        assert parameters[row.keyword].default == row.default
        assert text.count(f"\n{row.keyword} : ") == 1
        assert describe_option(row) in text


def test_help_of_a_function_leaves_out_rows_that_are_no_parameter() -> None:
    text = inspect.getdoc(compute_features) or ""
    assert "\nbars_per_day : int, optional\n    Rows per day" in text
    assert "\nlike : " not in text


def test_descriptions_stand_in_the_order_of_the_signature() -> None:
    @with_options(own=rows_of(Paint))
    def paint_wall(walls: tuple[str, ...], wall: str, coats: int = 2, dry: bool = False) -> None:
        """Paint.

        Parameters
        ----------
        wall : str
            One of the walls.
        coats : int
            A description of its own.

        Returns
        -------
        None
        """

    text = inspect.getdoc(paint_wall) or ""
    assert re.findall(r"^(\w+) : ", text, flags=re.MULTILINE) == ["walls", "wall", "coats", "dry"]
    assert "A description of its own." in text
    assert "Number of coats." not in text
    assert text.endswith("Let it dry.\n\nReturns\n-------\nNone")


def test_a_range_is_shown_in_help() -> None:
    row = rows_of(Paint)[1]

    @click.command(cls=Command)
    @make_flag(row)
    def command(**flags: Any) -> None: ...

    output = CliRunner().invoke(command, ["--help"]).output
    assert "--coats N" in output
    assert "Number of coats. [default: 2]  [1<=x<=3]" in output
