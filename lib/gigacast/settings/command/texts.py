"""What settings mean to single commands.

Apart from the table of all commands, whose classes a single command need not import.
"""

from collections.abc import Mapping
from dataclasses import replace

from gigacast.settings.option import Option
from gigacast.settings.options import ARGUMENTS

GENERAL_TEXTS: Mapping[str, Mapping[str, str]] = {
    "plan": {"overwrite": "Plan finished partitions again."},
    "backtest": {
        "limit": "Maximum partitions to backtest.",
        "overwrite": "Compute finished partitions again.",
    },
    "evaluate": {
        "calibrate": "Measure by the stored forecasts of all origins how quantiles are to be "
        "calibrated, and store that for forecast --calibrate.",
    },
    "select": {
        "limit": "Maximum partitions to judge the models on.",
        "overwrite": "Judge finished partitions again.",
    },
    "reconcile": {
        "limit": "Maximum months to reconcile.",
        "overwrite": "Reconcile finished months again.",
    },
    "files": {"limit": "Maximum number of pending partitions to do."},
    "quality": {
        "targets": "Target columns of the forecasts of --accuracy; recognised by default.",
        "aggregate": "Measure calendar bins of --freq with this value of their rows, as forecasts "
        "of bins see them; by default the rows are measured.",
    },
    "csv": {
        "item_column": "Column of item ids in CSV, text as `007`; recognised by default.",
        "item_columns": "Columns of CSV that stay text, as store_id,sku (comma-separated).",
    },
}
"""Help of settings that mean something else to a command, by command and name."""


def setting_for(command: str, name: str) -> Option:
    """Return the row of a setting, with the help that it has for a command."""
    text = _texts_of(command).get(name)
    # Details are about forecasting.
    return replace(ARGUMENTS[name], help=text, details="") if text else ARGUMENTS[name]


def _texts_of(command: str) -> Mapping[str, str]:
    if command == "finetune":
        from gigacast.settings.command import training  # noqa: PLC0415 - no other command's

        return training.TEXTS
    return GENERAL_TEXTS.get(command, {})
