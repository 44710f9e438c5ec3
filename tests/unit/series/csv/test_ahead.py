"""A process that leaves a table before its end still ends with its own code."""

import os
import subprocess
import sys

PROGRAM = """
import io, sys, time
from gigacast.series.csv.ahead import ahead
from pyarrow import csv

class Slow(io.BytesIO):
    reads = 0
    def read(self, size=-1):
        self.reads += 1
        time.sleep(0.1 * (self.reads > 2))
        return super().read(size)

def leave():
    content = b"a,b\\n" + b"1,2\\n" * 500_000
    options = csv.ReadOptions(block_size=1 << 18)
    reader = csv.open_csv(ahead(Slow(content)), read_options=options)
    return any(batch.num_rows for batch in reader)

leave()
sys.exit(2)
"""


def test_a_table_that_is_left_at_its_start_does_not_abort_the_process() -> None:
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **paths},
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (2, b"")
