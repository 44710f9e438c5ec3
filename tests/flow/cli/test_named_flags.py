"""Errors name the flag that was typed, or the variable or the key of a file that was written."""

import datetime
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.cli.help import Flag
from gigacast.cli.program import run
from tests.support.commands import commands

WRONG = {
    "integer": ("x", "9" * 30),
    "number": ("nan",),
    "choice": ("none such",),
}
"""Wrong values of the kinds that the program itself checks."""


def test_every_flag_of_every_command_is_named_when_its_value_is_wrong() -> None:
    wrong = []
    for name, command in commands().items():
        for flag in (parameter for parameter in command.params if isinstance(parameter, Flag)):
            for text in WRONG.get(flag.row.kind, ()):
                # Values are read in the order of the line, and those that are missing after them.
                with pytest.raises(click.UsageError) as caught:
                    command.make_context(name, [flag.opts[0], text])
                message = caught.value.format_message()
                if not message.startswith(f"Invalid value for '{flag.opts[0]}'"):
                    wrong.append((name, flag.opts, text, message))
    assert wrong == []


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    (tmp_path / "2024/01").mkdir(parents=True)
    days = [datetime.date(2024, 1, day) for day in range(1, 31)]
    rows = pa.table({"item_id": ["a"] * 30, "timestamp": days, "target": [*map(float, range(30))]})
    pq.write_table(rows, tmp_path / "2024/01/part-0.parquet")
    return tmp_path.as_uri()


LINES = {
    "forecast --months 13": "--months: 13 is not within 1 to 12",
    "forecast --month 13": "--months: 13 is not within 1 to 12",
    "forecast --memory_limit 2": "--memory_limit: 2 bytes is too little",
    "forecast --horizon 0": "--horizon: Input should be greater",
    "forecast --model nosuch": "--model: no model 'nosuch'",
    "forecast --context_length 5000": "--context_length: 5,000, but",
    "forecast --device cuda:9": "--device: cuda:9: ",
    "forecast --executor batch": "--bucket: file://",
    "forecast --features no.su-ch": "--features: 'no.su-ch' is no name of a definition",
    "forecast --aggregate sum": "--aggregate: the bins have no frequency",
    "forecast --level 80 --quantiles 0.5": "--level and --quantiles both name",
    "forecast --csv_decimal . --csv_thousands .": "--csv_decimal and --csv_thousands are both",
    "plan --freq fortnightly": "--freq: 'fortnightly' is not a known frequency",
    "backtest --windows 0": "--windows: 0 is less than 1",
    "backtest --quantiles 2": "--quantiles: 2.0 is not",
    "evaluate --duplicate_share 2": "No such option '--duplicate_share'",
    "evaluate --config /dev/null/none": "/dev/null/none: ",
    "train finetune --horizon 0": "--horizon: Input should be greater",
    "train finetune --steps -1": "--steps: -1 is less than 1",
    "data clean partitions cleaned/y --outlier_limit -1": "--outlier_limit: -1.0 is not above 0",
    "data quality --calendar sometimes": "--calendar: there is no calendar 'sometimes'",
    "data quality --zone Mars": "--zone: ",
    "data discover --years soon": "--years: expected N or FIRST:LAST",
    "anomalies --band 100": "--band: 100 % holds every value",
    "feature-store backfill x --ds today": "--ds: 'today' is no day",
    "feature-store fetch x -k {} --at 99999999999999999": "--at: 99999999999999999 is no moment",
}


@pytest.mark.parametrize("line", LINES)
def test_an_error_names_the_flag_that_was_typed(
    line: str, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*line.split(), "--bucket", bucket]) == 2
    assert capsys.readouterr().err.startswith(f"gigacast: {LINES[line]}")


def test_an_error_names_the_variable_or_the_key_of_a_file(
    bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("forecast: {context_length: 5000}\n")
    assert run(["plan", "--bucket", bucket, "--config", str(file)]) == 2
    start = f"gigacast: {file}: forecast.context_length: 5,000, but"
    assert capsys.readouterr().err.startswith(start)
    monkeypatch.setenv("GIGACAST_FORECAST__CONTEXT_LENGTH", "6000")
    assert run(["plan", "--bucket", bucket, "--config", str(file)]) == 2
    start = "gigacast: GIGACAST_FORECAST__CONTEXT_LENGTH: 6,000, but"
    assert capsys.readouterr().err.startswith(start)
    assert run(["plan", "--bucket", bucket, "--context_length", "7000"]) == 2
    assert capsys.readouterr().err.startswith("gigacast: --context_length: 7,000, but")


def test_an_error_names_the_flag_of_the_bucket_that_nobody_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["plan"]) == 2
    assert capsys.readouterr().err.startswith("gigacast: --bucket: no bucket named")
