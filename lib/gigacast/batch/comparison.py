"""An evaluation as the children of an array run do it, and as its plan holds it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from gigacast.backtesting.evaluation.partition import ScoreSetup, is_forecast, reach_of
from gigacast.backtesting.evaluation.run import (
    EvaluationJob,
    collect_evaluation,
    describe_evaluation,
    plan_evaluation,
)
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
from gigacast.errors import CorruptedFileError, ObjectNotFoundError
from gigacast.job.forecast_job import Resources
from gigacast.lake.layout import scores_prefix
from gigacast.lake.plan.plan_file import PlanFile
from gigacast.lake.plan.receipt import Receipt, list_receipts, read_receipt
from gigacast.runtime.executor import Setup
from gigacast.storage.store import ObjectMeta, Store

KIND = "evaluate"


@dataclass(frozen=True)
class _Stored:
    """An evaluation as a plan holds it."""

    kind: str
    job: EvaluationJob


def dump_evaluation(job: EvaluationJob) -> Mapping[str, Any]:
    """Return an evaluation as its plan holds it: children take the executor of their machine."""
    resources = for_children(job.forecast.resources)
    job = replace(job, forecast=replace(job.forecast, resources=resources))
    return dump_record(_Stored(KIND, job))


def load_work(plan: PlanFile) -> "EvaluationWork":
    """Return the evaluation in a plan.

    Raises
    ------
    PlanError
        When another version of the package wrote it.
    """
    return EvaluationWork(load_record(_Stored, plan).job)


def divide_evaluation(job: EvaluationJob) -> ArrayJob:
    """Plan an evaluation for an array.

    Raises
    ------
    DataNotFoundError
        When there are no finished forecasts of the model, version, months and series.
    ConfigError
        If inputs or outputs are out of reach of other machines.
    StorageError
    """
    job = replace(job, forecast=reachable_job(job.forecast))
    planned = plan_evaluation(job)
    setup = dump_evaluation(planned.job)
    return ArrayJob(describe_evaluation(planned), job.forecast.outputs, lambda run_id: setup)


@dataclass(frozen=True)
class EvaluationWork(PlainWork):
    """Scores of the forecasts of partitions.

    Parameters
    ----------
    job : EvaluationJob
    """

    job: EvaluationJob

    @property
    def prices(self) -> PriceTable | None:
        """Prices of machine time."""
        return self.job.forecast.prices

    @property
    def resources(self) -> Resources:
        """Processes and memory of a child."""
        return self.job.forecast.resources

    def find(self, outputs: Store, task: Task, run_id: str) -> Receipt | None:
        """Return the receipt of scores that are made of a task's forecasts, else ``None``.

        Which objects hold their actuals only the worker knows: what was compared a moment ago, by
        this run, is done.
        """
        forecasts = [entry.etag for entry in filter(is_forecast, task.inputs)]
        for page in outputs.list(scores_prefix(task.output_key)):
            for entry in filter(lambda entry: reach_of(entry.key), page):
                receipt = find_of_run(outputs, entry, run_id, forecasts)
                if receipt is not None:
                    return receipt
        return None

    def worker(self, outputs: Store, run_id: str, pending: Sequence[Task]) -> Setup[Task, Receipt]:
        """Return the recipe for the worker."""
        del outputs, pending
        return ScoreSetup(self.job.forecast, run_id)

    def close(self, closing: Closing, tables: Iterable[pa.Table]) -> None:
        """Add up the scores of all partitions that are done, and write the figures."""
        del tables
        with closing_job(closing):
            collect_evaluation(self.job)


def find_of_run(
    outputs: Store, entry: ObjectMeta, run_id: str, inputs: Sequence[str]
) -> Receipt | None:
    """Return the receipt of an output that a run made of inputs with these ETags, among others."""
    for name, _ in list_receipts(outputs, entry.key):
        try:
            receipt = read_receipt(outputs, name)
            receipt.check_output(entry.key, entry.etag)
        except (ObjectNotFoundError, CorruptedFileError):
            continue
        etags = [str(named["etag"]) for named in receipt.inputs[: len(inputs)]]
        if receipt.run_id == run_id and etags == list(inputs):
            return receipt
    return None
