"""The command line with an AWS Batch in the same process: a campaign can disturb arrays of any job.

``python -m tests.campaign.array data quality`` submits the job by ``--executor batch``.
The children of its array run one after another in this process, so that a kill takes all of them.
Losses of single children are tried in ``tests/flow/batch/``.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from gigacast.batch.service import FAILED, SUCCEEDED, ArrayRequest, ArrayState, ChildState
from gigacast.batch.watch import watch_run
from gigacast.cli import batch as command_line
from gigacast.cli.program import run
from gigacast.errors import ComputeError
from handler.batch import main as run_child

CHILDREN = 2
CODES = "codes"
"""File in the working directory: empty once the children of an array run, then their exit codes."""
BATCH = ["--executor", "batch", "--children", str(CHILDREN)]


class OwnBatch:
    """Array jobs that have ended when their submission returns."""

    def __init__(self) -> None:
        self._codes: dict[str, list[int]] = {}

    def submit(self, request: ArrayRequest) -> str:
        """Run all children of a job."""
        Path(CODES).touch()
        codes = [
            run_child(list(request.command), os.environ | {"AWS_BATCH_JOB_ARRAY_INDEX": str(index)})
            for index in range(request.size)
        ]
        self._codes[request.name] = codes
        Path(CODES).write_text(" ".join(map(str, codes)))
        return request.name

    def describe(self, job_ids: Sequence[str]) -> list[ArrayState]:
        """Return the states of jobs; those of another process are not known."""
        return [
            ArrayState(job_id, FAILED if any(self._codes.get(job_id, [1])) else SUCCEEDED)
            for job_id in job_ids
        ]

    def failed_children(self, job_id: str) -> list[ChildState]:
        """Return the children that ended by another code than 0."""
        codes = enumerate(self._codes.get(job_id, []))
        return [ChildState(index, FAILED, exit_code=code) for index, code in codes if code]

    def child(self, job_id: str, index: int) -> ChildState:
        """Return the state of a child."""
        code = self._codes[job_id][index]
        return ChildState(index, FAILED if code else SUCCEEDED, exit_code=code)

    def cancel(self, job_ids: Sequence[str], reason: str) -> None:
        """Do nothing: the jobs have ended."""

    def read_log(self, child: ChildState, lines: int) -> list[str]:
        """Refuse: children print where this process does."""
        raise ComputeError("no logs are kept", hint="read what the process printed")


def main(arguments: Sequence[str]) -> int:
    """Run a command whose array runs here, also on a folder, and return its exit code."""
    service = OwnBatch()
    with (
        mock.patch.object(command_line, "service_for", return_value=service),
        mock.patch("gigacast.batch.watch.service_for", return_value=service),
        # All has ended when the watch begins.
        mock.patch.dict(watch_run.__kwdefaults__, sleep=lambda seconds: time.sleep(0.05)),
    ):
        return run([*arguments, *BATCH])


def _reach_folders() -> None:
    """Let children read folders, which those on other machines cannot."""
    for name, module in list(sys.modules.items()):
        if name.startswith("gigacast.") and hasattr(module, "check_reach"):
            module.check_reach = lambda address: None  # type: ignore[attr-defined]
    upload._SHARED = (*upload._SHARED, "sqlite:")  # the children write into the same file


if __name__ == "__main__":
    import gigacast.batch.cleaning
    import gigacast.batch.comparison
    import gigacast.batch.past
    import gigacast.batch.quality
    import gigacast.batch.search  # noqa: F401
    from gigacast.batch import upload

    _reach_folders()
    sys.exit(main(sys.argv[1:]))
