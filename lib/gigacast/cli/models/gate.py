"""``gigacast models switch --if-better``: a version goes live when a backtest says so."""

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
    """Add the flags of the gate, and of what it backtests on."""
    flags = [
        click.option("--if_better", is_flag=True, help="Only if a backtest shows that it is."),
        click.option("--sample_partitions", type=int, metavar="N", help="Partitions to sample."),
        click.option("--sample_series", type=int, metavar="N", help="Series of each."),
        click.option("--windows", type=int, metavar="N", help="Origins per series."),
        click.option("--segment", metavar="WHAT", help="Compared in each; as for backtest."),
        click.option("--tolerance", type=float, help="How much worse it may be in a segment."),
        *(setting(name) for name in _SETTINGS),
    ]
    for flag in reversed(flags):
        command = flag(command)
    return command


def take_gate(given: dict[str, Any]) -> tuple[Gate, dict[str, Any]]:
    """Return the gate and the settings of its backtest; both are removed from ``given``.

    Raises
    ------
    ConfigError
        When they are given without ``--if_better``.
    """
    flags = {name: given.pop(name) for name in (*_GATE, *_SETTINGS)}
    options = {name: value for name, value in flags.items() if value is not None}
    if options and not given.pop("if_better"):
        raise ConfigError(f"--{next(iter(options))} goes with --if_better")
    given.pop("if_better", None)
    gate = Gate(
        partitions=options.pop("sample_partitions", _DEFAULT.partitions),
        series=options.pop("sample_series", _DEFAULT.series),
        windows=options.pop("windows", _DEFAULT.windows),
        segment=options.pop("segment", _DEFAULT.segment),
        tolerance=options.pop("tolerance", _DEFAULT.tolerance),
    )
    return gate, options


def promote(
    manager: ModelManager, name: str, version: str, why: str, asked: tuple[Gate, dict[str, Any]]
) -> Verdict:
    """Switch if the version is better."""
    gate, options = asked
    return manager.promote_model(name, version, why=why, gate=gate, **options)


def show_verdict(verdict: Verdict, as_json: bool) -> int:
    """Print the leaderboard and the verdict, and return the exit code."""
    if as_json:
        click.echo(json.dumps(verdict_json(verdict), indent=1))
    else:
        show(verdict_document(verdict))
    return 0 if verdict.is_better else EXIT_FAILED
