"""Tests against a mutant, in a process of their own.

The process is forked from this one, which has imported the large libraries and nothing of the
product. The mutant exists only in that process: no file changes.
"""

import ast
import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

KILLED, TIMED_OUT, LIVED = "killed", "timed out", "lived"
NO_TESTS = 5
"""Exit code of pytest when it found no test."""
MOST_BYTES = 8 << 30
"""Memory of the tests against a mutant."""
_PROFILE = "mutants"


def prepare(cache: Path) -> None:
    """Import the large libraries, and make hypothesis stop at the first failing example.

    Parameters
    ----------
    cache : Path
        Folder of the byte code of all modules but the mutants, which are compiled once.
    """
    sys.pycache_prefix, sys.dont_write_bytecode = str(cache), False
    # Threads of the libraries do not survive a fork.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import boto3  # noqa: F401, PLC0415 - for tests/conftest.py
    import hypothesis  # noqa: PLC0415
    import moto.server  # noqa: F401, PLC0415
    import numpy  # noqa: F401, PLC0415
    import pyarrow.compute  # noqa: PLC0415
    import pyarrow.parquet  # noqa: F401, PLC0415
    import pytest  # noqa: F401, PLC0415

    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    # A smaller failing example takes minutes to find, and nobody reads it here.
    hypothesis.settings.register_profile(_PROFILE, deadline=None, database=None, phases=phases)


def run_tests(
    tests: Sequence[str], limit_s: float, *, module: str = "", tree: ast.Module | None = None
) -> tuple[str, float]:
    """Run tests, with a module replaced by a changed syntax tree.

    Parameters
    ----------
    tests : sequence of str
        Files or folders.
    limit_s : float
        Seconds after which the tests count as timed out.
    module : str
        Dotted name of the replaced module; none by default.
    tree : ast.Module, optional
        Its code.

    Returns
    -------
    verdict : {"killed", "timed out", "lived"}
    seconds : float

    Raises
    ------
    RuntimeError
        When there are no tests.
    """
    start = time.monotonic()
    process = os.fork()
    if process == 0:
        _run_in_child(tests, module, tree)
    status = _wait(process, start + limit_s)
    seconds = time.monotonic() - start
    if status is None:
        return TIMED_OUT, seconds
    if os.waitstatus_to_exitcode(status) == NO_TESTS:
        raise RuntimeError(f"no tests in {', '.join(tests)}")
    return (KILLED if status else LIVED), seconds


def _run_in_child(tests: Sequence[str], module: str, tree: ast.Module | None) -> None:
    """Run the tests and end this process."""
    code = 1
    # Nothing may return into the loop of the parent.
    try:
        os.setsid()
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silence, stream)
        if tree is not None:
            sys.meta_path.insert(0, _MutantFinder(module, tree))
            # A loop that no longer ends may take memory before it takes time.
            resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
        import pytest  # noqa: PLC0415

        # Looking for plugins takes half of the time of a small test.
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        plugins = ["-p_hypothesis_pytestplugin", "-ppytest_timeout", "-pno:cacheprovider"]
        options = ["-x", "-q", *plugins, "--hypothesis-seed=0"]
        # Assertions are not rewritten: nobody reads them, and hypothesis is imported already.
        options += ["--assert=plain", f"--hypothesis-profile={_PROFILE}"]
        code = int(pytest.main([*options, *tests]))
    finally:
        os._exit(code)


def _wait(process: int, until: float) -> int | None:
    """Return the status of a process, or kill it and its children when the time is over."""
    while time.monotonic() < until:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


class _MutantFinder(MetaPathFinder):
    """Finds one module, with other code than its file has."""

    def __init__(self, module: str, tree: ast.Module) -> None:
        self._module = module
        self._tree = tree

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the changed module under its name, and nothing under other names."""
        if fullname != self._module or path is None:
            return None
        for folder in path:
            file = Path(folder) / f"{fullname.rpartition('.')[2]}.py"
            if file.exists():
                loader = _MutantLoader(fullname, str(file), self._tree)
                return spec_from_file_location(fullname, file, loader=loader)
        return None


class _MutantLoader(SourceFileLoader):
    """Runs a syntax tree in place of the file's text."""

    def __init__(self, fullname: str, path: str, tree: ast.Module) -> None:
        super().__init__(fullname, path)
        self._tree = tree

    def get_code(self, fullname: str) -> CodeType:
        """Return the code of the tree."""
        return compile(self._tree, self.get_filename(fullname), "exec")
