"""Feature sets of items that several columns identify together."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from gigacast.cli.program import run
from gigacast.datasets import read_features
from gigacast.errors import SchemaError
from gigacast.feature_sets import build_features, compute_features, read_feature_set, save_recipe

RECIPE = {
    "name": "r",
    "training": {"share": 0.5},
    "scale": {"method": "standard"},
    "features": [
        {"kind": "lag", "column": "close"},
        {"kind": "rolling", "column": "close", "window": 5},
    ],
}


def chain() -> pd.DataFrame:
    """Return two stores that sell two products, rows of all items mixed."""
    days = pd.date_range("2024-01-01", periods=30)
    parts = [
        pd.DataFrame(
            {
                "store": store,
                "sku": sku,
                "timestamp": days,
                "close": [scale * 10.0 + n % 7 for n in range(30)],
            }
        )
        for scale, (store, sku) in enumerate([(2, "b"), (10, "a"), (2, "a"), (10, "b")], start=1)
    ]
    return pd.concat(parts).sort_values(["timestamp", "close"], ignore_index=True)


def keyed() -> pd.DataFrame:
    """Return the same rows with one column of ids, whose order is that of the pairs."""
    frame = chain()
    key = frame["store"].map({2: "02", 10: "10"}) + frame["sku"]
    return frame.assign(item_id=key)


def test_two_columns_make_the_features_of_one_column_with_an_id_for_each_pair() -> None:
    features = compute_features(chain(), RECIPE, item_columns=["store", "sku"])
    expected = compute_features(keyed(), RECIPE, item_column="item_id")
    assert list(features.columns[:3]) == ["store", "sku", "timestamp"]
    pairs = expected["item_id"]
    assert (features["store"].map({2: "02", 10: "10"}) + features["sku"]).tolist() == pairs.tolist()
    names = [name for name in expected.columns if name != "item_id"]
    pd.testing.assert_frame_equal(features[names], expected[names])


def test_without_both_columns_the_rows_are_refused_with_the_flag() -> None:
    frame = chain().rename(columns={"store": "shop"})
    with pytest.raises(SchemaError, match="they are of several items") as refusal:
        compute_features(frame, RECIPE)
    assert "--item_columns for several" in str(refusal.value.hint)


def test_a_published_set_has_the_columns_and_its_processor_takes_them(tmp_path: Path) -> None:
    chain().to_parquet(tmp_path / "rows.parquet")
    path = f"file://{tmp_path}/lake/features/v1/chain"
    build_features(tmp_path / "rows.parquet", path, RECIPE, item_columns="store,sku")
    features = read_features(path)
    expected = compute_features(chain(), RECIPE, item_columns=["store", "sku"])
    pd.testing.assert_frame_equal(features, expected, check_dtype=False)
    processor = read_feature_set(path).processor(item_columns=["store", "sku"])
    again = processor.process_prediction_features(pa.Table.from_pandas(chain()))
    pd.testing.assert_frame_equal(again.to_pandas(), expected, check_dtype=False)


@pytest.mark.parametrize(
    "flags",
    [["--item_columns", "store,sku"], ["--item_columns", "store", "--item_columns", "sku"]],
)
def test_the_command_takes_the_columns_in_one_flag_or_several(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain().to_parquet(tmp_path / "rows.parquet")
    save_recipe(RECIPE, tmp_path / "r.yaml")
    (tmp_path / "lake").mkdir()
    words = ["data", "features", str(tmp_path / "rows.parquet"), "features/v1/chain"]
    words += ["--bucket", f"file://{tmp_path}/lake", *flags, "--recipe"]
    assert run([*words, f"{tmp_path}/r.yaml"]) == 0
    features = read_features(f"file://{tmp_path}/lake/features/v1/chain")
    assert features.groupby(["store", "sku"], sort=False).size().to_dict() == {
        (2, "a"): 30,
        (2, "b"): 30,
        (10, "a"): 30,
        (10, "b"): 30,
    }
    assert run([*words, f"{tmp_path}/r.yaml", "--item_column", "sku"]) == 2
    assert "both name the columns of item ids" in capsys.readouterr().err
    # The contracts of the package have one column of items.
    assert run([*words, "ohlcv"]) == 2
