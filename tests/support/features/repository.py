"""A repository of feature definitions like the quickstart's, written into a folder."""

import json
from collections.abc import Mapping
from pathlib import Path

_IMPORTS = "from gigacast.feature_store import *\n"
_PURCHASES = """
source = Source(events=EventSource(
    table="data.purchases",
    query=Query(selects=select("user_id", "purchase_price"), time_column="ts"),
))
windows = [Window(length=days, timeUnit=TimeUnit.DAYS) for days in (3, 14, 30)]
v1 = GroupBy(
    sources=[source],
    keys=["user_id"],
    online=True,
    aggregations=[
        *[
            Aggregation(input_column="purchase_price", operation=operation, windows=windows)
            for operation in (Operation.SUM, Operation.COUNT, Operation.AVERAGE)
        ],
        Aggregation(input_column="purchase_price", operation=Operation.LAST_K(10)),
    ],
)
"""
_RETURNS = """
source = Source(events=EventSource(
    table="data.returns",
    topic="events.returns/fields=ts,return_id,user_id,product_id,refund_amt",
    query=Query(selects=select("user_id", "refund_amt"), time_column="ts"),
))
windows = [Window(length=days, timeUnit=TimeUnit.DAYS) for days in (3, 14, 30)]
v1 = GroupBy(
    sources=[source],
    keys=["user_id"],
    online=True,
    aggregations=[
        *[
            Aggregation(input_column="refund_amt", operation=operation, windows=windows)
            for operation in (Operation.SUM, Operation.COUNT, Operation.AVERAGE)
        ],
        Aggregation(input_column="refund_amt", operation=Operation.LAST_K(2)),
    ],
)
"""
_USERS = """
v1 = GroupBy(
    sources=[Source(entities=EntitySource(
        snapshotTable="data.users",
        query=Query(selects=select("user_id", "account_created_ds", "email_verified")),
    ))],
    keys=["user_id"],
    aggregations=None,
)
"""
_TRAINING_SET = """
from group_bys.quickstart.purchases import v1 as purchases_v1
from group_bys.quickstart.returns import v1 as returns_v1
from group_bys.quickstart.users import v1 as users

source = Source(events=EventSource(
    table="data.checkouts", query=Query(selects=select("user_id"), time_column="ts")
))
v1 = Join(
    left=source,
    right_parts=[JoinPart(group_by=group_by) for group_by in [purchases_v1, returns_v1, users]],
)
v2 = Join(
    left=source,
    right_parts=[JoinPart(group_by=group_by) for group_by in [purchases_v1, returns_v1]],
    online=True,
)
"""
TEAMS = {
    "default": {
        "table_properties": {"source": "gigacast"},
        "common_env": {"VERSION": "1"},
        "production": {"backfill": {"CORES": "1", "MEMORY": "2G"}},
    },
    "quickstart": {"namespace": "default", "production": {"backfill": {"CORES": "4"}}},
}
FILES = {
    "group_bys/quickstart/purchases.py": _IMPORTS + _PURCHASES,
    "group_bys/quickstart/returns.py": _IMPORTS + _RETURNS,
    "group_bys/quickstart/users.py": _IMPORTS + _USERS,
    "joins/quickstart/training_set.py": _IMPORTS + _TRAINING_SET,
    "teams.json": json.dumps(TEAMS),
}


def write_repository(root: Path, changes: Mapping[str, str] | None = None) -> Path:
    """Write the quickstart's definitions, with files replaced or added, and return the folder."""
    for name, text in {**FILES, **(changes or {})}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


def with_imports(text: str) -> str:
    """Return the text of a definition file below its import line."""
    return _IMPORTS + text
