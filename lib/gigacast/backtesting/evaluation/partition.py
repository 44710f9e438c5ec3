"""The task of an evaluation: compare all forecasts of a partition with what has come since.

Inputs are the forecasts, the current one and those that are kept, and the objects with their
actuals. Scores of origins that are no longer kept are taken over from the former scores.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.backtesting.evaluation.actuals import Actuals
from gigacast.backtesting.evaluation.join import match, read_forecasts, whole_series
from gigacast.backtesting.evaluation.score import ScoredPart, Scores, Seen, join_parts
from gigacast.core.partition.name import is_whole_month, lineage_of
from gigacast.core.partition.task import InputObject, Task
from gigacast.core.series.item_key import key_columns
from gigacast.core.time.month import Month
from gigacast.forecasting.prediction import long_table
from gigacast.forecasting.stored.choice import describes_reading
from gigacast.forecasting.stored.recipe import Recipe, recipe_of
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.location import open_inputs
from gigacast.job.receipt import Work, new_receipt
from gigacast.job.spec import AGGREGATION, with_aggregation
from gigacast.job.worker import Stopwatch, inputs_pinned
from gigacast.lake.layout import FORECASTS, ORIGINS, parse_origin_key, scores_prefix
from gigacast.lake.plan.origin import CUTOFF, UNKNOWN, cutoff_text
from gigacast.lake.plan.receipt import Receipt, write_receipt
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import read_batches, read_table
from gigacast.storage.parquet.writer import table_bytes
from gigacast.storage.store import Store

STEP_BYTES = 768
"""Memory for a forecast step, roughly: keys, quantiles, actual, and the hash join of them."""
ENDING = ".parquet"
EMPTY = pa.table({"kind": pa.nulls(0, pa.string()), "origin": pa.nulls(0, pa.string())})
"""Scores of a partition without series."""


def scores_key(output_key: str, reach: tuple[Month, Month]) -> str:
    """Return the key of a forecast's scores; it names the months in which actuals were looked for.

    So a plan knows which objects the scores depend on, and reads no forecast for it.
    """
    return f"{scores_prefix(output_key)}{reach[0]}_{reach[1]}{ENDING}"


def reach_of(key: str) -> tuple[Month, Month] | None:
    """Return the months in the key of scores; ``None`` for other keys."""
    return reach_of_months(key.rpartition("/")[2].removesuffix(ENDING).split("_"))


def reach_of_months(texts: Sequence[str]) -> tuple[Month, Month] | None:
    """Return a first and a last month, as 2024-01 and 2024-02; ``None`` for other texts."""
    parts = [part.split("-") for part in texts]
    if [len(part) for part in parts] != [2, 2] or not all(p.isdecimal() for q in parts for p in q):
        return None
    first, last = (Month(int(year), int(month)) for year, month in parts)
    return first, last


def month_of(task: Task) -> Month:
    """Return the month of a task's partition."""
    year, month = task.month.split("-")
    return Month(int(year), int(month))


def is_forecast(entry: InputObject) -> bool:
    """Whether an input of a task is a forecast; the others hold actuals."""
    return entry.key.startswith((FORECASTS, ORIGINS))


@dataclass(frozen=True)
class ScoreSetup:
    """A picklable recipe for the workers of an evaluation.

    Parameters
    ----------
    job : ForecastJob
        Addresses, selection and columns; its model is not used.
    run_id : str
    """

    job: ForecastJob
    run_id: str

    def __call__(self) -> "PartitionScorer":
        """Open the stores."""
        return PartitionScorer(self.job, self.run_id)


@dataclass
class PartitionWork:
    """The state of a task: what is known before the last of its forecasts is read."""

    task: Task
    actuals: Actuals | None = None
    reach: tuple[Month, Month] | None = None
    scores: Scores | None = None
    seen: Seen = field(default_factory=Seen)
    items: tuple[str, ...] = ()
    labels: set[str] = field(default_factory=set)
    conflicts: int = 0
    series: int = 0

    def widen(self, reach: tuple[Month, Month]) -> None:
        """Count more months among those in which actuals are looked for."""
        former = self.reach or reach
        self.reach = min(reach[0], former[0]), max(reach[1], former[1])

    @property
    def month(self) -> Month:
        """Month of the partition."""
        return month_of(self.task)

    @property
    def lineage(self) -> str:
        """Name of the partition without its month."""
        return lineage_of(self.task.partition)


class PartitionScorer:
    """Scores the forecasts of one partition per call."""

    def __init__(self, job: ForecastJob, run_id: str) -> None:
        self._job = job
        self._run_id = run_id
        self._inputs = open_inputs(job.inputs)
        self._outputs = open_store(job.outputs)
        self._actuals = cache(self._actuals_as)

    def __call__(self, task: Task) -> Receipt:
        """Write the scores of a partition, then the receipt that names what they were made of.

        Raises
        ------
        InputChangedError, DataError, StorageError
        """
        watch, work = Stopwatch(), PartitionWork(task)
        with watch.measure("total"), inputs_pinned(task):
            for part in self._parts(work):
                self._score(work, part)
            table = self._with_former(work)
        finished = self._finished(work)
        content = table_bytes(table, "zstd")
        etag = self._outputs.put_unless_equal(finished.output_key, content)
        output = {
            "key": finished.output_key,
            "etag": etag,
            "size_bytes": len(content),
            "rows": table.num_rows,
        }
        counts = {"conflicts": work.conflicts} if work.conflicts else {}
        report = Work(
            job="evaluate",
            run_id=self._run_id,
            rows=table.num_rows,
            series=work.series,
            seconds=watch.rounded(),
            repairs=counts,
        )
        receipt = new_receipt(finished, output, report)
        write_receipt(self._outputs, finished, receipt, etag)
        self._clear(finished)
        return receipt

    def _parts(self, work: PartitionWork) -> Iterator[ScoredPart]:
        """Yield the forecasts of all origins, the latest first, in parts of bounded memory."""
        horizon = work.task.horizon
        limit = max(1, self._job.resources.memory_limit_bytes // STEP_BYTES)
        pending, steps = [], 0
        for entry in self._chosen(work.task):
            label = self._label_of(entry)
            work.labels.add(label)
            batches = read_batches(self._outputs, entry.key, if_match=entry.etag)
            for table in whole_series(batches, horizon, limit):
                self._open(work, table)
                rows = self._long(table)
                pending.append((label, rows, read_forecasts(rows, horizon)))
                steps += rows.num_rows
                if steps >= limit:
                    yield join_parts(pending)
                    pending, steps = [], 0
        if pending:
            yield join_parts(pending)

    def _long(self, table: pa.Table) -> pa.Table:
        """Return the rows of forecasts that are compared."""
        return long_table(table)

    def _chosen(self, task: Task) -> Sequence[InputObject]:
        """Return the forecasts of a task that are compared: all of them."""
        return [*filter(is_forecast, task.inputs)]

    def _open(self, work: PartitionWork, table: pa.Table) -> None:
        """Find how the actuals of a task are read, from the metadata of its latest forecast."""
        if work.actuals is not None:
            return
        metadata = table.schema.metadata or {}
        recipe = self._recipe(metadata, work.task.output_key)
        aggregation = metadata.get(AGGREGATION.encode())
        by_month = is_whole_month(work.lineage)
        work.actuals = self._actuals(aggregation, recipe, by_month=by_month)
        work.items = key_columns(table.schema)

    def _score(self, work: PartitionWork, part: ScoredPart) -> None:
        assert work.actuals is not None  # noqa: S101 - `_open` found them
        rows = np.flatnonzero(work.seen.new(part.series))
        forecasts = part.forecasts
        work.widen(work.actuals.reach(forecasts, work.month))
        places, conflicts = work.actuals.find(forecasts, work.month, work.lineage, work.items)
        actual = match(forecasts, places)
        scales = work.actuals.scales(forecasts, work.month, work.lineage, work.items)
        work.scores = work.scores or Scores(forecasts.levels)
        work.scores.add(part, actual, scales, rows)
        work.conflicts += conflicts
        work.series += len(rows)

    def _finished(self, work: PartitionWork) -> Task:
        """Return the task with the objects on which its scores depend, and the key that says so."""
        reach = work.reach or (work.month, work.month)
        return replace(self._read(work), output_key=scores_key(work.task.output_key, reach))

    def _read(self, work: PartitionWork) -> Task:
        """Return the task with all that was read for it: the forecasts, then the actuals."""
        forecasts = tuple(filter(is_forecast, work.task.inputs))
        reach = work.reach or (work.month, work.month)
        actuals: Sequence[InputObject] = ()
        if work.actuals is not None:
            actuals = work.actuals.objects(reach, work.month, work.lineage)
        return replace(work.task, inputs=(*forecasts, *actuals), own=len(actuals))

    def _with_former(self, work: PartitionWork) -> pa.Table:
        """Return the scores, with those of origins that are no longer kept."""
        tables = [work.scores.to_table()] if work.scores is not None else [EMPTY]
        former = self._former(work.task)
        if former is not None:
            current = pa.array(sorted(work.labels), pa.string())
            gone = pc.invert(pc.is_in(former["origin"], value_set=current))
            tables.append(former.filter(gone))
        metadata = tables[0].schema.metadata
        plain = [table.replace_schema_metadata() for table in tables]
        joined = pa.concat_tables(plain, promote_options="permissive")
        return joined.replace_schema_metadata(metadata)

    def _former(self, task: Task) -> pa.Table | None:
        """Return the former scores of a partition; ``None`` without any."""
        pages = self._outputs.list(scores_prefix(task.output_key))
        listed = [entry for page in pages for entry in page if reach_of(entry.key)]
        if not listed:
            return None
        latest = max(listed, key=lambda entry: (entry.modified_ns, entry.key))
        return read_table(self._outputs, latest)

    def _label_of(self, entry: InputObject) -> str:
        """Return the name of an origin: that in a kept forecast's key, or the newest cutoff."""
        named = parse_origin_key(entry.key)
        if named is not None:
            return named.cutoff
        table = read_table(
            self._outputs,
            entry.key,
            lambda schema: [CUTOFF] if CUTOFF in schema.names else [],
            if_match=entry.etag,
        )
        return cutoff_text(pc.max(table[CUTOFF])) if table.column_names else UNKNOWN

    def _clear(self, task: Task) -> None:
        """Delete scores under the names of other months, which these replace."""
        folder = f"{task.output_key.rpartition('/')[0]}/"
        keys = [entry.key for page in self._outputs.list(folder) for entry in page]
        obsolete = [key for key in keys if key != task.output_key and reach_of(key)]
        if obsolete:
            self._outputs.delete(obsolete)

    def _recipe(self, metadata: Mapping[bytes, bytes], key: str) -> "_Described | None":
        """Return the recipe in the metadata of a forecast, where the job says nothing of its own.

        ``None`` for forecasts of an earlier release.
        """
        if describes_reading(self._job):
            return None
        spec = metadata.get(b"gigacast.spec", b"").decode(errors="replace")
        recipe = recipe_of(metadata, spec, key)
        return None if recipe is None else _Described(spec, recipe.input_root, recipe)

    def _actuals_as(
        self, aggregation: bytes | None, described: "_Described | None", *, by_month: bool
    ) -> Actuals:
        """Return the actuals of forecasts with this recipe or aggregation; the job's by default."""
        recipe = None if described is None else described.recipe
        reading = Reading.of(self._job, self._inputs, recipe)
        return actuals_of(reading, aggregation, by_month=by_month)


@dataclass(frozen=True)
class _Described:
    """A recipe, equal to another of the same spec and inputs."""

    spec: str
    input_root: str | None
    recipe: Recipe = field(compare=False)


@dataclass(frozen=True)
class Reading:
    """How actuals are read: a job with its columns, and its inputs."""

    job: ForecastJob
    inputs: Store

    @classmethod
    def of(cls, job: ForecastJob, inputs: Store, recipe: Recipe | None) -> "Reading":
        """Return the reading of forecasts with a recipe; the job's own without one."""
        if recipe is None:
            return cls(job, inputs)
        described = recipe.job(job)
        is_elsewhere = described.inputs != job.inputs
        return cls(described, open_inputs(described.inputs) if is_elsewhere else inputs)


def actuals_of(reading: Reading, aggregation: bytes | None, *, by_month: bool) -> Actuals:
    """Return the actuals of forecasts with an aggregation, as their metadata have it.

    Of the forecasts of a whole month, actuals are read as a whole month, too: an item may have rows
    in several parts.
    """
    job = reading.job
    if by_month:
        job = replace(job, selection=replace(job.selection, by_month=True))
    if aggregation is not None:
        # A forecast of weeks is compared with weeks, without being told.
        method = with_aggregation(job.method, aggregation, "a forecast")
        job = replace(job, method=method)
    return Actuals(job, reading.inputs)
