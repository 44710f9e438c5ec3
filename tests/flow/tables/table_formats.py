"""Tables of Iceberg and Delta Lake for tests, written by their own libraries, and logs by hand.

`TableFormat` has the same few steps for both formats, so that a test can run on either.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
"""The 85 letters of inline deletion vectors (Z85)."""


def panel(
    month: str, items: Sequence[str] = ("a", "b"), steps: int = 48, seed: int = 0
) -> pa.Table:
    """An hourly panel of the first days of a month."""
    rng = np.random.default_rng([seed, int(month.replace("-", ""))])
    first = np.datetime64(f"{month}-01", "us")
    times = np.tile(first + np.arange(steps) * np.timedelta64(1, "h"), len(items))
    return pa.table(
        {
            "item_id": np.repeat(np.array(items), steps),
            "timestamp": pa.array(times),
            "target": rng.normal(10, 1, steps * len(items)),
        }
    )


@dataclass
class TableFormat:
    """A table format with a place for its tables.

    Parameters
    ----------
    kind : {"delta", "iceberg"}
    root : str
        Folder or bucket of the tables: a path or an S3 URL.
    catalog : Path, optional
        File of the SQLite catalog of Iceberg, whose name is ``lake``; AWS Glue without one.
    storage : dict of str to str
        Options of deltalake for S3.
    namespace : str
        Namespace of the tables in the catalog.
    """

    kind: str
    root: str
    catalog: Path | None
    storage: dict[str, str]
    namespace: str = "ns"

    def url(self, name: str) -> str:
        """Address of a table for ``--input_prefix``."""
        return (
            f"iceberg://lake/{self.namespace}.{name}"
            if self.kind == "iceberg"
            else f"delta://{self.place(name)}"
        )

    def place(self, name: str) -> str:
        """Folder of a table."""
        return f"{self.root}/{name}"

    @property
    def variables(self) -> dict[str, str]:
        """Variables that configure the catalog for pyiceberg."""
        warehouse = self.root if "://" in self.root else f"file://{self.root}"
        return {
            **(
                {"PYICEBERG_CATALOG__LAKE__URI": f"sqlite:///{self.catalog}"}
                if self.catalog is not None
                else {"PYICEBERG_CATALOG__LAKE__TYPE": "glue"}
            ),
            "PYICEBERG_CATALOG__LAKE__WAREHOUSE": warehouse,
        }

    def append(self, name: str, rows: pa.Table, by: Sequence[str] = ()) -> None:
        """Append rows in one commit; a new table is partitioned by the month or by columns.

        Parameters
        ----------
        by : sequence of str
            ``month`` stands for the month of the timestamp, other names for columns.
        """
        if self.kind == "delta":
            self._append_delta(name, rows, by)
        else:
            with self.open_catalog() as catalog:
                self._iceberg(catalog, name, rows.schema, by).append(rows)

    def _append_delta(self, name: str, rows: pa.Table, by: Sequence[str]) -> None:
        from deltalake import write_deltalake

        columns = [column for column in by if column != "month"]
        if "month" in by:
            text = rows["timestamp"].cast(pa.date32()).cast(pa.string()).to_pylist()
            rows = rows.append_column("year", pa.array([int(t[:4]) for t in text], pa.int32()))
            rows = rows.append_column("month", pa.array([int(t[5:7]) for t in text], pa.int32()))
            columns += ["year", "month"]
        write_deltalake(
            self.place(name),
            rows,
            mode="append",
            partition_by=columns or None,
            storage_options=self.storage or None,
        )

    def open_catalog(self) -> Any:
        """The catalog of Iceberg, a context manager."""
        from pyiceberg.catalog import load_catalog

        options = {n.rpartition("__")[2].lower(): value for n, value in self.variables.items()}
        io = {"py-io-impl": "gigacast.lake.table.file_io.JobFileIO"}
        return load_catalog("lake", **options, **io)

    def _iceberg(self, catalog: Any, name: str, schema: pa.Schema, by: Sequence[str]) -> Any:
        from pyiceberg.exceptions import NoSuchTableError
        from pyiceberg.transforms import IdentityTransform, MonthTransform

        catalog.create_namespace_if_not_exists(self.namespace)
        try:
            return catalog.load_table(f"{self.namespace}.{name}")
        except NoSuchTableError:
            table = catalog.create_table(f"{self.namespace}.{name}", schema)
            with table.update_spec() as change:
                for column in by:
                    if column == "month":
                        change.add_field("timestamp", MonthTransform(), "timestamp_month")
                    else:
                        change.add_field(column, IdentityTransform(), f"{column}_level")
            return catalog.load_table(f"{self.namespace}.{name}")

    def read(self, name: str) -> pa.Table:
        """All rows of a table, by its own library."""
        if self.kind == "delta":
            from deltalake import DeltaTable

            rows = DeltaTable(self.place(name), storage_options=self.storage or None).scan()
            return pa.RecordBatchReader.from_stream(rows).read_all()
        with self.open_catalog() as catalog:
            return catalog.load_table(f"{self.namespace}.{name}").scan().to_arrow()

    def commits(self, name: str) -> int:
        """Number of commits of a table."""
        if self.kind == "delta":
            from deltalake import DeltaTable

            return DeltaTable(self.place(name), storage_options=self.storage or None).version() + 1
        with self.open_catalog() as catalog:
            return len(catalog.load_table(f"{self.namespace}.{name}").snapshots())


# -- logs of Delta Lake by hand, for what its library for Python does not write --------------------


def write_log(folder: Path, *commits: Iterable[dict[str, Any]]) -> None:
    """Write the log of a table: an iterable of actions for each version."""
    (folder / "_delta_log").mkdir(parents=True)
    for version, actions in enumerate(commits):
        lines = "\n".join(json.dumps(action) for action in actions)
        (folder / "_delta_log" / f"{version:020d}.json").write_text(lines + "\n")


def table_actions(
    schema: pa.Schema,
    features: Sequence[str],
    mapped: dict[str, str] | None = None,
    mode: str = "name",
) -> list[dict[str, Any]]:
    """The actions that begin a table.

    Parameters
    ----------
    schema : pa.Schema
    features : sequence of str
        Features that readers need.
    mapped : dict of str to str, optional
        Names in the files by column.
    mode : {"name", "id"}
        What finds mapped columns.
    """
    kinds = {pa.string(): "string", pa.float64(): "double", pa.timestamp("us"): "timestamp_ntz"}
    fields = [
        {
            "name": field.name,
            "type": kinds[field.type],
            "nullable": True,
            "metadata": {
                "delta.columnMapping.id": place + 1,
                "delta.columnMapping.physicalName": mapped[field.name],
            }
            if mapped
            else {},
        }
        for place, field in enumerate(schema)
    ]
    features = ["timestampNtz", *features]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7}
    return [
        {"protocol": {**protocol, "readerFeatures": features, "writerFeatures": features}},
        {
            "metaData": {
                "id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9",
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json.dumps({"type": "struct", "fields": fields}),
                "partitionColumns": [],
                "configuration": {"delta.columnMapping.mode": mode} if mapped else {},
                "createdTime": 0,
            }
        },
    ]


def add_action(folder: Path, name: str, rows: pa.Table, time: str = "timestamp") -> dict[str, Any]:
    """Write a data file, and return the action that adds it."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, folder / name)
    times = sorted(moment.isoformat(timespec="milliseconds") for moment in rows[time].to_pylist())
    bounds = {"minValues": {time: times[0]}, "maxValues": {time: times[-1]}}
    return {
        "add": {
            "path": name,
            "partitionValues": {},
            "size": (folder / name).stat().st_size,
            "modificationTime": 0,
            "dataChange": True,
            "stats": json.dumps({"numRecords": rows.num_rows, **bounds}),
        }
    }


def deletion_vector(rows: Sequence[int]) -> dict[str, Any]:
    """An inline deletion vector of row numbers, as the protocol of Delta Lake describes it."""
    from pyroaring import BitMap

    bitmap = BitMap(rows).serialize()
    content = (1681511377).to_bytes(4, "little") + (1).to_bytes(8, "little") + bytes(4) + bitmap
    padded = content + bytes(-len(content) % 4)
    return {
        "storageType": "i",
        "pathOrInlineDv": _z85(padded),
        "sizeInBytes": len(content),
        "cardinality": len(rows),
    }


def _z85(content: bytes) -> str:
    words = [int.from_bytes(content[n : n + 4], "big") for n in range(0, len(content), 4)]
    return "".join(LETTERS[word // 85**power % 85] for word in words for power in range(4, -1, -1))


# -- deletes of Iceberg by hand: its library for Python writes none --------------------------------


def delete_rows(lake: TableFormat, name: str, rows: Sequence[int], content: str) -> str:
    """Commit a file of deletes for the first data file of a table, and return that file's URL.

    Parameters
    ----------
    rows : sequence of int
        Positions of the rows.
    content : {"POSITION_DELETES", "EQUALITY_DELETES"}
    """
    from pyiceberg.manifest import (
        DataFile,
        DataFileContent,
        FileFormat,
        ManifestContent,
        ManifestEntry,
        ManifestEntryStatus,
        ManifestWriterV2,
    )
    from pyiceberg.table.snapshots import Operation
    from pyiceberg.table.update.snapshot import _FastAppendFiles

    class DeleteManifest(ManifestWriterV2):
        def content(self) -> Any:
            return ManifestContent.DELETES

        @property
        def _meta(self) -> dict[str, str]:
            return {**super()._meta, "content": "deletes"}

    with lake.open_catalog() as catalog:
        table = catalog.load_table(f"{lake.namespace}.{name}")
        target = next(iter(table.scan().plan_files())).file
        url = f"{table.location()}/data/deletes-{len(table.snapshots())}.parquet"
        ids = [{b"PARQUET:field_id": number} for number in (b"2147483546", b"2147483545")]
        schema = pa.schema(
            [
                pa.field("file_path", pa.string(), False, ids[0]),
                pa.field("pos", pa.int64(), False, ids[1]),
            ]
        )
        deletes = pa.table([[target.file_path] * len(rows), list(rows)], schema=schema)
        path = Path(url.removeprefix("file://"))
        pq.write_table(deletes, path)
        described = DataFile.from_args(
            content=DataFileContent[content],
            file_path=url,
            file_format=FileFormat.PARQUET,
            partition=target.partition,
            record_count=len(rows),
            file_size_in_bytes=path.stat().st_size,
            equality_ids=[1] if content == "EQUALITY_DELETES" else None,
        )
        described.spec_id = target.spec_id

        class WithDeletes(_FastAppendFiles):
            def _manifests(self) -> list[Any]:
                output = self.new_manifest_output()
                spec = self.spec(target.spec_id)
                with DeleteManifest(spec, self.schema(), output, self._snapshot_id, "null") as out:
                    out.add_entry(
                        ManifestEntry.from_args(
                            status=ManifestEntryStatus.ADDED,
                            snapshot_id=self._snapshot_id,
                            data_file=described,
                        )
                    )
                return [*self._existing_manifests(), out.to_manifest_file()]

        with table.transaction() as change, WithDeletes(Operation.DELETE, change, table.io):
            pass
        return str(target.file_path)
