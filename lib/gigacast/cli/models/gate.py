"""``gigacast models switch --if-better``: switch to a version if a backtest shows it is better."""

import json
from collections.abc import Callable
from typing import Any

import click

from gigacast.cli.flags import setting
from gigacast.core.exit import EXIT_FAILED
from gigacast.errors import ConfigError
from gigacast.models.api import ModelManager
from gigacast.models.document import verdict_document, verdict_json
from gigacast.models.gate import Gate, Verdict
from gigacast.report.terminal import show

_SETTINGS = ("input_prefix", "years", "months", "symbol", "timeframe", "horizon", "freq")
_GATE = ("sample_partitions", "sample_series", "windows", "segment", "tolerance")
_DEFAULT = Gate()


def gate_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags of the gate and of its backtest."""
    flags = [
        click.option(
            "--if_better",
            is_flag=True,
            help="Switch only if a backtest shows that the version is better.",
        ),
        click.option(
            "--sample_partitions", type=int, metavar="N", help="Number of partitions to sample."
        ),
        click.option(
            "--sample_series", type=int, metavar="N", help="Maximum series per partition."
        ),
        click.option("--windows", type=int, metavar="N", help="Origins per series."),
        click.option(
            "--segment",
            metavar="PROPERTY",
            help="Property that divides the comparison, as for backtest.",
        ),
        click.option(
            "--tolerance", type=float, help="Share by which it may be worse in a segment."
        ),
        *(setting(name) for name in _SETTINGS),
    ]
    for flag in reversed(flags):
        command = flag(command)
    return command


def take_gate(flags: dict[str, Any]) -> tuple[Gate, dict[str, Any]]:
    """Return the gate and the settings of its backtest, both taken out of the flags.

    Raises
    ------
    ConfigError
        If they are given without ``--if_better``.
    """
    values = {name: flags.pop(name) for name in (*_GATE, *_SETTINGS)}
    options = {name: value for name, value in values.items() if value is not None}
    if options and not flags.pop("if_better"):
        raise ConfigError(f"--{next(iter(options))} needs --if_better")
    flags.pop("if_better", None)
    gate = Gate(
        partitions=options.pop("sample_partitions", _DEFAULT.partitions),
        series=options.pop("sample_series", _DEFAULT.series),
        windows=options.pop("windows", _DEFAULT.windows),
        segment=options.pop("segment", _DEFAULT.segment),
        tolerance=options.pop("tolerance", _DEFAULT.tolerance),
    )
    return gate, options


def promote(
    manager: ModelManager,
    name: str,
    version: str,
    why: str,
    gate_and_settings: tuple[Gate, dict[str, Any]],
) -> Verdict:
    """Switch to a version if it is better, and return the verdict of the backtest."""
    gate, options = gate_and_settings
    return manager.promote_model(name, version, why=why, gate=gate, **options)


def show_verdict(verdict: Verdict, as_json: bool) -> int:
    """Print the leaderboard and the verdict, and return the exit code."""
    if as_json:
        click.echo(json.dumps(verdict_json(verdict), indent=1))
    else:
        show(verdict_document(verdict))
    return 0 if verdict.is_better else EXIT_FAILED
