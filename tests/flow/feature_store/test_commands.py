"""The commands of the feature store, over a folder with the tables of a small shop."""

import json
from pathlib import Path

import pandas as pd
import pytest

from gigacast.cli.program import run
from tests.support.features.repository import write_repository

NAME = "quickstart.training_set.v1"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Return a lake with two days of purchases, returns and checkouts, and a day of users."""
    lake = tmp_path / "lake"
    for day in ("2023-11-29", "2023-11-30"):
        rows = pd.DataFrame({"user_id": [5, 5, 5, 7], "ts": [1, 2, 3, 4], "purchase_price": 10})
        put(lake, f"purchases/ds={day}", rows)
        put(lake, f"returns/ds={day}", rows.rename(columns={"purchase_price": "refund_amt"}))
        put(lake, f"checkouts/ds={day}", rows[["user_id", "ts"]])
    users = {"user_id": [5, 7], "account_created_ds": "2020-01-01", "email_verified": 1}
    put(lake, "users/ds=2023-11-29", pd.DataFrame(users))
    return lake


def put(lake: Path, folder: str, rows: pd.DataFrame) -> None:
    (lake / "data" / folder).mkdir(parents=True)
    rows.to_parquet(lake / "data" / folder / "part-0.parquet", index=False)


@pytest.fixture
def compiled(lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    repository = write_repository(tmp_path / "repository")
    assert command("compile", str(repository), lake=lake) == 0
    capsys.readouterr()
    return lake


def command(*words: str, lake: Path) -> int:
    return run(["feature-store", *words, "--bucket", f"file://{lake}"])


def test_compile_prints_what_was_compiled_as_json(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = write_repository(tmp_path / "repository")
    file = repository / "group_bys/quickstart/users.py"
    file.write_text("print('from a file')\n" + file.read_text())
    assert command("compile", str(file), "--json", lake=lake) == 0
    captured = capsys.readouterr()
    entry = json.loads(captured.out)["compiled"][0]
    assert "from a file" in captured.err
    assert (entry["name"], entry["kind"], entry["state"]) == (
        *("quickstart.users.v1", "group-by", "new"),
    )
    assert entry["columns"] == ["account_created_ds", "email_verified"]
    assert entry["tables"][0] == "default.quickstart_users_v1"
    assert (lake / entry["key"]).is_file()


def test_all_problems_are_printed_and_the_exit_code_is_that_of_wrong_usage(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = write_repository(tmp_path / "repository")
    for name in ("purchases", "returns"):
        file = repository / f"group_bys/quickstart/{name}.py"
        file.write_text(file.read_text().replace("Operation.SUM", "Operation.TOP_K"))
    assert command("compile", str(repository), lake=lake) == 2
    errors = capsys.readouterr().err
    assert "2 problems" in errors
    for name in ("purchases", "returns"):
        assert f"group_bys/quickstart/{name}.py:" in errors
        assert f"group-by quickstart.{name}.v1: TOP_K of" in errors
    assert "hint: write Operation.TOP_K(10)" in errors
    assert not (lake / "feature_store").exists()


def test_an_online_definition_changes_with_the_flag_only(
    compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "repository/group_bys/quickstart/purchases.py"
    file.write_text(file.read_text().replace("LAST_K(10)", "LAST_K(20)"))
    repository = str(tmp_path / "repository")
    assert command("compile", repository, lake=compiled) == 2
    assert "is online and would change: aggregations" in capsys.readouterr().err
    assert command("compile", repository, "--force", lake=compiled) == 0


def test_show_lists_names_and_shows_features_and_tables(
    compiled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("show", lake=compiled) == 0
    assert NAME in capsys.readouterr().out
    assert command("show", "quickstart/training_set.v1", lake=compiled) == 0
    text = capsys.readouterr().out
    assert "quickstart_returns_v1_refund_amt_last2" in text
    assert "default.quickstart_training_set_v1_bootstrap" in text
    assert command("show", "--json", lake=compiled) == 0
    assert {"folder": "joins", "name": NAME} in json.loads(capsys.readouterr().out)
    assert command("show", NAME, "--json", lake=compiled) == 0
    assert json.loads(capsys.readouterr().out)["definition"]["kind"] == "Join"


def test_a_misspelt_name_is_answered_with_the_one_like_it(
    compiled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("show", "quickstart.trainingset.v1", lake=compiled) == 2
    assert f"did you mean {NAME}" in capsys.readouterr().err


def test_analyze_counts_rows_hot_keys_and_the_cost_of_a_backfill(
    compiled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("analyze", NAME, "--json", lake=compiled) == 0
    analysis = json.loads(capsys.readouterr().out)
    left = analysis["tables"][0]
    assert (left["table"], left["role"]) == ("data.checkouts", "left")
    assert left["rows_by_day"] == {"2023-11-29": 4, "2023-11-30": 4}
    assert left["columns"] == {"user_id": "int64", "ts": "int64", "ds": "string"}
    hottest = analysis["hot_keys"][0]
    assert (hottest["key"], hottest["rows"], hottest["share"]) == (["5"], 6, 0.75)
    cost = analysis["cost"]
    assert (cost["days"], cost["rows"]) == (2, 8 + 8 + 8 + 2)
    assert cost["size_bytes"] == sum(f.stat().st_size for f in compiled.rglob("*.parquet"))
    assert command("analyze", NAME, "--days", "1", lake=compiled) == 0
    text = capsys.readouterr().out
    assert "data.purchases" in text
    assert "75.0%" in text


def users_with_key(tmp_path: Path, expression: str) -> Path:
    """Return the quickstart's users with another expression for their key."""
    file = write_repository(tmp_path / "repository") / "group_bys/quickstart/users.py"
    selects = 'select("user_id", "account_created_ds", "email_verified")'
    assert selects in file.read_text()
    keyed = f'select("email_verified", user_id="{expression}")'
    file.write_text(file.read_text().replace(selects, keyed))
    return file


def test_a_function_that_does_not_exist_is_refused_with_its_definition_and_line(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = users_with_key(tmp_path, "no_such_function(user_id)")
    assert command("compile", str(file), lake=lake) == 2
    errors = capsys.readouterr().err
    assert "group_bys/quickstart/users.py:6: group-by quickstart.users.v1" in errors
    assert "no_such_function" in errors.lower()


def test_columns_that_a_table_does_not_have_are_refused_by_their_line(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = users_with_key(tmp_path, "usr_id + 1")
    assert command("compile", str(file), lake=lake) == 2
    errors = capsys.readouterr().err
    place = "group_bys/quickstart/users.py:6: group-by quickstart.users.v1"
    assert f"{place}: data.users has no column usr_id" in errors
    assert "hint: did you mean user_id" in errors


def test_an_expression_reads_no_other_table_and_no_file(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = users_with_key(tmp_path, "(SELECT max(user_id) FROM `/etc/passwd`)")
    assert command("compile", str(file), lake=lake) == 2
    assert "a query is in the expression" in capsys.readouterr().err


def test_lineage_of_one_column_or_all(compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    column = "quickstart_purchases_v1_purchase_price_sum_3d"
    assert command("lineage", NAME, "--column", column, "--json", lake=compiled) == 0
    assert json.loads(capsys.readouterr().out) == {
        column: [{"table": "data.purchases", "column": "purchase_price", "transforms": ["AGG_SUM"]}]
    }
    assert command("lineage", NAME, lake=compiled) == 0
    assert "refund_amt" in capsys.readouterr().out
    assert command("lineage", NAME, "--column", "nothing", lake=compiled) == 2
    assert "has no column 'nothing'" in capsys.readouterr().err


def test_the_setting_tables_names_places(
    compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (compiled / "data/users").rename(tmp_path / "moved")
    assert command("analyze", NAME, lake=compiled) == 2
    assert "table data.users" in capsys.readouterr().err
    (tmp_path / "settings.yaml").write_text(f"tables: {{data.users: '{tmp_path}/moved'}}\n")
    config = str(tmp_path / "settings.yaml")
    assert command("analyze", NAME, "--config", config, lake=compiled) == 0
