"""Files are found by symbol, time and generation; wrong settings are refused."""

from pathlib import Path

import pytest

from gigacast.errors import (
    ConfigError,
    CorruptedFileError,
    GigacastError,
    InvalidFilenameError,
    SchemaError,
)
from gigacast.parquet_loader import ParquetDataLoader, ParquetLoaderError, SchemaValidationError
from gigacast.parquet_loader.discovery import FileDiscovery
from gigacast.storage.store import Store
from tests.flow.parquet_loader.loaders import YEAR, loader_of
from tests.support.ticks import HASH, fill, key_of, month_table, parquet, write_config

# -- configuration ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("parquet_loader: {}", "parquet_loader.data_paths.root_dir"),
        ("parquet_loader: {data_paths: {root_dir: ''}}", "parquet_loader.data_paths.root_dir"),
        ("parquet_loader: {data_paths: {root_dir: /nowhere/at/all}}", "data_paths.root_dir"),
        ("parquet_loader: {data_paths: {root_directory: x}}", "data_paths.root_directory"),
        ("parquet_loader: {processing: {null_handling: guess}}", "processing.null_handling"),
        (
            "parquet_loader: {data_paths: {root_dir: .}, file_patterns: {naming_regex: '(a'}}",
            "regex",
        ),
    ],
)
def test_a_wrong_configuration_fails_at_once_and_names_the_field(
    tmp_path: Path, text: str, named: str
) -> None:
    file = tmp_path / "loader.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=named):
        ParquetDataLoader(file)


def test_a_missing_file_and_a_file_for_a_root_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"loader\.yaml: no such configuration file"):
        ParquetDataLoader(str(tmp_path / "loader.yaml"))
    (tmp_path / "root").write_text("")
    with pytest.raises(ConfigError, match="Root directory does not exist"):
        ParquetDataLoader(write_config(tmp_path / "loader.yaml", str(tmp_path / "root")))
    assert issubclass(ConfigError, ParquetLoaderError)
    assert ParquetLoaderError is GigacastError
    assert SchemaValidationError is SchemaError


# -- finding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"year": 2014}, 12),
        ({"year_range": (2013, 2016)}, 14),
        ({"year": 2014, "month": 3}, 1),
        ({"year": 2014, "month_range": (3, 6)}, 4),
        ({"year_range": (2014, 2015), "month_range": (1, 6)}, 8),
        ({"year": 2020}, 0),
        ({"year": 2014, "timeframes": ["5min"]}, 0),
    ],
)
def test_files_are_found_in_the_order_of_years_and_months(
    store: Store, tmp_path: Path, options: dict[str, object], expected: int
) -> None:
    fill(store, [*YEAR, (2015, 1), (2015, 2)], rows=1)
    store.put(key_of(2014, 1, "OTHER"), b"no parquet")
    store.put("2014/01/README.txt", b"")
    files = loader_of(store, tmp_path).discover_files("SYMBOL", **options)  # type: ignore[arg-type]
    assert len(files) == expected
    assert [(f.year, f.month) for f in files] == sorted((f.year, f.month) for f in files)
    assert all((f.symbol, f.horizon, f.hash_id) == ("SYMBOL", 15, HASH) for f in files)
    assert all(f.file_path.endswith(f.key) for f in files)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "Either 'year' or 'year_range' must be specified"),
        ({"year": 2014, "year_range": (2014, 2015)}, "year or year_range"),
        ({"year_range": (2015, 2014)}, "year_range"),
        ({"year": 2014, "month": 13}, "month must be 1 to 12"),
        ({"year": 2014, "month_range": (0, 3)}, "month must be 1 to 12"),
        ({"year": "2014"}, "year: expected a whole number"),
        ({"year_range": 2014}, "year_range: expected"),
        ({"year_range": ("2014", "2015")}, "year_range: expected"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(
    folder: Store, tmp_path: Path, options: dict[str, object], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        loader_of(folder, tmp_path).discover_files("SYMBOL", **options)  # type: ignore[arg-type]


def test_the_newest_generation_is_found_and_json_twins_are_metadata(
    folder: Store, tmp_path: Path
) -> None:
    fill(folder, [(2014, 3)], rows=2)
    newer = key_of(2014, 3).replace(HASH, "ffff")
    folder.put(newer, parquet(month_table(2014, 3, 4)))
    loader = loader_of(folder, tmp_path)
    (file,) = loader.discover_files("SYMBOL", 2014)
    assert (file.key, file.metadata_key) == (newer, None)
    assert loader.read_metadata(file) == {}
    folder.delete([newer])
    (file,) = loader.discover_files("SYMBOL", 2014)
    assert loader.read_metadata(file)["rows"] == 2
    folder.put(key_of(2014, 3, ending="json"), b"{")
    with pytest.raises(CorruptedFileError, match="not JSON"):
        loader.read_metadata(file)


def test_parsing_a_name_that_does_not_match_is_an_error(folder: Store) -> None:
    from gigacast.core.partition.name import NamingPattern

    discovery = FileDiscovery(folder, NamingPattern())
    assert discovery.parse_filename(f"/data/{key_of(2014, 3)}").month == 3
    with pytest.raises(InvalidFilenameError, match=r"2014/03/x\.parquet"):
        discovery.parse_filename("2014/03/x.parquet")
