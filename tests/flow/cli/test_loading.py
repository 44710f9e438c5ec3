"""Signals while the program loads: it ends as at any other time."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

LOADING = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
from gigacast.__main__ import main
sys.argv = ["gigacast", "plan", "--bucket", {bucket!r}, "--model", "seasonal-naive"]
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "module", ["gigacast.cli", "gigacast.cli.program", "gigacast.cli.plan", "pyarrow.parquet"]
)
def test_a_signal_while_the_program_loads_ends_it_with_130(
    tmp_path: Path, module: str, number: signal.Signals
) -> None:
    script = LOADING.format(module=module, number=int(number), bucket=f"file://{tmp_path}")
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 130, ended.stderr
    assert "interrupted" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_library_that_swallows_the_signal_changes_nothing() -> None:
    script = """
import os, signal
from gigacast.runtime.interruption import RunInterrupted, interruptible
try:
    with interruptible():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException as error:
            raise ImportError("a module could not be loaded") from None
except RunInterrupted as interruption:
    print(interruption)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "interrupted by SIGTERM\n"
