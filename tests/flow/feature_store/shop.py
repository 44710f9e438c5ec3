"""A small shop: purchases, checkouts and users of some days, and a join over them."""

from gigacast.feature_store import (
    Aggregation,
    EntitySource,
    EventSource,
    GroupBy,
    Join,
    JoinPart,
    Operation,
    Query,
    select,
)
from tests.support.features.lake import Lake

DAY = 86_400_000
FIRST = 19_723 * DAY  # 2024-01-01
DAYS = [f"2024-01-{n:02d}" for n in range(1, 9)]


def put_shop(lake: Lake) -> None:
    for n, day in enumerate(DAYS):
        start = FIRST + n * DAY
        purchases = [
            {"user": user, "price": 10 * n + user, "ts": start + 3_600_000 * user}
            for user in (1, 2, 3)
        ]
        lake.put_day("data.purchases", day, purchases)
        checkouts = [{"user": user, "ts": start + 43_200_000} for user in (1, 2, 3, 4)]
        lake.put_day("data.checkouts", day, checkouts)
        lake.put_day(
            "data.users", day, [{"user": 1, "country": "NO"}, {"user": 2, "country": None}]
        )


def purchases(
    windows: tuple[str, ...] | None = ("2d",), name: str = "shop.purchases", **more: str
) -> GroupBy:
    return GroupBy(
        name=name,
        sources=[
            EventSource(
                table="data.purchases",
                query=Query(selects=select("user", "price", **more), time_column="ts"),
            )
        ],
        keys=["user"],
        aggregations=[
            Aggregation(input_column="price", operation=operation, windows=windows)
            for operation in (Operation.SUM, Operation.LAST)
        ],
    )


def users() -> GroupBy:
    query = Query(selects=select("user", "country"))
    source = EntitySource(snapshotTable="data.users", query=query)
    return GroupBy(name="shop.users", sources=[source], keys=["user"], aggregations=None)


def training_set(*group_bys: GroupBy, **more: object) -> Join:
    query = Query(selects=select("user"), time_column="ts")
    return Join(
        name="shop.training_set",
        left=EventSource(table="data.checkouts", query=query),  # type: ignore[arg-type]
        right_parts=[JoinPart(group_by=part) for part in group_bys or (purchases(), users())],
        **more,  # type: ignore[arg-type]
    )
