"""``gigacast read``: stored forecasts as a file."""

from typing import Any

import click

from gigacast.cli.flags import config_option, flags_of, json_option, read_settings, settings_flags
from gigacast.cli.help import Command
from gigacast.forecasting.file import STANDARD, encoding_of, write_output
from gigacast.forecasting.prediction import with_names
from gigacast.forecasting.read import choose_generation, open_forecasts, read_generation
from gigacast.forecasting.stored.choice import name_of
from gigacast.report.terminal import say, show_json
from gigacast.settings.assembly import job_of
from gigacast.settings.command.forecast import ReadOptions
from gigacast.settings.flag import take
from gigacast.settings.options import names_of


@click.command(cls=Command)
@settings_flags(*names_of("where"), "years", "months", "model", "model_version")
@flags_of(ReadOptions)
@config_option
@json_option
def read(as_json: bool, **flags: Any) -> None:
    """Write the forecasts of the last finished run, of another origin or of a RUN, to a file.

    \b
    Examples:
      gigacast read --bucket my-bucket --prefix sales --output forecasts.parquet
      gigacast read --bucket my-bucket --prefix sales --origin 2024-01-31 --item site-003
      gigacast read --bucket my-bucket --prefix sales --run forecast_20260130_030945_f03f
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options = take(ReadOptions, flags)
    # Before anything is read. Of rows on standard output --json is the form.
    is_json = as_json and options.output == STANDARD
    encode = encoding_of("rows.json" if is_json else options.output)
    model, version = flags.get("model"), flags.get("model_version")
    settings = read_settings(flags)
    job = job_of(settings)
    outputs = open_forecasts(job.outputs)
    named = {"model": model, "version": version, "spec": options.spec}
    generation = choose_generation(outputs, **named, run=options.run)
    table = read_generation(
        outputs,
        generation,
        months=job.selection.months,
        partitions=options.partitions or None,
        items=options.items or None,
        origin=options.origin,
        run=options.run,
    )
    renamed = with_names(table, settings.report.names, generation.model)
    write_output(options.output, encode(renamed))
    if options.output == STANDARD:
        return
    if as_json:
        content = {"output": options.output, "rows": table.num_rows, **name_of(generation)}
        show_json(content, is_ascii=True)
    else:
        say(options.output)
