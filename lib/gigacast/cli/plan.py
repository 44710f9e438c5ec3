"""``gigacast plan``: pending partitions, and their estimated time and costs."""

from typing import Any

import click

from gigacast.cli.flags import json_option, read_settings, settings_flags, settings_options
from gigacast.cli.help import Command
from gigacast.core.exit import EXIT_FAILED
from gigacast.forecasting.document import plan_document, plan_json
from gigacast.forecasting.plan import quote_plan, report_plan
from gigacast.report.terminal import show, show_json
from gigacast.settings.assembly import array_options_of, job_of


@click.command(cls=Command)
@settings_options
@settings_flags("overwrite", command="plan")
@json_option
def plan(as_json: bool, **flags: Any) -> int:
    """Count pending partitions, and estimate their time and costs.

    Partitions and bytes are exact, from listings alone; series and time are estimated from the
    receipts of earlier runs, and from them the cost of the plan on each queue of a deployment.
    One file of each layout is looked into: exit code 1 if none has the columns of the settings.
    """
    settings = read_settings(flags)
    job = job_of(settings)
    report = report_plan(job)
    quotes = quote_plan(report, array_options_of(settings))
    if as_json:
        show_json(plan_json(report, job, quotes), is_ascii=True)
    else:
        show(plan_document(report, job, quotes))
    return EXIT_FAILED if report.look.impossible else 0
