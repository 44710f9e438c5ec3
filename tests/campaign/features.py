"""The lake of the jobs of the feature store: tables of a few days, and compiled definitions."""

import hashlib
import io
import json
import tempfile
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.feature_store.compile import compile_definitions
from gigacast.storage.memory import MemoryStore
from gigacast.storage.store import Store
from tests.support.features.repository import with_imports, write_repository

DAYS = tuple(f"2023-12-0{number}" for number in range(1, 5))
LABELED_DAYS = 2
_DAY_MS = 86_400_000
FIRST_MS = 1_701_388_800_000  # 2023-12-01
_LABELED = with_imports(
    """
from group_bys.quickstart.purchases import v1 as purchases
from group_bys.quickstart.users import v1 as users

v1 = Join(
    left=Source(events=EventSource(
        table="data.purchases", query=Query(selects=select("user_id"), time_column="ts"),
    )),
    right_parts=[JoinPart(group_by=purchases)],
    label_part=LabelPart(
        labels=[JoinPart(group_by=users)], left_start_offset=2, left_end_offset=1
    ),
)
"""
)


def put_features(store: Store) -> None:
    """Write the tables and the compiled definitions."""
    for key, content in _definitions().items():
        store.put(key, content)
    for number, day in enumerate(DAYS):
        times = [FIRST_MS + number * _DAY_MS + 3_600_000 * hour for hour in range(20)]
        users = [str(hour % 4) for hour in range(20)]
        purchases = {"ts": times, "user_id": users, "purchase_price": list(range(20))}
        accounts = {
            "user_id": ["0", "1", "2", "3"],
            "account_created_ds": [day] * 4,
            "email_verified": [True, False, True, number > 1],
        }
        for name, columns in (("purchases", purchases), ("users", accounts)):
            file = io.BytesIO()
            pq.write_table(pa.table(columns), file, write_page_checksum=True)
            store.put(f"data/{name}/ds={day}/part-0.parquet", file.getvalue())


def put_returns(store: Store) -> None:
    """Write the table of a group-by that is streamed, too."""
    for number, day in enumerate(DAYS):
        times = [FIRST_MS + number * _DAY_MS + 3_600_000 * hour for hour in range(20)]
        users = [str(hour % 4) for hour in range(20)]
        returns = {"ts": times, "user_id": users, "refund_amt": list(range(20))}
        file = io.BytesIO()
        pq.write_table(pa.table(returns), file, write_page_checksum=True)
        store.put(f"data/returns/ds={day}/part-0.parquet", file.getvalue())


@cache
def _definitions() -> dict[str, bytes]:
    store = MemoryStore("campaign-definitions")
    with tempfile.TemporaryDirectory() as folder:
        changes = {"joins/quickstart/labeled.py": _LABELED}
        compile_definitions(write_repository(Path(folder), changes), store)
    return {entry.key: store.get(entry.key) for page in store.list() for entry in page}


def uploads(store: Store) -> dict[str, str]:
    """Return the records of uploads, without their times and the digest of their place."""
    records = {}
    for page in store.list("feature_store/uploads/"):
        for entry in page:
            record = json.loads(store.get(entry.key))
            del record["uploaded_ms"]
            record["batch"]["id"] = record["batch"]["id"].partition("-")[0]
            text = json.dumps(record, sort_keys=True)
            records[entry.key] = hashlib.sha256(text.encode()).hexdigest()
    return records
