"""``gigacast models switch --if-better``: a version goes live when a backtest says so."""

import json
from collections.abc import Callable
from typing import Any

import click

from gigacast.cli.backtest.view import print_leaderboard
from gigacast.cli.flags import setting
from gigacast.core.exit import EXIT_FAILED
from gigacast.errors import ConfigError
from gigacast.models.api import ModelManager
from gigacast.models.gate import Gate, Verdict

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
    """Return the gate and the settings of what it backtests on; both leave ``given``.

    Raises
    ------
    ConfigError
        When they are given without ``--if_better``.
    """
    named = {name: given.pop(name) for name in (*_GATE, *_SETTINGS)}
    named = {name: value for name, value in named.items() if value is not None}
    if named and not given.pop("if_better"):
        raise ConfigError(f"--{next(iter(named))} goes with --if_better")
    given.pop("if_better", None)
    gate = Gate(
        partitions=named.pop("sample_partitions", _DEFAULT.partitions),
        series=named.pop("sample_series", _DEFAULT.series),
        windows=named.pop("windows", _DEFAULT.windows),
        segment=named.pop("segment", _DEFAULT.segment),
        tolerance=named.pop("tolerance", _DEFAULT.tolerance),
    )
    return gate, named


def promote(
    manager: ModelManager, name: str, version: str, why: str, asked: tuple[Gate, dict[str, Any]]
) -> Verdict:
    """Switch if the version is better."""
    gate, options = asked
    return manager.promote_model(name, version, why=why, gate=gate, **options)


def tell_verdict(verdict: Verdict, as_json: bool) -> int:
    """Print the table and the verdict; return the exit code."""
    if as_json:
        told = {
            "name": verdict.model,
            "version": verdict.version,
            "switched": verdict.is_better,
            "objections": list(verdict.objections),
            "location": verdict.location,
            "leaderboard": verdict.leaderboard.to_json(),
        }
        click.echo(json.dumps(told, indent=1))
        return 0 if verdict.is_better else EXIT_FAILED
    print_leaderboard(verdict.leaderboard)
    click.echo()
    if verdict.is_better:
        click.echo(f"active: {verdict.model}/{verdict.version}")
        return 0
    held = f"stays active: {verdict.model}/{verdict.active}" if verdict.active else "nothing active"
    click.echo(f"not switched to {verdict.version}; {held}")
    for objection in verdict.objections:
        click.echo(f"  {objection}")
    return EXIT_FAILED
