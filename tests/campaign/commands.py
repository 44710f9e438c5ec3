"""All commands of the program: those a campaign disturbs, those that only read, and the rest.

A new command that writes joins `tests.campaign.jobs.JOBS`, or `BY_OTHER_TESTS` with the reason and
the tests that disturb it. A new job with an array joins `tests.campaign.jobs.ARRAYS`.
"""

import click

from tests.campaign.jobs import JOBS
from tests.support.commands import commands

READS = frozenset(
    {
        *("config show", "completion", "plan", "show", "ls", "plot", "verify", "init"),
        *("data describe", "data diff", "data discover", "data infer", "data lineage"),
        *("data validate", "data versions", "models diff", "models list", "models show"),
        *("models verify", "feature-store analyze", "feature-store compare"),
        *("feature-store fetch", "feature-store lineage", "feature-store show"),
        *("feature-store status", "logs", "serve-report"),
    }
)
"""Commands that write nothing into a bucket; `init` and `plot` write one local file."""

_FEATURES = "tests/flow/feature_store"
BY_OTHER_TESTS = {
    "demo": ("makes a bucket of its own", "tests/flow/forecasting/test_demo.py"),
    "submit": ("needs an AWS Batch", "tests/flow/batch/test_array_submission.py"),
    "watch": ("closes a run by compare and swap", "tests/flow/batch/test_array_run.py"),
    "cancel": ("needs an AWS Batch", "tests/flow/batch/test_array_command.py"),
    "status": ("closes runs as `watch` does", "tests/flow/batch/test_array_run.py"),
    "models download": ("copies into a cache", "tests/unit/lake/test_registry_cache.py"),
    "models rollback": (
        "is `models switch` to another version",
        "tests/flow/models/test_model_commands.py",
    ),
    "feature-store upload-metadata": ("one object", f"{_FEATURES}/test_served_changes.py"),
    "feature-store serve": ("runs until it is stopped", "tests/support/features/soak.py"),
    "feature-store logs": ("tables as `backfill` writes them", f"{_FEATURES}/test_consistency.py"),
    "feature-store consistency": ("tables, too", f"{_FEATURES}/test_consistency.py"),
}
"""Commands that write, and are disturbed by other tests: the reason, and their file."""


def leaves() -> set[str]:
    """Return all commands that do something, by their words."""
    return {name for name, command in commands().items() if not isinstance(command, click.Group)}


def disturbed() -> set[str]:
    """Return the commands of the jobs of the campaign."""
    names = leaves()
    return {
        name for job in JOBS.values() for name in names if f"{job.words} ".startswith(f"{name} ")
    }
