"""Speed of the clients for S3: boto3, s3fs, pyarrow and obstore.

Run by hand::

    python benchmarks/store_clients.py [--endpoint URL]

Without an endpoint a moto server is started in a process of its own. It answers only some 200 small
requests a second, which hides differences between clients. So the processor time of each client is
measured beside the elapsed time, and for listing a stub serves canned pages as fast as a socket
takes them. Ratios are boto3's time divided by the client's; higher is better.
"""

import argparse
import http.server
import multiprocessing
import os
import resource
import statistics
import time
import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

BUCKET = "bench"
THREADS = 16
MIB = 1 << 20
REPEATS = 3


@dataclass(frozen=True)
class Client:
    """The measured operations of a client."""

    list: Callable[[str], int]
    get: Callable[[str], int]
    put: Callable[[str, bytes], object]


def boto3_client(endpoint: str) -> Client:
    import boto3
    from botocore.config import Config

    s3 = boto3.client("s3", endpoint_url=endpoint, config=Config(max_pool_connections=THREADS))
    pages = s3.get_paginator("list_objects_v2")

    def count(prefix: str) -> int:
        listing = pages.paginate(Bucket=BUCKET, Prefix=prefix)
        return sum(len(page.get("Contents", [])) for page in listing)

    return Client(
        count,
        lambda key: len(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()),
        lambda key, body: s3.put_object(Bucket=BUCKET, Key=key, Body=body),
    )


def s3fs_client(endpoint: str) -> Client:
    import s3fs

    fs = s3fs.S3FileSystem(endpoint_url=endpoint, use_listings_cache=False)
    return Client(
        lambda prefix: len(fs.find(f"{BUCKET}/{prefix}", detail=True)),
        lambda key: len(fs.cat_file(f"{BUCKET}/{key}")),
        lambda key, body: fs.pipe_file(f"{BUCKET}/{key}", body),
    )


def pyarrow_client(endpoint: str) -> Client:
    from pyarrow import fs

    url = urllib.parse.urlparse(endpoint)
    s3 = fs.S3FileSystem(
        endpoint_override=url.netloc,
        scheme=url.scheme,
        region="us-east-1",
        force_virtual_addressing=False,
    )

    def get(key: str) -> int:
        with s3.open_input_file(f"{BUCKET}/{key}") as file:
            return len(file.read())

    def put(key: str, body: bytes) -> None:
        with s3.open_output_stream(f"{BUCKET}/{key}") as file:
            file.write(body)

    def count(prefix: str) -> int:
        selector = fs.FileSelector(f"{BUCKET}/{prefix}", recursive=True)
        return sum(info.type == fs.FileType.File for info in s3.get_file_info(selector))

    return Client(count, get, put)


def obstore_client(endpoint: str) -> Client:
    import obstore
    from obstore.store import S3Store

    s3 = S3Store(BUCKET, endpoint=endpoint, client_options={"allow_http": True})
    return Client(
        lambda prefix: sum(len(page) for page in obstore.list(s3, prefix, chunk_size=1000)),
        lambda key: len(obstore.get(s3, key).bytes()),
        lambda key, body: obstore.put(s3, key, body),
    )


def gigacast_client(endpoint: str) -> Client:
    """Gigacast's store: obstore with conditions, checks, retries and translated errors."""
    from gigacast.storage.s3.store import S3Store

    s3 = S3Store(BUCKET, endpoint_url=endpoint)
    return Client(
        lambda prefix: sum(len(page) for page in s3.list(prefix)),
        lambda key: len(s3.get(key)),
        s3.put,
    )


CLIENTS = {
    "boto3": boto3_client,
    "s3fs": s3fs_client,
    "pyarrow": pyarrow_client,
    "obstore": obstore_client,
    "gigacast": gigacast_client,
}


@contextmanager
def served(target: Callable[[Any], None]) -> Iterator[str]:
    """Run a server in a process of its own and yield its URL."""
    context = multiprocessing.get_context("spawn")
    ports: Any = context.SimpleQueue()
    process = context.Process(target=target, args=(ports,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ports.get()}"
    finally:
        process.terminate()
        process.join()


def serve_moto(ports: Any) -> None:
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    ports.put(server.get_host_and_port()[1])
    time.sleep(3600)


def canned_page(number: int, last: int) -> bytes:
    rows = "".join(
        f"<Contents><Key>many/2014/{number:03d}/EURUSD_1min_h15_2014_03_{i:016x}.parquet</Key>"
        "<LastModified>2026-11-21T01:48:52.000Z</LastModified>"
        "<ETag>&quot;c4ca4238a0b923820dcc509a6f75849b&quot;</ETag><Size>123456</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for i in range(1000)
    )
    more = number < last
    token = f"<NextContinuationToken>{number + 1}</NextContinuationToken>" if more else ""
    return (
        "<?xml version='1.0' encoding='UTF-8'?>"
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{BUCKET}</Name><Prefix>many/</Prefix><KeyCount>1000</KeyCount>"
        f"<MaxKeys>1000</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>"
        f"{token}{rows}</ListBucketResult>"
    ).encode()


def serve_pages(ports: Any) -> None:
    pages = [canned_page(number, 49) for number in range(50)]

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
            page = pages[int(query.get("continuation-token", ["0"])[0])]
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ports.put(server.server_port)
    server.serve_forever()


def measure(work: Callable[[], object]) -> tuple[float, float]:
    """Return the median elapsed and processor seconds of a few runs."""
    elapsed, used = [], []
    for _ in range(REPEATS):
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        work()
        elapsed.append(time.perf_counter() - started)
        after = resource.getrusage(resource.RUSAGE_SELF)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(elapsed), statistics.median(used)


def spread(work: Callable[[str], object], keys: list[str]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(work, keys):
            pass


def report(title: str, works: dict[str, Callable[[], object]]) -> None:
    """Measure an operation with every client and print the ratios to the first."""
    figures = {name: measure(work) for name, work in works.items()}
    base = next(iter(figures.values()))
    cells = [
        f"{base[0] / max(elapsed, 1e-9):5.1f} /{base[1] / max(used, 1e-3):5.1f}"
        for elapsed, used in figures.values()
    ]
    print(f"| {title:24} | {base[0]:6.2f} s | " + " | ".join(f"{c:>13}" for c in cells) + " |")


def bench(endpoint: str, pages_endpoint: str) -> None:
    header = " | ".join(f"{name:>13}" for name in CLIENTS)
    print(f"| {'elapsed / processor':24} | {'boto3':>8} | {header} |")
    print("|" + "---|" * (2 + len(CLIENTS)))
    pages = {name: make(pages_endpoint) for name, make in CLIENTS.items()}
    report(
        "list 50,000 (canned)",
        {name: lambda c=c: c.list("many/") for name, c in pages.items()},
    )
    clients = {name: make(endpoint) for name, make in CLIENTS.items()}
    small = [f"many/{i % 12:02d}/part-{i:05d}" for i in range(10_000)]
    spread(lambda key: clients["obstore"].put(key, b"x"), small)
    report("list 10,000 (moto)", {name: lambda c=c: c.list("many/") for name, c in clients.items()})
    body = os.urandom(MIB)
    keys = [f"mib/{i:04d}" for i in range(100)]
    report(
        "PUT 100 x 1 MiB",
        {
            name: lambda c=c: spread(lambda key: c.put(key, body), keys)
            for name, c in clients.items()
        },
    )
    report(
        "GET 100 x 1 MiB",
        {name: lambda c=c: spread(c.get, keys) for name, c in clients.items()},
    )
    clients["obstore"].put("large", os.urandom(200 * MIB))
    report("GET 200 MiB", {name: lambda c=c: c.get("large") for name, c in clients.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", help="an S3 endpoint with a bucket 'bench'")
    options = parser.parse_args()
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "testing")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "testing")
    os.environ.setdefault("AWS_REGION", "us-east-1")
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    with served(serve_pages) as pages:
        if options.endpoint:
            bench(options.endpoint, pages)
            return
        with served(serve_moto) as moto:
            import boto3

            boto3.client("s3", endpoint_url=moto).create_bucket(Bucket=BUCKET)
            bench(moto, pages)


if __name__ == "__main__":
    main()
