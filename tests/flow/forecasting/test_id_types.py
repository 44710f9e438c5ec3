"""Ids of every type through the doors of a bucket: forecast, read, verify, evaluate, backtest."""

import datetime as dt
import decimal
import io
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.cli.program import run

DAY = dt.date(2024, 1, 1)
IDS = {
    "decimal": ([decimal.Decimal(1), decimal.Decimal(2)], pa.decimal128(38, 0)),
    "date": ([dt.date(2023, 1, 1), dt.date(2023, 1, 2)], pa.date32()),
    "timestamp": ([dt.datetime(2023, 1, n, tzinfo=dt.UTC) for n in (1, 2)],
                  pa.timestamp("us", "UTC")),
    "duration": ([dt.timedelta(1), dt.timedelta(2)], pa.duration("us")),
    "time": ([dt.time(1), dt.time(2)], pa.time64("us")),
    "bool": ([False, True], pa.bool_()),
    "uuid": ([str(uuid.UUID(int=n)) for n in (1, 2)], None),
}  # fmt: skip


def write(folder: Path, kind: str, days: int) -> None:
    names, arrow = IDS[kind]
    if arrow is None:
        storage = pa.array([uuid.UUID(n).bytes for n in names for _ in range(days)], pa.binary(16))
        ids = pa.ExtensionArray.from_storage(pa.uuid(), storage)
    else:
        ids = pa.array([name for name in names for _ in range(days)], arrow)
    times = [DAY + dt.timedelta(n) for n in range(days)] * 2
    values = [float(n) for n in range(days)] + [float(100 + n) for n in range(days)]
    table = pa.table({"item_id": ids, "timestamp": times, "target": values})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    (folder / "2024/01").mkdir(parents=True, exist_ok=True)
    (folder / "2024/01/part-0.parquet").write_bytes(sink.getvalue())


@pytest.mark.parametrize("kind", IDS)
def test_ids_keep_their_value_and_type_in_every_interface(kind: str, tmp_path: Path) -> None:
    url, (names, arrow) = f"file://{tmp_path}", IDS[kind]
    write(tmp_path, kind, 20)
    result = gigacast.forecast(url, horizon=3, model="seasonal-naive")
    assert result.failures == []
    (path,) = tmp_path.glob("forecasts/*/*/h3*/2024/01/*.parquet")
    ids = pq.read_table(path)["item_id"]
    assert ids.type == (arrow or pa.string())
    assert sorted(set(ids.to_pylist())) == names
    assert len(gigacast.read_forecasts(url, items=names[:1])) == 3
    flags = ["--bucket", url, "--horizon", "3", "--model", "seasonal-naive"]
    assert run(["verify", *flags]) == 0
    backtested = gigacast.backtest(url, horizon=3, models=["seasonal-naive"])
    assert backtested.failures == []
    write(tmp_path, kind, 23)
    evaluated = gigacast.evaluate(url)
    assert (evaluated.failures, evaluated.matched) == ([], 6)
