"""Programs in forks of a warm Python are processes like others."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.warm_python import WarmPython

PROGRAM = """
import os, random, signal, sys, time
print(os.getcwd(), os.environ.get("MINE"), sys.argv[1:], __name__, random.random(), flush=True)
if "wait" in sys.argv:
    time.sleep(60)
if "write" in sys.argv:
    open("large", "wb").write(bytes(1 << 20))
sys.exit("a message" if "fail" in sys.argv else int(os.environ.get("CODE", "0")))
"""


@pytest.fixture(scope="module")
def python() -> Iterator[WarmPython]:
    python = WarmPython(("json",))
    yield python
    python.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "the_program.py").write_text(PROGRAM)
    return tmp_path


def run(
    python: WarmPython, folder: Path, *words: str, file_limit: int | None = None, **own: str
) -> tuple[int, str]:
    """Return the exit code, and what was printed to both streams."""
    with tempfile.TemporaryFile("w+") as out:
        program = python.start(
            "the_program",
            words,
            environment={"PATH": os.environ["PATH"], **own},
            cwd=folder,
            out=out,
            err=out,
            file_limit=file_limit,
        )
        code = program.wait(60)
        out.seek(0)
        return code, out.read()


def test_a_program_has_arguments_variables_and_a_folder_of_its_own(
    python: WarmPython, folder: Path
) -> None:
    code, printed = run(python, folder, "a", "b c", MINE="x")
    assert code == 0
    assert printed.startswith(f"{folder} x ['a', 'b c'] __main__ ")


def test_its_exit_code_and_its_errors_are_those_of_python(python: WarmPython, folder: Path) -> None:
    assert run(python, folder, CODE="75")[0] == 75
    code, printed = run(python, folder, "fail")
    assert code == 1
    assert printed.endswith("a message\n")
    code, printed = run(python, folder, "write", file_limit=1 << 16)
    assert code == 1
    assert "File too large" in printed


def test_two_programs_draw_other_numbers(python: WarmPython, folder: Path) -> None:
    assert run(python, folder)[1] != run(python, folder)[1]


def test_a_killed_program_is_told_from_the_others(python: WarmPython, folder: Path) -> None:
    first, second = (
        python.start("the_program", ["wait"], cwd=folder, own_session=True) for _ in range(2)
    )
    assert (first.poll(), second.poll()) == (None, None)
    assert os.getpgid(first.pid) == first.pid
    with pytest.raises(subprocess.TimeoutExpired):
        first.wait(0.01)
    second.terminate()
    assert second.wait(60) == -signal.SIGTERM
    assert first.poll() is None
    os.killpg(first.pid, signal.SIGKILL)
    assert first.wait(60) == -signal.SIGKILL
    assert first.rss_kib > 1000
