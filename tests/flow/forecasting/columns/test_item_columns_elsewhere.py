"""Items of several columns in covariates, training, quality, cleaning and the loader."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.parquet_loader import ParquetDataLoader
from gigacast.settings.assembly import job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from gigacast.training.data import Reading, find_partitions, write_corpus
from tests.support.tiny_models import session_folder, tiny_chronos2

DAYS = 30


def sales(days: int = DAYS) -> pd.DataFrame:
    """Return two stores with the same two products, and a column that names each pair."""
    parts = [
        pd.DataFrame(
            {
                "store": store,
                "sku": sku,
                "pair": f"{store}-{sku}",
                "timestamp": pd.date_range("2024-01-01", periods=days),
                "target": [100.0 * store + 10 * len(sku) + n % 7 for n in range(days)],
                "returns": [float(n % 3) for n in range(days)],
                "price": [1.0 + (n % 5) * store for n in range(days)],
            }
        )
        for store in (1, 2)
        for sku in ("tea", "water")
    ]
    return pd.concat(parts, ignore_index=True)


def lake(folder: Path, frame: pd.DataFrame) -> str:
    (folder / "2024/01").mkdir(parents=True)
    pq.write_table(pa.Table.from_pandas(frame), folder / "2024/01/part-0.parquet")
    return f"file://{folder}"


def by_pair(forecasts: pd.DataFrame, *ids: str) -> pd.DataFrame:
    names = forecasts[list(ids)].astype(str).agg("-".join, axis=1)
    plain = forecasts.drop(columns=list(ids)).assign(pair=names)
    return plain.sort_values(["pair", "target_name", "timestamp"]).reset_index(drop=True)


@pytest.mark.parametrize(
    "options",
    [
        {"past_covariates": "price"},
        {"known_covariates": "price"},
        {"joint_targets": True, "targets": "target,returns"},
    ],
)
def test_covariates_and_joint_targets_belong_to_the_same_items(
    options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = str(tiny_chronos2(session_folder(tmp_path_factory)))
    frame = sales()
    if "known_covariates" in options:  # the last days are those of the horizon
        frame.loc[frame["timestamp"] >= "2024-01-27", "target"] = None
    common = {"model": model, "horizon": 4, "device": "cpu", "precision": "float32", **options}
    forecasts = gigacast.forecast(frame, item_columns="store,sku", **common)
    plain = gigacast.forecast(frame, item_column="pair", **common)
    pd.testing.assert_frame_equal(
        by_pair(forecasts, "store", "sku"), by_pair(plain, "item_id"), check_exact=False, rtol=1e-4
    )


def test_training_learns_from_each_pair(tmp_path: Path) -> None:
    url = lake(tmp_path, sales())
    corpora, digests = [], []
    for number, option in enumerate([{"item_columns": "store,sku"}, {"item_column": "pair"}]):
        job = job_of(load_settings(nest_arguments({"bucket": url, **option})))
        data = find_partitions(job, open_store(StoreAddress(url)))
        reading = Reading(job.method)
        (tmp_path / f"corpus-{number}").mkdir()
        corpora.append(write_corpus(data.groups(), reading, tmp_path / f"corpus-{number}", 8))
        digests.append(reading.digest(data))
    assert [len(corpus) for corpus in corpora] == [4, 4]
    assert digests[0] != digests[1]


def test_quality_and_cleaning_see_each_pair(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = lake(tmp_path, sales())
    flags = ["--bucket", url, "--item_columns", "store,sku", "--json"]
    assert run(["data", "quality", *flags]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert '"duplicates": 0' in json.dumps(measured)
    (stored,) = tmp_path.glob("quality/partitions/*/2024/01/part-0.json")
    assert json.loads(stored.read_text())["keys"]["series"] == 4
    assert run(["data", "clean", "partitions", "cleaned/sales", *flags[:-1]]) == 0
    (cleaned,) = tmp_path.glob("cleaning/*/*/*/**/*.parquet")
    assert pq.read_table(cleaned).num_rows == 4 * DAYS


def test_cleaning_of_merged_pairs_says_which_columns_to_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = sales().drop(columns=["pair", "price"])
    url = lake(tmp_path, frame)
    flags = ["--bucket", url, "--item_column", "sku"]
    assert run(["data", "clean", "partitions", "cleaned/sales", *flags]) != 0
    text = capsys.readouterr()
    assert "--item_columns sku,store" in text.out + text.err


def test_the_loader_orders_counts_and_joins_by_pair(tmp_path: Path) -> None:
    frame = sales().sample(frac=1, random_state=3)
    url = lake(tmp_path, frame)
    content = {
        "parquet_loader": {
            "data_paths": {"root_dir": url},
            "schema": {"datetime_column": "timestamp", "item_columns": ["store", "sku"]},
        }
    }
    config = tmp_path / "settings.json"
    config.write_text(json.dumps(content))
    loader = ParquetDataLoader(config)
    symbol = "part-0"
    data = loader.load_training_data(symbol, 2024)
    table = data.to_pandas()
    expected = frame.sort_values(["store", "sku", "timestamp"]).reset_index(drop=True)
    assert table[["store", "sku"]].equals(expected[["store", "sku"]])
    assert data.contexts().shape == (4, DAYS)
    assert loader.validate_data_quality(data).duplicates == 0
    recent = loader.load_prediction_data(symbol, 2024, context_length=5)
    assert recent.to_pandas().groupby(["store", "sku"]).size().tolist() == [5] * 4
