"""Logged answers are backfilled and compared: what was planted is found, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gigacast.cli.program import run
from gigacast.errors import ConfigError, DataNotFoundError
from gigacast.feature_store import (
    Aggregation,
    ContextualSource,
    Derivation,
    EntitySource,
    EventSource,
    ExternalPart,
    ExternalSource,
    GroupBy,
    Join,
    JoinPart,
    Operation,
    Query,
    StagingQuery,
    select,
)
from gigacast.feature_store.definition.json import encode
from gigacast.feature_store.offline.result import Days
from gigacast.feature_store.offline.stage import Backfill
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.online.memory import MemoryOnlineStore
from gigacast.feature_store.online.question import Request
from gigacast.feature_store.stored import key_of
from gigacast.feature_store.stream.apply import StreamApplier
from gigacast.feature_store.stream.memory import MemoryStream
from gigacast.feature_store.stream.run import run_stream
from gigacast.feature_store.trust.consistency import ConsistencyResult, compare_logged
from gigacast.feature_store.trust.request_log import RequestLog
from tests.flow.feature_store.shop import DAY, DAYS, FIRST
from tests.support.features.lake import Lake
from tests.support.features.quickstart_store import upload_day

HOUR = 3_600_000
TODAY = FIRST + 7 * DAY  # the batch is of the day before
OPERATIONS = (
    Operation.SUM,
    Operation.AVERAGE,
    Operation.LAST_K(3),
    Operation.HISTOGRAM,
    Operation.APPROX_UNIQUE_COUNT,
    Operation.APPROX_PERCENTILE([0.1, 0.5]),
    Operation.APPROX_HISTOGRAM_K(2),
)


def events(day: int, users: tuple[int, ...] = (1, 2, 3)) -> list[dict[str, Any]]:
    start = FIRST + day * DAY
    return [
        {"user": user, "price": 0.1 * n * user + day, "item": f"i{n % 4}", "ts": start + n * HOUR}
        for user in users
        for n in range(1, 20, user)
    ]


def purchases(**more: Any) -> GroupBy:
    query = Query(selects=select("user", "price", "item"), time_column="ts")
    return GroupBy(
        name="shop.purchases",
        sources=[EventSource(table="data.purchases", topic="purchases", query=query)],
        keys=["user"],
        online=True,
        aggregations=[
            Aggregation(
                input_column="item" if "HISTOGRAM" in operation.name else "price",
                operation=operation,
                windows=("2d", "5h"),
            )
            for operation in OPERATIONS
        ],
        **more,
    )


def visits() -> GroupBy:
    """Features up to midnight."""
    query = Query(selects=select("user", "price"), time_column="ts")
    return GroupBy(
        name="shop.visits",
        sources=[EventSource(table="data.purchases", query=query)],
        keys=["user"],
        aggregations=[
            Aggregation(input_column="price", operation=Operation.COUNT, windows=("3d",))
        ],
    )


def users() -> GroupBy:
    source = EntitySource(
        snapshotTable="data.users", query=Query(selects=select("user", "country"))
    )
    return GroupBy(name="shop.users", sources=[source], keys=["user"], aggregations=None)


def a_join(*parts: GroupBy, **more: Any) -> Join:
    query = Query(selects=select("user"), time_column="ts")
    return Join(
        name="shop.training_set",
        left=EventSource(table="data.checkouts", query=query),  # type: ignore[arg-type]
        right_parts=[JoinPart(group_by=part) for part in parts or (purchases(), visits(), users())],
        **more,
    )


class Shop:
    """A shop whose answers are logged."""

    def __init__(self, folder: Path, join: Join) -> None:
        self.lake, self.join = Lake(folder), join
        self.records: list[bytes] = []
        for n, day in enumerate(DAYS):
            if n < 7:
                self.lake.put_day("data.purchases", day, events(n))
            rows = [{"user": user, "country": f"c{(user + n) % 3}"} for user in (1, 2)]
            self.lake.put_day("data.users", day, rows)
        for definition in (join, *join.group_bys):
            self.lake.store.put(key_of(definition), encode(definition, {}))
        self.store = MemoryOnlineStore()
        self.upload(6)

    def upload(self, day: int) -> None:
        upload_day(self.lake.tables, self.join.name, DAYS[day], self.store)

    def stream(self, rows: list[dict[str, Any]]) -> None:
        self.records += [json.dumps(row).encode() for row in rows]
        stream = MemoryStream("purchases", {"0": self.records})
        run_stream(StreamApplier(self.store, "shop.purchases", "purchases"), stream)

    def ask(self, *moments: int, **more: Any) -> list[dict[str, Any]]:
        log = RequestLog(self.lake.store)
        fetcher = Fetcher(self.store, refresh_s=0, log=log, **more)
        requests = [
            Request(self.join.name, {"user": user, "page": "p"}, at)
            for at in moments
            for user in (1, "2", 3, 4, None)
        ]
        responses = fetcher.fetch_join(requests)
        log.close()
        return [response.values for response in responses]

    def compare(self, join: Join | None = None) -> ConsistencyResult:
        result = compare_logged(Backfill(join or self.join, self.lake.address), Days())
        assert [failure for _, failure in result.failures] == []
        return result


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Return a shop whose today's events were streamed, and have landed in the table, too."""
    shop = Shop(tmp_path / "lake", a_join())
    shop.stream(events(7))
    shop.lake.put_day("data.purchases", DAYS[7], events(7))
    return shop


def counts(result: ConsistencyResult, name: str) -> int:
    return sum(result.figures[name].to_pylist())


def test_what_was_served_is_what_a_backfill_gives(shop: Shop) -> None:
    moments = (TODAY, TODAY + 5 * HOUR, TODAY + 5 * HOUR + 1, TODAY + 23 * HOUR)
    answers = shop.ask(*moments)
    assert answers[0]["shop_purchases_price_sum_2d"] is not None

    result = shop.compare()

    assert result.days == (DAYS[7],)
    assert (result.different, result.is_consistent, result.waiting) == (0, True, {})
    features = 2 * len(OPERATIONS) + 2
    assert counts(result, "total") == features * 5 * len(moments)
    assert sorted(set(result.figures["hour"].to_pylist())) == [TODAY + n * HOUR for n in (0, 5, 23)]
    # The second run finds the day done, and the same figures.
    again = shop.compare()
    assert again.figures.equals(result.figures)
    folder = shop.lake.root / "feature_store/tables/default/shop_training_set_consistency"
    [file] = folder.rglob("*.parquet")
    assert pq.ParquetFile(file).read().num_rows == result.figures.num_rows


def test_a_batch_that_is_days_old_is_compared_at_the_moment_of_its_end(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "lake", a_join())
    for n in (7, 8):
        shop.stream(events(n))
        shop.lake.put_day("data.purchases", f"2024-01-{n + 1:02d}", events(n))
    shop.ask(TODAY + DAY + 6 * HOUR)
    assert shop.compare().different == 0


@pytest.mark.parametrize("planted", ["lost", "twice", "late"])
def test_an_event_that_only_one_side_has_is_found(tmp_path: Path, planted: str) -> None:
    shop = Shop(tmp_path / "lake", a_join())
    rows = events(7)
    mine = next(row for row in rows if row["user"] == 2 and row["ts"] > TODAY + 2 * HOUR)
    remaining = [row for row in rows if row is not mine]
    shop.stream(
        {"lost": remaining, "twice": [*rows, {**mine, "price": 99.0}], "late": remaining}[planted]
    )
    shop.ask(TODAY + 4 * HOUR, TODAY + 12 * HOUR)
    if planted == "late":
        shop.stream([mine])
    shop.lake.put_day("data.purchases", DAYS[7], rows)

    result = shop.compare()

    assert not result.is_consistent
    figures = result.figures.to_pylist()
    wrong = {(row["feature"], row["hour"]) for row in figures if row["mismatch"]}
    assert ("shop_purchases_price_sum_2d", TODAY + 4 * HOUR) in wrong
    assert ("shop_purchases_price_last3_2d", TODAY + 4 * HOUR) in wrong
    # Of other parts, and after the short window of the event, nothing differs.
    assert all(name.startswith("shop_purchases") for name, _ in wrong)
    assert ("shop_purchases_price_sum_5h", TODAY + 12 * HOUR) not in wrong
    [row] = [
        row
        for row in figures
        if (row["feature"], row["hour"]) == ("shop_purchases_price_sum_2d", TODAY + 4 * HOUR)
    ]
    assert (row["total"], row["mismatch"]) == (5, 1)
    assert row["smape"] > 0
    assert (row["left_minus_right_percentiles"][0] < 0) == (planted != "twice")


def test_derivations_and_contextual_fields_are_compared(tmp_path: Path) -> None:
    page = ContextualSource(fields=[("page", "string")])
    group_by = purchases(
        derivations=[
            Derivation(name="*", expression="*"),
            Derivation(name="rest", expression="price_sum_2d - price_sum_5h"),
            Derivation(name="about", expression="price_approx_unique_count_2d + 1"),
        ]
    )
    clients = ExternalSource(
        name="rates", key_fields=[("user", "long")], value_fields=[("rate", "double")]
    )
    join = a_join(
        group_by,
        users(),
        online_external_parts=[ExternalPart(source=page), ExternalPart(source=clients)],
        derivations=[
            Derivation(name="*", expression="*"),
            Derivation(name="double", expression="shop_purchases_rest * 2"),
            Derivation(name="converted", expression="shop_purchases_rest * ext_rates_rate"),
        ],
    )
    shop = Shop(tmp_path / "lake", join)
    shop.stream(events(7))
    shop.lake.put_day("data.purchases", DAYS[7], events(7))
    shop.ask(TODAY + 5 * HOUR, services={"rates": lambda keys: [{"rate": 2.0}] * len(keys)})

    result = shop.compare()

    assert result.different == 0
    compared = set(result.figures["feature"].to_pylist())
    assert {"double", "shop_purchases_rest", "ext_contextual_page"} <= compared
    assert dict(result.uncompared) == {
        "shop_purchases_about": "derived from a sketch",
        "ext_rates_rate": "an external source",
        "converted": "an external source",
    }
    assert compared.isdisjoint(result.uncompared)


def test_a_part_that_failed_is_counted_and_not_compared(shop: Shop) -> None:
    shop.store.drop("m/group_bys/shop.visits")
    shop.ask(TODAY + HOUR)

    result = shop.compare()

    assert result.different == 0
    failed = {row["feature"]: row["failed"] for row in result.figures.to_pylist()}
    assert failed["shop_visits_price_count_3d"] == 5
    assert failed["shop_users_country"] == 0


def test_answers_of_another_definition_are_left_out(shop: Shop) -> None:
    shop.ask(TODAY + HOUR)
    changed = a_join(purchases(), users())

    result = shop.compare(join=changed)

    assert (result.others, result.days, result.is_consistent) == (5, (), True)


def test_a_day_whose_events_have_not_landed_waits(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "lake", a_join())
    shop.stream(events(7))
    shop.ask(TODAY + HOUR)

    assert dict(shop.compare().waiting) == {DAYS[7]: ("data.purchases",)}
    shop.lake.put_day("data.purchases", DAYS[7], events(7))
    result = shop.compare()
    assert (dict(result.waiting), result.days, result.different) == ({}, (DAYS[7],), 0)


def test_more_answers_make_their_day_pending_again(shop: Shop) -> None:
    shop.ask(TODAY + HOUR)
    first = shop.compare()
    shop.ask(TODAY + 2 * HOUR)
    second = shop.compare()
    assert counts(second, "total") == 2 * counts(first, "total")


def test_what_cannot_be_compared_is_refused_by_name(shop: Shop) -> None:
    with pytest.raises(DataNotFoundError, match="no answers are logged"):
        shop.compare()
    staged = StagingQuery(name="shop.staged", query="SELECT 1 AS one")
    with pytest.raises(ConfigError, match="is a staging query"):
        compare_logged(Backfill(staged, shop.lake.address), Days())


@pytest.mark.parametrize("is_lost", [False, True])
def test_answers_of_group_bys_are_compared_like_those_of_joins(
    tmp_path: Path, is_lost: bool
) -> None:
    derived = purchases(
        derivations=[
            Derivation(name="*", expression="*"),
            Derivation(name="about", expression="price_approx_unique_count_2d + 1"),
        ]
    )
    shop = Shop(tmp_path / "lake", a_join(derived, visits()))
    rows = events(7)
    mine = next(row for row in rows if row["user"] == 2 and row["ts"] > TODAY + 2 * HOUR)
    shop.stream([row for row in rows if row is not mine] if is_lost else rows)
    shop.lake.put_day("data.purchases", DAYS[7], rows)
    log = RequestLog(shop.lake.store)
    fetcher = Fetcher(shop.store, refresh_s=0, log=log)
    for name in ("shop.purchases", "shop.visits"):
        asked = [Request(name, {"user": user}, TODAY + 4 * HOUR) for user in (1, "2", 9, "no")]
        fetcher.fetch_group_by(asked)
    log.close()

    result = compare_logged(Backfill(derived, shop.lake.address), Days())

    assert (result.failures, result.days) == ([], (DAYS[7],))
    figures = {row["feature"]: row for row in result.figures.to_pylist()}
    row = figures["price_sum_2d"]
    assert (row["total"], row["failed"], row["mismatch"]) == (4, 1, int(is_lost))
    assert result.is_consistent == (not is_lost)
    assert dict(result.uncompared) == {"about": "derived from a sketch"}
    daily = compare_logged(Backfill(visits(), shop.lake.address), Days())
    assert (daily.different, daily.figures["feature"].to_pylist()) == (0, ["price_count_3d"])
    if not is_lost:
        assert command(shop, "logs", "shop.visits", "--quiet") == 0
        folder = shop.lake.root / "feature_store/tables/default/shop_visits_logged"
        [file] = folder.rglob("*.parquet")
        assert pq.ParquetFile(file).read()["price_count_3d"].to_pylist()[:2] == [57, 30]


def command(shop: Shop, *words: str) -> int:
    return run(["feature-store", *words, "--bucket", f"file://{shop.lake.root}"])


def test_the_command_ends_with_1_where_something_differs(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.ask(TODAY + HOUR)
    assert command(shop, "consistency", "shop.training_set", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["consistent"], content["different"]) == (True, 0)
    assert {row["total"] for row in content["features"]} == {5}

    shop.lake.put_day("data.purchases", DAYS[7], events(7, (1, 2)))
    shop.lake.put_day("data.purchases", DAYS[6], events(6, (1, 2)))
    assert command(shop, "consistency", "shop.training_set", "--ds", DAYS[7]) == 1
    lines = capsys.readouterr().out
    assert "shop_purchases_price_sum_2d" in lines
    assert command(shop, "consistency", "shop.training_set", "--ds", DAYS[6]) == 0


def test_logged_answers_are_a_table_of_which_features_are_bootstrapped(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    at = TODAY + HOUR
    served = shop.ask(at)
    assert command(shop, "logs", "shop.training_set", "--json") == 0
    assert json.loads(capsys.readouterr().out)["computed"] == 1
    rows = shop.lake.read(shop.join, "logged")
    name = "shop_purchases_price_last3_2d"
    by_user = {row["user"]: row[name] for row in rows}
    assert by_user == {
        1: served[0][name],
        2: served[1][name],
        3: served[2][name],
        4: None,
        None: None,
    }

    # A value that only the log has is taken from it.
    shop.lake.put_day("data.checkouts", DAYS[7], [{"user": 1, "ts": at}, {"user": 2, "ts": at}])
    shop.lake.put_day("data.purchases", DAYS[7], events(7, (2,)))
    shop.lake.put_day("data.purchases", DAYS[6], events(6, (2,)))
    changed = a_join(purchases(), users(), bootstrap_from_log=True, row_ids=["user", "ts"])
    shop.lake.backfill(changed, DAYS[7], DAYS[7])
    rows = shop.lake.read(changed)
    assert [row[name] for row in rows] == [served[0][name], served[1][name]]
