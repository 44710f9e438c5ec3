"""Flips every bit of a footer and uses what passes the check; a program, as it may be killed.

It reads a Parquet file from standard input and prints the number of footers that were readable.
"""

import sys
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.core.footer import check_footer


def main() -> None:
    content = sys.stdin.buffer.read()
    size = int.from_bytes(content[-8:-4], "little")
    start, readable = len(content) - 8 - size, 0
    for bit in range(size * 8):
        damaged = bytearray(content)
        damaged[start + bit // 8] ^= 1 << bit % 8
        # Printed before it is used: the last number says which bit killed the process.
        sys.stderr.write(f"{bit}\n")
        with suppress(Exception):
            check_footer(bytes(damaged[start:-8]))
            use(pq.read_metadata(pa.BufferReader(bytes(damaged))))
            readable += 1
    sys.stdout.write(f"{readable}\n")


def use(metadata: pq.FileMetaData) -> None:
    """Look at everything that the product looks at."""
    metadata.schema.to_arrow_schema()
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            _ = column.path_in_schema, column.encodings, column.num_values, column.compression
            if (statistics := column.statistics) is not None:
                _ = statistics.null_count, statistics.logical_type.to_json(), statistics.has_min_max
                with suppress(Exception):
                    _ = statistics.min, statistics.max, statistics.min_raw, statistics.max_raw


if __name__ == "__main__":
    main()
