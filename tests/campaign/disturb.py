"""Disturbances of a job, and the laws that hold whatever happens to it.

A trial is a job on a bucket of its own. A disturbance runs its command a few times and spoils that;
then the command is run in peace, and the laws are checked. They compare with an undisturbed run,
not with stored results.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import gigacast
from gigacast.lake.layout import output_id, parse_receipt_key
from gigacast.scratch import PREFIX
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.campaign.array import CODES as CHILDREN_CODES
from tests.campaign.fault_proxy import FaultProxy, Weather
from tests.campaign.jobs import Job, put_inputs, put_local
from tests.campaign.values import Value, keys_of
from tests.support.warm_python import WarmProcess, warm_python

NANO = Path(gigacast.__file__).parent / "forecasters" / "weights" / "gigacast-bolt-nano"
CLOCK = Path(__file__).parent / "clock"
HANG_S = 300.0
_WRITTEN_NS = 1_700_000_000_000_000_000
MOST_RSS_KIB = 1_500_000
CODES = {0, 1, 2, 75}
FAULTS = {"busy", "broken", "throttled", "reset", "cut", "lost", "late error", "delay", "stale"}


class ColdProcess(subprocess.Popen[bytes]):
    """A program in a Python of its own; of its memory nothing is known."""

    rss_kib = 0


@dataclass
class Place:
    """A bucket for one trial, and the folders beside it.

    Parameters
    ----------
    folder : Path
        Empty folder for temporary files and local data.
    url : str
    proxy : FaultProxy, optional
        Between the job and the bucket; none for a folder.
    """

    folder: Path
    url: str
    proxy: FaultProxy | None = None

    def __post_init__(self) -> None:
        for name in ("tmp", "cwd"):
            (self.folder / name).mkdir(parents=True)
        self.data = put_local(self.folder)
        put_inputs(self.store)
        # ETags of a folder are made of these times, and forecasts name the ETags of their inputs.
        for path in (self.folder / "bucket").rglob("*"):
            if path.is_file():
                os.utime(path, ns=(_WRITTEN_NS, _WRITTEN_NS))

    @property
    def store(self) -> Store:
        """The bucket, past the proxy."""
        return open_store(StoreAddress(self.url))

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the job\'s processes."""
        own = {"TMPDIR": str(self.folder / "tmp"), "GIGACAST_CACHE": str(self.folder / "cache")}
        own["PYTHONPATH"] = f"{Path(gigacast.__file__).parents[1]}{os.pathsep}{CLOCK}"
        if self.proxy is not None:
            own["AWS_ENDPOINT_URL"] = self.proxy.url
        return {**os.environ, **own}


@dataclass
class Ended:
    """A process that has ended: its exit code, what it printed, and its memory."""

    code: int
    err: str
    rss_kib: int = 0


@dataclass
class Trial:
    """A job on a place, with the value of an undisturbed run and its time."""

    job: Job
    place: Place
    rng: random.Random
    truth: Value
    seconds: float
    problems: list[str] = field(default_factory=list)
    printed: dict[int, Path] = field(default_factory=dict)

    def start(
        self, *more: str, limit: int | None = None, clock: int | None = None
    ) -> WarmProcess | ColdProcess:
        """Start the command of the job; no file may grow beyond the limit, as on a full disk.

        With a seed for the clock, it jumps.
        """
        words = self.job.words.format(
            data=self.place.data, model=NANO, folder=self.place.folder
        ).split()
        words += ["--bucket", self.place.url, *more]
        # Children of a process that was killed may still print: never into what another one prints.
        path = self.place.folder / f"err-{len(self.printed)}"
        with path.open("a+") as err:
            process = (
                self._start_with_clock(clock, words, err)
                if clock is not None
                else warm_python(self.job.modules).start(
                    self.job.program,
                    words,
                    environment=self.place.environment,
                    cwd=self.place.folder / "cwd",
                    err=err,
                    own_session=True,
                    file_limit=limit,
                )
            )
        self.printed[process.pid] = path
        return process

    def _start_with_clock(self, seed: int, words: list[str], err: IO[str]) -> ColdProcess:
        # The clock is exchanged while a Python starts, before any module has taken the real one.
        return ColdProcess(
            [sys.executable, "-m", self.job.program, *words],
            env=self.place.environment | {"CAMPAIGN_CLOCK": str(seed)},
            cwd=self.place.folder / "cwd",
            stdout=subprocess.DEVNULL,
            stderr=err,
            start_new_session=True,
        )

    def value(self) -> Value:
        """Return what the job has made, in the bucket and beside it."""
        return self.job.value(self.place.store) | self.job.beside(self.place.folder)

    def is_done(self, ended: Ended) -> bool:
        """Whether a command ended with all done, or refuses since it was done before."""
        refusal = self.job.refusal
        return ended.code == 0 or bool(refusal and refusal in ended.err)

    def wait(self, process: WarmProcess | ColdProcess) -> Ended:
        """Wait for a process; one that hangs is a problem, and is killed."""
        deadline = time.monotonic() + HANG_S + 5 * self.seconds
        while process.poll() is None:
            if time.monotonic() > deadline:
                self.problems.append("it hangs")
                deadline = float("inf")  # said once
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.02)
        err = self.printed[process.pid].read_text(errors="replace")
        return Ended(process.poll() or 0, err, process.rss_kib)

    def wait_for_children(self, group: int) -> None:
        """Wait for what a killed process leaves: its children must notice, and end.

        As long as they live, their temporary files stay, and they may print.
        """
        deadline = time.monotonic() + HANG_S
        while _living(group):
            if time.monotonic() > deadline:
                self.problems.append("children of a killed process live on")
                os.killpg(group, signal.SIGKILL)
                return
            time.sleep(0.1)

    def run(self, *more: str, limit: int | None = None) -> Ended:
        """Run the command to its end, and check how it ends."""
        ended = self.wait(self.start(*more, limit=limit))
        self.problems += list(problems_of(ended))
        return ended


def _living(group: int) -> list[int]:
    """Return the processes of a group, without those that have ended and that nobody waits for."""
    living = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # After the name, which may hold anything: state, parent, group.
            state, _, number = path.read_text().rpartition(")")[2].split()[:3]
            if int(number) == group and state not in "ZX":
                living.append(int(path.parent.name))
    return living


def problems_of(ended: Ended) -> list[str]:
    """Return what is wrong with the end of a process that nobody killed."""
    problems = []
    if ended.code not in CODES:
        problems.append(f"exit code {ended.code}: {ended.err[-300:]}")
    if "Traceback (most recent call last)" in ended.err:
        problems.append(f"a traceback: {ended.err[-2000:]}")
    if ended.code in {2, 75} and "gigacast: " not in ended.err:
        problems.append(f"exit code {ended.code} without an error: {ended.err[-300:]}")
    if ended.rss_kib > MOST_RSS_KIB:
        problems.append(f"{ended.rss_kib:,} KiB of memory")
    return problems


def nothing_half(trial: Trial) -> list[str]:
    """Return the objects that are visible and differ from those of an undisturbed run."""
    if not trial.job.is_stepwise:
        return []
    visible = trial.value()
    return [f"half visible: {k}" for k, digest in visible.items() if trial.truth.get(k) != digest]


def laws(trial: Trial) -> list[str]:
    """Return the broken laws after the command was run in peace."""
    store, job = trial.place.store, trial.job
    problems = [] if trial.value() == trial.truth else ["the outputs differ"]
    receipts = [r for r in map(parse_receipt_key, keys_of(store, "timings/")) if r is not None]
    etags = {entry.key: entry.etag for page in store.list() for entry in page}
    current = Counter(
        r.output_key for r in receipts if output_id(etags.get(r.output_key, "")) == r.output_id
    )
    stale = 0 if job.may_leave_receipts else len(receipts) - current.total()
    if len(current) != job.receipts or set(current.values()) - {1} or stale:
        problems.append(
            f"receipts: {sorted(current.values())}, {stale} stale, not one of {job.receipts} each"
        )
    leftovers = [path.name for path in (trial.place.folder / "tmp").glob(f"{PREFIX}*")]
    if leftovers:
        problems.append(f"temporary files are left: {leftovers}")
    return problems


def finish(trial: Trial) -> None:
    """Run the command in peace until it succeeds, and check the laws."""
    if trial.place.proxy is not None:
        trial.place.proxy.weather = Weather()
    for _ in range(2):
        ended = trial.run()
        if trial.is_done(ended):
            break
    else:
        trial.problems.append(f"the rerun ends with {ended.code}: {ended.err[-300:]}")
    trial.problems += laws(trial)


def kill(trial: Trial) -> str:
    """Kill the process, or its whole group, at random moments."""
    places = []
    for _ in range(trial.rng.randint(1, 3)):
        moment = trial.rng.random() * trial.seconds
        process = trial.start()
        time.sleep(moment)
        send = trial.rng.choice([os.kill, os.killpg])
        if process.poll() is None:
            send(process.pid, signal.SIGKILL)
            places.append(f"{moment:.2f} s")
            trial.wait(process)
            trial.wait_for_children(process.pid)
        trial.problems += nothing_half(trial)
    return ", ".join(places)


def faults(trial: Trial) -> str:
    """Disturb a share of the requests, each in a way of its own."""
    proxy = _proxy(trial)
    share = trial.rng.choice([0.02, 0.05, 0.1])
    shares = {**dict.fromkeys(FAULTS, share / 2), "silence": share / 8}  # each takes its time
    proxy.weather = Weather(trial.rng.randrange(1 << 30), shares)
    trial.run()
    trial.problems += nothing_half(trial)
    return f"{sum(proxy.injected.values())} faults"


def flips(trial: Trial) -> str:
    """Flip bits in the pages of objects on their way, which their checksums disprove."""
    proxy = _proxy(trial)
    proxy.weather = Weather(trial.rng.randrange(1 << 30), {"flip": 0.3})
    trial.run()
    trial.problems += nothing_half(trial)
    return f"{sum(proxy.injected.values())} flips"


def _take_away(trial: Trial, proxy: FaultProxy) -> float:
    """Take the store away for longer than requests are retried, and return for how many seconds."""
    length = trial.rng.uniform(30, 60)
    proxy.weather = Weather(is_away=True)
    time.sleep(length)
    proxy.weather = Weather()
    return length


def outage(trial: Trial) -> str:
    """Take the store away for longer than requests are retried; the run must wait it out."""
    proxy = _proxy(trial)
    process = trial.start()
    time.sleep(trial.rng.random() * trial.seconds)
    length = _take_away(trial, proxy)
    ended = trial.wait(process)
    trial.problems += problems_of(ended)
    return f"{length:.0f} s"


def outage_of_children(trial: Trial) -> str:
    """Take the store away while the children of an array run; they must wait it out."""
    proxy = _proxy(trial)
    process = trial.start()
    codes = trial.place.folder / "cwd" / CHILDREN_CODES
    while not codes.exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(trial.rng.random() * 0.3 * trial.seconds)
    length = _take_away(trial, proxy)
    ended = trial.wait(process)
    trial.problems += problems_of(ended)
    # The process that submitted them may have met it as well, and need not wait.
    if set(codes.read_text().split()) != {"0"}:
        trial.problems.append(f"children end with {codes.read_text()}: {ended.err[-300:]}")
    return f"{length:.0f} s"


READERS = frozenset({"read", "report"})
"""Commands that begin with receipts and have no patience of their own: the client's ends them."""


def long_outage(trial: Trial) -> str:
    """Take the store away for good; a run must end by code 75, or have been done before."""
    proxy = _proxy(trial)
    is_patient = trial.job.receipts and trial.job.name not in READERS
    process = trial.start(*(["--outage_minutes", "0.02"] if is_patient else []))
    time.sleep(trial.rng.random() * trial.seconds)
    proxy.weather = Weather(is_away=True)
    ended = trial.wait(process)
    trial.problems += problems_of(ended)
    if ended.code not in {0, 75}:
        trial.problems.append(f"an outage ends with {ended.code}: {ended.err[-300:]}")
    return f"code {ended.code}"


def race(trial: Trial) -> str:
    """Run the command twice at the same time."""
    first = trial.start()
    time.sleep(trial.rng.random() * 0.3 * trial.seconds)
    second = trial.start()
    codes = []
    for process in (first, second):
        ended = trial.wait(process)
        trial.problems += problems_of(ended)
        codes.append(ended.code)
    return f"codes {codes}"


def clock_jumps(trial: Trial) -> str:
    """Set the clocks of two runs at once back and forth while they run, and kill one of a third."""
    seeds = [trial.rng.randrange(1, 1 << 30) for _ in range(3)]
    killed = trial.start(clock=seeds[0])
    time.sleep(trial.rng.random() * trial.seconds)
    if killed.poll() is None:
        os.killpg(killed.pid, signal.SIGKILL)
    trial.wait(killed)
    trial.problems += nothing_half(trial)
    codes = []
    for process in [trial.start(clock=seed) for seed in seeds[1:]]:
        ended = trial.wait(process)
        trial.problems += problems_of(ended)
        codes.append(ended.code)
    trial.problems += nothing_half(trial)
    return f"codes {codes}"


def full_disk(trial: Trial) -> str:
    """Let no file grow beyond a random size."""
    limit = int(2 ** trial.rng.uniform(0, 20))
    ended = trial.run(limit=limit)
    trial.problems += nothing_half(trial)
    return f"{limit} bytes: code {ended.code}"


DISTURBANCES: Mapping[str, Callable[[Trial], str]] = {
    "kill": kill,
    "race": race,
    "clock jumps": clock_jumps,
    "full disk": full_disk,
    "faults": faults,
    "flips": flips,
    "outage": outage,
    "long outage": long_outage,
    "outage of children": outage_of_children,
}
"""All disturbances by name; the last five need a store behind the proxy."""
ON_S3_ONLY = {"faults", "flips", "outage", "long outage", "outage of children"}
OF_ARRAYS = {"outage of children"}
"""Disturbances of jobs whose work is done by the children of an array."""


def _proxy(trial: Trial) -> FaultProxy:
    if trial.place.proxy is None:
        raise ValueError("a disturbance of requests needs a proxy")
    return trial.place.proxy


def undisturbed(job: Job, place: Place) -> tuple[Value, float]:
    """Return the value of a run in peace, and its seconds."""
    trial = Trial(job, place, random.Random(0), {}, HANG_S)
    # What a start imports is not the time in which the job is killed.
    warm_python(job.modules).start("gigacast", ["--version"]).wait()
    began = time.monotonic()
    ended = trial.run()
    if ended.code or trial.problems:
        raise RuntimeError(f"{job.name} fails undisturbed: {ended.err} {trial.problems}")
    return trial.value(), time.monotonic() - began


def try_once(kind: str, trial: Trial) -> str:
    """Disturb a job, run it in peace, fill in the problems, and return what was done."""
    done = DISTURBANCES[kind](trial)
    finish(trial)
    if not trial.problems:
        shutil.rmtree(trial.place.folder, ignore_errors=True)
    return done
