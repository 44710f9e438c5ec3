"""Cost of features over HTTP, beside a fetch in the process and bare reads of the store.

    python benchmarks/serving.py [--keys 2000] [--seconds 5] [--store lmdb]
        [--output benchmarks/results/serving.json]

One caller asks a server for one key at a time: time of the round trip, and CPU of the server by
its own account. Then two servers, as on two cores, are asked for 200 keys at a time by two callers
each; their keys a second stand beside the bare reads that two processes do, and beside the keys a
second of CPU time, which neighbours on the machine disturb less. Features and keys are those of
`benchmarks/fetch.py`.
"""

import argparse
import json
import multiprocessing
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
from fetch import END, NAME, fill

from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.opening import open_online_store
from gigacast.feature_store.online.question import Request
from gigacast.storage.store import StoreAddress

ROOT = Path(__file__).parents[1]
PATH = f"/v1/features/group-by/{NAME}"
BULK = 200
PROCESSES = 2


@contextmanager
def serve(folder: Path, store: str) -> Any:
    """Run a server, and give its port."""
    words = ["-m", "gigacast", "feature-store", "serve", "--port", "0", "--json"]
    process = subprocess.Popen(
        [sys.executable, *words, "--bucket", f"file://{folder}", "--online_store", store],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "lib")},
    )
    try:
        assert process.stdout is not None
        text = ""
        while "}" not in text:
            line = process.stdout.readline()
            assert line, "the server has ended"
            text += line
        yield int(json.loads(text)["url"].rpartition(":")[2])
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def cpu_of(port: int) -> float:
    """Return the CPU seconds of a server."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return float(re.findall(r"process_cpu_seconds_total ([\d.e+-]+)", text)[0])


def body_of(keys: Sequence[int]) -> str:
    at = END + 30 * 3_600_000
    return json.dumps({"keys": [{"user_id": key} for key in keys], "at": at})


def ask_single(port: int, keys: int, seconds: float) -> dict[str, float]:
    """Return what single keys take over one connection."""
    chosen = random.Random(2)
    connection = HTTPConnection("127.0.0.1", port)
    taken = []
    before = None
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        body = body_of([chosen.randrange(keys)])
        start = time.perf_counter()
        connection.request("POST", PATH, body)
        connection.getresponse().read()
        taken.append((time.perf_counter() - start) * 1e3)
        if before is None and len(taken) == 100:
            before, counted = cpu_of(port), len(taken)
    cpu = (cpu_of(port) - (before or 0)) / (len(taken) - counted)
    return {
        "round_trip_p10_ms": round(float(np.percentile(taken, 10)), 3),
        "round_trip_p50_ms": round(float(np.percentile(taken, 50)), 3),
        "round_trip_p99_ms": round(float(np.percentile(taken, 99)), 3),
        "server_cpu_ms": round(cpu * 1e3, 3),
    }


def ask_bulk(port: int, keys: int, seconds: float, seed: int, results: Any) -> None:
    chosen = random.Random(seed)
    bodies = [body_of([chosen.randrange(keys) for _ in range(BULK)]) for _ in range(50)]
    connection = HTTPConnection("127.0.0.1", port)
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        connection.request("POST", PATH, bodies[count % 50])
        response = connection.getresponse()
        assert response.status == 200, response.status
        response.read()
        count += 1
    results.put(count * BULK)


def read_bare(url: str, folder: Path, seconds: float, results: Any) -> None:
    """Read the values that a fetch of a key reads, and nothing else."""
    store = open_online_store(url, StoreAddress(f"file://{folder}"))
    stored = [key for key, _ in store.scan("b/")]
    streamed = [key for key, _ in store.scan("s/")]
    pairs = [[key, streamed[n % len(streamed)]] for n, key in enumerate(stored)]
    count, start, end = 0, time.process_time(), time.monotonic() + seconds
    while time.monotonic() < end:
        for pair in pairs[:100]:
            store.get_many(pair)
        count += 100
    results.put((count, time.process_time() - start))


def fetch_here(url: str, folder: Path, keys: int) -> float:
    """Return the CPU seconds of a key, fetched in bulk in this process."""
    fetcher = Fetcher(open_online_store(url, StoreAddress(f"file://{folder}")), refresh_s=600)
    at = END + 30 * 3_600_000
    best = np.inf
    for n in range(20):
        start = time.process_time()
        fetcher.fetch_group_by(
            [Request(NAME, {"user_id": (n * BULK + k) % keys}, at) for k in range(BULK)]
        )
        best = min(best, (time.process_time() - start) / BULK)
    return float(best)


def run_all(work: Any, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=work, args=(*mine, results)) for mine in arguments]
    for process in processes:
        process.start()
    counts = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--store", choices=["lmdb", "sqlite"], default="lmdb")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    keys, seconds = arguments.keys, arguments.seconds
    results: dict[str, Any] = {"store": arguments.store, "keys": keys}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        url = f"{arguments.store}:{folder / 'online'}"
        store = open_online_store(url, StoreAddress(f"file://{folder}"))
        fill(store, keys, dense=False)
        store.close()
        ports = [stack.enter_context(serve(folder, url)) for _ in range(PROCESSES)]
        results["single"] = ask_single(ports[0], keys, seconds)
        before = sum(map(cpu_of, ports))
        callers = [(port, keys, seconds, seed) for seed, port in enumerate(ports * 2)]
        answered = sum(run_all(ask_bulk, callers))
        cpu = sum(map(cpu_of, ports)) - before
        bare = run_all(read_bare, [(url, folder, seconds)] * PROCESSES)
        here = fetch_here(url, folder, keys)
        read_cpu = sum(used for _, used in bare) / sum(count for count, _ in bare)
        results["bulk"] = {
            "keys_per_second": round(answered / seconds),
            "bare_reads_per_second": round(sum(count for count, _ in bare) / seconds),
            "server_cpu_us_per_key": round(cpu / answered * 1e6, 1),
            "fetch_cpu_us_per_key": round(here * 1e6, 1),
            "read_cpu_us_per_key": round(read_cpu * 1e6, 1),
            "server_to_read": round(cpu / answered / read_cpu, 1),
            "keys_per_second_of_two_cores": round(2 * answered / cpu),
        }
    print(json.dumps(results, indent=1))
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
