"""Pictures of the worst series of a sample."""

from collections.abc import Sequence
from dataclasses import replace

from gigacast.core.plural import counted
from gigacast.forecasting.document import figure_of
from gigacast.report import quantity
from gigacast.report.document import Block, Figure, Heading, Paragraph
from gigacast.reporting.sample import RankedSeries


def worst_blocks(series: Sequence[RankedSeries], ranked: int) -> tuple[Block, ...]:
    """Return pictures of the worst series of a sample; nothing without any.

    Parameters
    ----------
    series : sequence of RankedSeries
    ranked : int
        Number of series among which they were chosen.
    """
    figures = tuple(_figure(entry) for entry in series)
    if not figures:
        return ()
    has_actuals = any(entry.look.actuals is not None for entry in series)
    title = "Worst series" if has_actuals else "Series with the widest intervals"
    basis = (
        "by their weighted quantile loss (WQL) so far"
        if has_actuals
        else "by the width of their intervals; none has met its actuals yet"
    )
    text = f"Of a sample of {counted(ranked, 'series', 'series')}, {basis}."
    return Heading(title), Paragraph(text), *figures


def _figure(entry: RankedSeries) -> Figure:
    figure = figure_of(entry.look)
    has_loss = entry.wql == entry.wql  # not NaN
    note = f"WQL {quantity.short(entry.wql)}" if has_loss else ""
    unit = " · ".join(filter(None, (entry.partition, note)))
    return replace(figure, y_name=unit)
