"""The campaign: every job under every disturbance, on a folder and on S3; damage to every file.

``make campaign`` runs it for hours; ``python -m tests.campaign.run --help`` shows the options. Each
trial follows from its seed, which is printed and stored. Trials that are stored are not repeated,
so a campaign that was stopped goes on. The table of results is written to docs/reliability.md.
"""

import argparse
import json
import platform
import random
import sys
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.campaign import hostile
from tests.campaign.disturb import (
    DISTURBANCES,
    OF_ARRAYS,
    ON_S3_ONLY,
    Place,
    Trial,
    Value,
    try_once,
    undisturbed,
)
from tests.campaign.fault_proxy import FaultProxy
from tests.campaign.fuzz import FILES, fuzz
from tests.campaign.jobs import BY_ARRAY, JOBS, Job
from tests.campaign.sweep import READERS, Sweep
from tests.support.moto_server import MotoServer

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
RESULTS = ROOT / ".campaign" / "results.jsonl"
BEGIN, END = "<!-- campaign: begin -->", "<!-- campaign: end -->"
STORES = ("folder", "s3")
MUTANTS = 40
"""Mutants of a file in one trial of the fuzzer."""
NAMES = 10
"""Hostile names in one trial."""

Name = tuple[str, str, str, int]


class Campaign:
    """Trials on this machine; a context manager that starts the S3 when it is needed.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._stack = ExitStack()
        self._server: MotoServer | None = None
        self._folder = Path()
        self._truths: dict[tuple[str, str], tuple[Value, float]] = {}
        self._count = 0
        self._sweep: Sweep | None = None

    def __enter__(self) -> "Campaign":
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def attempt(self, name: Name) -> dict[str, Any]:
        """Run a trial and return its record."""
        kind, subject, store, number = name
        seed = zlib.crc32(f"{self._seed} {name}".encode())
        began = time.monotonic()
        if kind == "fuzz":
            outcome, problems = f"{MUTANTS} mutants", fuzz(subject, seed, MUTANTS)
        elif kind == "names":
            outcome, problems = self._name(subject, random.Random(seed))
        elif kind == "sweep":
            outcome, problems = self._damage(subject, random.Random(seed))
        else:
            outcome, problems = self._disturb(kind, JOBS[subject], store, random.Random(seed))
        return {
            "campaign": self._seed,
            "kind": kind,
            "subject": subject,
            "store": store,
            "number": number,
            "seed": seed,
            "done": outcome,
            "problems": problems,
            "seconds": round(time.monotonic() - began, 1),
        }

    def _name(self, place: str, rng: random.Random) -> tuple[str, list[str]]:
        """Give hostile names to what has a name."""
        problems = []
        for _ in range(NAMES):
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                problems.append(hostile.attempt(place, rng, Path(folder)))
        return f"{NAMES} names", [problem for problem in problems if problem]

    def _damage(self, prefix: str, rng: random.Random) -> tuple[str, list[str]]:
        """Damage each object below a prefix once."""
        if self._sweep is None:
            (self._folder / "sweep").mkdir()
            self._sweep = Sweep(self._folder / "sweep")
        keys = self._sweep.keys_below(prefix)
        problems = [self._sweep.attempt(key, rng) for key in keys]
        return f"{len(keys)} objects", [problem for problem in problems if problem]

    def _disturb(
        self, kind: str, job: Job, store: str, rng: random.Random
    ) -> tuple[str, list[str]]:
        if (job.name, store) not in self._truths:
            self._truths[job.name, store] = undisturbed(job, self._place(job, store))
        truth, seconds = self._truths[job.name, store]
        trial = Trial(job, self._place(job, store), rng, truth, seconds)
        done = try_once(kind, trial)
        return done, trial.problems

    def _place(self, job: Job, store: str) -> Place:
        place = self._empty_place(store, has_server=job.before is not None)
        if job.before is not None:
            job.before(place.url, place.folder)
        return place

    def _empty_place(self, store: str, *, has_server: bool) -> Place:
        self._count += 1
        folder = self._folder / str(self._count)
        if self._server is None and (has_server or store == "s3"):
            self._server = self._stack.enter_context(MotoServer())
        if store == "folder" or self._server is None:
            (folder / "bucket").mkdir(parents=True)
            return Place(folder, f"file://{folder}/bucket")
        proxy = self._stack.enter_context(FaultProxy(self._server.endpoint_url))
        folder.mkdir()
        return Place(folder, self._server.new_address().url, proxy)


def kinds_of(job: Job, store: str) -> list[str]:
    """Return the disturbances of a job on a store."""
    spared = set(job.spared) | (set() if store == "s3" else ON_S3_ONLY)
    spared |= set() if job.name.endswith(BY_ARRAY) else OF_ARRAYS
    return [kind for kind in DISTURBANCES if kind not in spared]


def names(rounds: int) -> Iterator[Name]:
    """Yield the names of all trials, round by round."""
    for number in range(rounds):
        for store in STORES:
            for name, job in JOBS.items():
                for kind in kinds_of(job, store):
                    yield kind, name, store, number
        for file in FILES:
            yield "fuzz", file, "folder", number
        for place in hostile.PLACES:
            yield "names", place, "folder", number
        for prefix in READERS:
            yield "sweep", prefix, "folder", number


def read_results(path: Path) -> list[dict[str, Any]]:
    """Return the records of a campaign so far; a line that was cut by a kill is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def table(records: Sequence[dict[str, Any]]) -> str:
    """Return the results as Markdown: a row per job or file, and the trials that broke a law."""
    totals: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for record in records:
        cell = totals[record["subject"], record["kind"], record["store"]]
        cell[0] += 1
        cell[1] += bool(record["problems"])
    today = datetime.now(UTC).date().isoformat()
    machine = f"{processor()}, {platform.system()}, Python {platform.python_version()}"
    seeds = ", ".join(str(seed) for seed in sorted({r["campaign"] for r in records}))
    mutants, swept = (
        sum(int(r["done"].partition(" ")[0]) for r in records if r["kind"] == kind)
        for kind in ("fuzz", "sweep")
    )
    lines = [
        f"{len(records)} trials (seed {seeds}); those of the fuzzer are {mutants:,} damaged files,",
        f"those of the sweep {swept:,} damaged objects.",
        f"Last written {today} on {machine}.",
        "",
        "| job or file | disturbance | store | trials | laws broken |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {s} | {k} | {p} | {n} | {bad} |" for (s, k, p), (n, bad) in sorted(totals.items())
    ]
    return "\n".join(lines)


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def write_table(records: Sequence[dict[str, Any]], page: Path = PAGE) -> None:
    """Replace the table of results in the documentation."""
    text = page.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}\n{table(records)}\n{END}{tail}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign and return 1 if a law was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument(
        "--kind", action="append", help="only this disturbance, fuzz, names or sweep"
    )
    parser.add_argument("--subject", action="append", help="only this job or file")
    options = parser.parse_args(arguments)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    records = read_results(options.results)
    known = {(r["kind"], r["subject"], r["store"], r["number"]) for r in records}
    deadline = time.monotonic() + 60 * options.minutes
    broken = 0
    with Campaign(options.seed) as campaign, options.results.open("a") as stream:
        for name in names(options.rounds):
            is_chosen = name[0] in (options.kind or name) and name[1] in (options.subject or name)
            if name in known or not is_chosen or time.monotonic() > deadline:
                continue
            record = campaign.attempt(name)
            records.append(record)
            broken += bool(record["problems"])
            stream.write(json.dumps(record) + "\n")
            stream.flush()
            sys.stdout.write(f"{json.dumps(record)}\n")
            sys.stdout.flush()
    write_table(records)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
