"""A submitted plan in a bucket, and a child of its array that runs in this process."""

import contextlib
import io
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from gigacast.batch.setup import dump_setup
from gigacast.batch.submit import share_work
from gigacast.core.digest import digest_text
from gigacast.forecasting.plan import plan_prepared
from gigacast.forecasting.prepare import prepare
from gigacast.forecasting.run import describe_plan
from gigacast.job.audit import new_audit
from gigacast.job.batch_options import ChildOrder
from gigacast.job.run import utc_now
from gigacast.lake.plan.audit import AuditLog
from gigacast.lake.plan.plan_file import write_plan
from gigacast.settings.assembly import job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from handler.batch import main as child_main

ORDER = "order.txt"
RUN = "forecast_20260101_000000_abcd"


def put_plan(folder: Path) -> None:
    """Write the plan of a run of two children over the bucket of a folder, and a child's command.

    `submit` refuses a folder, which other machines cannot reach; this is what it does for a bucket.
    """
    arguments = {"bucket": f"file://{folder}/bucket", "model": "seasonal-naive", "horizon": 5}
    prepared = prepare(job_of(load_settings(nest_arguments(arguments))))
    planned = describe_plan(prepared, plan_prepared(prepared).plan)
    shares = share_work(planned.tasks, 2)
    outputs, now = prepared.outputs, utc_now()
    plan = write_plan(
        outputs, RUN, dump_setup(prepared), shares, now=now, valid_for=timedelta(days=1)
    )
    AuditLog(outputs, new_audit(RUN, planned, utc_now), utc_now).save(force=True)
    order = ChildOrder(prepared.job.outputs, RUN, plan.digest)
    (folder / ORDER).write_text("\n".join(order.command()))


def run_child(folder: Path, file: Path, *, is_believed: bool = False) -> tuple[int, str]:
    """Run the first child on a bucket, and return its exit code and what it printed.

    Parameters
    ----------
    folder : Path
    file : Path
        Head of the plan.
    is_believed : bool
        Whether the command has the digest of the plan as it is now, and not as it was.
    """
    order: Sequence[str] = (folder / ORDER).read_text().split("\n")
    url, endpoint, region, run_id, digest, first = order
    digest = digest_text(file.read_bytes().decode(errors="replace"), 32) if is_believed else digest
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = child_main(
            [url, endpoint, region, run_id, digest, first],
            {"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ATTEMPT": "1"},
        )
    return code, out.getvalue()
