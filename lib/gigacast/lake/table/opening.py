"""The opening of a table as a store of its partitions."""

from dataclasses import replace

from gigacast.errors import ConfigError, DataNotFoundError, SchemaError
from gigacast.lake.table.address import TableAddress
from gigacast.lake.table.content import TableContent
from gigacast.lake.table.delta import pin_delta, read_delta
from gigacast.lake.table.iceberg import pin_iceberg, read_iceberg, with_metadata
from gigacast.lake.table.place import S3_SCHEMES, TablePlaces, is_remote
from gigacast.lake.table.store import TableStore
from gigacast.storage.store import StoreAddress


def pin_table(address: StoreAddress) -> StoreAddress:
    """Return the address of the snapshot that the address of a table stands for now.

    Raises
    ------
    ConfigError, DataNotFoundError, MissingExtraError, StorageError
    """
    table = TableAddress.parse(address.url)
    pin = pin_iceberg if table.kind == "iceberg" else pin_delta
    return replace(address, url=pin(table, address).url)


def pin_for_others(address: StoreAddress) -> StoreAddress:
    """Return the address of a snapshot as other machines open it, which have no catalog.

    Raises
    ------
    ConfigError
        If the table is on this machine.
    DataNotFoundError, MissingExtraError, StorageError
    """
    pinned = pin_table(address)
    table = TableAddress.parse(pinned.url)
    if table.kind == "iceberg":
        table = with_metadata(table, pinned)
    place = table.metadata if table.metadata is not None else table.folder
    if place.partition("://")[0] not in S3_SCHEMES:
        raise ConfigError(
            f"{table.name} is at {place}, out of reach of other machines",
            hint="use a table in a bucket of S3, or --executor joblib",
        )
    return replace(address, url=table.url)


def check_reach(content: TableContent, address: TableAddress) -> None:
    """Refuse a table in a bucket that names files of this machine.

    Raises
    ------
    SchemaError
    """
    # Whoever may write to the bucket must not choose which files of this machine are read.
    if not is_remote(content.location):
        return
    urls = (u for f in content.files for u in (f.url, *(deletes.url for deletes in f.deletes)))
    local = next((url for url in urls if not is_remote(url)), None)
    if local is not None:
        raise SchemaError(
            f"{address.name} is in a bucket and names {local}, a file of this machine",
            hint="find out who has written the table",
        )


def open_table(address: StoreAddress) -> TableStore:
    """Open a table as a store of its partitions.

    Raises
    ------
    ConfigError, DataNotFoundError, MissingExtraError, SchemaError, StorageError
    """
    pinned = pin_table(address)
    table = TableAddress.parse(pinned.url)
    read = read_iceberg if table.kind == "iceberg" else read_delta
    content = read(table, pinned)
    if not content.files:
        raise DataNotFoundError(f"{pinned.url} has no rows", hint="read a later snapshot")
    check_reach(content, table)
    return TableStore(pinned, content, TablePlaces(address.endpoint_url, address.region))
