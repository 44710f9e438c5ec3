"""`gigacast data` with contracts: checking, inferring, drift and inheritance."""

from pathlib import Path

import pandas as pd
import pytest

from gigacast.storage.store import Store
from tests.flow.datasets.command.calls import Capture, command, json_of, output_of
from tests.support.bars import bars


def test_a_broken_contract_is_shown_rule_by_rule(filled: Store, capsys: Capture) -> None:
    assert "keeps the contract ohlcv: 150 rows" in output_of(
        filled, capsys, "validate", "cleaned/MES"
    )
    frame = bars(20)
    frame.loc[3, "high"] = 1.0
    frame.to_csv("bad.csv", index=False)
    shown = output_of(filled, capsys, "validate", "bad.csv", "--schema", "ohlcv", code=1)
    assert "high >= low" in shown
    assert "1 of 20 rows break a rule" in shown
    report = json_of(filled, capsys, "validate", "bad.csv", "--schema", "ohlcv", code=1)
    assert report["violations"][0]["sample"][0]["row"] == 3  # type: ignore[index, call-overload]
    assert "without a contract" in output_of(filled, capsys, "validate", "raw/MES", code=2)


def test_a_contract_is_inferred_edited_and_enforced(filled: Store, capsys: Capture) -> None:
    assert command(filled, "infer", "bars.csv", "--output", "mine.yaml") == 0
    text = Path("mine.yaml").read_text(encoding="utf-8")
    assert "- high >= low" in text
    assert "ordered_by:\n- timestamp" in text
    assert command(filled, "validate", "bars.csv", "--schema", "mine.yaml") == 0
    Path("mine.yaml").write_text(
        text.replace("high >= low", "high >= low + 1000"), encoding="utf-8"
    )
    assert command(filled, "validate", "bars.csv", "--schema", "mine.yaml") == 1
    Path("mine.yaml").write_text("columns: [", encoding="utf-8")
    assert "mine.yaml: not valid YAML" in output_of(
        filled, capsys, "validate", "bars.csv", "--schema", "mine.yaml", code=2
    )


def test_drift_is_listed_field_by_field(filled: Store, capsys: Capture) -> None:
    frame = pd.read_parquet("later.parquet").assign(trades=1)
    frame.to_parquet("more.parquet", index=False)
    assert command(filled, "publish", "more.parquet", "cleaned/v2/MES") == 0
    shown = output_of(filled, capsys, "diff", "cleaned/v1/MES", "cleaned/v2/MES")
    assert shown.splitlines() == [
        "cleaned/v1/MES: 100 rows in 1 file",
        "cleaned/v2/MES: 50 rows in 1 file",
        "minor  timestamp: widened (timestamp[ms] -> timestamp[us])",  # as CSV gave it
        "minor  trades: added (None -> int64)",
    ]
    nothing = output_of(filled, capsys, "diff", "cleaned/v2/MES", "cleaned/v2/MES")
    assert "no column" in nothing
    grown = json_of(filled, capsys, "diff", "cleaned/v1/MES", "cleaned/MES")
    assert isinstance(grown, dict)
    assert grown["old"] == {"dataset": "cleaned/v1/MES", "rows": 100, "files": 1}
    assert grown["new"]["rows"] == 50


def write_panel(path: str) -> None:
    """Two symbols, one after the other, of three months each."""
    times = pd.date_range("2024-01-01", periods=180, freq="12h")
    rows = [bars(180, seed=n).assign(timestamp=times, symbol=s) for n, s in enumerate("AB")]
    pd.concat(rows).to_parquet(path, index=False)


def test_order_is_checked_within_each_file_and_uniqueness_across_all(
    bucket: Store, capsys: Capture
) -> None:
    Path("mine.yaml").write_text(
        "name: mine\ncolumns:\n- {name: timestamp, type: timestamp}\n"
        "- {name: symbol, type: string}\nunique: [[timestamp, symbol]]\n"
        "ordered_by: [symbol, timestamp]\n",
        encoding="utf-8",
    )
    flags = ["--schema", "mine.yaml", "--partition_by", "month"]
    write_panel("panel.parquet")
    assert command(bucket, "publish", "panel.parquet", "cleaned/PB", *flags) == 0
    assert command(bucket, "validate", "cleaned/PB") == 0
    assert command(bucket, "import", "panel.parquet", "raw/PA", "--partition_by", "month") == 0
    assert command(bucket, "publish", "raw/PA", "cleaned/PA", *flags) == 0
    assert command(bucket, "validate", "cleaned/PA") == 0
    publish_words = ["publish", "raw/PA", "cleaned/PC", "--schema", "mine.yaml"]
    assert "ordered" in output_of(
        bucket, capsys, *publish_words, code=2
    )  # three months end in one file
    Path("two").mkdir()
    for name in ("a", "b"):
        write_panel(f"two/{name}.parquet")
    shown = output_of(bucket, capsys, "validate", "two", "--schema", "mine.yaml", code=1)
    assert "unique" in shown
    assert "ordered" not in shown


def test_rows_out_of_order_in_a_file_are_refused_and_counted(
    bucket: Store, capsys: Capture
) -> None:
    frame = bars(100)
    frame.iloc[[10, 20]] = frame.iloc[[20, 10]].to_numpy()
    frame.to_parquet("back.parquet", index=False)
    publish_words = ["publish", "back.parquet", "cleaned/MES", "--schema", "ohlcv"]
    published = output_of(bucket, capsys, *publish_words, code=2)
    report = json_of(bucket, capsys, "validate", "back.parquet", "--schema", "ohlcv", code=1)
    assert isinstance(report, dict)
    (violation,) = [v for v in report["violations"] if v["rule"] == "ordered"]
    assert violation["count"] == 10
    assert "ordered" in published
    assert "10 rows" in published


def test_the_key_and_order_of_a_column_with_a_wrong_type_are_not_checked(
    bucket: Store, capsys: Capture
) -> None:
    frame = bars(100).assign(symbol="MES")
    frame.assign(timestamp=frame.timestamp.astype(str)).to_parquet("text.parquet", index=False)
    report = json_of(bucket, capsys, "validate", "text.parquet", "--schema", "ohlcv", code=1)
    assert isinstance(report, dict)
    assert [(v["column"], v["rule"]) for v in report["violations"]] == [("timestamp", "type")]
    frame.drop(columns="timestamp").to_parquet("none.parquet", index=False)
    report = json_of(bucket, capsys, "validate", "none.parquet", "--schema", "ohlcv", code=1)
    assert isinstance(report, dict)
    assert [v["column"] for v in report["violations"]] == ["timestamp"]


def test_an_inferred_contract_is_reported_with_its_path(bucket: Store, capsys: Capture) -> None:
    shown = output_of(bucket, capsys, "infer", "bars.csv", "--output", "mine.yaml")
    assert "wrote mine.yaml: the contract 'bars'" in shown


def test_a_version_published_from_a_dataset_keeps_its_contract(
    filled: Store, capsys: Capture
) -> None:
    assert command(filled, "publish", "cleaned/MES", "cleaned/COPY") == 0
    assert "OHLCV" in output_of(filled, capsys, "describe", "cleaned/COPY").upper()
    bars(5).assign(high=0.0).to_parquet("bad.parquet", index=False)
    shown = output_of(filled, capsys, "publish", "bad.parquet", "cleaned/COPY", "--append", code=2)
    assert "high >=" in shown


def test_a_version_published_without_the_contract_of_its_parent_is_warned_of(
    filled: Store, capsys: Capture
) -> None:
    bars(5).assign(high=0.0).to_parquet("bad.parquet", index=False)
    shown = output_of(filled, capsys, "publish", "bad.parquet", "cleaned/MES")
    assert "was held to the contract 'ohlcv', cleaned/v1.1.1/MES is not: give --schema" in shown


def test_an_append_keeps_the_contract_of_the_version_before(bucket: Store, capsys: Capture) -> None:
    bars(50).to_parquet("one.parquet", index=False)
    bars(50, start="2024-03-01").assign(low=1e6).to_parquet("bad.parquet", index=False)
    bars(50, start="2024-04-01").to_parquet("two.parquet", index=False)
    assert command(bucket, "publish", "one.parquet", "cleaned/A", "--schema", "ohlcv") == 0
    refused = output_of(bucket, capsys, "publish", "bad.parquet", "cleaned/A", "--append", code=2)
    assert "low" in refused
    assert command(bucket, "publish", "two.parquet", "cleaned/A", "--append") == 0
    assert "ohlcv" in output_of(bucket, capsys, "validate", "cleaned/A")
    assert len(json_of(bucket, capsys, "versions", "cleaned/A")) == 2  # type: ignore[arg-type]


def test_integers_that_no_float_represents_are_not_widened(bucket: Store, capsys: Capture) -> None:
    pd.DataFrame({"id": [2**53 + 1]}).to_parquet("one.parquet", index=False)
    pd.DataFrame({"id": [0.5]}).to_parquet("two.parquet", index=False)
    assert command(bucket, "publish", "one.parquet", "cleaned/B") == 0
    refused = output_of(bucket, capsys, "publish", "two.parquet", "cleaned/B", "--append", code=2)
    assert "9007199254740993" in refused
    assert len(json_of(bucket, capsys, "versions", "cleaned/B")) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", [1, 1000, 10**9])
def test_numbers_are_not_coerced_to_times_without_a_unit(
    bucket: Store, capsys: Capture, unit: int
) -> None:
    Path("c.yaml").write_text("name: c\ncolumns:\n- {name: timestamp, type: timestamp}\n", "utf-8")
    frame = pd.DataFrame({"timestamp": [1_704_067_200 * unit], "close": [1.0]})
    frame.to_parquet("epoch.parquet", index=False)
    coerced = ["--schema", "c.yaml", "--mode", "coerce"]
    refused = output_of(bucket, capsys, "publish", "epoch.parquet", "cleaned/E", *coerced, code=2)
    assert "timestamp" in refused
    assert "int64" in refused
