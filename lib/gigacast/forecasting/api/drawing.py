"""`plot`: series of a frame beside their forecasts, from Python."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from gigacast.errors import ConfigError
from gigacast.forecasting.document import figure_of
from gigacast.forecasting.drawing import checked_predictions, looks_of, method_for
from gigacast.forecasting.frame import count_rows, forecast_table, load_chosen
from gigacast.forecasting.preview import Look
from gigacast.report.document import Document
from gigacast.report.notebook import render_notebook
from gigacast.report.plot.picture import save_figures
from gigacast.series.frame import table_of
from gigacast.series.source import SeriesSource
from gigacast.settings.argument import as_count, as_path, as_text
from gigacast.settings.assembly import job_of, registry_of
from gigacast.settings.doors import check_used, keywords_of
from gigacast.settings.keywords import Options
from gigacast.settings.load import load_settings
from gigacast.settings.options import names_of, nest_arguments
from gigacast.settings.signature import with_options


@dataclass(frozen=True)
class Drawing:
    """A few series with their forecasts; a notebook shows it as a picture.

    Parameters
    ----------
    looks : tuple of Look
        Context, forecast and actual values of each series.
    """

    looks: tuple[Look, ...]

    def save(self, path: str | Path) -> Path:
        """Write the picture: PNG, SVG or PDF, by the ending of the path.

        Raises
        ------
        ConfigError
            If it cannot be written.
        """
        file = Path(path)
        try:
            save_figures(file, [figure_of(look) for look in self.looks])
        except (OSError, ValueError) as error:
            raise ConfigError(f"{file} can't be written: {error}") from error
        return file

    def _repr_html_(self) -> str:
        return render_notebook(Document(tuple(figure_of(look) for look in self.looks)))


@with_options(keywords_of("plot"))
def plot(  # noqa: PLR0913 - keywords, most of them the names of flags
    data: Any,
    predictions: Any = None,
    *,
    items: str | Sequence[str] | None = None,
    count: int = 1,
    steps: int = 96,
    bucket: str | None = None,
    config: str | Path | None = None,
    **options: Unpack[Options],
) -> Drawing:
    """Draw a few series of a data frame beside their forecasts.

    Parameters
    ----------
    data : frame
        History of the series, as for `gigacast.forecast`. Rows at the times of the forecasts are
        drawn as actual values.
    predictions : frame, optional
        Forecasts as `gigacast.forecast` or `read_forecasts` returns them, or those of Nixtla's
        libraries; by default the data is forecast.
    items : str or sequence of str, optional
        Ids of the items to draw, as text; the first ``count`` series by default.
    count : int
        Number of series.
    steps : int
        Maximum number of steps before the forecast.
    bucket : str, optional
        Bucket whose ``models/``, below ``prefix``, is searched as well.
    config : path, optional
        Settings file; none by default.
    **options
        As for `gigacast.forecast`.

    Returns
    -------
    Drawing
        A picture in a notebook; ``.save(path)`` writes it.

    Raises
    ------
    ConfigError
        If an option is unknown or out of its range.
    DataNotFoundError
        If an item has no forecast, or no history.
    DataError, ModelError

    Examples
    --------
    >>> import pandas as pd, gigacast
    >>> days = pd.date_range("2024-01-01", periods=60)
    >>> frame = pd.DataFrame({"item_id": "a", "timestamp": days, "target": range(60)})
    >>> drawing = gigacast.plot(frame, model="seasonal-naive", horizon=7)
    >>> len(drawing.looks)
    1
    """
    check_used("plot", options, is_frame=True)
    table = table_of(data)
    arguments = nest_arguments({**options, "bucket": bucket})
    settings = load_settings(arguments, file=as_path("config", config))
    memory = settings.run.model_copy(update={"bucket": "memory://frame", "prefix": ""})
    job = job_of(settings.model_copy(update={"run": memory}))
    method = job.method
    if predictions is None:
        rows = count_rows(SeriesSource.of_table(table))
        forecaster = load_chosen(job.model, registry_of(settings), rows=rows)
        forecasts = forecast_table(table, forecaster, method, job.resources.batch_size)
    else:
        forecasts = checked_predictions(table_of(predictions, "predictions"))
        named = any(options.get(name) is not None for name in names_of("how", "columns"))
        method = method_for(forecasts, method, is_explicit=named)
    looks = looks_of(
        SeriesSource.of_table(table),
        forecasts,
        method,
        items=_ids(items),
        count=as_count("count", count) or 1,
        steps=as_count("steps", steps) or 1,
    )
    return Drawing(tuple(looks))


def _ids(items: Any) -> list[str] | None:
    if items is None:
        return None
    named = [items] if isinstance(items, str) else list(items)
    return [as_text("items", item) or "" for item in named]
