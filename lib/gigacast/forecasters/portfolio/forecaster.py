"""The forecaster of a portfolio: each series is forecast by its own mixture of the members.

A member forecasts its series as it would alone, with its own context, batches and levels, so a
portfolio of one model gives that model's numbers to the bit. Quantiles of several members are
averaged level by level (Vincent averaging) and sorted.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gigacast.core.array import BoolArray, ByteArray, DoubleArray, FloatArray, IntArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.forecast import ForecastBatch, ForecastRequest
from gigacast.core.series.reason import Reason
from gigacast.errors import ConfigError, ModelError
from gigacast.forecasters.budget import BatchBudget
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo, usage_of
from gigacast.forecasters.levels import MEDIAN, find_level, postprocess, select_levels, union_levels
from gigacast.forecasters.options import ForecastOptions
from gigacast.forecasters.portfolio.choices import Choices
from gigacast.forecasters.portfolio.recipe import Portfolio

REVISION = 1
"""Part of the engine's name. Raise it when the same portfolio starts to give other numbers."""
_HEAD = f"portfolio-{REVISION}"
ForecastFunction = Callable[[Forecaster, SeriesBatch, ForecastOptions, BatchBudget], ForecastBatch]
"""`batching.forecast_batch`, which hands itself over: the two call each other."""


def portfolio_info(
    name: str, version: str, digest: str, portfolio: Portfolio, infos: Sequence[ForecasterInfo]
) -> ForecasterInfo:
    """Return the info of a portfolio, from those of its members.

    Raises
    ------
    ConfigError
        If no quantile level can be given by all of them.
    """
    trained = [info.levels for info in infos if info.levels]
    # The narrowest range: a level outside of it is extrapolated for one of the members.
    levels = min(trained, key=lambda row: (row[-1] - row[0], len(row)), default=())
    if any(row[0] > levels[0] or row[-1] < levels[-1] for row in trained):
        raise ConfigError(
            f"{name}: its models have quantile levels in ranges that lie apart",
            hint="select among models that are trained for the same levels",
        )
    on_device = [info.device for info in infos if info.device != "cpu"]
    parts = ";".join(f"{info.engine}@{info.precision}" for info in infos)
    return ForecasterInfo(
        name=name,
        version=version,
        digest=digest,
        engine=f"{_HEAD}[{parts}]",
        device=on_device[0] if on_device else "cpu",
        precision=next((info.precision for info in infos if info.levels), "float32"),
        context_length=max(info.context_length for info in infos),
        prediction_length=min(portfolio.horizon, *(info.prediction_length for info in infos)),
        levels=levels,
        patch_size=max(info.patch_size for info in infos),
        samples=0 if levels else max(info.samples for info in infos),
    )


def is_portfolio_engine(engine: str) -> bool:
    """Return whether an engine, by its name, is that of portfolios."""
    return engine.startswith("portfolio-")


def member_engines(engine: str) -> list[tuple[str, str]]:
    """Return engine and precision of each member, from the name of a portfolio's engine.

    Raises
    ------
    ModelError
        If it is the engine of another release.
    """
    head, bracket, members = engine.partition("[")
    if head != _HEAD or not bracket:
        raise ModelError(
            f"{engine[:60]}: not the engine of portfolios of this release, {_HEAD}",
            hint="use the same version of gigacast on every machine",
        )
    parts = (part.rpartition("@") for part in members.removesuffix("]").split(";"))
    return [(name, precision) for name, _, precision in parts]


@dataclass(frozen=True)
class PortfolioForecaster:
    """A `Forecaster` of several members; see `forecast_portfolio`.

    Parameters
    ----------
    info : ForecasterInfo
    portfolio : Portfolio
    members : tuple of Forecaster
    choices : Choices, optional
        Choices by series, for the rule ``table``.
    """

    info: ForecasterInfo
    portfolio: Portfolio
    members: tuple[Forecaster, ...]
    choices: Choices | None = None

    @cached_property
    def weights(self) -> DoubleArray:
        """Weights of the members in each mixture, float64 [K, M]."""
        return np.array(self.portfolio.mixtures, np.float64)

    @property
    def usage(self) -> dict[str, float]:
        """What members behind an API have used of it so far."""
        used = Counter[str]()
        for member in self.members:
            used.update(usage_of(member))
        return dict(used)

    def with_members(self, wrap: Callable[[Forecaster], Forecaster]) -> "PortfolioForecaster":
        """Return the same portfolio with something around each member."""
        return replace(self, members=tuple(map(wrap, self.members)))

    def mixtures_of(self, batch: SeriesBatch) -> tuple[IntArray, BoolArray]:
        """Return the mixture of each series [N], and whether none was chosen for it."""
        fallback = self.portfolio.fallback
        if self.portfolio.rule == "all":
            return np.full(len(batch), fallback), np.zeros(len(batch), np.bool_)
        if self.choices is not None:
            mixtures, is_known = self.choices.find(batch.item_ids, batch.target_names)
            return np.where(is_known, mixtures, fallback), ~is_known
        by_alias = self.portfolio.frequencies
        # The last entry is that of series without a frequency.
        by_code = [by_alias.get(frequency.alias, -1) for frequency in batch.frequencies]
        chosen = np.array([*by_code, -1], np.int64)[batch.frequency_codes]
        return np.where(chosen < 0, fallback, chosen), chosen < 0

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Forecast a batch by the fallback: a request does not name its series."""
        weights = self.weights[self.portfolio.fallback]
        total = np.zeros((len(request.context), request.horizon, len(request.levels)))
        for place in np.flatnonzero(weights):
            total += weights[place] * np.sort(self.members[place].predict(request), axis=-1)
        return np.sort(total.astype(np.float32), axis=-1)


def forecast_portfolio(
    forecaster: PortfolioForecaster,
    batch: SeriesBatch,
    settings: ForecastOptions,
    budget: BatchBudget,
    forecast: ForecastFunction,
) -> ForecastBatch:
    """Forecast every series of a batch by its mixture.

    A series that one of its members cannot forecast gets the portfolio's fallback, and if that
    cannot either, the fallback of every job.

    Parameters
    ----------
    forecaster : PortfolioForecaster
    batch : SeriesBatch
        N series.
    settings : ForecastOptions
    budget : BatchBudget
    forecast : callable
    """
    if settings.enhance is not None:
        raise enhanced_error(forecaster.info.name)
    mixtures, is_unseen = forecaster.mixtures_of(batch)
    run = _Run(forecaster, batch, settings, budget, forecast)
    drawn = _Drawn.empty(batch, settings)
    run.fill(drawn, np.arange(len(batch)), mixtures)
    can_forecast = (batch.reasons == Reason.OK) & (drawn.reasons != Reason.OK)
    again = np.flatnonzero(can_forecast & (mixtures != forecaster.portfolio.fallback))
    run.fill(drawn, again, np.full(len(batch), forecaster.portfolio.fallback))
    replaced = int((drawn.reasons[again] == Reason.OK).sum())
    failed = np.flatnonzero(drawn.reasons != Reason.OK)
    if len(failed):
        run.fill_fallback(drawn, failed)
    return ForecastBatch(
        batch,
        settings.levels,
        drawn.quantiles,
        drawn.median,
        drawn.reasons,
        unchanged=drawn.unchanged,
        mean=drawn.mean,
        unseen=int(is_unseen.sum()),
        replaced=replaced,
    )


def enhanced_error(name: str) -> ConfigError:
    """Return the error of a portfolio whose members' contexts shall be changed once more."""
    return ConfigError(
        f"enhance: {name} is a portfolio, which names what is done around each of its models",
        hint="leave --enhance out, or select among MODEL+auto",
    )


@dataclass
class _Drawn:
    """The forecasts that are there so far, in the order of the batch."""

    quantiles: FloatArray
    median: FloatArray
    reasons: ByteArray
    mean: FloatArray | None
    unchanged: int = 0

    @classmethod
    def empty(cls, batch: SeriesBatch, settings: ForecastOptions) -> "_Drawn":
        shape = (len(batch), settings.horizon)
        # Beyond the digits of float32 only where a series is: see `core.series.base`.
        kind = np.float32 if batch.bases is None else np.float64
        quantiles: FloatArray = np.full((*shape, len(settings.levels)), np.nan, kind)
        median: FloatArray = np.full(shape, np.nan, kind)
        mean: FloatArray | None = np.full(shape, np.nan, kind) if settings.mean else None
        return cls(quantiles, median, batch.reasons.copy(), mean)

    def put(self, rows: IntArray, part: ForecastBatch) -> None:
        """Write the forecasts of some rows."""
        self.quantiles[rows], self.median[rows] = part.quantiles, part.median
        self.reasons[rows] = part.reasons
        self.unchanged += part.unchanged
        if self.mean is not None and part.mean is not None:
            self.mean[rows] = part.mean


@dataclass(frozen=True)
class _Run:
    """The forecast of a batch by a portfolio."""

    forecaster: PortfolioForecaster
    batch: SeriesBatch
    settings: ForecastOptions
    budget: BatchBudget
    forecast: ForecastFunction

    def fill(self, drawn: _Drawn, rows: IntArray, mixtures: IntArray) -> None:
        """Write the forecasts of rows [R] by the mixtures of all series [N]."""
        uses = self.forecaster.weights > 0
        is_pure = uses.sum(axis=1) == 1
        pure = rows[is_pure[mixtures[rows]]]
        owner = uses.argmax(axis=1)[mixtures[pure]]
        for place in np.unique(owner):
            own = pure[owner == place]
            drawn.put(own, self._by_member(place, own, replace(self.settings, fallback="drop")))
        mixed = rows[~is_pure[mixtures[rows]]]
        if len(mixed):
            self._fill_mixed(drawn, mixed, self.forecaster.weights[mixtures[mixed]])

    def _by_member(self, place: int, rows: IntArray, settings: ForecastOptions) -> ForecastBatch:
        enhance = self.forecaster.portfolio.members[place].enhance
        return self.forecast(
            self.forecaster.members[place],
            self.batch.take(rows),
            replace(settings, enhance=enhance),
            self.budget,
        )

    def _fill_mixed(self, drawn: _Drawn, rows: IntArray, weights: DoubleArray) -> None:
        """Write averaged forecasts of rows [R] with weights [R, M]."""
        settings = self.settings
        levels = union_levels(settings.levels, (MEDIAN,))
        # What is done to quantiles is done to the averaged ones, once.
        raw = replace(
            settings,
            levels=levels,
            fallback="drop",
            calibration=None,
            non_negative=False,
            integer=False,
        )
        total = np.zeros((len(rows), settings.horizon, len(levels)))
        mean = np.zeros(total.shape[:2])
        reasons = np.zeros(len(rows), np.int8)
        for place, part, forecast in self._parts(rows, weights, raw):
            share = weights[part, place, None, None]
            total[part] += share * forecast.quantiles
            mean[part] += share[..., 0] * (forecast.mean if forecast.mean is not None else 0.0)
            reasons[part] = np.where(reasons[part] == Reason.OK, forecast.reasons, reasons[part])
            drawn.unchanged += forecast.unchanged
        averaged = np.sort(total.astype(drawn.quantiles.dtype), axis=-1)
        values = self._finished(averaged, levels)
        values[reasons != Reason.OK] = np.nan
        drawn.quantiles[rows] = select_levels(values, levels, settings.levels)
        drawn.median[rows] = values[..., find_level(MEDIAN, levels)]
        drawn.reasons[rows] = reasons
        if drawn.mean is not None:
            drawn.mean[rows] = np.maximum(mean, 0) if settings.non_negative else mean

    def _parts(
        self, rows: IntArray, weights: DoubleArray, settings: ForecastOptions
    ) -> Iterator[tuple[int, IntArray, ForecastBatch]]:
        """Yield each member, the places of its series in ``rows``, and their forecasts."""
        for place in range(weights.shape[1]):
            part = np.flatnonzero(weights[:, place])
            if len(part):
                yield place, part, self._by_member(place, rows[part], settings)

    def _finished(self, values: FloatArray, levels: tuple[float, ...]) -> FloatArray:
        settings = self.settings
        if settings.calibration is not None:
            values = settings.calibration.apply(values, levels)
        return postprocess(values, non_negative=settings.non_negative, integer=settings.integer)

    def fill_fallback(self, drawn: _Drawn, rows: IntArray) -> None:
        """Write the fallback of every job for rows that no model has forecast."""
        failed = replace(self.batch.take(rows), reasons=drawn.reasons[rows])
        forecast = self.forecast(self.forecaster.members[0], failed, self.settings, self.budget)
        drawn.put(rows, replace(forecast, unchanged=0))
