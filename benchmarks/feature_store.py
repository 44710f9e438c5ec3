"""Cost of point-in-time features, beside DuckDB, pandas and the floor of reading and sorting.

    python benchmarks/feature_store.py [--rows 2000000] [--queries 100000] [--ways ...]
    python benchmarks/feature_store.py --rows 10000000 --queries 500000 --ways floor kernel
    make bench-features

The last writes the record of `feature_store_record.py` into docs/benchmarks.md.

A third of events and queries are on one key; the others are skewed over thousands. Features are
SUM, COUNT and MAX over windows of 1 hour, 7 days and 30 days, each from its hop before the query.
DuckDB runs the plan of tiles (5 minutes, hours, days, and the rows of the last tile), and at small
sizes a union with a range window; pandas slices sorted rows per query, as its users write it. Each
measurement is a process of its own: CPU seconds of its threads, and its peak of memory. All answers
must be equal. MEMORY_MIB is the kernel's limit of memory, 1024 by default; more rows go to disk. At
the end the cost of every operation is listed.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DAY, HOUR, FIVE = 86_400_000, 3_600_000, 300_000
WINDOWS = {"1h": (HOUR, FIVE), "7d": (7 * DAY, HOUR), "30d": (30 * DAY, DAY)}
START = 1_696_118_400_000
SIZED = {"FIRST_K": 10, "LAST_K": 10, "TOP_K": 10, "BOTTOM_K": 10, "APPROX_HISTOGRAM_K": 10}


def write_data(
    folder: Path, rows: int, queries: int, *, keys: int | None = None, hot: float = 0.3
) -> None:
    rng = np.random.default_rng(0)
    keys = keys or max(5000, rows // 400)

    def draw(count: int, first: int, days: int) -> tuple[Any, Any]:
        cold = 1 + (keys * rng.random(count) ** 2).astype(np.int64)
        key = np.where(rng.random(count) < hot, 0, cold)
        return key, START + first * DAY + rng.integers(0, days * DAY, count)

    key, at = draw(rows, 0, 60)
    value = rng.integers(0, 1000, rows)
    price = np.round(rng.gamma(2, 50, rows), 2)
    events = pa.table({"k": key, "ts": at, "x": value, "kind": value % 20, "price": price})
    pq.write_table(events, folder / "events.parquet")
    key, at = draw(queries, 30, 30)
    exact = rng.integers(0, rows, min(500, queries))
    key[: len(exact)] = events["k"].to_numpy()[exact]
    at[: len(exact)] = events["ts"].to_numpy()[exact]
    pq.write_table(pa.table({"qid": np.arange(queries), "k": key, "ts": at}), folder / "q.parquet")


def run_floor(folder: Path) -> None:
    """Read three columns, code the keys, sort, and gather: what any way has to do.

    The sort is the stable one, which keeps the order of rows at one time.
    """
    events = pq.read_table(folder / "events.parquet", columns=["k", "ts", "x"])
    codes = events["k"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    at, value = events["ts"].to_numpy(), events["x"].to_numpy()
    moment = codes * (60 * DAY) + (at - START)
    order = np.argsort(moment, kind="stable")
    np.take(moment, order), np.take(value, order)


def kernel(folder: Path, operations: list[str], column: str = "x") -> pa.Table:
    from gigacast.feature_store.aggregation.kernel import Queries
    from gigacast.feature_store.aggregation.operation import Call
    from gigacast.feature_store.aggregation.row_state import Part
    from gigacast.feature_store.aggregation.spill import Columns, Limits, aggregate_batches

    queries = pq.read_table(folder / "q.parquet")
    parts = [
        Part(f"{name}_{window}", column, Call(name, SIZED.get(name)), length)
        for name in operations
        for window, length in _windows().items()
    ]
    batches = pq.ParquetFile(folder / "events.parquet").iter_batches(
        1 << 20, columns=["k", "ts", column]
    )
    limits = Limits(int(os.environ.get("MEMORY_MIB", "1024")) << 20)
    wanted = Queries([queries["k"].combine_chunks()], queries["ts"].to_numpy())
    return aggregate_batches(wanted, batches, Columns(("k",), "ts"), parts, limits)


def _windows() -> dict[str, int]:
    """Return lengths of windows: those of the other ways, or as many as COUNT_WINDOWS says."""
    count = int(os.environ.get("COUNT_WINDOWS", "0"))
    if not count:
        return {name: length for name, (length, _) in WINDOWS.items()}
    return {f"{n + 1}d": (n + 1) * DAY for n in range(count)}


def run_kernel(folder: Path) -> pa.Table:
    return kernel(folder, ["SUM", "COUNT", "MAX"])


def run_duckdb_tiles(folder: Path) -> pa.Table:
    import duckdb

    c = duckdb.connect(config={"threads": 2, "preserve_insertion_order": False})
    c.execute(f"create view ev as from '{folder}/events.parquet'")
    c.execute(f"create view q as from '{folder}/q.parquet'")
    c.execute(
        f"create temp table t5 as select k, ts//{FIVE} b, sum(x) s, count(x) c, max(x) m "
        "from ev group by all"
    )
    merged = "sum(s)::bigint s, sum(c)::bigint c, max(m) m"
    c.execute(f"create temp table th as select k, b//12 b, {merged} from t5 group by k, b//12")
    c.execute(f"create temp table td as select k, b//24 b, {merged} from th group by k, b//24")
    c.execute(f"create temp table hd as select distinct k, ts//{FIVE} h5 from q")
    cover = []
    for name, (length, hop) in WINDOWS.items():
        edge = f"((h5*{FIVE}-{length})//{hop})*{hop}"
        for level in (level for level in (DAY, HOUR, FIVE) if level <= hop):
            end = f"((h5*{FIVE})//{level})*{level}"
            cover.append(
                f"select k, h5, '{name}' w, {level} lv, "
                f"unnest(range(({edge})//{level}, ({end})//{level})) b from hd"
            )
            edge = end
    c.execute("create temp view cov as " + " union all ".join(cover))
    tiles = " union all ".join(
        f"select *, {level} lv from {name}"
        for name, level in (("td", DAY), ("th", HOUR), ("t5", FIVE))
    )
    c.execute(f"create temp view tl as {tiles}")
    c.execute(
        "create temp table tw as select cov.k, h5, w, sum(s)::bigint s, sum(c)::bigint c, max(m) m "
        "from cov join tl using (k, lv, b) group by all"
    )
    c.execute(
        "create temp table hw as select qid, sum(x)::bigint s, count(x) c, max(x) m from q "
        f"join ev e on e.k = q.k and e.ts//{FIVE} = q.ts//{FIVE} and e.ts < q.ts group by qid"
    )
    columns, joins = [], []
    for name in WINDOWS:
        t = f"t_{name}"
        columns.append(
            f"case when {t}.s is null then hw.s else {t}.s + coalesce(hw.s, 0) end SUM_{name}, "
            f"nullif(coalesce({t}.c, 0) + coalesce(hw.c, 0), 0) COUNT_{name}, "
            f"greatest({t}.m, hw.m) MAX_{name}"
        )
        joins.append(
            f"left join tw {t} on {t}.k = q.k and {t}.h5 = q.ts//{FIVE} and {t}.w = '{name}'"
        )
    return c.sql(
        f"select {', '.join(columns)} "
        f"from q {' '.join(joins)} left join hw using (qid) order by qid"
    ).to_arrow_table()


def run_duckdb_range(folder: Path) -> pa.Table:
    import duckdb

    c = duckdb.connect(config={"threads": 2})
    columns = ", ".join(
        f"sum(x) over w_{n} SUM_{n}, nullif(count(x) over w_{n}, 0) COUNT_{n}, "
        f"max(x) over w_{n} MAX_{n}"
        for n in WINDOWS
    )
    spans = ", ".join(
        f"w_{n} as (partition by k order by ts range between "
        f"(ts - ((ts - {length})//{hop})*{hop}) preceding and 1 preceding)"
        for n, (length, hop) in WINDOWS.items()
    )
    both = (
        f"select null qid, k, ts, x from '{folder}/events.parquet' union all "
        f"select qid, k, ts, null from '{folder}/q.parquet'"
    )
    return c.sql(
        f"select * exclude qid from (select qid, {columns} from ({both}) window {spans} "
        "qualify qid is not null order by qid)"
    ).to_arrow_table()


def run_pandas(folder: Path) -> pa.Table:
    import pandas as pd

    events = pd.read_parquet(folder / "events.parquet", columns=["k", "ts", "x"])
    queries = pd.read_parquet(folder / "q.parquet")
    groups = {k: (g.ts.values, g.x.values) for k, g in events.sort_values(["k", "ts"]).groupby("k")}
    out = {
        f"{op}_{w}": np.full(len(queries), np.nan)
        for op in ("SUM", "COUNT", "MAX")
        for w in WINDOWS
    }
    for key, some in queries.groupby("k"):
        if key not in groups:
            continue
        at, values = groups[key]
        ends = np.searchsorted(at, some.ts.values, "left")
        for name, (length, hop) in WINDOWS.items():
            starts = np.searchsorted(at, (some.ts.values - length) // hop * hop, "left")
            for i, low, high in zip(some.index.values, starts, ends, strict=True):
                if high > low:
                    piece = values[low:high]
                    out[f"SUM_{name}"][i] = piece.sum()
                    out[f"COUNT_{name}"][i] = high - low
                    out[f"MAX_{name}"][i] = piece.max()
    return pa.table({name: pa.array(v, mask=np.isnan(v)) for name, v in out.items()})


def run_pandas_merge(folder: Path) -> pa.Table:
    """Subtract running totals, found by merge_asof at both ends: SUM and COUNT only."""
    import pandas as pd

    events = pd.read_parquet(folder / "events.parquet", columns=["k", "ts", "x"])
    events = events.sort_values("ts", kind="stable")
    events["SUM"] = events.groupby("k").x.cumsum()
    events["COUNT"] = events.groupby("k").cumcount() + 1
    totals = events[["k", "ts", "SUM", "COUNT"]]
    queries = pd.read_parquet(folder / "q.parquet")
    out = {}
    ends = _totals_before(queries, totals)
    for name, (length, hop) in WINDOWS.items():
        starts = _totals_before(queries.assign(ts=(queries.ts - length) // hop * hop), totals)
        counts = ends["COUNT"] - starts["COUNT"]
        for operation in ("SUM", "COUNT"):
            values = (ends[operation] - starts[operation]).to_numpy()
            out[f"{operation}_{name}"] = pa.array(values, mask=(counts == 0).to_numpy())
    return pa.table(out)


def _totals_before(queries: Any, totals: Any) -> Any:
    import pandas as pd

    asked = queries.sort_values("ts", kind="stable")
    found = pd.merge_asof(asked, totals, on="ts", by="k", allow_exact_matches=False)
    return found.set_index("qid").sort_index()[["SUM", "COUNT"]].fillna(0)


WAYS: dict[str, Callable[[Path], pa.Table | None]] = {
    "floor": run_floor,
    "kernel": run_kernel,
    "duckdb_tiles": run_duckdb_tiles,
    "duckdb_range": run_duckdb_range,
    "pandas": run_pandas,
    "pandas_merge": run_pandas_merge,
}


def import_all() -> None:
    import duckdb
    import pandas

    import gigacast.feature_store.aggregation.spill

    # Libraries start their threads and tables of functions at first use.
    duckdb.connect(config={"threads": 2}).execute("select 1")
    pandas.DataFrame({"k": [1]}).groupby("k").sum()
    small = pa.table({"k": [1], "ts": [1], "x": [1]})
    columns = gigacast.feature_store.aggregation.spill.Columns(("k",), "ts")
    columns.rows(small)


def measure(way: str, folder: Path) -> dict[str, Any]:
    import_all()
    before = time.process_time()
    start = time.perf_counter()
    operation, _, column = way.partition(":")
    table = kernel(folder, [operation], column) if column else WAYS[way](folder)
    cpu, wall = time.process_time() - before, time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if table is not None and not column:
        pq.write_table(table, folder / f"answer_{way}.parquet")
    return {"cpu": cpu, "wall": wall, "peak_mib": peak}


def measure_apart(way: str, folder: Path, **environment: str) -> dict[str, Any]:
    """Return the cost of a way in a process of its own; ``OPERATION:COLUMN`` is the kernel."""
    command = [sys.executable, __file__, "--measure", way, "--folder", str(folder)]
    process = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return result


def check_equal(folder: Path, way: str) -> None:
    mine, other = (pq.read_table(folder / f"answer_{name}.parquet") for name in ("kernel", way))
    for name in set(mine.column_names) & set(other.column_names):
        pairs = [t[name].cast(pa.float64()).fill_null(-1).to_numpy() for t in (mine, other)]
        np.testing.assert_array_equal(*pairs, err_msg=f"{way} {name}")


def measured_column(operation: str) -> str:
    # A histogram of all prices of a hot key would be as long as its rows, for every query.
    return "kind" if "HISTOGRAM" in operation else "price"


def show(folder: Path, ways: list[str], operations: list[str]) -> None:
    results = {way: measure_apart(way, folder) for way in ways}
    base = results.get("kernel", next(iter(results.values())))["cpu"]
    for way, result in results.items():
        print(
            f"{way:14} {result['cpu']:7.2f} CPU s  {result['cpu'] / base:6.2f} x  "
            f"{result['peak_mib']:7,.0f} MiB  {result['wall']:7.2f} s"
        )
    for way in sorted({*results} - {"floor", "kernel"}):
        check_equal(folder, way)
        print(f"{way} gives the kernel's answers")
    for operation in operations:
        result = measure_apart(f"{operation}:{measured_column(operation)}", folder)
        print(f"{operation:22} {result['cpu']:7.2f} CPU s  {result['peak_mib']:7,.0f} MiB")


def main() -> None:
    from gigacast.feature_store.aggregation.operation import OPERATIONS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--queries", type=int, default=100_000)
    parser.add_argument("--ways", nargs="*", default=["floor", "kernel", "duckdb_tiles", "pandas"])
    parser.add_argument("--operations", nargs="*", default=[*OPERATIONS])
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, Path(options.folder))))
        return
    with tempfile.TemporaryDirectory() as name:
        write_data(Path(name), options.rows, options.queries)
        print(f"{options.rows:,} rows, {options.queries:,} queries, windows {', '.join(WINDOWS)}")
        show(Path(name), options.ways, options.operations)


if __name__ == "__main__":
    main()
