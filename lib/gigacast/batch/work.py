"""What the children of an array run do, as the setup of its plan says: forecasts, or a backfill."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pyarrow as pa

from gigacast.batch.setup import ArraySetup, fetch_model, load_setup, prepared_of
from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.task import Task
from gigacast.errors import PlanError
from gigacast.forecasting.manifest import ManifestDraft
from gigacast.forecasting.partition import ForecastSetup
from gigacast.forecasting.prepare import Prepared
from gigacast.forecasting.run import make_executor_for
from gigacast.lake.plan.plan_file import PlanFile
from gigacast.lake.plan.planner import make_plan
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.executor import Executor, Setup
from gigacast.runtime.instance import this_machine
from gigacast.storage.store import Store

KIND = "kind"
"""Entry of a setup that names the work; setups of forecasts have none."""


@dataclass
class Closing:
    """What is done when all children have ended.

    Parameters
    ----------
    outputs : Store
        Rooted at the output root.
    run_id : str
    is_whole : bool
        Whether every task is done.
    failures : list of dict
        Failures of the closing itself, to be listed in the audit.
    notes : dict
        Entries for the plan of the audit.
    """

    outputs: Store
    run_id: str
    is_whole: bool
    failures: list[dict[str, object]] = field(default_factory=list)
    notes: dict[str, object] = field(default_factory=dict)


class ArrayWork(Protocol):
    """The work of an array run."""

    @property
    def engine(self) -> str | None:
        """Name and revision of the code that runs the model, for the audit."""

    @property
    def overwrite(self) -> bool:
        """Whether only receipts of this run count."""

    @property
    def prices(self) -> PriceTable | None:
        """Prices of machine time, for the bill."""

    def worker(self, outputs: Store, run_id: str, *, pending: int) -> Setup[Task, Receipt]:
        """Return the recipe for the worker of a child with some tasks pending."""

    def executor(self, tasks: int) -> Executor:
        """Return what runs the tasks of a child on its machine."""

    def close(self, closing: Closing, tables: Iterable[pa.Table]) -> None:
        """Publish what the children did.

        Parameters
        ----------
        closing : Closing
        tables : iterable of Table
            Rows of the manifest that each child wrote.
        """


def load_work(plan: PlanFile) -> ArrayWork:
    """Return the work of a plan.

    Raises
    ------
    PlanError
        When another version of the package wrote it.
    """
    kind = plan.setup.get(KIND, "forecast")
    if kind == "backfill":
        # The feature store is imported by its own children alone.
        from gigacast.batch.backfill import load_backfill  # noqa: PLC0415

        return load_backfill(plan)
    if kind != "forecast":
        raise PlanError(
            f"the plan of {plan.run_id} is of another kind of work: {str(kind)[:40]!r}",
            hint="use the same version of gigacast on every machine",
        )
    return ForecastWork(load_setup(plan))


@dataclass(frozen=True)
class ForecastWork:
    """Forecasts of the partitions of a resolved job.

    Parameters
    ----------
    setup : ArraySetup
    """

    setup: ArraySetup

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

    def worker(self, outputs: Store, run_id: str, *, pending: int) -> Setup[Task, Receipt]:
        """Return the recipe for the worker; the model is downloaded where it is needed."""
        # Without a task pending, the model's files are not even downloaded.
        model = fetch_model(self.setup, outputs) if pending else prepared_of(self.setup).model
        job, info = self.setup.job, self.setup.info
        return ForecastSetup(job, model, info, run_id, ignored=self.setup.ignored)

    def executor(self, tasks: int) -> Executor:
        """Return one process per GPU, or per core without a GPU."""
        return make_executor_for(fill_cores(prepared_of(self.setup), tasks), tasks)

    def close(self, closing: Closing, tables: Iterable[pa.Table]) -> None:
        """Update the manifests with all partitions that are done now, by whichever run."""
        prepared = prepared_of(self.setup)
        draft = ManifestDraft(prepared.outputs, prepared.spec)
        for table in tables:
            draft.add_rows(table)
        # Planned again: a partition that another run did belongs into the manifest as well.
        make_plan(
            prepared.inputs, prepared.outputs, prepared.request_to_read(), on_done=draft.add_done
        )
        draft.commit()


def fill_cores(prepared: Prepared, tasks: int) -> Prepared:
    """Return a prepared job with one process for each core, for a child without a GPU.

    With fewer tasks than cores there are as many processes as tasks, and each gets several cores.
    """
    # Several processes use the cores better than one process with as many threads.
    resources, vcpus = prepared.job.resources, this_machine().vcpus
    if resources.n_jobs is not None or vcpus is None or prepared.info.device != "cpu":
        return prepared
    resources = replace(resources, n_jobs=max(1, min(vcpus, tasks)))
    return replace(prepared, job=replace(prepared.job, resources=resources))


def failure_of(error: Any) -> dict[str, object]:
    """Return an error as audits list it."""
    return {"error": type(error).__name__, "message": error.message, "hint": error.hint}
