"""Features as covariates: the input of a forecasting job with the features of a join as columns.

Each row of a series gets the features as of its own time, which no later event changes. So they are
right at every origin of a backtest, as past covariates, which are not read after the origin.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from gigacast.core.digest import digest_value
from gigacast.core.partition.task import InputObject, Task
from gigacast.errors import ConfigError, InputChangedError
from gigacast.feature_store.definition.check import check
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.json import semantic_digest
from gigacast.feature_store.definition.name import join_columns, kind_of, name_of, path_of
from gigacast.feature_store.engine.engine import TIME, DaySpan, Engine, Reading
from gigacast.feature_store.offline.day import day_of, midnights
from gigacast.feature_store.offline.join import BoundParts
from gigacast.feature_store.offline.left import Left, LeftDay, LeftSide
from gigacast.feature_store.offline.product import FORMAT_REVISION
from gigacast.feature_store.offline.source import BoundTable, Catalog
from gigacast.feature_store.offline.stage import Backfill, make_engine
from gigacast.feature_store.offline.worker import encode
from gigacast.feature_store.table import Table, Tables
from gigacast.job.audit import PlannedJob, RunDescription
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.location import open_inputs
from gigacast.job.receipt import Work, new_receipt
from gigacast.job.run import RunEvents, start_run
from gigacast.job.worker import Stopwatch, inputs_pinned
from gigacast.lake.feature_layout import covariate_prefix, definition_key
from gigacast.lake.layout import output_name, receipt_prefix
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.file_plan import FoundFile, find_partitions
from gigacast.lake.plan.listing import receipts_by_output, valid_receipt
from gigacast.lake.plan.planner import Plan
from gigacast.lake.plan.receipt import Receipt, write_receipt
from gigacast.runtime.choice import make_executor
from gigacast.runtime.executor import Failure
from gigacast.storage.parquet.read import open_parquet
from gigacast.storage.store import ObjectMeta, Store, StoreAddress

_JOB = "covariates"


@dataclass(frozen=True)
class _Series:
    """The series of a job and the join over them, with their stores.

    Parameters
    ----------
    backfill : Backfill
    inputs : StoreAddress
        Input root of the job.
    """

    backfill: Backfill
    inputs: StoreAddress

    def open(self) -> "_Open":
        return _Open(self)


class _Open:
    """A join bound to its tables, and the input root of a job in place of its left side."""

    def __init__(self, series: _Series) -> None:
        backfill = series.backfill
        definition = backfill.definition
        if not isinstance(definition, Join):
            raise ConfigError(
                f"--features: {name_of(definition)} is a {kind_of(definition)}",
                hint="name a join whose left side selects columns of the series",
            )
        query = definition.left.query
        if query.time_column is None or query.wheres:
            raise ConfigError(
                f"{query.place}: --features {name_of(definition)}: the left side must have a "
                "time_column and no wheres, since each row of the series gets features",
                hint="write Query(selects=select(...), time_column='timestamp')",
            )
        self.join = definition
        tables = Tables.at(backfill.root, backfill.places)
        self.store: Store = tables.store
        self.inputs = open_inputs(series.inputs)
        self.engine: Engine = make_engine(backfill.resources, self.store)
        self.bound = BoundParts.of_rows(Catalog(tables), definition)
        self.time = query.time_column

    @property
    def digest(self) -> str:
        """Digest of what decides the features besides the inputs."""
        return digest_value([semantic_digest(self.join), FORMAT_REVISION])

    @property
    def prefix(self) -> str:
        """Folder of the input with features."""
        return covariate_prefix(name_of(self.join), self.digest)

    def task(self, file: FoundFile, stale: tuple[str, ...] = ()) -> Task:
        """Return the task of a partition of the input."""
        day = self._survey(file)
        own = InputObject(definition_key(path_of(self.join)), self.digest, 0, "parquet")
        visible = [
            InputObject(f"{table}/ds={name}" if name else table, digest, size, "parquet")
            for table, name, digest, size in self.bound.part_inputs(day)
        ]
        return Task(
            partition=file.partition,
            month=str(file.month),
            inputs=(own, file.input, *visible),
            own=1,
            horizon=0,
            spec=self.digest[:8],
            output_key=f"{self.prefix}{output_name(file.input.key)}",
            stale_receipts=stale,
        )

    def rows(self, source: InputObject) -> pa.Table:
        """Return the rows of a partition with their features, in the order of the input."""
        table = self.engine.rows(self._reading(source, keeps_all=True))
        keys = self.engine.rows(self._reading(source))
        features = self._features(keys)
        for name in covariate_names(self.join, features.schema):
            table = table.append_column(name, features[name])
        return table

    def _features(self, keys: pa.Table) -> pa.Table:
        """Return the features of rows, each day of which sees the partitions up to it."""
        times = pc.fill_null(keys[TIME], 0).to_numpy()
        timed = pc.is_valid(keys[TIME]).to_numpy()
        plain = keys.drop_columns([TIME])
        names = list(join_columns(self.join))
        pieces, places = [], []
        dates = midnights(times)
        for date in np.unique(dates) if len(dates) else np.zeros(1, np.int64):
            mine = np.flatnonzero(dates == date)
            day = day_of(int(date))
            base = Left(day, plain.take(pa.array(mine)), times[mine], timed[mine])
            pieces.append(self.bound.beside(self.engine, base).select(names))
            places.append(mine)
        order = np.concatenate(places)
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return pa.concat_tables(pieces).take(pa.array(back))

    def _survey(self, file: FoundFile) -> LeftDay:
        """Return the span of times in a partition of the input."""
        meta = ObjectMeta(file.input.key, file.input.etag, file.input.size_bytes, 0)
        bound = BoundTable(
            file.input.key,
            self._table(file.input),
            {"": (meta,)},
            self.join.left.query,
            self._label,
        )
        side = LeftSide(self.join.left, bound, self.time)
        days = side.survey(self.engine, self.store, DaySpan(first=""))
        firsts = [day.first for day in days if day.first is not None]
        lasts = [day.last for day in days if day.last is not None]
        return LeftDay("", min(firsts, default=None), max(lasts, default=None), 0)

    def _table(self, source: InputObject) -> Table:
        folder, slash, _ = source.key.rpartition("/")
        return Table("series", self.inputs, f"{folder}{slash}", {})

    def _reading(self, source: InputObject, *, keeps_all: bool = False) -> Reading:
        meta = ObjectMeta(source.key, source.etag, source.size_bytes, 0)
        query = self.join.left.query
        selects = None if keeps_all else query.selects
        times = {} if keeps_all else {TIME: self.time}
        return Reading(
            self._table(source), (meta,), selects, times, place=query.place, label=self._label
        )

    @property
    def _label(self) -> str:
        return f"join {name_of(self.join)}: the left side"


def covariate_names(join: Join, schema: pa.Schema) -> list[str]:
    """Return the features that can be covariates: numbers and booleans.

    Raises
    ------
    ConfigError
        If there is none.
    """
    kinds = {name: schema.field(name).type for name in join_columns(join)}
    names = [
        name
        for name, kind in kinds.items()
        if pat.is_integer(kind) or pat.is_floating(kind) or pat.is_boolean(kind)
    ]
    if not names:
        raise ConfigError(
            f"--features {name_of(join)}: no feature is a number",
            hint="aggregate by SUM, COUNT, AVERAGE, MIN, MAX or LAST",
        )
    return names


def add_features(
    job: ForecastJob, backfill: Backfill, *, events: RunEvents | None = None
) -> tuple[ForecastJob, list[tuple[Task, Failure]]]:
    """Return a job over the same series with the features of a join, and what failed.

    Partitions that are done are not computed again. The features become past covariates.

    Parameters
    ----------
    job : ForecastJob
    backfill : Backfill
        Of a join; its left side selects columns of the series.
    events : RunEvents, optional

    Raises
    ------
    DefinitionError, ConfigError, DataNotFoundError, StorageError
    """
    check(backfill.definition)
    series = _Series(backfill, job.inputs)
    opened = series.open()
    plan = Plan()
    files = list(_find_files(job, opened.inputs, plan))
    _add_tasks(opened, files, plan)
    description = RunDescription(
        job=_JOB,
        settings={"join": name_of(opened.join), "inputs": job.inputs.url},
        plan={"tasks": len(plan.tasks), "done": plan.totals.done},
    )
    planned = PlannedJob(
        opened.store,
        plan,
        plan.tasks,
        Selection(),
        description,
        inputs=opened.inputs,
        patience=job.resources.patience,
    )
    run = start_run(planned, events=events)
    executor = make_executor(
        "auto" if job.resources.executor == "batch" else job.resources.executor,
        job.resources.n_jobs,
        n_tasks=len(plan.tasks),
    )
    if plan.tasks:
        run.execute(plan.tasks, CovariateSetup(series, run.run_id), executor)
    if not files or run.failures:
        return job, run.failures
    names = _names_of(opened, files[0])
    named = {*job.method.columns.known_covariates, *job.method.columns.past_covariates}
    past = (
        *job.method.columns.past_covariates,
        *(name for name in names if name not in named),
    )
    columns = replace(job.method.columns, past_covariates=past)
    inputs = backfill.root.child(opened.prefix)
    return replace(job, inputs=inputs, method=replace(job.method, columns=columns)), []


def _names_of(opened: _Open, file: FoundFile) -> list[str]:
    key = f"{opened.prefix}{output_name(file.input.key)}"
    with open_parquet(opened.store, key, selective=True) as parquet:
        schema = parquet.schema_arrow
    present = set(schema.names)
    return [name for name in join_columns(opened.join) if name in present]


def _find_files(job: ForecastJob, inputs: Store, plan: Plan) -> Iterator[FoundFile]:
    # All months: earlier ones are the context of selected ones.
    every = replace(Selection(), symbols=job.selection.symbols, timeframes=job.selection.timeframes)
    return find_partitions(inputs, job.pattern, every, plan)


def _add_tasks(opened: _Open, files: list[FoundFile], plan: Plan) -> None:
    outputs = {entry.key: entry for page in opened.store.list(opened.prefix) for entry in page}
    pages = opened.store.list(receipt_prefix(opened.prefix))
    receipts = receipts_by_output(entry for page in pages for entry in page)
    for file in files:
        key = f"{opened.prefix}{output_name(file.input.key)}"
        own = receipts.pop(key, [])
        task = opened.task(file, tuple(receipt for _, receipt in own))
        counts = plan.months[file.month]
        if valid_receipt(task, outputs.get(key), own) is not None:
            counts.done += 1
            continue
        counts.pending += 1
        plan.tasks.append(task)


@dataclass(frozen=True)
class CovariateSetup:
    """A picklable recipe for the worker that adds features to partitions.

    Parameters
    ----------
    series : _Series
    run_id : str
    """

    series: _Series
    run_id: str

    def __call__(self) -> Callable[[Task], Receipt]:
        """Open the stores and return the worker."""
        opened = self.series.open()

        def work(task: Task) -> Receipt:
            watch = Stopwatch()
            source = task.inputs[1]
            with watch.measure("total"), inputs_pinned(task):
                file = FoundFile(task.partition, source.key, source)
                if opened.task(file).inputs != task.inputs:
                    raise InputChangedError(
                        f"{task.partition}: a partition that its features are made of changed "
                        "after the plan was made",
                        hint="the next run plans it again",
                    )
                rows = opened.rows(source)
                content = encode(rows)
                etag = opened.store.put_unless_equal(task.output_key, content)
            output: dict[str, object] = {
                "key": task.output_key,
                "etag": etag,
                "size_bytes": len(content),
                "rows": rows.num_rows,
            }
            work = Work(_JOB, self.run_id, rows.num_rows, rows.num_rows, watch.rounded())
            receipt = new_receipt(task, output, work)
            # After the output: a crash in between leaves a pending partition.
            write_receipt(opened.store, task, receipt, etag)
            return receipt

        return work
