"""A bucket of millions of partitions in little memory, to measure planning and closing runs.

Inputs, outputs and receipts are generated from a few bytes per partition, in pages of a thousand
keys like S3's. All other objects (plans, audits, manifests) are stored. Requests are counted.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from pathlib import Path

import numpy as np
import pyarrow as pa

from gigacast.core.column import text_column
from gigacast.core.digest import digest_etags, digests_of, digests_of_etags
from gigacast.core.partition.spec import Spec
from gigacast.errors import ObjectNotFoundError
from gigacast.lake.layout import FORECASTS, TIMINGS, parse_receipt_key, receipt_key
from gigacast.lake.plan.receipt import Receipt
from gigacast.storage.listed import Listed
from gigacast.storage.memory import MemoryStore
from gigacast.storage.store import PAGE_KEYS, Folder, ObjectMeta, Store, StoreAddress

MONTHS = 120
FIRST_YEAR = 2014
_PLANS = "plans/"
_CODEC = pa.Codec("zstd", -5)
"""Plans of millions of partitions are kept packed, by a codec that costs little."""
_GENERATED = (FORECASTS, TIMINGS)


class PagedLake(Store):
    """Ten years of monthly folders with as many partitions each.

    Parameters
    ----------
    count : int
        Number of partitions; a multiple of 120.
    spec : str
        Folder of the outputs: ``forecasts/{model}/{version}/{spec}/``; may be set later.
    sizes : ndarray
        Size of each input in bytes, int [count].
    latency_s : float
        Seconds to wait at each request.
    """

    def __init__(self, count: int, spec: str, sizes: "np.ndarray", latency_s: float = 0.0) -> None:
        self.address = StoreAddress("s3://scale")
        self.counts: Counter[str] = Counter()
        self.sizes = sizes
        # Generation of each output, and the generation in its receipt; 0 is no object.
        self.output = np.zeros(count, np.uint8)
        self.receipt = np.zeros(count, np.uint8)
        self.writer = np.zeros(count, np.uint8)
        self.runs: list[str] = []
        self.on_request: Callable[[str, str], None] = lambda kind, key: None
        self.spec = spec
        self._per_month = count // MONTHS
        self._latency_s = latency_s
        self._others = MemoryStore(f"scale-{id(self)}")
        self._lock = threading.Lock()

    # -- partitions ----------------------------------------------------------------------------

    def index_of(self, key: str) -> int:
        """Return the number of a key's partition, for a key of any kind."""
        at = key.index("/part-")
        year, month = int(key[at - 7 : at - 3]), int(key[at - 2 : at])
        part = int(key[at + 6 : at + 13])
        return ((year - FIRST_YEAR) * 12 + month - 1) * self._per_month + part

    def finish(self, first: int) -> None:
        """Mark the first partitions of each month as done."""
        for month in range(MONTHS):
            finished = slice(month * self._per_month, month * self._per_month + first)
            self.output[finished] = self.receipt[finished] = 1

    def _input_key(self, index: int) -> str:
        month, part = divmod(index, self._per_month)
        return f"{FIRST_YEAR + month // 12}/{month % 12 + 1:02d}/part-{part:07d}.parquet"

    def _input(self, index: int) -> ObjectMeta:
        return ObjectMeta(self._input_key(index), f"input-{index}", int(self.sizes[index]), 0)

    def _output(self, index: int) -> ObjectMeta | None:
        version = int(self.output[index])
        key = self.spec + self._input_key(index)
        return ObjectMeta(key, f"output-{index}-{version}", 10**6, 0) if version else None

    def _receipt(self, index: int) -> ObjectMeta | None:
        version = int(self.receipt[index])
        if not version:
            return None
        input_id = digest_etags([f"input-{index}"])
        key = self.spec + self._input_key(index)
        return ObjectMeta(receipt_key(key, input_id, f"output-{index}-{version}"), "r", 900, 0)

    # -- the interface of a store ---------------------------------------------------------------

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[list[ObjectMeta]]:
        if "/part-" in prefix:
            self._count_request("list", prefix)
            receipt = self._receipt(self.index_of(prefix))
            if receipt is not None and receipt.key.startswith(prefix):
                yield [receipt]
        elif prefix[:1].isdigit() or prefix.startswith((FORECASTS, TIMINGS)):
            yield from self._list_year(prefix)
        else:
            for page in self._others.list(prefix, start_after=start_after):
                self._count_request("list", prefix)
                yield page

    def list_columns(self, prefix: str = "") -> "Iterator[Listed]":
        if "/part-" in prefix or not (prefix[:1].isdigit() or prefix.startswith(_GENERATED)):
            yield from map(Listed.of, self.list(prefix))
            return
        columns = self._input_columns
        if prefix.startswith(FORECASTS):
            columns = self._output_columns
        elif prefix.startswith(TIMINGS):
            columns = self._receipt_columns
        for rows in self._pages(prefix):
            yield columns(rows)

    def _list_year(self, prefix: str) -> "Iterator[list[ObjectMeta]]":
        make_meta = self._input
        if prefix.startswith(FORECASTS):
            make_meta = self._output  # type: ignore[assignment]
        elif prefix.startswith(TIMINGS):
            make_meta = self._receipt  # type: ignore[assignment]
        for rows in self._pages(prefix):
            yield [make_meta(index) for index in rows.tolist()]

    def _pages(self, prefix: str) -> "Iterator[np.ndarray]":
        """Yield the numbers of a page's objects, one request each; the last may have none."""
        last = prefix.rstrip("/").rpartition("/")[2]
        start, stop = 0, len(self.sizes)
        if len(last) == 4:  # a year; else a folder of all of them
            start = (int(last) - FIRST_YEAR) * 12 * self._per_month
            stop = start + 12 * self._per_month
        rows = np.arange(start, stop)
        if prefix.startswith(FORECASTS):
            rows = rows[self.output[start:stop] > 0]
        elif prefix.startswith(TIMINGS):
            rows = rows[self.receipt[start:stop] > 0]
        for first in range(0, len(rows) + 1, PAGE_KEYS):
            self._count_request("list", prefix)
            if len(page := rows[first : first + PAGE_KEYS]):
                yield page

    def _keys(self, rows: "np.ndarray", before: str, after: "Iterable[str]") -> "pa.StringArray":
        months, parts = np.divmod(rows, self._per_month)
        folders = [
            f"{before}{FIRST_YEAR + month // 12}/{month % 12 + 1:02d}/part-"
            for month in range(MONTHS)
        ]
        texts = zip(months.tolist(), parts.tolist(), after, strict=False)
        return text_column([f"{folders[m]}{part:07d}.parquet{end}" for m, part, end in texts])

    def _input_columns(self, rows: "np.ndarray") -> Listed:
        etags = text_column([f"input-{index}" for index in rows.tolist()])
        sizes = self.sizes[rows].astype(np.int64)
        return Listed(self._keys(rows, "", repeat("")), etags, sizes, np.zeros_like(sizes))

    def _output_etags(self, rows: "np.ndarray", versions: "np.ndarray") -> "list[str]":
        texts = zip(rows.tolist(), versions[rows].tolist(), strict=True)
        return [f"output-{index}-{version}" for index, version in texts]

    def _output_columns(self, rows: "np.ndarray") -> Listed:
        etags = text_column(self._output_etags(rows, self.output))
        sizes = np.full(len(rows), 10**6, np.int64)
        keys = self._keys(rows, self.spec, repeat(""))
        return Listed(keys, etags, sizes, np.zeros_like(sizes))

    def _receipt_columns(self, rows: "np.ndarray") -> Listed:
        inputs = digests_of_etags(f"input-{index}" for index in rows.tolist()).hex()
        outputs = digests_of(self._output_etags(rows, self.receipt)).hex()
        ends = [
            f".{inputs[at : at + 16]}.{outputs[at : at + 16]}.json"
            for at in range(0, 16 * len(rows), 16)
        ]
        keys = self._keys(rows, TIMINGS + self.spec, ends)
        sizes = np.full(len(rows), 900, np.int64)
        return Listed(keys, text_column(["r"] * len(rows)), sizes, np.zeros_like(sizes))

    def list_folder(self, prefix: str = "") -> Folder:
        self._count_request("list", prefix)
        if prefix in {"", self.spec}:
            years = range(FIRST_YEAR, FIRST_YEAR + MONTHS // 12)
            return Folder(tuple(f"{prefix}{year}/" for year in years), ())
        if prefix == self.spec.rpartition("/")[0].rpartition("/")[0] + "/":
            return Folder((self.spec,), ())
        return self._others.list_folder(prefix)

    def check(self) -> None:
        self._count_request("list", "")

    def head(self, key: str) -> ObjectMeta:
        self._count_request("get", key)
        if not self._is_output(key):
            return self._others.head(key)
        output = self._output(self.index_of(key))
        if output is None:
            raise ObjectNotFoundError(f"no object {key}")
        return output

    def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, stop: int | None = None
    ) -> bytes:
        self._count_request("get", key)
        if not key.startswith(TIMINGS):
            content = self._others.get(key, if_match=if_match, start=start, stop=stop)
            return _unpack(content) if key.startswith(_PLANS) else content
        return self._receipt_content(key)

    def _receipt_content(self, key: str) -> bytes:
        index = self.index_of(key)
        meta, output = self._receipt(index), self._output(index)
        if meta is None or output is None or meta.key != key:
            raise ObjectNotFoundError(f"no object {key}")
        return receipt_of(self._input(index), output, self.runs[int(self.writer[index])]).to_json()

    def put(self, key: str, content: bytes | Path) -> str:
        self._count_request("put", key)
        if self._is_output(key):
            index = self.index_of(key)
            self.output[index] += 1
            return f"output-{index}-{self.output[index]}"
        if key.startswith(TIMINGS):
            self._put_receipt(key, content)
            return "r"
        if key.startswith(_PLANS):
            assert isinstance(content, bytes)
            content = _CODEC.compress(content, asbytes=True)
        return self._others.put(key, content)

    def _put_receipt(self, key: str, content: bytes | Path) -> None:
        index = self.index_of(key)
        named, output = parse_receipt_key(key), self._output(index)
        if named is None or output is None:
            raise AssertionError(f"a receipt without an output: {key}")
        self.receipt[index] = self.output[index]
        if self._receipt(index) != ObjectMeta(key, "r", 900, 0):
            raise AssertionError(f"a receipt of another output: {key}")
        self.writer[index] = len(self.runs) - 1

    def put_if_absent(self, key: str, content: bytes) -> str:
        self._count_request("put", key)
        if key.startswith(_PLANS):
            content = _CODEC.compress(content, asbytes=True)
        return self._others.put_if_absent(key, content)

    def put_if_match(self, key: str, content: bytes, etag: str) -> str:
        self._count_request("put", key)
        return self._others.put_if_match(key, content, etag)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._count_request("delete", key)
            if not key.startswith(TIMINGS):
                self._others.delete([key])

    def _is_output(self, key: str) -> bool:
        return key.startswith(FORECASTS) and "/part-" in key

    def _count_request(self, kind: str, key: str) -> None:
        self.on_request(kind, key)
        with self._lock:
            self.counts[kind] += 1
        if self._latency_s:
            time.sleep(self._latency_s)


def _unpack(content: bytes) -> bytes:
    return pa.CompressedInputStream(pa.BufferReader(content), "zstd").read()


def receipt_of(source: ObjectMeta, output: ObjectMeta, run_id: str, spec: str = "s") -> Receipt:
    """Return the receipt that a worker would write for a partition."""
    return Receipt(
        job="forecast",
        partition=source.key.removesuffix(".parquet"),
        run_id=run_id,
        finished_at="2026-11-21T00:00:00+00:00",
        inputs=[{"key": source.key, "etag": source.etag, "size_bytes": source.size_bytes}],
        output={"key": output.key, "etag": output.etag, "size_bytes": output.size_bytes, "rows": 7},
        rows=100,
        series=100,
        seconds={"read": 0.1, "predict": 0.8, "write": 0.1, "total": 1.0},
        reasons={},
        model="model",
        version="v1",
        digest="d",
        spec=spec,
        horizon=7,
    )


def spec_folder(spec: Spec, horizon: int) -> str:
    """Return the folder of the outputs of a spec."""
    return f"{FORECASTS}{spec.model}/{spec.version}/{spec.id(horizon)}/"
