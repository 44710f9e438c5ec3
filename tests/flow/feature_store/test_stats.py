"""Statistics of each day, drift between days, and two tables side by side, as jobs and commands."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gigacast.cli.program import run
from gigacast.errors import DataError, SchemaError
from gigacast.feature_store import Join
from gigacast.feature_store.definition.json import encode
from gigacast.feature_store.stored import key_of
from gigacast.feature_store.trust.compare import compare_rows
from tests.flow.feature_store.shop import DAYS, purchases, put_shop, training_set, users
from tests.support.features.lake import Lake
from tests.support.features.vectors import read_vector

NAME = "shop.training_set"
SUM = "shop_purchases_price_sum_2d"
Output = pytest.CaptureFixture[str]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    put_shop(lake)
    join: Join = training_set(purchases(), users())
    lake.store.put(key_of(join), encode(join, {}))
    lake.backfill(join)
    return lake


def command(lake: Lake, output: Output, *words: str) -> tuple[int, Any]:
    code = run(["feature-store", *words, "--json", "--bucket", f"file://{lake.root}"])
    return code, json.loads(output.readouterr().out)


def test_each_day_is_described_once(lake: Lake, capsys: Output) -> None:
    code, content = command(lake, capsys, "stats", NAME)
    assert (code, content["computed"], len(content["days"])) == (0, len(DAYS), len(DAYS))
    rows = {row["feature"]: row for row in content["days"][DAYS[3]]}
    assert (rows[SUM]["total"], rows[SUM]["nulls"]) == (4, 1)  # of user 4 there is no purchase
    stored = lake.read_table("default.shop_training_set_daily_stats")
    assert len(stored) == len(DAYS) * 3

    assert command(lake, capsys, "stats", NAME)[1]["computed"] == 0


def test_drift_ends_the_command_with_1(lake: Lake, capsys: Output) -> None:
    same = command(lake, capsys, "stats", NAME, "--drift", f"{DAYS[6]}:{DAYS[6]}")
    assert (same[0], [d["drifted"] for d in same[1]["drift"]]) == (0, [False] * 3)
    # Prices of the shop grow from day to day.
    code, content = command(lake, capsys, "stats", NAME, "--drift", f"{DAYS[2]}:{DAYS[7]}")
    assert code == 1
    drifted = {d["feature"]: d["drifted"] for d in content["drift"]}
    assert drifted == {SUM: True, "shop_purchases_price_last_2d": True, "shop_users_country": False}


def test_a_table_is_equal_to_itself_and_not_to_another(lake: Lake, capsys: Output) -> None:
    table = "default.shop_training_set"
    words = ("compare", NAME, table, "--keys", "user,ts")
    code, content = command(lake, capsys, *words)
    assert (code, content["equal"], content["rows"]) == (0, True, 4 * len(DAYS))

    rows = [{**row, "ds": "2024-01-04"} for row in lake.read_table(table) if row["ds"] == DAYS[3]]
    rows[0][SUM] += 1
    lake.put("data.other", rows[:3])
    code, content = command(lake, capsys, "compare", NAME, "data.other", "--keys", "user,ts")
    assert (code, content["rows"], content["rows_only_first"]) == (1, 3, 1)
    assert content["columns"][0]["feature"] == SUM
    assert (content["columns"][0]["mismatch"], content["columns"][0]["largest_difference"]) == (
        1,
        1,
    )
    assert len(content["only_first"]) == len(DAYS) - 1
    day = ("--start_ds", DAYS[3], "--ds", DAYS[3], "--columns", "shop_users_country")
    code, content = command(lake, capsys, "compare", "data.other", NAME, "--keys", "user,ts", *day)
    assert (code, content["rows_only_second"]) == (1, 1)


def tables(case: dict[str, Any]) -> tuple[pa.Table, pa.Table]:
    sides = []
    for side, names in (("left", "columns"), ("right", "right_columns")):
        rows = [dict(zip(case[names], row, strict=True)) for row in case[side]]
        sides.append(pa.Table.from_pylist(rows))
    return sides[0], sides[1]


@pytest.mark.parametrize("number", range(4))
def test_tables_differ_where_chronons_tests_say(number: int) -> None:
    case = read_vector("compare")["cases"][number]
    sides, mapping = tables(case), case.get("mapping")
    if "refused" in case:
        with pytest.raises(SchemaError):
            compare_rows(sides, case["keys"], "2021-04-10", mapping)
        return
    rows, missing, figures = compare_rows(sides, case["keys"], "2021-04-10", mapping)
    assert (rows, missing) == (4, (0, 0))
    counted = {row["feature"]: row["mismatch"] for row in figures.to_pylist()}
    assert counted == {name: sum(rows) for name, rows in case["mismatches"].items()}


def test_rows_that_keys_do_not_tell_apart_are_refused() -> None:
    table = pa.table({"k": [1, 1], "v": [1, 2]})
    with pytest.raises(DataError, match="1 rows have the keys of others"):
        compare_rows((table, table), ["k"], "2024-01-01")


def test_keys_of_other_types_match_by_value() -> None:
    served = pa.table({"k": [1, 2, 3], "v": [1, 2, 3]})
    right = pa.table({"k": ["3", "1", "x"], "v": [3.0, 9.0, 0.0]})
    rows, missing, figures = compare_rows((served, right), ["k"], "2024-01-01")
    assert (rows, missing) == (2, (1, 1))
    assert figures["mismatch"].to_pylist() == [1]
