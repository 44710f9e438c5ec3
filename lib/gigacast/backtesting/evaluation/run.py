"""The evaluation of stored forecasts whose actuals have arrived.

The files of every finished generation are read part by part. Their steps are joined with the rows
that are in the bucket now, by item, target and time; steps without an actual are counted as
waiting. A part has as many series as the memory limit allows, and only the actuals of its items and
times are in memory.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from gigacast.backtesting.evaluation.actuals import Actuals
from gigacast.backtesting.evaluation.join import (
    Forecasts,
    match,
    match_scales,
    read_forecasts,
    whole_series,
)
from gigacast.backtesting.evaluation.result import (
    BY,
    Evaluation,
    FigureKey,
    Uncompared,
    passed_over_text,
)
from gigacast.core.array import DoubleArray
from gigacast.core.digest import digest_value
from gigacast.core.partition.name import (
    WHOLE_MONTH,
    PartitionName,
    is_whole_month,
    lineage_of,
    month_of_folder,
)
from gigacast.core.partition.spec import horizon_of_spec
from gigacast.core.series.item_key import key_columns
from gigacast.core.time.month import Month
from gigacast.errors import DataNotFoundError, GigacastError
from gigacast.forecasters.metric import Sums, add_up, figures_of, measure
from gigacast.forecasting.prepare import pin_months
from gigacast.forecasting.read import Generation, find_generations, is_spec
from gigacast.forecasting.stored.choice import describes_reading
from gigacast.forecasting.stored.recipe import Recipe, recipe_of
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.location import open_inputs
from gigacast.job.spec import AGGREGATION, with_aggregation
from gigacast.lake.layout import EVALUATIONS, evaluation_key, spec_prefix
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.manifest import read_manifest
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import read_batches
from gigacast.storage.store import Store

_STEP_BYTES = 768
"""Memory for a forecast step, roughly: keys, quantiles, actual, and the hash join of them."""


@dataclass(frozen=True)
class EvaluationJob:
    """The forecasts to evaluate.

    Parameters
    ----------
    forecast : ForecastJob
        Addresses, selection and columns; its model is not used.
    model, version : str, optional
        Model and version whose forecasts are evaluated; all by default.
    spec : str, optional
        Spec, by the start of its id or digest; all by default.
    by_partition : bool
        Whether to return figures by partition as well.
    """

    forecast: ForecastJob
    model: str | None = None
    version: str | None = None
    spec: str | None = None
    by_partition: bool = False


def evaluate_forecasts(job: EvaluationJob) -> Evaluation:
    """Compare finished forecasts with their actuals, and write the figures into the bucket.

    Raises
    ------
    DataNotFoundError
        When there are no finished forecasts of the model, version, months and series.
    StorageError
    """
    forecast = pin_months(job.forecast)
    inputs, outputs = open_inputs(forecast.inputs), open_store(forecast.outputs)
    for store in (inputs, outputs):
        store.check()
    generations = [g for g in find_generations(outputs) if _is_selected(g, job)]
    if not generations:
        raise DataNotFoundError(
            f"{forecast.outputs.url}: no finished forecasts of the requested model, version and "
            "spec",
            hint="run `gigacast forecast` first; see `gigacast ls`",
        )
    evaluator = _Evaluator(forecast, inputs, outputs, _names(generations))
    # Kept only on request, as there may be a million partitions.
    evaluator.by_partition = job.by_partition
    for generation in generations:
        evaluator.add(generation)
    result = evaluator.result()
    if not evaluator.files:
        passed_over = passed_over_text(result.passed_over)
        raise DataNotFoundError(
            f"{forecast.outputs.url}: no forecast of the requested months and series"
            + (f"; {passed_over}" if passed_over else ""),
            hint="see --years, --months, --symbol, --timeframe, and `gigacast status`",
        )
    name = _result_name(forecast.selection, generations)
    result.location = f"{forecast.outputs.url}/{EVALUATIONS}{name}"
    for ending, content in result.files().items():
        outputs.put(evaluation_key(name, ending), content)
    return result


def _result_name(selection: Selection, generations: list[Generation]) -> str:
    """Return the name of the result: the same for the same forecasts."""
    selected = [str(selection.months), sorted(selection.symbols), sorted(selection.timeframes)]
    return digest_value([selected, *([g.model, g.version, g.spec] for g in generations)], length=8)


def _is_selected(generation: Generation, job: EvaluationJob) -> bool:
    return job.model in {None, generation.model, f"{generation.model}/{generation.version}"} and (
        job.version in {None, generation.version}
        and (job.spec is None or is_spec(generation, job.spec))
    )


def _names(generations: list[Generation]) -> dict[Generation, str]:
    """Return a name for each generation; it contains the spec only where a version has several."""
    labels = [f"{g.model}/{g.version}" for g in generations]
    return {
        g: label if labels.count(label) == 1 else f"{label}/{g.spec}"
        for g, label in zip(generations, labels, strict=True)
    }


class _Evaluator:
    """Adds up the losses of forecasts, generation by generation and file by file."""

    def __init__(
        self, job: ForecastJob, inputs: Store, outputs: Store, names: dict[Generation, str]
    ) -> None:
        self.by_partition = False
        self.files = 0
        self._job = job
        self._outputs = outputs
        self._names = names
        self._inputs = inputs
        self._actuals = cache(self._actuals_as)
        self._evaluation = Evaluation()
        self._sums: dict[str, dict[FigureKey, Sums]] = {by: {} for by in BY}
        self._of_partitions: dict[FigureKey, Sums] = {}

    def result(self) -> Evaluation:
        """Return the figures so far."""
        for by in BY:
            self._evaluation.figures[by] = {
                key: figures_of(sums)[0] for key, sums in sorted(self._sums[by].items(), key=_order)
            }
        self._evaluation.partitions = {
            key: figures_of(sums)[0] for key, sums in sorted(self._of_partitions.items())
        }
        return self._evaluation

    def add(self, generation: Generation) -> None:
        """Evaluate every selected file of a generation."""
        horizon = horizon_of_spec(generation.spec) or 1
        manifest, _ = read_manifest(self._outputs, generation.key)
        for row in manifest.to_pylist():
            name = self._name_of(generation, row)
            if name is None:
                self._evaluation.passed_over.append(row["key"])
                continue
            if not (self._job.selection.wants(name) and self._takes(row["partition"])):
                continue
            self.files += 1
            try:
                parts = list(self._parts(row, name, horizon))
            except GigacastError as error:
                self._evaluation.failures.append(Uncompared(row["key"], error.message))
                continue
            # Only now, when all parts were read: a file counts completely or not at all.
            for part in parts:
                self._count(self._names[generation], name.month, part)
                if self.by_partition:
                    key = FigureKey(self._names[generation], row["partition"])
                    _add_to(self._of_partitions, key, part.all_steps)

    def _name_of(self, generation: Generation, row: dict[str, Any]) -> PartitionName | None:
        """Return the name of the input, with whose key the key of the forecast ends."""
        prefix = spec_prefix(generation.model, generation.version, generation.spec)
        key = row["key"].removeprefix(prefix)
        # The key of a forecast ends in .parquet, whatever the ending of its input is.
        pattern = self._job.pattern
        name = pattern.parse(key.removesuffix(".parquet")) or pattern.parse(key)
        # The forecasts of a whole month are named after its folder, not after an input: whether
        # the settings of now take whole months does not matter.
        folder, _, series = row["partition"].rpartition("/")
        month = month_of_folder(folder)
        if name is None and month is not None and series == WHOLE_MONTH:
            return PartitionName(folder, month, WHOLE_MONTH, "parquet")
        return name

    def _takes(self, partition: str) -> bool:
        """Check whether a partition has figures of its own, if these are kept by partition.

        They are compared with the quality of files, of which a whole month has several.
        """
        by_month = self._job.selection.by_month or not self.by_partition
        return by_month or not is_whole_month(lineage_of(partition))

    def _parts(
        self, row: dict[str, Any], name: PartitionName, horizon: int
    ) -> Iterator["PartSums"]:
        """Yield the sums of each part of a file."""
        month, lineage = name.month, lineage_of(row["partition"])
        max_steps = self._job.resources.memory_limit_bytes // _STEP_BYTES
        # By the ETag of the manifest: a forecast that was replaced since then is listed as failed.
        batches = read_batches(self._outputs, row["key"], if_match=row["etag"])
        scales = actuals_of = None
        for table in whole_series(batches, horizon, max_steps):
            forecasts = read_forecasts(table, horizon)
            items = key_columns(table.schema)
            if actuals_of is None:
                # A forecast of weeks is compared with weeks, without being told.
                metadata = table.schema.metadata or {}
                text = metadata.get(AGGREGATION.encode())
                recipe = self._recipe(metadata, row["key"])
                actuals_of = self._actuals(text, recipe, by_month=is_whole_month(lineage))
                scales = actuals_of.scales(month, lineage, items)
            actuals, conflicts = actuals_of.find(forecasts, month, lineage, items)
            self._evaluation.conflicts += conflicts
            actual = match(forecasts, actuals)
            yield PartSums.of(forecasts, actual, match_scales(forecasts, scales))

    def _recipe(self, metadata: Mapping[bytes, bytes], key: str) -> "_Described | None":
        """Return the recipe in the metadata of a forecast, where the job says nothing of its own.

        ``None`` for forecasts of an earlier release.
        """
        spec = metadata.get(b"gigacast.spec", b"").decode(errors="replace")
        if describes_reading(self._job):
            return None
        recipe = recipe_of(metadata, spec, key)
        return None if recipe is None else _Described(spec, recipe, recipe.input_root)

    def _actuals_as(
        self, aggregation: bytes | None, described: "_Described | None", *, by_month: bool
    ) -> Actuals:
        """Return the actuals of forecasts with this recipe or aggregation; the job's by default.

        Of the forecasts of a whole month, actuals are read as a whole month, too: an item may have
        rows in several parts.
        """
        job, inputs = self._job, None
        if described is not None:
            job = described.recipe.job(job)
            inputs = None if job.inputs == self._job.inputs else job.inputs
        if by_month:
            job = replace(job, selection=replace(job.selection, by_month=True))
        if aggregation is not None:
            method = with_aggregation(job.method, aggregation, "a forecast")
            job = replace(job, method=method)
        return Actuals(job, self._inputs if inputs is None else open_inputs(inputs))

    def _count(self, name: str, month: Month, part: "PartSums") -> None:
        self._evaluation.levels[name] = part.levels
        self._evaluation.steps += part.steps
        self._evaluation.matched += part.matched
        _add_to(self._sums["version"], FigureKey(name, "all"), part.all_steps)
        _add_to(self._sums["month"], FigureKey(name, str(month)), part.all_steps)
        for step, sums in enumerate(part.by_step, start=1):
            _add_to(self._sums["step"], FigureKey(name, str(step)), sums)


def _add_to(totals: dict[FigureKey, Sums], key: FigureKey, sums: Sums) -> None:
    totals[key] = totals[key] + sums if key in totals else sums


@dataclass(frozen=True)
class _Described:
    """A recipe, equal to another of the same spec and inputs."""

    spec: str
    recipe: Recipe = field(compare=False)
    input_root: str | None = None


@dataclass(frozen=True)
class PartSums:
    """Sums over some series of a file."""

    levels: tuple[float, ...]
    steps: int
    matched: int
    all_steps: Sums
    by_step: list[Sums]

    @classmethod
    def of(
        cls,
        forecasts: Forecasts,
        actual: np.ndarray[Any, Any],
        scales: DoubleArray,
    ) -> "PartSums":
        """Compare forecasts with their actuals, [N, H], over all steps and step by step."""

        def compare(at: slice) -> Sums:
            median, quantiles = forecasts.median[:, at], forecasts.quantiles[:, at]
            return add_up(measure(actual[:, at], median, quantiles, forecasts.levels, scales))

        return cls(
            levels=forecasts.levels,
            steps=actual.size,
            matched=int(np.isfinite(actual).sum()),
            all_steps=compare(slice(None)),
            by_step=[compare(slice(step, step + 1)) for step in range(actual.shape[1])],
        )


def _order(entry: tuple[FigureKey, Sums]) -> tuple[str, int, str]:
    # Steps in the order of numbers: as texts, 10 would come before 2.
    (model, label), _ = entry
    return model, int(label) if label.isdigit() else 0, label
