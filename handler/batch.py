"""The program of a child of a Batch array job, which runs the tasks of its array index.

``python -m handler.batch URL ENDPOINT REGION RUN DIGEST FIRST``; `submit` writes this command into
the job. Exit codes: 0 done; 1 a partition failed, or the program itself; 2 refused (the plan
changed or expired, or the model differs); 75 asked to stop, or the store is unreachable. Batch
retries only after code 75 and after the loss of a host.
"""

import os
import sys
from collections.abc import Mapping

from gigacast.batch.child import Place, run_child
from gigacast.core.exit import EXIT_AGAIN, EXIT_USAGE
from gigacast.core.text import printable
from gigacast.core.utf8 import restart_in_utf8
from gigacast.errors import GigacastError, TransientComputeError, TransientStorageError
from gigacast.job.batch_options import ChildOrder
from gigacast.job.run import utc_now
from gigacast.job.telemetry import Origin, Telemetry
from gigacast.runtime.interruption import interruptible


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Run the child described by the arguments and the environment; return its exit code."""
    place = Place(
        index=int(environment.get("AWS_BATCH_JOB_ARRAY_INDEX", "0")),
        attempt=int(environment.get("AWS_BATCH_JOB_ATTEMPT", "1")),
        job_id=environment.get("AWS_BATCH_JOB_ID", ""),
    )
    try:
        with interruptible():
            order = ChildOrder.parse(arguments)
            stack = environment.get("GIGACAST_STACK", "")
            origin = Origin(order.run_id, order.first + place.index, place.attempt, stack)
            return run_child(order, place, events=Telemetry(sys.stdout, utc_now, origin))
    except KeyboardInterrupt:
        return EXIT_AGAIN
    except GigacastError as error:
        sys.stderr.write(printable(f"gigacast: {type(error).__name__}: {error.text}") + "\n")
        is_transient = isinstance(error, TransientStorageError | TransientComputeError)
        return EXIT_AGAIN if is_transient else EXIT_USAGE


if __name__ == "__main__":
    restart_in_utf8()
    sys.exit(main(sys.argv[1:], os.environ))
