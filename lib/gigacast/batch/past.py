"""A backtest as the children of arrays do it: an array for each model, over the same partitions.

The leaderboard is written at the end of each of them, over the partitions that all models have by
then; at the end of the last one it is whole.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from gigacast.backtesting.job import BacktestJob
from gigacast.backtesting.run import (
    as_side,
    leaderboard_name,
    plan_side,
    prepare_sides,
    run_backtest,
    setup_of,
    side_work,
)
from gigacast.batch.setup import ArraySetup, child_executor, fetch_model, prepared_of
from gigacast.batch.work import (
    ArrayJob,
    Closing,
    closing_job,
    dump_record,
    find_done,
    for_children,
    load_record,
    reachable_job,
)
from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.task import Task
from gigacast.errors import DataNotFoundError
from gigacast.forecasting.prepare import Prepared, pin_months, prepare_array
from gigacast.forecasting.worker import ModelSetup
from gigacast.job.outage import Patience
from gigacast.lake.model.resolve import ResolvedModel
from gigacast.lake.plan.plan_file import PlanFile
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.executor import Executor, Setup
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store

KIND = "backtest"


@dataclass(frozen=True)
class _Stored:
    """A backtest as the plan of one of its models holds it.

    Parameters
    ----------
    kind : str
    job : BacktestJob
    sides : tuple of ArraySetup
        All models.
    side : int
        Number of the model whose partitions the children do.
    horizon : int
        Steps that the first model forecasts.
    """

    kind: str
    job: BacktestJob
    sides: tuple[ArraySetup, ...]
    side: int
    horizon: int


def divide_backtest(job: BacktestJob) -> tuple[list[Prepared], list[ArrayJob]]:
    """Plan a backtest for arrays, one for each model, seasonal naive last.

    Returns
    -------
    list of Prepared
        The models as the children see them.
    list of ArrayJob

    Raises
    ------
    DataNotFoundError
        When no partition matches.
    ConfigError
        When the data or a model is out of reach of the children.
    StorageError, ModelError
    """
    job = replace(job, forecast=pin_months(reachable_job(job.forecast)))
    sides = prepare_sides(job, prepare_array)
    name = leaderboard_name(job, sides)
    setups = tuple(ArraySetup(s.job, s.info, s.model.digest, s.ignored) for s in sides)
    forecast = replace(job.forecast, resources=for_children(job.forecast.resources))
    stored = _Stored(KIND, replace(job, forecast=forecast), setups, 0, sides[0].model_horizon or 1)
    arrays = [_array(job, side, name, replace(stored, side=n)) for n, side in enumerate(sides)]
    return sides, arrays


def _array(job: BacktestJob, side: Prepared, board: str, stored: _Stored) -> ArrayJob:
    planned, _ = plan_side(side_work(side, job, board))
    setup = dump_record(stored)
    queue = job.forecast.model.device.startswith("cuda") and side.model.folder is not None
    return ArrayJob(
        planned, job.forecast.outputs, lambda run_id: setup, queue="gpu" if queue else "cpu"
    )


def load_work(plan: PlanFile) -> "BacktestWork":
    """Return the backtest in a plan.

    Raises
    ------
    PlanError
        When another version of the package wrote it.
    """
    return BacktestWork(load_record(_Stored, plan))


@dataclass(frozen=True)
class BacktestWork:
    """Losses of one model on partitions.

    Parameters
    ----------
    stored : _Stored
    fetched : list of ResolvedModel
        The model that the worker has, once there is one.
    """

    stored: _Stored
    fetched: list[ResolvedModel] = field(default_factory=list, compare=False)

    @property
    def setup(self) -> ArraySetup:
        """The model of the children."""
        return self.stored.sides[self.stored.side]

    @property
    def engine(self) -> str | None:
        """Name and revision of the code that runs the model."""
        return self.setup.info.engine

    @property
    def overwrite(self) -> bool:
        """Whether only receipts of this run count."""
        return self.setup.job.overwrite

    @property
    def prices(self) -> PriceTable | None:
        """Prices of machine time."""
        return self.setup.job.prices

    @property
    def patience(self) -> Patience:
        """How long an outage of the store is waited out."""
        return self.setup.job.resources.patience

    def find(self, outputs: Store, task: Task, run_id: str) -> Receipt | None:
        """Return the receipt of a task that is done already, else ``None``."""
        return find_done(outputs, task, run_id, self.overwrite)

    def worker(self, outputs: Store, run_id: str, pending: Sequence[Task]) -> Setup[Task, Receipt]:
        """Return the recipe for the worker; the model is downloaded where it is needed."""
        setup, registry = self.setup, self.stored.job.registry
        models = outputs if registry is None else open_store(registry)
        model = fetch_model(setup, models) if pending else prepared_of(setup).model
        self.fetched[:] = [model]
        work = ModelSetup(setup.job, model, setup.info, run_id, ignored=setup.ignored)
        return setup_of(self.stored.job, work)

    def executor(self, tasks: int) -> Executor:
        """Return as many processes as keep the GPUs busy, or one per core without a GPU."""
        return child_executor(self.setup, self.fetched, tasks)

    def close(self, closing: Closing, tables: Iterable[pa.Table]) -> None:
        """Write the leaderboard over the partitions that all models have by now."""
        del tables
        job = self.stored.job
        sides = [as_side(job, prepared_of(s), self.stored.horizon) for s in self.stored.sides]
        with closing_job(closing) as settled:
            try:
                run_backtest(job, executor=settled, start=settled.start, sides=sides)
            except DataNotFoundError as error:
                # Another model's array has not begun: its own end writes the leaderboard.
                closing.notes["leaderboard"] = error.message
