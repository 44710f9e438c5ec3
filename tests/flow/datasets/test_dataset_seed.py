"""The usage examples of the storage requirements, as they stand there, on S3, folder and memory."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from gigacast.datasets import (
    MOMENTUM_INDICATORS_SCHEMA,
    OHLCV_SCHEMA,
    PRICE_VOLATILITY_SCHEMA,
    VOLUME_PROFILE_SCHEMA,
    ContractViolationError,
    CorruptedFileError,
    DatasetConflictError,
    DataTypeValidationError,
    MetadataManager,
    MissingRequiredColumnError,
    SchemaMismatchError,
    generate_data,
    get_parquet_metadata,
    get_parquet_schema,
    get_schema,
    iterate_batches,
    load_schema,
    read_features,
    read_parquet_with_schema,
    read_partitioned_dataset,
    read_raw_data,
    register_schema,
    save_schema,
    write_cleaned_data,
    write_features,
    write_parquet_validated,
)
from gigacast.errors import ConfigError, DataNotFoundError, SchemaError
from gigacast.storage.memory import forget_memory
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.support.bars import bars, parquet_bytes
from tests.support.moto_server import MotoServer


@pytest.fixture(params=["working folder", "folder", "memory", "s3"])
def root(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """What stands in front of the paths of the examples."""
    monkeypatch.chdir(tmp_path)
    name = uuid.uuid4().hex
    if request.param == "s3":
        server: MotoServer = request.getfixturevalue("moto_server")
        yield f"{server.new_address('lake').url}/"
    else:
        yield {"working folder": "", "folder": f"{tmp_path}/x/", "memory": f"memory://{name}/"}[
            request.param
        ]
    forget_memory(name)


@pytest.fixture
def work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(path: str, content: bytes) -> None:
    folder, _, name = path.rpartition("/")
    open_store(StoreAddress(folder or ".")).put(name, content)


def test_basic_usage(root: str) -> None:
    raw = bars(100)
    raw.loc[7, "close"] = None
    put(f"{root}raw/MES/2024-01-15/ohlcv.parquet", parquet_bytes(raw))

    df = read_raw_data(f"{root}raw/MES/2024-01-15/ohlcv.parquet")
    df_cleaned = df.dropna()
    write_cleaned_data(df_cleaned, f"{root}cleaned/v1/MES/ohlcv.parquet", schema=OHLCV_SCHEMA)

    got = read_parquet_with_schema(f"{root}cleaned/v1/MES/ohlcv.parquet", schema=OHLCV_SCHEMA)
    pd.testing.assert_frame_equal(got, raw.dropna().reset_index(drop=True))
    metadata = MetadataManager.read_metadata_file(f"{root}cleaned/v1/MES/metadata.json")
    assert metadata["record_count"] == 99
    # The frame remembered, through dropna, what it was read from.
    assert [dependency["key"].rpartition("raw/")[2] for dependency in metadata["dependencies"]] == [
        "MES/2024-01-15/ohlcv.parquet"
    ]
    assert metadata["dependencies"][0]["etag"]


def test_schema_validation(root: str) -> None:
    df = bars(50)
    write_parquet_validated(df, f"{root}data.parquet", schema=OHLCV_SCHEMA)
    got = read_parquet_with_schema(f"{root}data.parquet", schema=OHLCV_SCHEMA)
    pd.testing.assert_frame_equal(got, df)
    pd.testing.assert_frame_equal(pd.DataFrame(read_parquet_with_schema(f"{root}data.parquet")), df)


@pytest.mark.parametrize("codec", ["snappy", "gzip", "zstd", "uncompressed", "none", None])
def test_compression(work_folder: Path, codec: str | None) -> None:
    df = bars(5000)
    write_parquet_validated(df, "data.parquet", compression=codec)
    codec_name = {"uncompressed": "none", None: "none"}.get(codec, codec)
    assert get_parquet_metadata("data.parquet")["compression"] == codec_name
    pd.testing.assert_frame_equal(pd.read_parquet(work_folder / "data.parquet"), df)


def test_an_unknown_codec_is_refused_by_name(work_folder: Path) -> None:
    with pytest.raises(ConfigError, match="there is no 'lzma'"):
        write_parquet_validated(bars(5), "data.parquet", compression="lzma")


def test_metadata_management(root: str) -> None:
    metadata = MetadataManager.create_metadata(
        layer="cleaned",
        asset="MES",
        record_count=1000,
        file_size_bytes=1024 * 1024,
    )
    MetadataManager.add_quality_metrics(
        metadata,
        null_counts={"volume": 0},
        quality_flags=[],
        completeness_percentage=100.0,
    )
    MetadataManager.add_dependencies(metadata, ["raw/MES/2024-01-15/ohlcv.parquet"])
    write_parquet_validated(bars(9), f"{root}data.parquet")
    MetadataManager.add_file_info(metadata, f"{root}data.parquet")
    MetadataManager.write_metadata_file(metadata, f"{root}metadata.json")
    got = MetadataManager.read_metadata_file(f"{root}metadata.json")
    assert got == metadata
    assert got["quality"]["completeness_percentage"] == 100.0
    assert got["files"][0]["record_count"] == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": "bronze"}, "layer: 'bronze' is not one of"),
        ({"record_count": -1}, "record_count: -1 is less than"),
        ({"record_count": "many"}, "record_count: 'many' is not of type 'integer'"),
        ({"asset": None}, "asset: None is not of type"),
        ({"dependencies": [{"etag": "x"}]}, r"dependencies.0: 'key' is a required"),
    ],
)
def test_metadata_that_is_not_of_the_published_form_is_refused(
    work_folder: Path, change: dict[str, object], message: str
) -> None:
    metadata = {**MetadataManager.create_metadata("cleaned", "MES"), **change}
    with pytest.raises(CorruptedFileError, match=message):
        MetadataManager.write_metadata_file(metadata, "metadata.json")
    assert not (work_folder / "metadata.json").exists()


def test_partitioned_datasets_by_date_by_asset_and_by_both(root: str) -> None:
    frame = pd.concat(
        [bars(30, step="6h").assign(symbol=name) for name in ("ES", "MES")], ignore_index=True
    )
    for number, by in enumerate((["date"], ["symbol"], ["symbol", "date"]), start=1):
        path = f"{root}cleaned/v{number}/futures"
        write_cleaned_data(frame, path, schema="ohlcv", partition_by=by)
        got = read_partitioned_dataset(
            path,
            filters=[("symbol", "=", "MES"), ("timestamp", ">=", "2024-01-20")],
            columns=["timestamp", "close"],
        )
        expected = frame[(frame["symbol"] == "MES") & (frame["timestamp"] >= "2024-01-20")]
        pd.testing.assert_frame_equal(got, expected[["timestamp", "close"]].reset_index(drop=True))


def test_plain_folders_of_partitions_add_their_values_as_columns(root: str) -> None:
    frame = pd.concat([bars(5).assign(symbol=name) for name in ("ES", "MES")], ignore_index=True)
    write_parquet_validated(frame, f"{root}out", partition_by=["symbol"])
    for name in ("ES", "MES"):
        put(f"{root}other/symbol={name}/x.parquet", parquet_bytes(bars(5)))
    for folder in ("out", "other"):
        got = read_partitioned_dataset(f"{root}{folder}", filters=[("symbol", "==", "MES")])
        pd.testing.assert_frame_equal(got, bars(5).assign(symbol="MES"), check_dtype=False)


def test_features_are_read_and_written_by_version(root: str) -> None:
    rows = generate_data(MOMENTUM_INDICATORS_SCHEMA, 60)
    metadata = write_features(rows, f"{root}features/v1/momentum", "momentum_indicators")
    assert (metadata["feature_set"], metadata["version"], metadata["record_count"]) == (
        "momentum",
        "v1",
        60,
    )
    for path in ("v1/momentum", "latest/momentum", "v1/momentum/part-00000.parquet"):
        got = read_features(f"{root}features/{path}", MOMENTUM_INDICATORS_SCHEMA)
        pd.testing.assert_frame_equal(got, rows)
    with pytest.raises(DatasetConflictError, match="other content"):
        write_features(rows.iloc[:5], f"{root}features/v1/momentum")
    with pytest.raises(ConfigError, match="not in cleaned/"):
        write_cleaned_data(rows, f"{root}features/v2/momentum")


@pytest.mark.parametrize(
    "schema",
    [OHLCV_SCHEMA, PRICE_VOLATILITY_SCHEMA, MOMENTUM_INDICATORS_SCHEMA, VOLUME_PROFILE_SCHEMA],
)
def test_the_predefined_schemas_are_registered_and_make_their_own_data(
    work_folder: Path, schema: object
) -> None:
    assert get_schema(schema.name) == schema  # type: ignore[attr-defined]
    assert get_schema(f"{schema.name.upper()}_SCHEMA") == schema  # type: ignore[attr-defined]
    save_schema(schema, "contract.yaml")  # type: ignore[arg-type]
    assert load_schema("contract.yaml") == schema
    rows = generate_data(schema, 200, seed=3)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(rows, generate_data(schema, 200, seed=3))  # type: ignore[arg-type]
    write_parquet_validated(rows, "rows.parquet", schema)  # type: ignore[arg-type]


def test_own_schemas_are_registered_by_name() -> None:
    mine = OHLCV_SCHEMA.from_dict({**OHLCV_SCHEMA.to_dict(), "name": "mine"})
    register_schema(mine)
    assert get_schema("mine") == mine
    schema = OHLCV_SCHEMA.from_dict({**OHLCV_SCHEMA.to_dict(), "name": "mine", "version": "v2"})
    with pytest.raises(ConfigError, match="another schema 'mine'"):
        register_schema(schema)
    register_schema(schema, replace=True)
    assert get_schema("mine").version == "v2"
    with pytest.raises(ConfigError, match="no schema 'nobodys'"):
        get_schema("nobodys")


def test_every_violation_has_its_column_rule_count_and_rows(work_folder: Path) -> None:
    df = bars(10)
    df.loc[[2, 5], "volume"] = -1.0
    df.loc[4, "open"] = None
    with pytest.raises(ContractViolationError) as caught:
        write_parquet_validated(df, "data.parquet", OHLCV_SCHEMA)
    violations = {
        (violation.column, violation.rule): violation for violation in caught.value.violations
    }  # type: ignore[attr-defined]
    assert set(violations) == {("volume", ">= 0"), ("open", "not null")}
    assert violations["volume", ">= 0"].count == 2
    assert violations["volume", ">= 0"].sample == (
        {"row": 2, "volume": -1.0},
        {"row": 5, "volume": -1.0},
    )
    assert not (work_folder / "data.parquet").exists()


def test_the_three_modes(work_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = bars(5).astype({"close": "str"}).assign(extra=1)
    with pytest.raises(DataTypeValidationError, match=r"close: type .expected float64, found"):
        write_parquet_validated(text, "strict.parquet", OHLCV_SCHEMA)
    write_parquet_validated(text, "coerce.parquet", OHLCV_SCHEMA, mode="coerce")
    got = read_parquet_with_schema("coerce.parquet", OHLCV_SCHEMA)
    pd.testing.assert_series_equal(got["close"], bars(5)["close"])
    assert "columns the contract does not know: extra" in caplog.text
    for mode in ("strict", "coerce"):
        with pytest.raises(MissingRequiredColumnError, match="low: missing column"):
            write_parquet_validated(bars(5).drop(columns="low"), "x.parquet", "ohlcv", mode)
    caplog.clear()
    write_parquet_validated(text.drop(columns="low"), "ignored.parquet", "ohlcv", "ignore")
    assert "breaks the contract 'ohlcv'" in caplog.text
    assert get_parquet_schema("ignored.parquet").field("close").type == pa.string()
    assert issubclass(MissingRequiredColumnError, SchemaMismatchError)


def test_values_that_cannot_be_coerced_are_named(work_folder: Path) -> None:
    frame = bars(4).astype({"close": "object"})
    frame["close"] = ["1.5", " 2 ", "cheap", "inf"]
    with pytest.raises(DataTypeValidationError, match="close: type in 1 row") as caught:
        write_parquet_validated(frame, "x.parquet", "ohlcv", "coerce")
    violations = {violation.rule: violation for violation in caught.value.violations}  # type: ignore[attr-defined]
    assert violations["type"].sample == ({"row": 2, "close": "cheap"},)


def test_data_larger_than_memory_streams_in_and_out(root: str) -> None:
    frame = bars(50_000)
    batches = pa.Table.from_pandas(frame, preserve_index=False).to_batches(max_chunksize=1000)
    write_parquet_validated(iter(batches), f"{root}cleaned/v1/big", "ohlcv")
    parts = iterate_batches(f"{root}cleaned/v1/big", columns=["close"], batch_rows=5000)
    sizes, total = [], 0.0
    for batch in parts:
        sizes.append(batch.num_rows)
        total += float(batch["close"].to_numpy().sum())
    assert (sum(sizes), max(sizes)) == (50_000, 5000)
    assert total == pytest.approx(frame["close"].sum())


def test_custom_keys_are_stored_in_the_file(root: str) -> None:
    write_parquet_validated(bars(5), f"{root}data.parquet", metadata={"desk": "rates"})
    metadata = get_parquet_metadata(f"{root}data.parquet")
    assert (metadata["num_rows"], metadata["custom"]) == (5, {"desk": "rates"})
    assert metadata["metadata"]["record_count"] == 5


def test_missing_data_is_a_data_not_found_error(root: str) -> None:
    with pytest.raises(DataNotFoundError, match="no dataset 'MES' in cleaned/"):
        read_parquet_with_schema(f"{root}cleaned/v1/MES")
    write_cleaned_data(bars(5), f"{root}cleaned/v1/MES")
    with pytest.raises(DataNotFoundError, match=r"there are: v1"):
        read_parquet_with_schema(f"{root}cleaned/v2/MES")
    with pytest.raises(DataNotFoundError, match=r"has no file 'x.parquet'"):
        read_parquet_with_schema(f"{root}cleaned/v1/MES/x.parquet")
    with pytest.raises(DataNotFoundError, match="there is no Parquet file"):
        read_parquet_with_schema(f"{root}nothing.parquet")
    put(f"{root}cleaned/v3/MES/x.parquet", parquet_bytes(bars(5)))
    with pytest.raises(DataNotFoundError, match="not published"):
        read_parquet_with_schema(f"{root}cleaned/v3/MES")


def test_frames_that_cannot_be_tables_are_schema_errors(work_folder: Path) -> None:
    twice = pd.concat([bars(5), bars(5)[["close"]]], axis=1)
    with pytest.raises(SchemaError, match="Duplicate column names"):
        write_parquet_validated(twice, work_folder / "twice.parquet")
    mixed = bars(2).assign(note=[1, "a"])
    with pytest.raises(SchemaError, match="column 'note'"):
        write_parquet_validated(mixed, work_folder / "mixed.parquet")
    assert list(work_folder.iterdir()) == []


def test_a_path_without_a_version_is_an_error_with_a_hint(root: str) -> None:
    write_cleaned_data(bars(5), f"{root}cleaned/v1/MES", partition_by=None)
    with pytest.raises(DataNotFoundError, match="cleaned/latest/MES"):
        read_partitioned_dataset(f"{root}cleaned/MES")
    assert len(read_partitioned_dataset(f"{root}cleaned/latest/MES")) == 5


def test_a_filter_by_an_invalid_time_is_refused(root: str) -> None:
    write_cleaned_data(bars(5), f"{root}cleaned/v1/MES")
    with pytest.raises(ConfigError, match="compares times with 'garbage'"):
        read_partitioned_dataset(f"{root}cleaned/v1/MES", filters=[("timestamp", ">", "garbage")])
