"""The plan of an evaluation: the partitions whose forecasts or actuals have changed since.

A partition is done when a receipt names its forecasts, those that are kept included, the objects
with their actuals as they are listed now, and its scores.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache

from gigacast.backtesting.evaluation.actuals import Actuals
from gigacast.backtesting.evaluation.partition import (
    Reading,
    actuals_of,
    month_of,
    reach_of,
    scores_key,
)
from gigacast.core.partition.name import (
    WHOLE_MONTH,
    PartitionName,
    is_whole_month,
    lineage_of,
    month_of_folder,
)
from gigacast.core.partition.spec import horizon_of_spec
from gigacast.core.partition.task import InputObject, Task
from gigacast.errors import CorruptedFileError, ObjectNotFoundError
from gigacast.forecasting.read import Generation
from gigacast.forecasting.stored.choice import describes_reading, read_recipe
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.layout import (
    origins_prefix,
    parse_origin_key,
    receipt_prefix,
    scores_prefix,
    spec_prefix,
)
from gigacast.lake.plan.listing import receipts_by_output, valid_receipt
from gigacast.lake.plan.manifest import read_manifest
from gigacast.lake.plan.origin import Origin, sort_origins
from gigacast.lake.plan.planner import Plan
from gigacast.storage.store import ObjectMeta, Store


@dataclass
class ScorePlan:
    """The partitions of an evaluation.

    Parameters
    ----------
    plan : Plan
        Tasks that are left, and counts.
    done : list of (Task, str)
        Partitions that are done, and the keys of their scores.
    generations : dict of str to Generation
        By the key of a forecast, which is the output key of its task.
    passed_over : list of str
        Keys of forecasts whose names are not of the naming pattern.
    """

    plan: Plan = field(default_factory=Plan)
    done: list[tuple[Task, str]] = field(default_factory=list)
    generations: dict[str, Generation] = field(default_factory=dict)
    passed_over: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of selected partitions."""
        return len(self.done) + len(self.plan.tasks)


class ScorePlanner:
    """Plans the evaluation of one generation after the other.

    Parameters
    ----------
    job : ForecastJob
    inputs, outputs : Store
    with_whole_months : bool
        Whether partitions of whole months count.
    """

    def __init__(
        self, job: ForecastJob, inputs: Store, outputs: Store, *, with_whole_months: bool = True
    ) -> None:
        self.result = ScorePlan()
        self._inputs = inputs
        self._job = job
        self._outputs = outputs
        self._with_whole_months = with_whole_months
        self.reading = cache(self._reading_of)
        self._actuals = cache(self._actuals_of)

    def add(self, generation: Generation) -> None:
        """Plan the selected partitions of a generation."""
        manifest, _ = read_manifest(self._outputs, generation.key)
        rows = []
        for row in manifest.to_pylist():
            name = self._name_of(generation, row)
            if name is None:
                self.result.passed_over.append(row["key"])
            elif self._job.selection.wants(name) and self._takes(row["partition"]):
                rows.append((row, name))
        if not rows:
            return
        listed = self._list(generation, [row["key"] for row, _ in rows])
        for row, name in rows:
            self._plan(generation, row, name, listed)

    def _list(self, generation: Generation, keys: list[str]) -> "Listed":
        """Return what is listed of the forecasts with some keys."""
        return Listed(self._outputs, generation, keys, scores_prefix)

    def _reading_of(self, generation: Generation) -> Reading:
        """Return how actuals of a generation are read: as it was made, or as the job says."""
        recipe = None
        if not describes_reading(self._job):
            # Forecasts that cannot be read are named one by one, when their turn comes.
            with suppress(CorruptedFileError, ObjectNotFoundError):
                recipe = read_recipe(self._outputs, generation)
        return Reading.of(self._job, self._inputs, recipe)

    def _actuals_of(self, generation: Generation, by_month: bool) -> Actuals:
        return actuals_of(self.reading(generation), None, by_month=by_month)

    def own(self, task: Task) -> Task:
        """Return a task with the partition's own objects as its inputs, for its attributes."""
        lineage, month = lineage_of(task.partition), month_of(task)
        generation = self.result.generations[task.output_key]
        own = self._actuals(generation, is_whole_month(lineage)).own_objects(month, lineage)
        return replace(task, inputs=tuple(own), own=len(own))

    def _plan(
        self, generation: Generation, row: dict[str, str], name: PartitionName, listed: "Listed"
    ) -> None:
        key, month = row["key"], name.month
        lineage = lineage_of(row["partition"])
        self.result.generations[key] = generation
        forecasts = listed.forecasts(row)
        actuals: Actuals = self._actuals(generation, is_whole_month(lineage))
        task = task_of(generation, row, name, forecasts)
        stale: list[str] = []
        for scores in listed.scores.get(key, []):
            reach = reach_of(scores.key)
            if reach is None:
                continue
            objects = actuals.objects(reach, month, lineage)
            scored = replace(
                task,
                inputs=(*forecasts, *objects),
                own=len(objects),
                output_key=scores_key(key, reach),
            )
            receipts = listed.receipts.get(scores.key, [])
            if valid_receipt(scored, scores, receipts) is not None:
                self.result.done.append((task, scores.key))
                self.result.plan.months[month].done += 1
                return
            stale += [receipt for _, receipt in receipts]
        self.result.plan.months[month].pending += 1
        self.result.plan.tasks.append(replace(task, stale_receipts=tuple(stale)))

    def _name_of(self, generation: Generation, row: dict[str, str]) -> PartitionName | None:
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
        return self._with_whole_months or not is_whole_month(lineage_of(partition))


def task_of(
    generation: Generation, row: dict[str, str], name: PartitionName, forecasts: list[InputObject]
) -> Task:
    """Return the task that compares forecasts of a row of a manifest with their actuals."""
    return Task(
        partition=row["partition"],
        month=str(name.month),
        inputs=tuple(forecasts),
        own=0,
        horizon=horizon_of_spec(generation.spec) or 1,
        spec=generation.spec,
        output_key=row["key"],
        symbol=name.symbol,
        timeframe=name.timeframe,
    )


class Listed:
    """What is listed of a generation, by the key of the forecast: origins, scores, receipts.

    Parameters
    ----------
    outputs : Store
    generation : Generation
    keys : list of str
        Keys of the forecasts.
    scores_of : callable
        Returns the folder of the scores of a forecast, and of all forecasts below a prefix.
    with_origins : bool
        Whether the forecasts that are kept count as well.
    """

    def __init__(
        self,
        outputs: Store,
        generation: Generation,
        keys: list[str],
        scores_of: Callable[[str], str],
        *,
        with_origins: bool = True,
    ) -> None:
        prefix = spec_prefix(generation.model, generation.version, generation.spec)
        below = prefix + _common([key.removeprefix(prefix) for key in keys])
        self.origins: dict[str, list[Origin]] = {}
        if with_origins:
            self.origins = _origins(_entries(outputs, origins_prefix(prefix), below, prefix))
        self.scores: dict[str, list[ObjectMeta]] = defaultdict(list)
        folders = {scores_of(key): key for key in keys}
        for entry in _entries(outputs, scores_of(prefix), below, prefix):
            # Scores are in a folder of their forecast, or an object with a name like its own.
            folder = f"{entry.key.rpartition('/')[0]}/"
            key = folders.get(folder) or folders.get(entry.key)
            if key is not None:
                self.scores[key].append(entry)
        receipts = _entries(outputs, receipt_prefix(scores_of(prefix)), below, prefix)
        self.receipts = receipts_by_output(receipts)

    def forecasts(self, row: dict[str, str]) -> list[InputObject]:
        """Return the forecasts of a row of the manifest: the current one, then those kept."""
        current = InputObject(row["key"], row["etag"], int(row["size_bytes"]), "parquet")
        return [current, *(_input_of(o.meta) for o in self.origins.get(row["key"], []))]


def _entries(outputs: Store, root: str, below: str, prefix: str) -> Iterator[ObjectMeta]:
    """Yield what is listed below a root of the spec, where the selected forecasts are."""
    return (e for page in outputs.list(root + below.removeprefix(prefix)) for e in page)


def _common(keys: list[str]) -> str:
    """Return the folder in which all keys are: a selection of a month lists that month only."""
    first, last = min(keys), max(keys)
    same = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    text = first if same is None else first[:same]
    return text[: text.rfind("/") + 1]


def _origins(entries: Iterable[ObjectMeta]) -> dict[str, list[Origin]]:
    by_key: dict[str, list[ObjectMeta]] = defaultdict(list)
    for entry in entries:
        if (named := parse_origin_key(entry.key)) is not None:
            by_key[named.output_key].append(entry)
    return {key: sort_origins(group) for key, group in by_key.items()}


def _input_of(meta: ObjectMeta) -> InputObject:
    return InputObject(meta.key, meta.etag, meta.size_bytes, "parquet")
