"""The walk of the feature store on generated data: define, compile, backfill, look.

``make quickstart`` runs it. A shop's purchases, returns, checkouts and users are generated into a
folder; three group-bys and a join become a training set, which is printed.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from gigacast.cli.program import run
from gigacast.feature_store import read_table
from gigacast.report.document import Column, Document, Kind, Table
from gigacast.report.terminal import say, show

LAST_DAY = date(2023, 11, 30)
DAYS = 45
USERS = 60
_DAY_MS = 86_400_000
_SHOWN_ROWS = 10
_TRAINING_SET = "quickstart.training_set.v1"

_EVENTS = """from gigacast.feature_store import (
    Aggregation, EventSource, GroupBy, Operation, Query, Source, TimeUnit, Window, select,
)

source = Source(
    events=EventSource(
        table="data.{table}",
        topic={topic},
        query=Query(selects=select("user_id", "{column}"), time_column="ts"),
    )
)
windows = [Window(length=day, timeUnit=TimeUnit.DAYS) for day in [3, 14, 30]]
v1 = GroupBy(
    sources=[source],
    keys=["user_id"],
    online=True,
    aggregations=[
        Aggregation(input_column="{column}", operation=Operation.SUM, windows=windows),
        Aggregation(input_column="{column}", operation=Operation.COUNT, windows=windows),
        Aggregation(input_column="{column}", operation=Operation.AVERAGE, windows=windows),
        Aggregation(input_column="{column}", operation=Operation.LAST_K({k})),
    ],
)
"""
_USERS = """from gigacast.feature_store import EntitySource, GroupBy, Query, Source, select

source = Source(
    entities=EntitySource(
        snapshotTable="data.users",
        query=Query(selects=select("user_id", "account_created_ds", "email_verified")),
    )
)
v1 = GroupBy(sources=[source], keys=["user_id"], aggregations=None)
"""
_JOIN = """from gigacast.feature_store import EventSource, Join, JoinPart, Query, Source, select
from group_bys.quickstart.purchases import v1 as purchases_v1
from group_bys.quickstart.returns import v1 as returns_v1
from group_bys.quickstart.users import v1 as users

source = Source(
    events=EventSource(
        table="data.checkouts", query=Query(selects=select("user_id"), time_column="ts")
    )
)
v1 = Join(
    left=source,
    right_parts=[JoinPart(group_by=group_by) for group_by in [purchases_v1, returns_v1, users]],
)
"""
DEFINITIONS: Mapping[str, str] = {
    "group_bys/quickstart/purchases.py": _EVENTS.format(
        table="purchases", topic=None, column="purchase_price", k=10
    ),
    "group_bys/quickstart/returns.py": _EVENTS.format(
        table="returns", topic='"events.returns"', column="refund_amt", k=2
    ),
    "group_bys/quickstart/users.py": _USERS,
    "joins/quickstart/training_set.py": _JOIN,
}
"""Files of definitions by their names in a repository."""


def put_tables(lake: Path) -> None:
    """Write the tables of a shop: a JSON file for each day."""
    rng = random.Random(2023)  # noqa: S311 - made-up data
    for age in reversed(range(DAYS)):
        day = LAST_DAY - timedelta(days=age)
        for table, column, count in (
            ("purchases", "purchase_price", 30),
            ("returns", "refund_amt", 12),
        ):
            rows = [{**_event(rng, day), column: rng.randrange(20, 500)} for _ in range(count)]
            _put(lake, table, day, rows)
    _put(lake, "checkouts", LAST_DAY, [_event(rng, LAST_DAY) for _ in range(40)])
    users = [
        {
            "user_id": user,
            "account_created_ds": str(LAST_DAY - timedelta(days=rng.randrange(60, 2000))),
            "email_verified": rng.randrange(2),
        }
        for user in range(USERS)
    ]
    _put(lake, "users", LAST_DAY - timedelta(days=1), users)


def put_definitions(repository: Path) -> None:
    """Write the files of definitions."""
    for name, text in DEFINITIONS.items():
        file = repository / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def walk(folder: Path) -> int:
    """Define, compile and backfill in a folder, and print the training set.

    Returns
    -------
    int
        Exit code of the command that failed, or 0.
    """
    lake, repository = folder / "lake", folder / "repository"
    put_tables(lake)
    put_definitions(repository)
    bucket = ["--bucket", f"file://{lake}"]
    for words in (
        ["compile", str(repository / "joins/quickstart/training_set.py")],
        ["backfill", _TRAINING_SET],
    ):
        say(f"$ gigacast feature-store {' '.join(words)} --bucket file://{lake}")
        code = run(["feature-store", *words, *bucket])
        if code:
            return code
    table = f"default.{_TRAINING_SET.replace('.', '_')}"
    frame = read_table(table, bucket=f"file://{lake}")
    show(_preview(frame))
    say(f"{len(frame):,} rows, {len(frame.columns) - 3} features: {table}")
    return 0


def _preview(frame: Any) -> Document:
    """Return the first rows of a training set with some of their features."""
    names = {
        "user_id": "user",
        "ts": "time",
        "quickstart_purchases_v1_purchase_price_sum_30d": "bought in 30 d",
        "quickstart_purchases_v1_purchase_price_average_14d": "average of 14 d",
        "quickstart_returns_v1_refund_amt_count_30d": "returns in 30 d",
        "quickstart_returns_v1_refund_amt_last2": "last 2 refunds",
        "quickstart_users_v1_email_verified": "verified",
    }
    rows = frame.sort_values("ts")[list(names)].head(_SHOWN_ROWS).itertuples(index=False)
    columns = [Column(name, Kind.TEXT) for name in names.values()]
    return Document((Table(tuple(columns), tuple(tuple(map(_cell, row)) for row in rows)),))


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124 - NaN
        return ""
    if isinstance(value, float):
        return f"{value:,.2f}"
    return str(value.tolist()) if hasattr(value, "tolist") else str(value)


def _event(rng: random.Random, day: date) -> dict[str, int]:
    start = (day - date(1970, 1, 1)).days * _DAY_MS
    return {"user_id": rng.randrange(USERS), "ts": start + rng.randrange(_DAY_MS)}


def _put(lake: Path, table: str, day: date, rows: Sequence[Mapping[str, Any]]) -> None:
    folder = lake / "data" / table / f"ds={day}"
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    (folder / "part-0.json").write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Walk in a temporary folder, or in one that stays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="folder that stays; a temporary one by default")
    folder = parser.parse_args(arguments).folder
    if folder is not None:
        return walk(folder.absolute())
    with tempfile.TemporaryDirectory(prefix="gigacast-quickstart-") as name:
        return walk(Path(name))


if __name__ == "__main__":
    sys.exit(main())
