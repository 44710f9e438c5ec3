"""The record of the feature store's costs: one run, a JSON file, and the tables of the docs.

    make bench-features
    python benchmarks/feature_store_record.py [--quick]

Measured are the kernel beside its floor in pairs, other ways over the same rows, five times the
rows, every operation, growth with windows, keys and a hot key, and a whole backfill. Of repeated
measurements the one with the least CPU time counts. It takes less than five minutes on two calm
cores. `--quick` tries all steps on few rows and writes nothing.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))
import feature_store as ways

RESULTS = Path("benchmarks/results/feature_store.json")
DOCS = Path("docs/benchmarks.md")
BEGIN, END = "<!-- feature store: written by make bench-features -->", "<!-- end -->"
Result = dict[str, Any]
NAMES = {
    "floor": "floor: read, code keys, sort, gather",
    "kernel": "**kernel**: SUM, COUNT, MAX over 1 h, 7 d, 30 d",
    "duckdb_tiles": "DuckDB, plan of tiles, 2 threads",
    "pandas": "pandas: sorted groups, a slice per query",
    "pandas_merge": "pandas: running totals and `merge_asof`, SUM and COUNT only",
    "duckdb_range": "DuckDB, `UNION ALL` and `RANGE`",
}


def least(way: str, folder: Path, times: int = 1, **environment: str) -> Result:
    results = [ways.measure_apart(way, folder, **environment) for _ in range(times)]
    return min(results, key=lambda result: result["cpu"])


def compare_pairs(folder: Path, pairs: int) -> dict[str, Result]:
    """Return floor and kernel, measured in turn, so that other work disturbs both alike."""
    results: dict[str, list[Result]] = {"floor": [], "kernel": []}
    for _ in range(pairs):
        for way, several in results.items():
            several.append(ways.measure_apart(way, folder))
    ratios = sorted(
        kernel["cpu"] / floor["cpu"]
        for floor, kernel in zip(results["floor"], results["kernel"], strict=True)
    )
    found = {way: min(several, key=lambda r: r["cpu"]) for way, several in results.items()}
    found["kernel"]["median_ratio_of_pairs"] = ratios[len(ratios) // 2]
    return found


def compare_ways(scale: float, pairs: int) -> dict[str, Any]:
    rows, queries = int(2_000_000 * scale), int(100_000 * scale)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ways.write_data(folder, rows, queries)
        results = compare_pairs(folder, pairs)
        for way in ("duckdb_tiles", "pandas", "pandas_merge"):
            results[way] = least(way, folder)
            ways.check_equal(folder, way)
        operations = measure_operations(folder)
        windows = {str(n): least("kernel", folder, 2, COUNT_WINDOWS=str(n)) for n in (1, 3, 10, 30)}
    return {
        "rows": rows, "queries": queries, "ways": results, "operations": operations,
        "windows": windows,
    }  # fmt: skip


def measure_operations(folder: Path) -> dict[str, Result]:
    from gigacast.feature_store.aggregation.operation import OPERATIONS

    return {
        operation: ways.measure_apart(f"{operation}:{ways.measured_column(operation)}", folder)
        for operation in OPERATIONS
    }


def measure_small(scale: float) -> dict[str, Any]:
    """Return the cost of a union with a range window, which takes too long over many rows."""
    rows, queries = int(200_000 * scale), int(10_000 * scale)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ways.write_data(folder, rows, queries)
        results = {way: least(way, folder) for way in ("kernel", "duckdb_range")}
        ways.check_equal(folder, "duckdb_range")
    return {"rows": rows, "queries": queries, "ways": results}


def measure_large(scale: float) -> dict[str, Any]:
    rows, queries = int(10_000_000 * scale), int(500_000 * scale)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ways.write_data(folder, rows, queries)
        return {"rows": rows, "queries": queries, "kernel": least("kernel", folder, 2)}


def measure_growth(scale: float) -> dict[str, dict[str, Result]]:
    """Return the kernel's cost over half the rows by number of keys and by share of one key."""
    rows, queries = int(1_000_000 * scale), int(50_000 * scale)
    cases = {"keys": [{"keys": n} for n in (10, 1_000, 100_000)]}
    cases["hot"] = [{"hot": share} for share in (0.0, 0.3, 0.9)]
    growth: dict[str, dict[str, Result]] = {}
    for kind, several in cases.items():
        for case in several:
            with tempfile.TemporaryDirectory() as name:
                ways.write_data(Path(name), rows, queries, **case)
                found = least("kernel", Path(name), 2)
            growth.setdefault(kind, {})[str(next(iter(case.values())))] = found
    return growth


def write_days(folder: Path, days: int, rows: int, queries: int) -> None:
    rng = np.random.default_rng(1)
    for n in range(days):
        day = date(2024, 1, 1) + timedelta(days=n)
        start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
        for table, count in (("events", rows), ("asked", queries)):
            content = pa.table(
                {
                    "user": (5000 * rng.random(count) ** 2).astype(np.int64),
                    "ts": np.sort(start + rng.integers(0, ways.DAY, count)),
                    "price": np.round(rng.gamma(2, 50, count), 2),
                }
            )
            path = folder / f"data/{table}/ds={day}/part-0.parquet"
            path.parent.mkdir(parents=True)
            pq.write_table(content, path)


def make_join() -> Any:
    from gigacast import feature_store as store

    windows = [store.Window(length=n, timeUnit=store.TimeUnit.DAYS) for n in (1, 7, 30)]
    aggregations = [
        store.Aggregation("price", operation, windows=windows)
        for operation in (
            store.Operation.SUM, store.Operation.COUNT, store.Operation.MAX,
            store.Operation.AVERAGE, store.Operation.LAST_K(10),
        )
    ]  # fmt: skip
    query = {"selects": store.select("user", "price"), "time_column": "ts"}
    events = store.EventSource(table="data.events", query=store.Query(**query))
    group_by = store.GroupBy(
        sources=[store.Source(events=events)], keys=["user"], aggregations=aggregations,
        accuracy=store.Accuracy.TEMPORAL, name="bench.events.v1",
    )  # fmt: skip
    left = store.Query(selects=store.select("user"), time_column="ts")
    return store.Join(
        left=store.Source(events=store.EventSource(table="data.asked", query=left)),
        right_parts=[store.JoinPart(group_by=group_by)],
        name="bench.training_set.v1",
    )


def measure_backfill(scale: float) -> Result:
    """Return the cost of all days of a join, and how often each day of the events was read."""
    from gigacast.feature_store.engine import local
    from gigacast.feature_store.offline.run import Days, backfill_days
    from gigacast.feature_store.offline.stage import Backfill
    from gigacast.storage.store import StoreAddress

    days, rows, queries = 60, int(50_000 * scale), int(2_000 * scale)
    reads: dict[str, int] = {}
    read_rows = local.read_rows

    def counted(table: Any, files: Any, *arguments: Any, **more: Any) -> Any:
        for file in files:
            reads[file.key] = reads.get(file.key, 0) + 1
        return read_rows(table, files, *arguments, **more)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_days(folder, days, rows, queries)
        size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
        local.read_rows = counted
        cpu, wall = time.process_time(), time.perf_counter()
        done = backfill_days(Backfill(make_join(), StoreAddress(f"file://{folder}")), Days())
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        local.read_rows = read_rows
    source = {key: count for key, count in reads.items() if "events" in key}
    assert not done.failures
    return {
        "days": days, "rows": days * rows, "left_rows": days * queries, "bytes": size,
        "cpu": cpu, "wall": wall, "rows_per_cpu_s": days * (rows + queries) / cpu,
        "bytes_per_cpu_s": size / cpu,
        "most_reads_of_a_day": max(source.values()), "days_read": len(source),
        "reads": sum(source.values()),
    }  # fmt: skip


def record(scale: float, pairs: int) -> dict[str, Any]:
    load = os.getloadavg()[0]
    start = time.perf_counter()
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "load_before": round(load, 1),
        "main": compare_ways(scale, pairs),
        "small": measure_small(scale),
        "large": measure_large(scale),
        "growth": measure_growth(scale),
        "backfill": measure_backfill(scale),
    }
    result["load_after"] = round(os.getloadavg()[0], 1)
    result["wall"] = round(time.perf_counter() - start, 1)
    return result


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _cpu(result: Result) -> str:
    return f"{result['cpu']:.2f}"


def _ways_table(record: dict[str, Any]) -> list[str]:
    main, small, large = record["main"], record["small"], record["large"]
    found, base = main["ways"], main["ways"]["kernel"]["cpu"]
    lines = [
        _row(
            f"{main['rows']:,} rows, {main['queries']:,} queries", "CPU s", "of kernel", "peak MiB"
        ),
        _row("---", "---", "---", "---"),
    ]
    lines += [
        _row(NAMES[way], _cpu(r), f"{r['cpu'] / base:.2f}", f"{r['peak_mib']:,.0f}")
        for way, r in found.items()
    ]
    sizes = f"{small['rows']:,} rows, {small['queries']:,} queries"
    ranged, little = small["ways"]["duckdb_range"], small["ways"]["kernel"]
    lines += [
        _row(f"{NAMES['duckdb_range']}, {sizes}", _cpu(ranged),
             f"{ranged['cpu'] / little['cpu']:.1f}", f"{ranged['peak_mib']:,.0f}"),
        _row(f"kernel, {large['rows']:,} rows, {large['queries']:,} queries", _cpu(large["kernel"]),
             f"{large['kernel']['cpu'] / base:.2f}", f"{large['kernel']['peak_mib']:,.0f}"),
    ]  # fmt: skip
    return lines


def _bars(record: dict[str, Any]) -> list[str]:
    found, large = record["main"]["ways"], record["large"]["kernel"]
    kernel = found["kernel"]["cpu"]
    bars = [
        ("kernel over the floor, least CPU of each", kernel / found["floor"]["cpu"], "at most 2"),
        ("the same, median of pairs", found["kernel"]["median_ratio_of_pairs"], "at most 2"),
        ("DuckDB's tiles over the kernel", found["duckdb_tiles"]["cpu"] / kernel, "at least 4"),
        ("five times the rows and queries over one", large["cpu"] / kernel, "at most 5.5"),
        ("their memory, GiB", large["peak_mib"] / 1024, "at most 1.5"),
        ("most reads of a day", record["backfill"]["most_reads_of_a_day"], "1"),
    ]
    lines = [_row("bar", "measured", "wanted"), _row("---", "---", "---")]
    return [*lines, *(_row(name, f"{value:.2f}", wanted) for name, value, wanted in bars)]


def _growth_table(record: dict[str, Any]) -> list[str]:
    growth = {"windows": record["main"]["windows"], **record["growth"]}
    titles = {"windows": "windows", "keys": "keys, half the rows", "hot": "share of one key, half"}
    lines = [_row("grows with", "CPU s"), _row("---", "---")]
    for kind, cases in growth.items():
        costs = ", ".join(f"{name}: {_cpu(result)}" for name, result in cases.items())
        lines.append(_row(titles[kind], costs))
    return lines


def make_tables(record: dict[str, Any]) -> str:
    """Return the tables of the docs."""
    b = record["backfill"]
    operations = record["main"]["operations"]
    listed = [_row("operation, 3 windows", "CPU s", "peak MiB"), _row("---", "---", "---")]
    listed += [_row(f"`{n}`", _cpu(r), f"{r['peak_mib']:,.0f}") for n, r in operations.items()]
    head = (
        f"{record['date']}, {record['cores']} cores, load {record['load_before']} before and\n"
        f"{record['load_after']} after, of which one is the benchmark's own;\n"
        f"{record['wall']:.0f} s."
    )
    backfill = (
        f"A whole backfill of {b['days']} days, {b['rows']:,} rows and\n"
        f"{b['left_rows']:,} left rows, 15 features: {b['cpu']:.1f} CPU s,\n"
        f"{b['rows_per_cpu_s']:,.0f} rows and {b['bytes_per_cpu_s'] / 1e6:.1f} MB of Parquet\n"
        f"per CPU second. {b['days_read']} days of the source were read {b['reads']} times."
    )
    blocks = [head, _ways_table(record), _bars(record), listed, _growth_table(record), backfill]
    return "\n\n".join(b if isinstance(b, str) else "\n".join(b) for b in blocks)


def write_docs(record: dict[str, Any]) -> None:
    text = DOCS.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not after:
        raise SystemExit(f"{DOCS}: there are no marks {BEGIN} and {END}")
    DOCS.write_text(f"{before}{BEGIN}\n\n{make_tables(record)}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    found = record(0.02, 1) if options.quick else record(1, 5)
    print(make_tables(found))
    if not options.quick:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        write_docs(found)


if __name__ == "__main__":
    main()
