"""Each option is declared once: flags, keywords, variables and tables are made from one table."""

import inspect
import os
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel

import gigacast
from gigacast.cli.flags import make_flag
from gigacast.errors import ConfigError
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.forecast_job import ForecastJob
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.commands import TRAIN_KEYWORDS
from gigacast.settings.keywords import Options
from gigacast.settings.load import load_settings
from gigacast.settings.model import Settings
from gigacast.settings.option import GROUPS, Option
from gigacast.settings.options import (
    ARGUMENTS,
    KEYWORDS,
    OPTIONS,
    names_of,
    nest_arguments,
    options_of,
)
from gigacast.settings.signature import describe_option, with_options
from gigacast.training.keywords import TrainOptions
from tools import option_tables

ROOT = Path(__file__).parents[3]
VALUES: dict[str, Any] = {
    "switch": True,
    "integer": 3,
    "number": 2.5,
    "text": "2014",
    "names": "a,b",
    "numbers": "0.2,0.8",
    "size": "2GB",
    "jobs": 3,
}
JOB_VALUES = {
    "bucket": "file:///y",
    "months": "3",
    "freq": "D",
    "csv_separator": ";",
    "csv_decimal": ",",
    "csv_thousands": ".",
    "csv_quote": "none",
    "csv_encoding": "cp1252",
    "zone": "Europe/Berlin",
    "output_table": "delta:///made",
}
COMPANIONS = {
    "aggregate": {"freq": "W"},
    "zone": {"freq": "W", "aggregate": "sum"},
    "output_table_mode": {"output_table": "delta:///made"},
}
TEXTS = {"device": "cuda:1", "stack": "other", "cpu_instance": "c7i.large"}


def value_for(option: Option) -> Any:
    """A value that differs from the option's default."""
    if option.kind == "choice":
        return option.choices[-1]
    return TEXTS.get(option.path[-1], VALUES[option.kind])


def flags_of(option: Option) -> click.Option:
    """The flag of an option, as a command has it."""

    @click.command()
    @make_flag(option)
    def command() -> None: ...

    flag = command.params[0]
    assert isinstance(flag, click.Option)
    return flag


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.setting)
def test_every_setting_is_described_by_a_sentence(option: Option) -> None:
    assert option.help.endswith(".")
    assert not option.group or option.group in GROUPS


@pytest.mark.parametrize("option", ARGUMENTS.values(), ids=lambda option: option.name)
def test_an_option_is_set_by_keyword_and_by_variable_alike(
    option: Option, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = value_for(option)
    # Intervals are another form of the quantiles, which they set.
    option_set = ARGUMENTS["quantiles"] if option.name == "level" else option
    by_keyword = option_set.read(load_settings(nest_arguments({option.name: value})))
    assert by_keyword != option_set.default
    monkeypatch.setenv(option.variable, str(value))
    assert option_set.read(load_settings()) == by_keyword


@pytest.mark.parametrize("option", ARGUMENTS.values(), ids=lambda option: option.name)
def test_a_flag_has_the_names_choices_and_help_of_its_option(option: Option) -> None:
    flag = flags_of(option)
    assert flag.opts == [f"--{name}" for name in (option.name, *option.aliases)]
    assert flag.default is None or repr(flag.default) == "Sentinel.UNSET"
    assert (flag.help or "").startswith(option.help)
    if option.choices:
        assert isinstance(flag.type, click.Choice)
        assert flag.type.choices == option.choices


@pytest.mark.parametrize("option", ARGUMENTS.values(), ids=lambda option: option.name)
def test_every_option_reaches_the_job(option: Option) -> None:
    base = {"bucket": "file:///x", "n_partitions": 2, **COMPANIONS.get(option.name, {})}

    def jobs(**arguments: Any) -> tuple[ForecastJob, ArrayOptions]:
        settings = load_settings(nest_arguments({**base, **arguments}))
        return job_of(settings), array_options_of(settings)

    assert jobs(**{option.name: JOB_VALUES.get(option.name, value_for(option))}) != jobs()


def test_names_of_flags_and_settings_are_unique() -> None:
    names = [name for option in ARGUMENTS.values() for name in (option.name, *option.aliases)]
    assert len(names) == len(set(names))
    assert len(OPTIONS) == len({option.setting for option in OPTIONS})
    assert set(ARGUMENTS) == {name for group in GROUPS for name in names_of(group)}


def test_a_setting_that_is_declared_otherwise_is_refused() -> None:
    class Careless(BaseModel):
        depth: int = 3

    with pytest.raises(TypeError, match="depth"):
        list(options_of(Careless))


def test_an_unknown_keyword_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="horizn: no such argument") as caught:
        nest_arguments({"horizn": 3})
    assert "horizon" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("keywords", "options"), [(Options, KEYWORDS), (TrainOptions, TRAIN_KEYWORDS)]
)
def test_type_checkers_know_the_keywords_of_the_table(
    keywords: Any, options: tuple[Option, ...]
) -> None:
    assert list(keywords.__annotations__) == [option.name for option in options]


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (gigacast.forecast, KEYWORDS),
        (gigacast.plan, KEYWORDS),
        (gigacast.backtest, KEYWORDS),
        (gigacast.evaluate, KEYWORDS),
        (gigacast.ModelManager.promote_model, KEYWORDS),
        (gigacast.ModelManager.diff_versions, KEYWORDS),
        (gigacast.finetune, TRAIN_KEYWORDS),
        (gigacast.ChronosTrainer.train, TRAIN_KEYWORDS),
    ],
)
def test_help_shows_every_keyword_with_its_meaning(
    function: Any, options: tuple[Option, ...]
) -> None:
    text = inspect.getdoc(function) or ""
    parameters = inspect.signature(function).parameters
    for option in options:
        assert parameters[option.name].kind is inspect.Parameter.KEYWORD_ONLY
        assert describe_option(option) in text


def test_the_docstring_shows_choices_and_defaults() -> None:
    text = inspect.getdoc(gigacast.forecast) or ""
    assert 'layout : {"long", "wide"}, default \'long\'\n    Rows per step' in text
    assert "non_negative : bool, default False" in text
    assert "horizon : int, optional" in text


def test_a_parameter_of_the_function_keeps_its_own_description() -> None:
    @with_options()
    def count(limit: int = 3, **options: Any) -> int:
        """Count.

        Parameters
        ----------
        limit : int
            Highest number.
        **options
            The rest.

        Returns
        -------
        int
        """
        return limit

    assert inspect.signature(count).parameters["limit"].default == 3
    text = inspect.getdoc(count) or ""
    assert text.count("\nlimit : ") == 1
    assert text.index("\nprefix : ") < text.index("\nReturns")
    assert count(4, horizon=2) == 4


def test_a_docstring_without_an_entry_for_options_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\*\*options"):

        @with_options()
        def count(**options: Any) -> None:
            """Count."""


def test_generated_texts_are_up_to_date() -> None:
    stale = option_tables.find_stale(option_tables.write_texts(ROOT))
    assert stale == [], "run `python -m tools.option_tables --write`"


def test_a_table_of_the_guide_is_written_between_its_marks() -> None:
    page = "# Page\n\n<!-- options: amount layout -->\nold\n<!-- end -->\n\nText.\n"
    text = option_tables.fill_tables(page)
    assert "old" not in text
    assert "| `--overwrite`, `--no_overwrite` | `run.overwrite` | `false` | Forecast again" in text
    assert "| `--layout` | `forecast.layout` | `long` | Rows per step" in text
    assert text.startswith("# Page\n\n<!-- options: amount layout -->\n")
    assert text.endswith("<!-- end -->\n\nText.\n")
    assert option_tables.fill_tables(text) == text


def test_a_table_of_settings_shows_keys_and_defaults() -> None:
    text = option_tables.fill_tables("<!-- settings: batch -->\n<!-- end -->")
    assert "batch.queue" not in text  # it has a flag
    assert "| `batch.child_minutes` | `15` | Minutes of work that a child is started for. |" in text
    text = option_tables.fill_tables("<!-- settings: model -->\n<!-- end -->")
    assert "| `model.loading_mode` | | No effect: models are always loaded" in text


def test_a_table_of_training_has_no_settings() -> None:
    text = option_tables.fill_tables(
        "<!-- options: training-flags training-run training-version finetune-shared -->\n"
        "<!-- end -->"
    )
    assert "| `--steps` | | `1000` | Maximum steps to train. |" in text
    assert "| `--switch` | | `false` | Make the version active. |" in text
    assert "| `--limit` | `run.limit` | | Maximum number of partitions to learn from. |" in text


@pytest.mark.parametrize("mark", ["options: nothing", "settings: nothing"])
def test_a_mark_that_names_nothing_is_refused(mark: str) -> None:
    with pytest.raises(ValueError, match="nothing"):
        option_tables.fill_tables(f"<!-- {mark} -->\n<!-- end -->")


def test_a_file_that_is_out_of_date_is_named(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("old")
    assert option_tables.find_stale({page: "new"}) == [page]
    assert option_tables.find_stale({page: "old"}) == []


def test_variables_of_the_environment_are_named_after_the_setting() -> None:
    assert ARGUMENTS["horizon"].variable == "GIGACAST_MODEL__PREDICTION_LENGTH"
    assert ARGUMENTS["targets"].setting == "parquet_loader.schema.target_columns"
    assert not any(option.variable in os.environ for option in OPTIONS)
    assert {option.path[0] for option in OPTIONS} == set(Settings.model_fields)
