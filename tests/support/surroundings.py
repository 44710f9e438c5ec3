"""Every command in every surrounding: closed or full output, other locales, homes and names.

``python -m tests.support.surroundings`` runs all of them (minutes); `run_in` runs some in one
process, as what they need of their surroundings is settled when it starts.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
NAIVE = ("--model", "seasonal-naive", "--horizon", "2")
LONG = "k\u00e4" + "x" * 198
CODES = {0, 1, 2, 75}


@dataclass(frozen=True)
class Surroundings:
    """What is around a process.

    Parameters
    ----------
    redirect : str
        Redirection of a shell.
    environment : mapping
        Variables besides those of this process.
    name : str
        Name of items, columns, keys and whatever commands name.
    """

    redirect: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    name: str = "k\u00e4se"


_ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SURROUNDINGS = {
    "closed output": Surroundings(">&-"),
    "full disk": Surroundings(">/dev/full"),
    "LC_ALL=C": Surroundings(environment=_ASCII),
    "read-only home": Surroundings(environment={"HOME": "/proc", "XDG_CACHE_HOME": "/proc"}),
    "long names": Surroundings(name=LONG),
    "narrow terminal": Surroundings(environment={"COLUMNS": "20", "TERM": "dumb"}),
}


def together(*names: str) -> Surroundings:
    """Return several surroundings at once: a process for each takes longer to start than to run."""
    own = [SURROUNDINGS[name] for name in names]
    return Surroundings(
        "".join(around.redirect for around in own),
        {name: value for around in own for name, value in around.environment.items()},
        LONG if any(around.name == LONG for around in own) else own[0].name,
    )


@dataclass(frozen=True)
class Ended:
    """A command that has ended.

    Parameters
    ----------
    words : tuple of str
    code : int
    errors : str
        What it printed to stderr.
    """

    words: tuple[str, ...]
    code: int
    errors: str

    @property
    def fault(self) -> str:
        """What is wrong with the end of the command; empty if nothing is."""
        if "Traceback" in self.errors or self.code not in CODES:
            return f"exit code {self.code}"
        if self.code and not self.errors.strip():
            return "no word of what is wrong"
        lines = [line for line in self.errors.splitlines() if line.startswith("gigacast: ")]
        wrong = any(text in line for line in lines for text in MISUSED)
        return "the test misuses the command" if wrong else ""


MISUSED = ("No such option", "Missing ", "unexpected extra argument")


def make_lake(folder: Path, name: str) -> None:
    """Write a bucket with forecasts to come, a local file and an empty folder."""
    month = folder / "bucket/2024/01"
    month.mkdir(parents=True)
    (folder / "empty").mkdir()
    days = pa.array(range(19_723, 19_723 + 12), pa.int32()).cast(pa.date32())
    table = pa.table(
        {
            "item_id": [name] * 12 + ["b"] * 12,
            "timestamp": pa.concat_arrays([days, days]).cast(pa.timestamp("us")),
            "target": [float(day) for day in range(24)],
            name: [f"{name}{day}" for day in range(24)],
        }
    )
    for path in (month / "part-0.parquet", month / f"part-{name}.parquet", folder / "file.parquet"):
        pq.write_table(table, path)


def words_of(command: str, line: str, folder: Path, name: str) -> list[str]:
    """Return the words of a line of `tests.flow.cli.test_hostile_text.DRIVEN`."""
    texts = {"h": name, "f": str(folder / "file.parquet"), "d": str(folder / "empty")}
    words = command.split()
    for word in line.split():
        bucket = ["--bucket", (folder / "bucket").as_uri()]
        words += bucket if word == "{b}" else [word.format(**texts)]
    return words


def run_in(around: Surroundings, lines: Sequence[tuple[str, str]], folder: Path) -> list[Ended]:
    """Run commands one after the other in a process of its own, after a forecast.

    Parameters
    ----------
    around : Surroundings
    lines : sequence of (str, str)
        Commands, and their lines.
    folder : Path
        An empty folder.
    """
    make_lake(folder, around.name)
    first = ("forecast", " ".join(["{b}", *NAIVE]))
    commands = [words_of(*line, folder, around.name) for line in (first, *lines)]
    (folder / "commands.json").write_text(json.dumps(commands))
    working = folder / "working"
    working.mkdir()
    shell = ["sh", "-c", f'exec "$@" {around.redirect} 2>"{folder}/errors"', "sh"]
    variables = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'lib'}", **around.environment}
    program = [sys.executable, "-m", "tests.support.surroundings", str(folder)]
    subprocess.run(
        [*shell, *program], cwd=working, env=variables, check=False, timeout=7200
    )  # what it prints is seen by its test
    ended = json.loads((folder / "ended.json").read_text(encoding="utf-8"))
    assert len(ended) == len(commands), (folder / "errors").read_text(errors="replace")
    return [Ended(tuple(words), code, errors) for words, code, errors in ended]


def _run_here(folder: Path) -> None:
    """Run the commands of a folder and write how each ended."""
    from gigacast.__main__ import open_closed_streams
    from gigacast.core.utf8 import restart_in_utf8

    restart_in_utf8()
    open_closed_streams()
    from gigacast.cli.program import main

    commands = json.loads((folder / "commands.json").read_text(encoding="utf-8"))
    ended = []
    for words in commands:
        start = (folder / "errors").stat().st_size
        try:
            main(words)
        except SystemExit as end:
            code = end.code
        sys.stderr.flush()
        errors = (folder / "errors").read_bytes()[start:].decode(errors="replace")
        ended.append((words, code, errors))
    (folder / "ended.json").write_text(json.dumps(ended), encoding="utf-8")


def _run_all() -> int:
    """Run everything, print what is wrong, and return the exit code."""
    from tests.flow.cli.test_hostile_text import DRIVEN

    lines = [(command, line) for command, own in DRIVEN.items() for line in own]
    faults = 0
    for name, around in SURROUNDINGS.items():
        with tempfile.TemporaryDirectory(prefix="gigacast-around-") as folder:
            ended = run_in(around, lines, Path(folder))
        wrong = [one for one in ended if one.fault]
        faults += len(wrong)
        print(f"{name}: {len(ended)} commands, {len(wrong)} faults", flush=True)  # noqa: T201
        for one in wrong:
            print(f"  {one.fault}: {' '.join(one.words)[:300]}\n{one.errors[-2000:]}")  # noqa: T201
    return min(faults, 1)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(_run_all())
    _run_here(Path(sys.argv[1]))
    # Of a full disk Python would complain once more.
    os._exit(0)
