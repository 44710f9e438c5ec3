"""A run waits out an outage of its store; a long one ends it by an error of its own."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from io import StringIO

import pytest

from gigacast.core.exit import EXIT_AGAIN, EXIT_USAGE
from gigacast.core.partition.task import Task
from gigacast.errors import AccessDeniedError, OutageError, TransientStorageError
from gigacast.job.audit import PlannedJob
from gigacast.job.outage import Outage, Patience
from gigacast.job.run import Run, Silent, start_run
from gigacast.job.telemetry import Telemetry
from gigacast.lake.plan.receipt import Receipt
from gigacast.report.run_progress import RunProgress
from gigacast.runtime.choice import InlineExecutor
from gigacast.storage.memory import MemoryStore
from tests.unit.job.test_run import NOON, CountSetup, plan_counts

AWAY = "s3://b/k: HTTP status 503"


class Weather:
    """A clock that moves by sleeping, and a store that is away for a while of it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.away_until = 0.0
        self.refused: set[str] = set()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def begin(self, seconds: float) -> None:
        self.away_until = self.now + seconds

    def guard(self) -> None:
        if self.now < self.away_until:
            raise TransientStorageError(AWAY)

    def patience(self, limit_s: float = 600.0) -> Patience:
        return Patience(limit_s, self.sleep, lambda: self.now)


class WeatherStore(MemoryStore):
    """A store in that weather."""

    weather = Weather()

    def check(self) -> None:
        self.weather.guard()
        super().check()

    def put(self, key: str, content: object) -> str:
        self.weather.guard()
        if any(key.startswith(prefix) for prefix in self.weather.refused):
            raise AccessDeniedError(f"{key}: AccessDenied")
        return super().put(key, content)  # type: ignore[arg-type]

    def get(self, key: str, **condition: object) -> bytes:
        self.weather.guard()
        return super().get(key, **condition)  # type: ignore[arg-type]


class Heard(Silent):
    """Keeps what is said of waiting."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def waiting(self, message: str) -> None:
        self.said.append(message)


@dataclass(frozen=True)
class BreakingSetup:
    """Counts, but an outage begins with the task of a partition."""

    count: CountSetup
    partition: str
    begin: Callable[[], None]
    begun: list[Task] = field(default_factory=list)

    def __call__(self) -> Callable[[Task], Receipt]:
        def work(task: Task) -> Receipt:
            if task.partition == self.partition and not self.begun:
                self.begun.append(task)
                self.begin()
            return self.count.count(task)

        return work


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[WeatherStore]:
    store = WeatherStore(request.node.name)
    store.weather = Weather()
    for name in "abcd":
        store.put(f"in/{name}", name.encode() * 3)
    return store


def started(store: WeatherStore, heard: Silent, limit_s: float = 600.0) -> tuple[PlannedJob, Run]:
    planned = replace(plan_counts(store)[0], patience=store.weather.patience(limit_s))
    return planned, start_run(planned, events=heard, clock=lambda: NOON)


def run_through(store: WeatherStore, seconds: float, limit_s: float = 600.0) -> tuple[Run, Heard]:
    heard = Heard()
    planned, run = started(store, heard, limit_s)
    breaking = BreakingSetup(
        CountSetup(store, run.run_id), "in/b", lambda: store.weather.begin(seconds)
    )
    run.execute(planned.tasks, breaking, InlineExecutor())
    return run, heard


def outputs(store: MemoryStore) -> dict[str, bytes]:
    return {entry.key: store.get(entry.key) for page in store.list("counts/") for entry in page}


def test_an_outage_of_45_seconds_costs_no_partition(store: WeatherStore) -> None:
    run, heard = run_through(store, 45)
    assert (run.status, run.totals.partitions) == ("completed", 4)
    assert outputs(store) == {f"counts/in/{name}": b"3" for name in "abcd"}
    assert heard.said == [
        f"the store does not answer, the run waits: {AWAY}",
        "the store answers again",
    ]
    assert 45 <= store.weather.now < 45 + 30
    assert len(store.weather.slept) < 10


def test_a_long_outage_ends_the_run_after_the_limit_by_an_error_of_its_own(
    store: WeatherStore,
) -> None:
    with pytest.raises(OutageError, match=r"for 10 minutes: .*503") as caught:
        run_through(store, 100_000)
    assert store.weather.now == 600
    assert "--outage_minutes" in (caught.value.hint or "")
    store.weather.away_until = 0
    assert set(outputs(store)) == {"counts/in/a"}


def test_a_rerun_after_a_long_outage_does_the_rest(store: WeatherStore) -> None:
    with pytest.raises(OutageError):
        run_through(store, 100_000)
    store.weather.away_until = 0
    planned, run = started(store, Silent())
    assert len(planned.tasks) == 3
    run.execute(planned.tasks, CountSetup(store, run.run_id), InlineExecutor())
    assert set(outputs(store)) == {f"counts/in/{name}" for name in "abcd"}


def test_a_store_that_answers_but_never_lets_a_task_through_ends_the_run(
    store: WeatherStore,
) -> None:
    @dataclass(frozen=True)
    class Slow:
        def __call__(self) -> Callable[[Task], Receipt]:
            def work(task: Task) -> Receipt:
                store.weather.now += 400
                raise TransientStorageError(AWAY)

            return work

    planned, run = started(store, Silent())
    with pytest.raises(OutageError):
        run.execute(planned.tasks, Slow(), InlineExecutor())
    assert store.weather.now <= 1200


def test_one_task_that_the_store_never_serves_fails_and_the_others_are_done(
    store: WeatherStore,
) -> None:
    starts: list[str] = []

    @dataclass(frozen=True)
    class OneBad:
        count: CountSetup

        def __call__(self) -> Callable[[Task], Receipt]:
            def work(task: Task) -> Receipt:
                starts.append(task.partition)
                if task.partition == "in/b":
                    raise TransientStorageError(AWAY)
                return self.count.count(task)

            return work

    planned, run = started(store, Silent())
    run.execute(planned.tasks, OneBad(CountSetup(store, run.run_id)), InlineExecutor())
    assert [task.partition for task, _ in run.failures] == ["in/b"]
    assert (run.totals.partitions, starts.count("in/b"), len(starts)) == (3, 3, 6)


def test_without_patience_a_task_fails_at_once(store: WeatherStore) -> None:
    @dataclass(frozen=True)
    class Bad:
        def __call__(self) -> Callable[[Task], Receipt]:
            def work(task: Task) -> Receipt:
                raise TransientStorageError(AWAY)

            return work

    planned, run = started(store, Silent(), limit_s=0)
    run.execute(planned.tasks, Bad(), InlineExecutor())
    assert (run.status, len(run.failures), store.weather.slept) == ("failed", 4, [])


def test_an_audit_that_cannot_be_saved_in_passing_stops_nothing(store: WeatherStore) -> None:
    planned, run = started(store, Silent())

    @dataclass(frozen=True)
    class Refusing:
        count: CountSetup

        def __call__(self) -> Callable[[Task], Receipt]:
            def work(task: Task) -> Receipt:
                # The last task lets the audit through again, so that the run can be closed.
                is_last = task is planned.tasks[-1]
                store.weather.refused = set() if is_last else {"audit/"}
                return self.count.count(task)

            return work

    run._log._interval_s = -1
    run.execute(planned.tasks, Refusing(CountSetup(store, run.run_id)), InlineExecutor())
    assert (run.status, run.totals.partitions) == ("completed", 4)


def test_the_manifest_and_the_last_audit_wait_as_well(store: WeatherStore) -> None:
    heard = Heard()
    planned, run = started(store, heard)
    calls: list[float] = []

    def publish(run: Run) -> None:
        calls.append(store.weather.now)
        if len(calls) == 1:
            store.weather.begin(45)
        store.put("manifest", b"all")

    setup = CountSetup(store, run.run_id)
    run.execute(planned.tasks, setup, InlineExecutor(), on_results=publish)
    assert store.get("manifest") == b"all"
    assert len(calls) == 2
    audit = json.loads(store.get(f"audit/{run.run_id}.json"))
    assert (audit["status"], audit["files_processed"]) == ("completed", 4)


def test_a_worker_that_cannot_load_its_model_for_a_while_is_started_again(
    store: WeatherStore,
) -> None:
    planned, run = started(store, Silent())

    @dataclass(frozen=True)
    class Loading:
        count: CountSetup

        def __call__(self) -> Callable[[Task], Receipt]:
            if not store.weather.slept:
                store.weather.begin(45)
            store.weather.guard()
            return self.count.count

    run.execute(planned.tasks, Loading(CountSetup(store, run.run_id)), InlineExecutor())
    assert (run.status, run.totals.partitions) == ("completed", 4)


def test_a_refusal_is_an_answer(store: WeatherStore) -> None:
    class Refused(MemoryStore):
        def check(self) -> None:
            raise AccessDeniedError("no")

    outage = Outage([Refused("refused")], store.weather.patience(), lambda _: None)
    outage.wait(AWAY)
    assert not store.weather.slept


def test_the_wait_is_said_in_the_log_and_on_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    stream = StringIO()
    Telemetry(stream, lambda: NOON).waiting("the store \x1b[2J is away")
    assert json.loads(stream.getvalue())["event"] == "waiting"
    with RunProgress(quiet=False) as progress:
        progress.planned("run", plan_counts(_with_one("bar"))[0].plan, 1)
        progress.waiting("the store \x1b[2J is away")
    err = capsys.readouterr().err
    assert "the store \\x1b[2J is away" in err
    assert "\x1b" not in err


def _with_one(name: str) -> MemoryStore:
    store = MemoryStore(name)
    store.put("in/a", b"one")
    return store


def test_the_code_of_an_outage_is_not_that_of_wrong_usage() -> None:
    from gigacast.cli.program import _exit_code
    from gigacast.errors import ConfigError, StorageError, TransientComputeError

    again = [OutageError("x"), TransientStorageError("x"), TransientComputeError("x")]
    assert {_exit_code(error) for error in again} == {EXIT_AGAIN}
    assert {_exit_code(error) for error in (ConfigError("x"), StorageError("x"))} == {EXIT_USAGE}
