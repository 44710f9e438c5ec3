"""An evaluation as the children of an array run do it, and as its plan holds it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from gigacast.backtesting.evaluation.partition import (
    ScoreSetup,
    is_forecast,
    reach_of,
)
from gigacast.backtesting.evaluation.run import (
    EvaluationJob,
    collect_evaluation,
)
from gigacast.batch.work import Closing, dump_record, failure_of, load_record
from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.task import Task
from gigacast.errors import CorruptedFileError, GigacastError, ObjectNotFoundError
from gigacast.job.outage import Patience
from gigacast.lake.layout import scores_prefix
from gigacast.lake.plan.plan_file import PlanFile
from gigacast.lake.plan.receipt import Receipt, list_receipts, read_receipt
from gigacast.runtime.choice import make_executor
from gigacast.runtime.executor import Executor, Setup
from gigacast.runtime.instance import this_machine
from gigacast.storage.store import Store

KIND = "evaluate"


@dataclass(frozen=True)
class _Stored:
    """An evaluation as a plan holds it."""

    kind: str
    job: EvaluationJob


def dump_evaluation(job: EvaluationJob) -> Mapping[str, Any]:
    """Return an evaluation as its plan holds it: children take the executor of their machine."""
    resources = replace(job.forecast.resources, executor="auto")
    job = replace(job, forecast=replace(job.forecast, resources=resources))
    return dump_record(_Stored(KIND, job))


def load_evaluation(plan: PlanFile) -> "EvaluationWork":
    """Return the evaluation in a plan.

    Raises
    ------
    PlanError
        When another version of the package wrote it.
    """
    return EvaluationWork(load_record(_Stored, plan).job)


@dataclass(frozen=True)
class EvaluationWork:
    """Scores of the forecasts of partitions.

    Parameters
    ----------
    job : EvaluationJob
    """

    job: EvaluationJob

    @property
    def engine(self) -> str | None:
        """Nothing: no model is run."""
        return None

    @property
    def overwrite(self) -> bool:
        """False: a partition that another run did counts."""
        return False

    @property
    def prices(self) -> PriceTable | None:
        """Prices of machine time."""
        return self.job.forecast.prices

    @property
    def patience(self) -> Patience:
        """How long an outage of the store is waited out."""
        return self.job.forecast.resources.patience

    def find(self, outputs: Store, task: Task, run_id: str) -> Receipt | None:
        """Return the receipt of scores that are made of a task's forecasts, else ``None``.

        Which objects hold their actuals only the worker knows: what was compared a moment ago, by
        this run, is done.
        """
        forecasts = [entry.etag for entry in filter(is_forecast, task.inputs)]
        for page in outputs.list(scores_prefix(task.output_key)):
            for entry in filter(lambda entry: reach_of(entry.key), page):
                receipt = _receipt_of(outputs, entry.key, entry.etag)
                if receipt is None or receipt.run_id != run_id:
                    continue
                if [str(i["etag"]) for i in receipt.inputs[: len(forecasts)]] == forecasts:
                    return receipt
        return None

    def worker(self, outputs: Store, run_id: str, pending: Sequence[Task]) -> Setup[Task, Receipt]:
        """Return the recipe for the worker."""
        del outputs, pending
        return ScoreSetup(self.job.forecast, run_id)

    def executor(self, tasks: int) -> Executor:
        """Return one process per core, or the number that the settings name."""
        resources = self.job.forecast.resources
        vcpus = this_machine().vcpus
        n_jobs = resources.n_jobs or (max(1, min(vcpus, tasks)) if vcpus is not None else None)
        return make_executor(resources.executor, n_jobs, n_tasks=tasks)

    def close(self, closing: Closing, tables: Iterable[pa.Table]) -> None:
        """Add up the scores of all partitions that are done, and write the figures."""
        del tables
        try:
            collect_evaluation(self.job)
        # The partitions are done, and the run must end nevertheless: `watch` waits for its end.
        except GigacastError as error:
            closing.failures.append(failure_of(error))


def _receipt_of(outputs: Store, key: str, etag: str) -> Receipt | None:
    for name, _ in list_receipts(outputs, key):
        try:
            receipt = read_receipt(outputs, name)
            receipt.check_output(key, etag)
        except (ObjectNotFoundError, CorruptedFileError):
            continue
        return receipt
    return None
