"""The usage examples of the loader's design, run as the document has them, where it lies."""

import json
import logging
import re
import textwrap
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

import gigacast
import gigacast.parquet_loader as public
from gigacast.storage.store import Store
from tests.support.ticks import folder_store, key_of, parquet

DOCUMENT = Path(__file__).parents[4] / "shared" / "seeds" / "load-parquet-data-design.md"
ROWS, LENGTH = 24, 20
pytestmark = pytest.mark.skipif(not DOCUMENT.is_file(), reason="the design document is not here")


def block(title: str, language: str = "python") -> str:
    """Return the first code of the section with a title."""
    section = re.split(rf"^#+ {re.escape(title)}.*$", DOCUMENT.read_text(), flags=re.MULTILINE)[1]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found is not None, title
    return re.sub(
        r"from src\.(parquet_loader|exceptions)", "from gigacast.parquet_loader", found[1]
    )


def month_of(year: int, month: int, sections: Any) -> pa.Table:
    """A month of minutes with the columns that the document's settings name."""
    rng = np.random.default_rng(year * 12 + month)
    times = np.datetime64(f"{year}-{month:02d}-01T00:00") + np.arange(ROWS)
    days = pa.array([f"{year}-{month:02d}-01"] * ROWS)
    groups = sections["feature_columns"].values()
    numbers = [*sections["target_columns"], *(name for names in groups for name in names)]
    columns: dict[str, Any] = {"ds": [str(t).replace("T", " ") for t in times]}
    columns |= dict.fromkeys(sections["timestamp_columns"], days)
    numbers += ["feature_1", "feature_2", "feature_3"]
    columns |= {name: rng.uniform(1, 2, ROWS) for name in numbers}
    return pa.table(columns)


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the examples use without saying where they are from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIGACAST_MODEL__MODEL_PATH", "seasonal-naive")
    settings = yaml.safe_load(block("2.1 ParquetLoaderConfig", "yaml"))
    section = settings["parquet_loader"]
    section["data_paths"]["root_dir"] = str(tmp_path / "lake")
    section["performance"]["cache_dir"] = str(tmp_path / "cache")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "parquet_loader_config.yaml").write_text(yaml.safe_dump(settings))
    store, now = folder_store(tmp_path / "lake"), datetime.now()  # noqa: DTZ005 - as the examples
    months = [(year, month) for year in (2014, 2015, 2016) for month in (1, 4, 6, 12)]
    for year, month in [*months, (now.year, now.month)]:
        store.put(key_of(year, month), parquet(month_of(year, month, section["schema"])))
    loader = public.ParquetDataLoader("config/parquet_loader_config.yaml")
    return {
        **{name: getattr(public, name) for name in public.__all__},
        "datetime": datetime,
        "logger": logging.getLogger("example"),
        "config": SimpleNamespace(
            schema=loader.config.schema, inference=SimpleNamespace(context_length=LENGTH)
        ),
        "loader": loader,
        "store": store,
        "ChronosLoader": gigacast.ChronosLoader,
        "ChronosTrainer": gigacast.ChronosTrainer,
    }


def run(code: str, names: dict[str, Any]) -> None:
    exec(compile(code, str(DOCUMENT), "exec"), names)


def audits(store: Store) -> list[dict[str, Any]]:
    keys = [entry.key for page in store.list("audit/") for entry in page]
    return [json.loads(store.get(key)) for key in keys]


def test_training_time_loading(names: dict[str, Any]) -> None:
    run(block("3.1 Training Time Loading"), names)
    dataset = names["load_training_data_pattern"]()
    assert isinstance(dataset, public.TrainingDataset)
    assert (len(dataset), len(dataset.train), len(dataset.validation)) == (19, 19, 5)  # type: ignore[arg-type]
    (audit,) = audits(names["store"])
    assert [audit[f"files_{name}"] for name in ("discovered", "processed", "skipped")] == [
        12,
        12,
        0,
    ]
    assert audit["status"] == "completed"
    sample = json.loads(block("12.3 Audit Logging (KISS)", "json"))
    assert set(sample) <= set(audit)


def test_prediction_time_loading(names: dict[str, Any]) -> None:
    run(block("3.2 Prediction Time Loading"), names)
    dataset = names["load_prediction_data_pattern"]()
    assert isinstance(dataset, public.PredictionDataset)
    assert (len(dataset), dataset.context_length) == (LENGTH, LENGTH)
    names["config"].inference.context_length = ROWS + 1
    with pytest.raises(public.IncompleteContextError, match="Insufficient context"):
        names["load_prediction_data_pattern"]()


def test_incremental_loading(names: dict[str, Any]) -> None:
    existing = names["loader"].load_training_data("SYMBOL", year=2016)
    names["existing_data"] = existing
    names["get_last_processed_timestamp"] = lambda: existing.times.max().item()
    run(block("3.3 Incremental Loading"), names)
    merged = names["load_incremental_data_pattern"]()
    assert len(merged) == len(existing) + ROWS


def test_basic_training_data_loading(names: dict[str, Any]) -> None:
    run(block("10.1 Basic Training Data Loading"), names)
    assert len(names["available_files"]) == 9
    assert len(names["train_dataset"]) == 9 * ROWS
    assert [audit["status"] for audit in audits(names["store"])] == ["completed"]


def test_real_time_prediction_loading(names: dict[str, Any]) -> None:
    run(block("10.2 Real-time Prediction Loading"), names)
    assert len(names["prediction_dataset"]) == ROWS
    assert names["predictions"].median.shape[0] == len(names["config"].schema.target_columns)


def test_ranges(names: dict[str, Any]) -> None:
    code = block("12.1 Range Specification")
    for example, files in zip(code.strip().split("\n\n"), (4, 12, 2, 9), strict=True):
        run(example, names)
        assert len(names["files"]) == files, example


def test_idempotency(names: dict[str, Any]) -> None:
    loader, done = names["loader"], []
    names |= {"process_file": done.append, "files": loader.discover_files("SYMBOL", year=2014)}
    loader.mark_as_processed(names["files"][0])
    loop = textwrap.indent(block("12.2 Idempotency"), "    ")
    run(f"for file_info in files:\n{loop}", names)
    assert [info.month for info in done] == [4, 6, 12]
    assert all(map(loader.is_already_processed, names["files"]))
