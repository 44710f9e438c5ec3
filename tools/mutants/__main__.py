"""Change the code at random places, and see whether the tests notice.

``make mutants`` draws mutants of each module of `tools.mutants.targets`, by a seed, and runs the
module's unit tests against each. ``python -m tools.mutants planner metric --per_module 50`` looks
at some modules only; ``--write`` puts the table into docs/mutants.md. Verdicts are kept until the
module or its tests change, so that a run that ended early, or one after a new test, goes on.
"""

import argparse
import platform
import random
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, zip_longest
from pathlib import Path

from tools.mutants.memory import Memory
from tools.mutants.mutate import Mutant, mutants_of, mutated_tree
from tools.mutants.run import KILLED, LIVED, TIMED_OUT, prepare, run_tests
from tools.mutants.targets import ROOT, Target, find_targets, read_equivalent

PAGE = ROOT / "docs" / "mutants.md"
KEPT = ROOT / ".mutants"
SEED = 20
PER_MODULE = 12
MINUTES = 40
GOAL = 0.92
"""Share of the mutants, without the equivalent ones, that the tests must kill."""
LONGEST_S = 600.0
SLACK_S = 10.0
FACTOR = 4
"""Time of the tests against a mutant, in times of an undisturbed run, before they count as hung."""
EQUIVALENT = "equivalent"


@dataclass
class Score:
    """The mutants of a module and what became of them.

    Parameters
    ----------
    target : Target
    places : int
        Number of all mutants of the module.
    drawn : list of Mutant
    verdicts : dict of Mutant to str
        Verdicts of those that were run, or need no run.
    """

    target: Target
    places: int
    drawn: list[Mutant]
    verdicts: dict[Mutant, str] = field(default_factory=dict)

    def count(self, *verdicts: str) -> int:
        """Return how many mutants have one of some verdicts."""
        return sum(verdict in verdicts for verdict in self.verdicts.values())

    @property
    def survivors(self) -> list[Mutant]:
        """Mutants that no test noticed."""
        return [mutant for mutant, verdict in self.verdicts.items() if verdict == LIVED]


def draw(target: Target, number: int, seed: int) -> Score:
    """Return a module's score with its drawn mutants, before any of them is run."""
    mutants = mutants_of(target.source, target.module)
    # Each module has numbers of its own: another module in the table changes no draw.
    numbers = random.Random(f"{seed}:{target.module}")  # noqa: S311 - no secret
    return Score(target, len(mutants), numbers.sample(mutants, min(number, len(mutants))))


def run(scores: Sequence[Score], reasons: dict[Mutant, str], until: float, memory: Memory) -> None:
    """Run the tests against the drawn mutants until a time of the monotonic clock."""
    limits: dict[str, float] = {}
    for score, mutant in _in_turn(scores):
        target = score.target
        verdict = EQUIVALENT if mutant in reasons else memory.find(target, mutant)
        if verdict is None and time.monotonic() < until:
            if target.module not in limits:
                limits[target.module] = _limit_of(target)
            verdict, seconds = run_tests(
                target.tests,
                limits[target.module],
                module=target.module,
                tree=mutated_tree(target.source, mutant),
            )
            memory.add(target, mutant, verdict)
            print(f"{verdict:9} {seconds:5.1f} s  {mutant.describe()}", flush=True)  # noqa: T201
        if verdict is not None:
            score.verdicts[mutant] = verdict


def _limit_of(target: Target) -> float:
    """Return the seconds after which the tests of a module count as hung."""
    verdict, seconds = run_tests(target.tests, LONGEST_S)
    if verdict != LIVED:
        raise SystemExit(f"{target.module}: its tests fail without a mutant")
    return seconds * FACTOR + SLACK_S


def _in_turn(scores: Sequence[Score]) -> Iterator[tuple[Score, Mutant]]:
    """Yield one mutant of each module, then the next: every module has its share of the time."""
    pairs = [[(score, mutant) for mutant in score.drawn] for score in scores]
    yield from filter(None, chain.from_iterable(zip_longest(*pairs)))


def table(scores: Sequence[Score]) -> list[str]:
    """Return the counts of all modules as a Markdown table."""
    lines = [
        "| module | mutants | drawn | killed | timed out | lived | equivalent | share killed |",
        "| --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    rows = [(f"`{s.target.module.removeprefix('gigacast.')}`", [s]) for s in scores]
    for name, group in [*rows, ("**all**", list(scores))]:
        counts = [sum(s.count(v) for s in group) for v in (KILLED, TIMED_OUT, LIVED, EQUIVALENT)]
        sizes = [sum(s.places for s in group), sum(len(s.verdicts) for s in group)]
        cells = " | ".join(map(str, [*sizes, *counts]))
        lines.append(f"| {name} | {cells} | {share(group):.0%} |")
    return lines


def share(scores: Sequence[Score]) -> float:
    """Return the share of mutants that were noticed, of those that a test could notice."""
    noticed = sum(score.count(KILLED, TIMED_OUT) for score in scores)
    counted = noticed + sum(score.count(LIVED) for score in scores)
    return noticed / counted if counted else 1.0


def report(scores: Sequence[Score], command: str) -> list[str]:
    """Return the report in Markdown: where it was made, the table, the survivors."""
    survivors = [mutant for score in scores for mutant in score.survivors]
    machine = f"{_processor()}, Python {platform.python_version()}"
    return [
        f"`{command}` on {datetime.now(UTC):%Y-%m-%d}, {machine}:",
        "",
        *table(scores),
        "",
        f"Survivors: {len(survivors) or 'none'}.",
        *[f"\n- `{mutant.describe()}`" for mutant in survivors],
    ]


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", path.read_text()) if path.exists() else []
    return f"{len(names)} cores of {names[0]}" if names else platform.machine()


def write_page(lines: Sequence[str], page: Path) -> None:
    """Put a report between the marks of a page."""
    text = page.read_text()
    body = "\n".join(["<!-- mutants -->", *lines, "<!-- end -->"])
    # A function as replacement: code in the report may hold backslashes.
    text, count = re.subn(r"<!-- mutants -->.*?<!-- end -->", lambda _: body, text, flags=re.S)
    if count != 1:
        raise SystemExit(f"{page}: has no marks for the table")
    page.write_text(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 when too few mutants were killed."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help="parts of the names of modules")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--per_module", type=int, default=PER_MODULE, help="mutants of a module")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="time for all mutants")
    parser.add_argument(
        "--memory", type=Path, default=KEPT / "verdicts.json", help="file of earlier verdicts"
    )
    parser.add_argument("--write", action="store_true", help="write the table to docs/mutants.md")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    prepare(KEPT / "bytecode")
    scores = [draw(t, options.per_module, options.seed) for t in find_targets(options.modules)]
    memory = Memory(options.memory)
    run(scores, read_equivalent(), start + options.minutes * 60, memory)
    command = " ".join(["python -m tools.mutants", *(arguments or sys.argv[1:])])
    lines = report(scores, command.replace(" --write", ""))
    print("\n".join(["", *lines]))  # noqa: T201
    if options.write:
        write_page(lines, PAGE)
    return 0 if share(scores) >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
