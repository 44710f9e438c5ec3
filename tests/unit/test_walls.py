"""Third-party walls, the public face, and what starts without torch."""

import ast
import configparser
import inspect
import re
import subprocess
import sys
from functools import cache
from operator import attrgetter
from pathlib import Path

import pytest

import gigacast
import gigacast.datasets
import gigacast.feature_sets

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "lib" / "gigacast"
WALLS = {
    "torch": r"forecasters/|trainers/",
    "chronos": r"forecasters/|trainers/",
    "transformers": r"forecasters/|trainers/",
    "safetensors": r"forecasters/|trainers/",
    "openvino": r"forecasters/openvino/",
    "obstore": r"storage/",
    "botocore": r"storage/|batch/aws|feature_store/(online/dynamodb|stream/kinesis)\.py",
    "boto3": r"storage/|batch/aws\.py|cli/demo\.py|feature_store/(online/dyn|stream/kin)",
    "s3fs": r"$never",
    "fsspec": r"$never",
    "huggingface_hub": r"lake/model/hub\.py",
    "joblib": r"runtime/",
    "rich": r"report/",
    "matplotlib": r"report/plot/picture\.py",
    "click": r"cli/",
    "pydantic": r"settings/|batch/work\.py|trainers/pretraining/",
    "pydantic_settings": r"settings/",
    "yaml": r"core/record\.py",
    "pandas": r"training/api\.py|forecasting/api/|datasets/api/",
    "jsonschema": r"lake/dataset/metadata\.py",
    "moto": r"cli/demo\.py",
    "sklearn": r"repair/outlier_forest\.py",
    "holidays": r"job/holidays\.py",
    "sqlglot": r"feature_store/(definition/(dialect|expression|closure)|lineage)\.py",
    "duckdb": r"feature_store/",
    "pyspark": r"feature_store/engine/spark_session\.py",
    "py4j": r"feature_store/engine/spark_session\.py",
    "sqlite3": r"feature_store/online/sqlite\.py",
    "lmdb": r"feature_store/online/lmdb\.py",
    "redis": r"feature_store/online/redis\.py",
    "confluent_kafka": r"feature_store/stream/kafka\.py",
    "fastavro": r"feature_store/stream/encoding\.py",
    "google": r"feature_store/stream/encoding\.py",
    "pyiceberg": r"lake/table/(iceberg\w*|file_io|puffin)\.py",
    "deltalake": r"lake/table/delta\w*\.py",
}


@cache  # for each library all modules are looked through
def imports_of(path: Path) -> set[str]:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported.add(node.module.partition(".")[0])
    return imported


@pytest.mark.parametrize("library", WALLS)
def test_each_library_is_imported_only_in_its_own_modules(library: str) -> None:
    outside = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if library in imports_of(path)
        and not re.match(WALLS[library], str(path.relative_to(PACKAGE)))
    ]
    assert outside == []


# The package's own schema, texts that pyarrow and Spark make, and requests of the server, which may
# hold no NaN and are bounded by it.
OWN_JSON = {
    "feature_store/engine/spark_session.py",
    "feature_store/serve/exchange.py",
    "lake/dataset/metadata.py",
    "storage/parquet/statistics.py",
}


def reads_json_or_yaml(node: ast.AST) -> bool:
    reading = re.compile(r"(json|yaml)\.(load\w*|safe_load\w*|full_load\w*|JSONDecoder|\w*Loader)")
    if isinstance(node, ast.Attribute):
        return reading.fullmatch(ast.unparse(node)) is not None
    imported = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
    return any(reading.fullmatch(f"{node.module}.{name}") for name in imported)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "line", ["json.loads(text)", "yaml.safe_load(text)", "from json import load", "yaml.CLoader"]
)
def test_every_way_to_read_json_and_yaml_would_be_noticed(line: str) -> None:
    assert any(map(reads_json_or_yaml, ast.walk(ast.parse(line))))


def test_json_and_yaml_are_read_in_one_place_which_checks_them() -> None:
    outside = {
        str(path.relative_to(PACKAGE) if path.is_relative_to(PACKAGE) else path.relative_to(ROOT))
        for folder in (PACKAGE, ROOT / "handler")
        for path in folder.rglob("*.py")
        if any(map(reads_json_or_yaml, ast.walk(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert outside == {"core/record.py"} | OWN_JSON


def test_parquet_is_opened_in_one_place_which_checks_it() -> None:
    opening = re.compile(r"\bpq\.(ParquetFile|read_\w+|ParquetDataset)\(|pyarrow\.dataset")
    outside = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if opening.search(path.read_text(encoding="utf-8"))
    ]
    assert outside == ["core/footer.py"]


def test_parquet_is_written_in_one_place_with_one_set_of_settings() -> None:
    writing = re.compile(
        r"\bpq\.(ParquetWriter|write_\w+)\b|pyarrow\.parquet import|\bto_parquet\(|FORMAT PARQUET"
    )
    outside = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if writing.search(path.read_text(encoding="utf-8"))
    ]
    assert outside == ["storage/parquet/writer.py"]


def test_all_packages_but_the_command_line_and_settings_may_not_load_settings() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    rule = contracts["importlinter:contract:settings"]
    checked = {name.removeprefix("gigacast.") for name in rule["source_modules"].split()}
    paths = [path for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"]
    packages = {path.stem for path in paths if path.stem not in {"__init__", "__pycache__"}}
    assert checked == packages - {"cli", "settings"}


@pytest.mark.parametrize(
    "statement",
    [
        "import gigacast",
        "import gigacast.cli",
        "import handler.batch, handler.schedule, handler.arrival, handler.closing",
        "import handler.features, handler.stream",
        "import gigacast.forecasting.partition",
        "import gigacast.forecasters.naive, gigacast.forecasters.batching",
        "from gigacast.forecasters.catalog import *; load_forecaster(None, SeasonalNaive().info)",
    ],
)
def test_planning_and_workers_without_a_model_start_without_torch(statement: str) -> None:
    check = (
        f"{statement}\nimport sys\nassert not {{'torch', 'chronos', 'pandas'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOT)


def test_the_public_names_of_gigacast_are_the_documented_ones() -> None:
    assert gigacast.__all__ == [
        "ChronosLoader",
        "ChronosTrainer",
        "GigacastError",
        "ModelManager",
        "Options",
        "ParquetDataLoader",
        "Prediction",
        "TrainOptions",
        "backtest",
        "detect_anomalies",
        "evaluate",
        "finetune",
        "forecast",
        "plan",
        "plot",
        "read_forecasts",
        "reconcile",
        "select_model",
    ]
    assert all(hasattr(gigacast, name) for name in gigacast.__all__)


KEYWORDS = (
    "prefix=None, input_prefix=None, endpoint_url=None, region=None, years=None, months=None, "
    "symbol=None, timeframe=None, context_partitions=None, partition_by=None, model=None, "
    "model_version=None, horizon=None, quantiles=None, level=None, context_length=None, freq=None, "
    "aggregate=None, partial_bins=None, zone=None, layout=None, min_length=None, "
    "fallback=None, non_negative=None, integer=None, "
    "extrapolate_levels=None, seed=None, enhance=None, long_horizon=None, "
    "calibrate=None, mean=None, duplicates=None, item_column=None, item_columns=None, "
    "timestamp_column=None, targets=None, "
    "timestamp_unit=None, csv_separator=None, csv_decimal=None, csv_thousands=None, "
    "csv_quote=None, csv_encoding=None, csv_dates=None, csv_header=None, "
    "covariate_regressor=None, known_calendar=None, known_holidays=None, joint_targets=None, "
    "missing_future=None, unsupported_covariates=None, "
    "past_covariates=None, known_covariates=None, executor=None, n_jobs=None, device=None, "
    "precision=None, model_engine=None, batch_size=None, outage_minutes=None, "
    "verify_datasets=None, "
    "memory_limit=None, n_partitions=None, "
    "series_per_partition=None, overwrite=None, incremental=None, limit=None, output_table=None, "
    "output_table_mode=None, stack=None, queue=None, children=None"
)
ARRAY = ("stack", "queue", "children")
TABLE = ("output_table", "output_table_mode")
RUN = ("n_partitions", "series_per_partition", "incremental", *TABLE, *ARRAY)
FORM = ("layout", "mean")
CSV = tuple(
    f"csv_{part}"
    for part in ["separator", "decimal", "thousands", "quote", "encoding", "dates", "header"]
)
NETWORK = ("device", "precision", "model_engine", "batch_size")
METHOD = (
    *("horizon", "quantiles", "level", "context_length", "min_length", "fallback", "non_negative"),
    *("integer", "extrapolate_levels", "seed", "enhance", "long_horizon", "calibrate"),
    *("joint_targets", "missing_future", "unsupported_covariates"),
    *("past_covariates", "known_covariates"),
    *("covariate_regressor", "known_calendar", "known_holidays"),
)
MEASURED = tuple(name for name in METHOD if name != "calibrate")
SELECTION = ("years", "months", "symbol", "timeframe", "context_partitions", "partition_by")
RESOURCES = ("executor", "n_jobs", "outage_minutes", "verify_datasets", "memory_limit")
MODEL = ("model", "model_version", "calibrate")
DIFF = ("fallback", "executor", "n_jobs", "outage_minutes")
DRAWN = (*SELECTION, *RESOURCES, "input_prefix", "calibrate", "overwrite", "limit")


def keywords_without(*names: str) -> str:
    """Return the shared keywords without those that a function has no use for."""
    entries = KEYWORDS.split(", ")
    assert {f"{name}=None" for name in names} <= {*entries}
    return ", ".join(entry for entry in entries if entry.removesuffix("=None") not in names)


TRAIN_KEYWORDS = (
    "bucket=None, prefix=None, input_prefix=None, endpoint_url=None, region=None, years=None, "
    "months=None, symbol=None, timeframe=None, partition_by=None, limit=None, model=None, "
    "model_version=None, horizon=None, context_length=None, item_column=None, item_columns=None, "
    "timestamp_column=None, targets=None, timestamp_unit=None, csv_separator=None, "
    "csv_decimal=None, csv_thousands=None, csv_quote=None, csv_encoding=None, csv_dates=None, "
    "csv_header=None, past_covariates=None, known_covariates=None, known_calendar=None, "
    "known_holidays=None, unsupported_covariates=None, "
    "freq=None, aggregate=None, partial_bins=None, zone=None, duplicates=None, min_length=None, "
    "seed=None, device=None, precision=None, batch_size=None, memory_limit=None, method=None, "
    "steps=None, learning_rate=None, warmup_steps=None, weight_decay=None, gradient_clip=None, "
    "min_context=None, validation_steps=None, hold_out=None, validation_windows=None, "
    "validate_every=None, "
    "patience=None, lora_rank=None, lora_alpha=None, history=None, checkpoint_every=None, "
    "checkpoints=None, max_minutes=None, threads=None, name=None, new_version=None, switch=None, "
    "why=None"
)
STRICT = "<Mode.STRICT: 'strict'>"
SIGNATURES = {
    "forecast": "(data, *, config=None, dry_run=False, events=None, bucket=None, names=None, "
    f"future=None, {keywords_without(*ARRAY)})",
    "plan": f"(bucket, *, config=None, {keywords_without(*RUN)})",
    "read_forecasts": "(bucket, *, prefix='', model=None, version=None, spec=None, years=None, "
    "months=None, partitions=None, items=None, columns=None, names=None, endpoint_url=None, "
    "region=None, origin='latest', run=None)",
    "ChronosLoader": "(parquet_config_path=None, *, model=None, bucket=None, prefix=None, "
    "device='auto', precision='auto')",
    "ChronosLoader.predict": "(self, context, prediction_length=None, quantile_levels=(0.1, 0.2, "
    "0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), *, level=None, enhance=None, season=None)",
    "ChronosLoader.load_context_from_parquet": "(self, file_path=None, *, symbol=None, year=None, "
    "month=None, context_length=None)",
    "ChronosTrainer": "(parquet_config_path=None, *, model=None, bucket=None, prefix=None)",
    "ChronosTrainer.load_training_data": "(self, data)",
    "ChronosTrainer.load_training_data_from_parquet": "(self, file_path=None, *, symbol=None, "
    "year=None, month=None)",
    "ChronosTrainer.train": f"(self, *, {TRAIN_KEYWORDS})",
    "backtest": "(data=None, *, bucket=None, models=(), windows=1, step=None, segment='partition', "
    "sample_partitions=None, sample_series=None, season=None, config=None, events=None, "
    f"{keywords_without(*RUN, *FORM)})",
    "reconcile": "(bucket, *, sums=(), method='mint_shrink', windows=2, config=None, "
    f"events=None, {keywords_without(*RUN, *FORM, 'partition_by')})",
    "select_model": "(bucket, name, *, models=(), method='best', segment='series', metric='sql', "
    "windows=4, step=None, least_windows=3, margin=1.0, evidence=20.0, sample_partitions=None, "
    "sample_series=None, refresh=False, switch=False, why='', new_version=None, config=None, "
    "events=None, "
    f"{keywords_without(*RUN, *FORM, 'model', 'model_version', 'enhance', 'calibrate')})",
    "plot": "(data, predictions=None, *, items=None, count=1, steps=96, bucket=None, config=None, "
    f"{keywords_without(*RUN, *FORM, *CSV, *DRAWN)})",
    "evaluate": "(data=None, predictions=None, *, actuals=None, bucket=None, config=None, "
    "segment=None, worst=0, "
    f"{keywords_without(*RUN, *FORM, *MEASURED, *NETWORK, 'overwrite', 'limit')})",
    "finetune": f"(data, *, config=None, events=None, {TRAIN_KEYWORDS})",
    "ModelManager": "(config=None, *, bucket=None, prefix=None, endpoint_url=None, region=None)",
    "ModelManager.list_models": "(self)",
    "ModelManager.show_model": "(self, name)",
    "ModelManager.read_manifest": "(self, name, version)",
    "ModelManager.active_version": "(self, name)",
    "ModelManager.download_model": "(self, model, version=None, *, revision=None, name=None)",
    "ModelManager.publish_model": "(self, folder, name=None, version=None, *, base=None, "
    "license=None, metrics=None, source=None)",
    "ModelManager.switch_model": "(self, name, version, *, why='', expected=None)",
    "ModelManager.promote_model": f"(self, name, version, *, why='', gate=None, "
    f"{keywords_without(*RUN, *FORM, *MODEL, 'overwrite', 'limit')})",
    "ModelManager.rollback_model": "(self, name, *, why='')",
    "ModelManager.verify_model": "(self, name, version=None)",
    "ModelManager.backup_models": "(self, archive, names=())",
    "ModelManager.restore_models": "(self, archive)",
    "ModelManager.delete_model": "(self, name, version, *, why='', dry_run=False)",
    "ModelManager.fetch_model": "(self, name, version=None)",
    "ModelManager.diff_versions": "(self, name, first, second, *, partitions=5, series=100, "
    "sample_seed=0, "
    f"{keywords_without(*RUN, *FORM, *MODEL, *DIFF, 'overwrite', 'limit')})",
    "ParquetDataLoader": "(config_path)",
    "ParquetDataLoader.discover_files": "(self, symbol, year=None, year_range=None, "
    "month=None, month_range=None, timeframes=None)",
    "ParquetDataLoader.read_metadata": "(self, file_info)",
    "ParquetDataLoader.load_training_data": "(self, symbol, year=None, year_range=None, "
    "month=None, month_range=None, target_columns=None, feature_columns=None, *, "
    "timeframes=None)",
    "ParquetDataLoader.iterate_training_data": "(self, symbol, year=None, year_range=None, "
    "month=None, month_range=None, target_columns=None, feature_columns=None, *, "
    "timeframes=None)",
    "ParquetDataLoader.load_prediction_data": "(self, symbol, year, month=None, "
    "context_length=None, *, target_columns=None, feature_columns=None, timeframes=None)",
    "ParquetDataLoader.load_incremental_data": "(self, symbol, last_timestamp, *, "
    "target_columns=None, feature_columns=None, timeframes=None)",
    "ParquetDataLoader.merge_incremental_data": "(self, existing, new)",
    "ParquetDataLoader.create_splits": "(self, data, validation_split=0.2, "
    "time_based_split=True, *, test_split=None)",
    "ParquetDataLoader.validate_context_completeness": "(self, data, context_length=None, *, "
    "max_gaps=0)",
    "ParquetDataLoader.context_problems": "(self, data, context_length=None, *, max_gaps=0)",
    "ParquetDataLoader.validate_data_quality": "(self, data, *, max_missing=None, "
    "max_duplicates=None, max_gaps=None, max_outliers=None)",
    "ParquetDataLoader.is_already_processed": "(self, file_info)",
    "ParquetDataLoader.mark_as_processed": "(self, file_info, status='completed')",
    "ParquetDataLoader.start_audit_session": "(self, symbol, year_range=None, month_range=None)",
    "ParquetDataLoader.end_audit_session": "(self, session_id, status='completed')",
    "ParquetDataLoader.read_audit_session": "(self, session_id)",
    "feature_sets.build_features": "(source, path, recipe=None, *, like=None, "
    "time_column=None, item_column=None, item_columns=(), bars_per_day=None, partition_by=(), "
    "compression='snappy', what='', verify_datasets='sample', n_jobs=1)",
    "feature_sets.compute_features": "(data, recipe, *, time_column=None, item_column=None, "
    "item_columns=(), bars_per_day=None)",
    "feature_sets.get_recipe": "(name)",
    "feature_sets.load_recipe": "(path)",
    "feature_sets.read_feature_set": "(path)",
    "feature_sets.save_recipe": "(recipe, path)",
    "feature_sets.FeatureProcessor": "(recipe, *, time_column=None, item_column=None, "
    "item_columns=(), bars_per_day=None, learned=None)",
    "feature_sets.FeatureProcessor.process_training_features": "(self, table)",
    "feature_sets.FeatureProcessor.process_prediction_features": "(self, table)",
    "datasets.filter_data": f"(data, schema, mode={STRICT})",
    "datasets.generate_data": "(schema, rows, seed=0)",
    "datasets.get_parquet_metadata": "(path)",
    "datasets.get_parquet_schema": "(path)",
    "datasets.get_schema": "(name)",
    "datasets.infer_schema": "(path, name=None)",
    "datasets.iterate_batches": "(path, *, columns=None, filters=None, batch_rows=65536, "
    "verify_datasets='sample')",
    "datasets.load_schema": "(path)",
    "datasets.read_features": f"(path, schema=None, mode={STRICT}, *, columns=None, filters=None, "
    "verify_datasets='sample')",
    "datasets.read_parquet_with_schema": f"(path, schema=None, mode={STRICT}, *, columns=None, "
    "filters=None, verify_datasets='sample')",
    "datasets.read_partitioned_dataset": "(path, filters=None, columns=None, schema=None, "
    f"mode={STRICT}, *, verify_datasets='sample')",
    "datasets.read_raw_data": f"(path, schema=None, mode={STRICT}, *, columns=None, filters=None, "
    "verify_datasets='sample')",
    "datasets.register_schema": "(schema, name=None, *, replace=False)",
    "datasets.save_schema": "(schema, path)",
    "datasets.schema_drift": "(old, new)",
    "datasets.validate_data": f"(data, schema, mode={STRICT})",
    "datasets.write_cleaned_data": f"(data, path, schema=None, mode={STRICT}, *, "
    "compression='snappy', partition_by=(), append=False, what='', dependencies=())",
    "datasets.write_features": f"(data, path, schema=None, mode={STRICT}, *, "
    "compression='snappy', partition_by=(), append=False, what='', dependencies=())",
    "datasets.write_parquet_validated": f"(data, path, schema=None, mode={STRICT}, *, "
    "compression='snappy', partition_by=(), metadata=None)",
    "datasets.MetadataManager.create_metadata": "(layer, asset=None, record_count=0, "
    "file_size_bytes=0, *, feature_set=None, version=None, schema=None, **more)",
    "datasets.MetadataManager.write_metadata_file": "(metadata, path)",
    "datasets.MetadataManager.read_metadata_file": "(path)",
    "datasets.MetadataManager.add_file_info": "(metadata, path, record_count=None, "
    "file_size_bytes=None, **more)",
    "datasets.MetadataManager.add_quality_metrics": "(metadata, null_counts=None, "
    "quality_flags=(), completeness_percentage=None)",
    "datasets.MetadataManager.add_dependencies": "(metadata, dependencies)",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_public_signatures_are_the_documented_ones(name: str) -> None:
    thing = attrgetter(name)(gigacast)
    signature = inspect.signature(thing)
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    plain = signature.replace(parameters=bare, return_annotation=signature.empty)
    assert str(plain) == SIGNATURES[name]


def test_every_module_has_a_docstring() -> None:
    silent = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []
