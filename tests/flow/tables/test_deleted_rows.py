"""Deleted rows, renamed columns and features of tables: respected, or refused by name."""

import io
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.errors import (
    ConfigError,
    CorruptedFileError,
    DataNotFoundError,
    MissingExtraError,
    ObjectNotFoundError,
    SchemaError,
)
from gigacast.job.location import open_inputs
from gigacast.lake.table.puffin import read_puffin
from gigacast.storage.store import StoreAddress
from tests.flow.tables.table_formats import (
    TableFormat,
    add_action,
    delete_rows,
    deletion_vector,
    panel,
    table_actions,
    write_log,
)

pytest.importorskip("pyiceberg", reason="tables of Iceberg need the extra iceberg")
pytest.importorskip("deltalake", reason="tables of Delta Lake need the extra delta")

KEY = "2024/01/part-0.parquet"


def rows_of(table: str, key: str = KEY) -> pa.Table:
    return pq.read_table(io.BytesIO(open_inputs(StoreAddress(table)).get(key)))


def etag_of(table: str, key: str = KEY) -> str:
    return open_inputs(StoreAddress(table)).head(key).etag


def remaining(rows: pa.Table, deleted: set[int]) -> pa.Table:
    return rows.take([place for place in range(rows.num_rows) if place not in deleted])


iceberg_only = pytest.mark.parametrize("lake", ["iceberg"], indirect=True)


@iceberg_only
def test_position_deletes_leave_out_their_rows_and_change_the_etag(lake: TableFormat) -> None:
    lake.append("sales", panel("2024-01"), ["month"])
    before = etag_of(lake.url("sales"))
    delete_rows(lake, "sales", [0, 5, 95], "POSITION_DELETES")
    assert etag_of(lake.url("sales")) != before
    assert rows_of(lake.url("sales")).equals(remaining(panel("2024-01"), {0, 5, 95}))
    assert lake.read("sales").num_rows == 93  # the table's own library says the same


@iceberg_only
def test_positions_beyond_a_file_are_refused(lake: TableFormat) -> None:
    lake.append("sales", panel("2024-01"), ["month"])
    delete_rows(lake, "sales", [96], "POSITION_DELETES")
    with pytest.raises(CorruptedFileError, match="deletes row 96"):
        rows_of(lake.url("sales"))


@iceberg_only
def test_equality_deletes_are_refused_by_name(lake: TableFormat) -> None:
    lake.append("sales", panel("2024-01"), ["month"])
    delete_rows(lake, "sales", [0], "EQUALITY_DELETES")
    with pytest.raises(SchemaError, match="has equality deletes"):
        open_inputs(StoreAddress(lake.url("sales")))


def test_deletion_vectors_of_iceberg_are_read_from_their_files() -> None:
    from pyroaring import BitMap

    bitmaps = (1).to_bytes(8, "little") + bytes(4) + BitMap([3, 70_000]).serialize()
    vector = b"\xd1\xd3\x39\x64" + bitmaps
    blob = len(vector).to_bytes(4, "big") + vector + bytes(4)
    described = (
        '{"blobs": [{"type": "deletion-vector-v1", "snapshot-id": 1, "sequence-number": 1, '
        f'"fields": [], "offset": 4, "length": {len(blob)}, '
        '"properties": {"referenced-data-file": "file:///a/b.parquet"}}], "properties": {}}'
    ).encode()
    size = len(described).to_bytes(4, "little")
    content = b"PFA1" + blob + b"PFA1" + described + size + bytes(4) + b"PFA1"
    positions = read_puffin(content, "x.puffin")
    assert {path: found.tolist() for path, found in positions.items()} == {
        "file:///a/b.parquet": [3, 70_000]
    }
    with pytest.raises(CorruptedFileError, match=r"x\.puffin"):
        read_puffin(content[:-4], "x.puffin")


def test_deletion_vectors_of_delta_leave_out_their_rows(tmp_path: Path) -> None:
    rows, folder = panel("2024-01"), tmp_path / "my sales"
    added = add_action(folder, "a.parquet", rows)
    again = {"add": {**added["add"], "deletionVector": deletion_vector([1, 2, 94])}}
    removed = {"remove": {"path": "a.parquet", "deletionTimestamp": 0, "dataChange": True}}
    start = [*table_actions(rows.schema, ["deletionVectors"]), added]
    write_log(folder, start, [removed, again])
    assert rows_of(f"delta://{folder}").equals(remaining(rows, {1, 2, 94}))
    assert rows_of(f"delta://{folder}?version=0").equals(rows)
    assert etag_of(f"delta://{folder}") != etag_of(f"delta://{folder}?version=0")


def test_mapped_columns_are_read_by_their_names_in_the_table(tmp_path: Path) -> None:
    rows, folder = panel("2024-01"), tmp_path / "sales"
    mapped = {name: f"col-{name}" for name in rows.schema.names}
    stored = rows.rename_columns(list(mapped.values()))
    action = add_action(folder, "a.parquet", stored, time="col-timestamp")
    write_log(folder, [*table_actions(rows.schema, ["columnMapping"], mapped), action])
    assert rows_of(f"delta://{folder}").equals(rows)


def test_columns_mapped_by_ids_are_read_by_their_ids(tmp_path: Path) -> None:
    rows, folder = panel("2024-01"), tmp_path / "sales"
    names = {name: f"col-{name}" for name in rows.schema.names}
    ids = [{b"PARQUET:field_id": str(place + 1).encode()} for place in range(len(names))]
    # Names in the file are those of other columns: only ids tell.
    swapped = ("target", "timestamp", "item_id")
    fields = [
        pa.field(name, kind, metadata=number)
        for name, kind, number in zip(swapped, rows.schema.types, ids, strict=True)
    ]
    stored = pa.Table.from_arrays(rows.columns, schema=pa.schema(fields))
    action = add_action(folder, "a.parquet", stored)
    action["add"]["stats"] = action["add"]["stats"].replace("timestamp", "col-timestamp")
    write_log(folder, [*table_actions(rows.schema, ["columnMapping"], names, "id"), action])
    assert rows_of(f"delta://{folder}").equals(rows)


@iceberg_only
def test_a_renamed_column_of_iceberg_is_read_by_its_new_name(lake: TableFormat) -> None:
    lake.append("sales", panel("2024-01"), ["month"])
    before = etag_of(lake.url("sales"))
    with lake.open_catalog() as catalog, catalog.load_table("ns.sales").update_schema() as change:
        change.rename_column("target", "value")
    # A new name is a new snapshot of the columns only once rows are written.
    lake.append("sales", panel("2024-02").rename_columns(["item_id", "timestamp", "value"]))
    rows = rows_of(lake.url("sales"))
    assert rows["value"].equals(panel("2024-01")["target"])
    assert etag_of(lake.url("sales")) != before


def test_a_feature_that_is_not_read_is_refused_by_name(tmp_path: Path) -> None:
    rows, folder = panel("2024-01"), tmp_path / "sales"
    action = add_action(folder, "a.parquet", rows)
    write_log(folder, [*table_actions(rows.schema, ["variantType"]), action])
    with pytest.raises(SchemaError, match="needs the feature variantType"):
        open_inputs(StoreAddress(f"delta://{folder}"))


def test_a_data_file_that_is_gone_or_was_replaced_is_no_other_number(lake: TableFormat) -> None:
    lake.append("sales", panel("2024-01"), ["month"])
    store = open_inputs(StoreAddress(lake.url("sales")))
    path = next(p for p in Path(lake.root).rglob("*.parquet") if "metadata" not in p.parts)
    pq.write_table(panel("2024-01", ["a"]), path)
    with pytest.raises(CorruptedFileError, match="by its table"):
        store.get(KEY)
    path.unlink()
    with pytest.raises(ObjectNotFoundError, match="does not exist"):
        store.get(KEY)


@pytest.mark.parametrize(
    ("address", "error", "says"),
    [
        ("delta:///nowhere/at/all", DataNotFoundError, "no table of Delta Lake"),
        ("iceberg://lake/ns.none", DataNotFoundError, "does not exist"),
        ("iceberg://other/ns.none", ConfigError, "catalog 'other'"),
        ("iceberg://lake", ConfigError, "names no catalog, namespace and table"),
        ("delta://", ConfigError, "names no table"),
        ("delta:///a?versoin=1", ConfigError, "option versoin=1 is not known"),
        ("delta:///a?version=x", ConfigError, "version is no number"),
        ("delta:///a?version=1&as_of=2024-01-01", ConfigError, "names the snapshot twice"),
        ("delta:///a?as_of=monday", ConfigError, "as_of is no time"),
        ("delta://gs://bucket/a", ConfigError, "folders and S3"),
    ],
)
@pytest.mark.parametrize("lake", ["iceberg"], indirect=True)
def test_a_wrong_address_says_what_is_wrong(
    lake: TableFormat, address: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        open_inputs(StoreAddress(address))


@pytest.mark.parametrize(
    ("library", "address", "extra"),
    [
        ("deltalake", "delta:///a", r"gigacast\[delta\]"),
        ("pyiceberg.catalog", "iceberg://lake/ns.a", r"gigacast\[iceberg\]"),
    ],
)
def test_a_missing_extra_is_named(
    library: str, address: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=extra):
        open_inputs(StoreAddress(address))


@iceberg_only
def test_files_of_several_partitionings_are_refused_and_can_be_cut(lake: TableFormat) -> None:
    lake.append("sales", panel("2024-01"))
    from pyiceberg.transforms import MonthTransform

    with lake.open_catalog() as catalog, catalog.load_table("ns.sales").update_spec() as change:
        change.add_field("timestamp", MonthTransform(), "month")
    lake.append("sales", panel("2024-02"))
    with pytest.raises(SchemaError, match="partitioned in 2 ways"):
        open_inputs(StoreAddress(lake.url("sales")))
    cut = lake.url("sales") + "?by=month"
    assert rows_of(cut).num_rows == rows_of(cut, "2024/02/part-0.parquet").num_rows == 96
