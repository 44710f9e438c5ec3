"""The search for anomalies in stored forecasts as the children of an array do it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from gigacast.anomalies.job import AnomalyJob
from gigacast.anomalies.partition import SearchSetup
from gigacast.anomalies.run import find_anomalies_in, plan_search
from gigacast.backtesting.evaluation.partition import is_forecast
from gigacast.batch.comparison import find_of_run
from gigacast.batch.work import (
    ArrayJob,
    Closing,
    PlainWork,
    closing_job,
    dump_record,
    for_children,
    load_record,
    reachable_job,
)
from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.task import Task
from gigacast.errors import ObjectNotFoundError
from gigacast.job.forecast_job import Resources
from gigacast.lake.layout import anomalies_key
from gigacast.lake.plan.plan_file import PlanFile
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.executor import Setup
from gigacast.storage.store import Store

KIND = "anomalies"


@dataclass(frozen=True)
class _Stored:
    """A search as a plan holds it."""

    kind: str
    job: AnomalyJob


def divide_search(job: AnomalyJob) -> ArrayJob:
    """Plan a search in stored forecasts for an array.

    Raises
    ------
    DataNotFoundError
        When there is nothing to compare.
    ConfigError
        If no forecasts are stored, or inputs or outputs are out of reach of other machines.
    StorageError
    """
    forecast = reachable_job(job.forecast)
    job = replace(job, forecast=forecast)
    planned = plan_search(job)
    stored = replace(job, forecast=replace(forecast, resources=for_children(forecast.resources)))
    setup = dump_record(_Stored(KIND, stored))
    return ArrayJob(planned, forecast.outputs, lambda run_id: setup)


def load_work(plan: PlanFile) -> "SearchWork":
    """Return the search in a plan.

    Raises
    ------
    PlanError
        When another version of the package wrote it.
    """
    return SearchWork(load_record(_Stored, plan).job)


@dataclass(frozen=True)
class SearchWork(PlainWork):
    """Anomalies in the forecasts of partitions.

    Parameters
    ----------
    job : AnomalyJob
    """

    job: AnomalyJob

    @property
    def prices(self) -> PriceTable | None:
        """Prices of machine time."""
        return self.job.forecast.prices

    @property
    def resources(self) -> Resources:
        """Processes and memory of a child."""
        return self.job.forecast.resources

    def find(self, outputs: Store, task: Task, run_id: str) -> Receipt | None:
        """Return the receipt of a search that this run has made in a task's forecasts.

        Which objects hold their actuals only the worker knows: what was searched a moment ago, by
        this run, is done.
        """
        try:
            output = outputs.head(anomalies_key(task.output_key, self.job.origin))
        except ObjectNotFoundError:
            return None
        forecasts = [entry.etag for entry in filter(is_forecast, task.inputs)]
        return find_of_run(outputs, output, run_id, forecasts)

    def worker(self, outputs: Store, run_id: str, pending: Sequence[Task]) -> Setup[Task, Receipt]:
        """Return the recipe for the worker."""
        del outputs, pending
        return SearchSetup(self.job, run_id)

    def close(self, closing: Closing, tables: Iterable[pa.Table]) -> None:
        """Write the report on all partitions that are searched."""
        del tables
        with closing_job(closing) as settled:
            find_anomalies_in(self.job, executor=settled, start=settled.start)
