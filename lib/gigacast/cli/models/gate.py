"""``gigacast models switch --if-better``: switch to a version if a backtest shows it is better."""

from dataclasses import dataclass
from typing import Any

from gigacast.core.exit import EXIT_FAILED
from gigacast.errors import ConfigError
from gigacast.models.document import verdict_document, verdict_json
from gigacast.models.gate import Gate, Verdict
from gigacast.report.terminal import show, show_json
from gigacast.settings.command.backtest import GateOptions
from gigacast.settings.flag import rows_of, take
from gigacast.settings.options import names_of

GATE_SETTINGS = tuple(
    name
    for name in ("input_prefix", *names_of("which", "how", "columns", "csv", "covariates"))
    # The versions are those of the command; a backtest writes no forecasts.
    if name not in ("model", "model_version", "layout", "calibrate")
)
"""Settings of the backtest before a switch: those that say which series, and how."""
_GATE = tuple(row.keyword for row in rows_of(GateOptions))


@dataclass(frozen=True)
class Condition:
    """Condition of a switch, from the flags of a command.

    Parameters
    ----------
    gate : Gate
        Size of the backtest and criterion.
    settings : dict
        Settings of the backtest by name.
    """

    gate: Gate
    settings: dict[str, Any]


def take_condition(flags: dict[str, Any]) -> Condition | None:
    """Return the condition of the switch, which is taken out of the flags; None without one.

    Raises
    ------
    ConfigError
        If its flags are given without ``--if_better``.
    """
    present = [name for name in (*_GATE, *GATE_SETTINGS) if flags[name] is not None]
    options = take(GateOptions, flags)
    settings = {name: value for name in GATE_SETTINGS if (value := flags.pop(name)) is not None}
    if not options.if_better:
        if present:
            raise ConfigError(f"--{present[0]} needs --if_better")
        return None
    gate = Gate(
        partitions=options.sample_partitions,
        series=options.sample_series,
        windows=options.windows,
        segment=options.segment,
        tolerance=options.tolerance,
    )
    return Condition(gate, settings)


def show_verdict(verdict: Verdict, as_json: bool) -> int:
    """Print the leaderboard and the verdict, and return the exit code."""
    if as_json:
        show_json(verdict_json(verdict), is_ascii=True)
    else:
        show(verdict_document(verdict))
    return 0 if verdict.is_better else EXIT_FAILED
