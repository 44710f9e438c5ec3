"""The program of a Batch child: array index -> its tasks -> the runner of every local run.

``python -m handler.batch URL ENDPOINT REGION RUN DIGEST FIRST``, as `submit` writes it into the
job. Exit codes: 0 done, 1 some partition failed, or the program itself, 2 refused (a plan that
changed or expired, a model that is another), 75 asked to stop, or the store is out of reach. Batch
tries that one again, and a lost host, and nothing else.
"""

import os
import sys
from collections.abc import Mapping

from gigacast.batch.child import Place, run_child
from gigacast.core.exit import EXIT_AGAIN, EXIT_USAGE
from gigacast.errors import GigacastError, TransientStorageError
from gigacast.job.batch_options import ChildOrder
from gigacast.job.run import utc_now
from gigacast.job.telemetry import Origin, Telemetry
from gigacast.runtime.interruption import interruptible


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Run the child that the arguments and the environment name; return its exit code."""
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
        sys.stderr.write(f"gigacast: {type(error).__name__}: {error}\n")
        return EXIT_AGAIN if isinstance(error, TransientStorageError) else EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
