"""Backfills on Spark, from the command line to the tables."""

import os
from pathlib import Path
from typing import Any

import pytest

from gigacast.errors import ConfigError, MissingExtraError
from gigacast.feature_store.offline.result import Days
from gigacast.feature_store.offline.run import backfill_days
from gigacast.feature_store.offline.stage import Backfill
from gigacast.job.forecast_job import Resources
from tests.support.features.lake import Lake
from tests.support.features.quickstart import cell, put_quickstart, read_csv, training_set
from tests.support.features.spark import needs_spark

pytestmark = pytest.mark.timeout(900)  # Java starts with the first test


@needs_spark
def test_the_training_set_of_the_quickstart_is_that_of_the_local_engine_and_as_expected(
    tmp_path: Path,
) -> None:
    join = training_set(tmp_path / "repository", {})
    tables = {}
    for engine in ("local", "spark"):
        lake = Lake(tmp_path / engine)
        put_quickstart(lake, in_folders=True)
        lake.backfill(join, engine=engine)
        (file,) = (lake.root / "feature_store/tables/default").rglob("*.parquet")
        tables[engine] = file.read_bytes()
        rows = [{name: cell(value) for name, value in row.items()} for row in lake.read(join)]
        assert rows == read_csv("training_set_expected")
    assert tables["spark"] == tables["local"]


@needs_spark
def test_what_the_local_engine_did_is_done_for_spark(tmp_path: Path) -> None:
    join = training_set(tmp_path / "repository", {})
    lake = Lake(tmp_path / "lake")
    put_quickstart(lake, in_folders=True)
    lake.backfill(join)
    again = lake.backfill(join, engine="spark")
    assert (again.pending, again.done) == (0, 1)


@needs_spark
def test_processes_beside_spark_are_refused(tmp_path: Path) -> None:
    join = training_set(tmp_path / "repository", {})
    lake = Lake(tmp_path / "lake")
    put_quickstart(lake, in_folders=True)
    job = Backfill(join, lake.address, engine="spark", resources=Resources(executor="joblib"))
    with pytest.raises(ConfigError, match=r"executor=.joblib"):
        backfill_days(job, Days())


@pytest.mark.parametrize(("lacks", "hint"), [("pyspark", "gigacast[spark]"), ("Java", "JRE")])
def test_what_spark_lacks_is_named_with_how_to_install_it(
    lacks: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys
    from types import ModuleType

    fake: Any = ModuleType("pyspark")
    fake.sql = ModuleType("pyspark.sql")
    monkeypatch.setitem(sys.modules, "pyspark", None if lacks == "pyspark" else fake)
    monkeypatch.setitem(sys.modules, "pyspark.sql", None if lacks == "pyspark" else fake.sql)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in [n for n in os.environ if n.startswith(("SPARK", "PYSPARK", "JAVA"))]:
        monkeypatch.delenv(name)
    join = training_set(tmp_path / "repository", {})
    lake = Lake(tmp_path / "lake")
    put_quickstart(lake, in_folders=True)
    with pytest.raises(MissingExtraError, match=lacks) as caught:
        lake.backfill(join, engine="spark")
    assert hint in str(caught.value.hint)
