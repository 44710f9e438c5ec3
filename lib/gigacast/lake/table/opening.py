"""The opening of a table as a store of its partitions."""

from dataclasses import replace

from gigacast.errors import DataNotFoundError
from gigacast.lake.table.address import TableAddress
from gigacast.lake.table.delta import pin_delta, read_delta
from gigacast.lake.table.iceberg import pin_iceberg, read_iceberg
from gigacast.lake.table.place import FilePlaces
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
    return TableStore(pinned, content, FilePlaces(address.endpoint_url, address.region))
