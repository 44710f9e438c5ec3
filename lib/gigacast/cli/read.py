"""``gigacast read``: stored forecasts as a file."""

from typing import Any

import click

from gigacast.cli.flags import config_option, flags_of, read_settings, settings_flags
from gigacast.cli.help import Command
from gigacast.forecasting.file import STANDARD, encoding_of, write_output
from gigacast.forecasting.prediction import with_names
from gigacast.forecasting.read import choose_generation, open_forecasts, read_generation
from gigacast.report.terminal import say
from gigacast.settings.assembly import job_of
from gigacast.settings.command.forecast import ReadOptions
from gigacast.settings.flag import take
from gigacast.settings.options import names_of


@click.command(cls=Command)
@settings_flags(*names_of("where"), "years", "months", "model", "model_version")
@flags_of(ReadOptions)
@config_option
def read(**flags: Any) -> None:
    """Write the forecasts of the last finished run, or of another origin, to a file.

    \b
    Examples:
      gigacast read --bucket my-bucket --prefix sales --output forecasts.parquet
      gigacast read --bucket my-bucket --prefix sales --origin 2024-01-31 --item site-003
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options = take(ReadOptions, flags)
    encode = encoding_of(options.output)  # before anything is read
    model, version = flags.get("model"), flags.get("model_version")
    settings = read_settings(flags)
    job = job_of(settings)
    outputs = open_forecasts(job.outputs)
    generation = choose_generation(outputs, model=model, version=version, spec=options.spec)
    table = read_generation(
        outputs,
        generation,
        months=job.selection.months,
        partitions=options.partitions or None,
        items=options.items or None,
        origin=options.origin,
    )
    named = with_names(table, settings.report.names, generation.model)
    write_output(options.output, encode(named))
    if options.output != STANDARD:
        say(options.output)
