"""Options of the reconciliation of sums."""

from dataclasses import dataclass
from typing import Literal

from gigacast.settings.flag import flag
from gigacast.settings.option import Range

ReconcileMethod = Literal["bottom_up", "mint_diagonal", "mint_shrink"]


@dataclass(frozen=True, kw_only=True)
class ReconcileOptions:
    """Options of `gigacast reconcile` and of `gigacast.reconcile`."""

    sums: tuple[str, ...] = flag(
        (),
        "Columns of items by which series are summed, as region or region,store; may be repeated.",
        name="sum",
        placeholder="COLUMNS",
        group="reconciliation",
        details="The total of all series is always one of the sums.",
    )
    method: ReconcileMethod = flag(
        "mint_shrink",
        "Sum the series' forecasts, or move all by their errors in a backtest.",
        group="reconciliation",
        details="`mint_diagonal` knows how large the errors of each forecast are, `mint_shrink` "
        "also which go together.",
    )
    windows: int = flag(
        2,
        "Origins of the backtest that measures errors.",
        group="reconciliation",
        range_=Range(1, 1000),
    )
