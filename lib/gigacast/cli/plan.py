"""``gigacast plan``: pending partitions, and their estimated time and costs."""

from typing import Any

import click

from gigacast.cli.file import file_job
from gigacast.cli.flags import (
    flags_of,
    json_option,
    read_settings,
    settings_flags,
    settings_options,
)
from gigacast.cli.help import Command
from gigacast.core.exit import EXIT_FAILED
from gigacast.forecasting.document import plan_document, plan_json
from gigacast.forecasting.plan import quote_plan, report_plan
from gigacast.report.terminal import show, show_json
from gigacast.settings.assembly import array_options_of, job_of, registry_of
from gigacast.settings.command.forecast import PlanFlags
from gigacast.settings.flag import take
from gigacast.settings.model import Settings


@click.command(cls=Command)
@settings_options
@settings_flags("overwrite", command="plan")
@flags_of(PlanFlags)
@json_option
def plan(as_json: bool, **flags: Any) -> int:
    """Count pending partitions, and estimate their time and costs.

    Partitions and bytes are exact, from listings alone; series and time are estimated from the
    receipts of earlier runs, and from them the cost of the plan on each queue of a deployment.
    One file of each layout is looked into: exit code 1 if none has the columns of the settings.
    With --series no bucket is needed: a sample of made series is forecast and measured here.

    \b
    Examples:
      gigacast plan --bucket my-bucket --prefix sales
      gigacast plan --series 50000000 --points 1100 --horizon 28
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    own = take(PlanFlags, flags)
    settings = read_settings(flags)
    if own.series is not None:
        return _price(own.series, own.points, settings, as_json=as_json)
    job = job_of(settings)
    report = report_plan(job)
    quotes = quote_plan(report, array_options_of(settings))
    if as_json:
        show_json(plan_json(report, job, quotes), is_ascii=True)
    else:
        show(plan_document(report, job, quotes))
    return EXIT_FAILED if report.look.impossible else 0


def _price(series: int, points: int, settings: Settings, *, as_json: bool) -> int:
    # Loads and runs the model, which planning a bucket does not.
    from gigacast.forecasting import prospect as found  # noqa: PLC0415
    from gigacast.forecasting.frame import load_chosen  # noqa: PLC0415

    job = file_job(settings)
    forecaster = load_chosen(job.model, registry_of(settings))
    prospect = found.measure_prospect(forecaster, job.method, series, points)
    quotes = found.quote_prospect(prospect, array_options_of(settings))
    if as_json:
        show_json(found.prospect_json(prospect, quotes))
    else:
        show(found.prospect_document(prospect, quotes))
    return 0
