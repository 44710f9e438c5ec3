"""Features of frames without a recipe: lags, windows, changes, spreads, correlations, volatility.

Each returns the rows in the order of item and time with the features as more columns. They are
those of recipes (`gigacast.feature_sets`), and never look ahead.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import pyarrow as pa

from gigacast.errors import SchemaError
from gigacast.feature_sets.kernel.definition import Correlation, Difference, Lag, Rolling, Spread
from gigacast.feature_sets.kernel.definition_bar import Volatility
from gigacast.feature_sets.kernel.frame import Feature
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.parquet_loader.column import ColumnChoice
from gigacast.parquet_loader.dataset import LoadedDataset
from gigacast.parquet_loader.features import FeatureProcessor
from gigacast.parquet_loader.frame import like, rows_of

STATISTICS = ("mean", "std", "min", "max")
_PRICES = ("close", "mid", "bid", "price")
_YIELDS = (("GS10", "GS2"), ("GS10", "GS3M"))
"""Long and short yields, as the FRED series are called."""


class _Engineering:
    """Adds features to frames.

    Parameters
    ----------
    columns : ColumnChoice, optional
        Columns by name; recognised by default.
    """

    def __init__(self, columns: ColumnChoice | None = None) -> None:
        self._choice = columns or ColumnChoice()

    def _add(self, data: Any, rows: LoadedDataset, features: Sequence[Feature]) -> Any:
        if not features:
            return like(rows.table, data)
        recipe = Recipe("engineered", tuple(features))
        rich = FeatureProcessor(recipe).process_training_features(rows)
        return rich if isinstance(data, LoadedDataset) else like(rich.table, data)


class TemporalFeatureProcessor(_Engineering):
    """Features of each column over time, within its item."""

    def align_timestamps(self, data: Any) -> Any:
        """Return rows in the order of time, with all columns of times in the form of the first.

        Raises
        ------
        SchemaError
            If there is no column of times, or its times are step numbers.
        """
        rows = rows_of(data, self._choice)
        columns, table = rows.columns, rows.table
        kind = table.schema.field(columns.timestamp).type
        if not pa.types.is_timestamp(kind):
            raise SchemaError(f"column {columns.timestamp!r} counts steps and holds no times")
        for place, entry in enumerate(table.schema):
            if pa.types.is_temporal(entry.type) and entry.type != kind:
                table = table.set_column(place, entry.name, table.column(place).cast(kind))
        return like(table, data)

    def create_lag_features(self, data: Any, lags: Iterable[int]) -> Any:
        """Return rows with the targets some rows earlier: ``NAME_lag_STEPS``."""
        rows, steps = rows_of(data, self._choice), list(lags)
        return self._add(data, rows, [Lag(n, lag) for n in rows.columns.targets for lag in steps])

    def create_rolling_features(self, data: Any, windows: Iterable[int]) -> Any:
        """Return rows with the mean, deviation and range of windows: ``NAME_mean_ROWS``, ..."""
        rows, lengths = rows_of(data, self._choice), list(windows)
        features = [
            Rolling(name, window, statistic)
            for name in rows.columns.targets
            for window in lengths
            for statistic in STATISTICS
        ]
        return self._add(data, rows, features)

    def create_difference_features(self, data: Any) -> Any:
        """Return rows with the first and second differences of the targets: ``NAME_diff_1``."""
        rows = rows_of(data, self._choice)
        features = [Difference(name, order) for name in rows.columns.targets for order in (1, 2)]
        return self._add(data, rows, features)


class CrossAssetFeatureProcessor(_Engineering):
    """Features of several columns: quotes, yields, and prices of several assets.

    Parameters
    ----------
    columns : ColumnChoice, optional
        Columns by name; recognised by default.
    prices : sequence of str, optional
        Columns of prices to correlate; by default the closes, mids and bids of the rows.
    window : int
        Rows of the windows of correlations and volatilities.
    """

    def __init__(
        self,
        columns: ColumnChoice | None = None,
        *,
        prices: Sequence[str] = (),
        window: int = 30,
    ) -> None:
        super().__init__(columns)
        self._prices = tuple(prices)
        self._window = window

    def create_spread_features(self, data: Any) -> Any:
        """Return rows with the spreads of quotes and yields: ask minus bid, long minus short."""
        rows = rows_of(data, self._choice)
        names = [name for name in rows.columns.all if "volume" not in name]
        features = [
            Spread(ask, bid, name=f"{bid.replace('bid', 'spread')}")
            for bid in names
            if "bid" in bid and (ask := bid.replace("bid", "ask")) in names
        ]
        features += [
            Spread(high, low, name=f"{high}_{short}_spread")
            for high in names
            for long, short in _YIELDS
            if high.endswith(long) and (low := f"{high.removesuffix(long)}{short}") in names
        ]
        # A column of that name is in the data already.
        return self._add(data, rows, [f for f in features if f.names[0] not in rows.columns.all])

    def create_correlation_features(self, data: Any) -> Any:
        """Return rows with the correlation of the log returns of each pair of prices."""
        rows = rows_of(data, self._choice)
        pairs = combinations(self._prices_of(rows), 2)
        return self._add(data, rows, [Correlation(a, b, self._window) for a, b in pairs])

    def create_volatility_features(self, data: Any) -> Any:
        """Return rows with the deviation of the log returns of each price: ``NAME_volatility``."""
        rows = rows_of(data, self._choice)
        features = [
            Volatility(self._window, close=name, name=f"{name}_volatility_{self._window}")
            for name in self._prices_of(rows)
        ]
        return self._add(data, rows, features)

    def _prices_of(self, rows: LoadedDataset) -> tuple[str, ...]:
        names = (*rows.columns.targets, *rows.columns.features)
        return self._prices or tuple(n for n in names if n.endswith(_PRICES))
