"""The tables that settings name, as inputs and for results."""

from dataclasses import replace
from pathlib import Path

from gigacast.errors import ConfigError
from gigacast.lake.table.address import TableAddress, TableTarget
from gigacast.settings.run import RunSettings
from gigacast.storage.opening import unescape_file_url
from gigacast.storage.store import StoreAddress


def table_url(url: str, root: StoreAddress) -> str:
    """Return the address of a table in one spelling.

    The place of a Delta table may be a folder below the root, as those of other inputs.

    Raises
    ------
    ConfigError
        If the URL names no table.
    """
    table = TableAddress.parse(url)
    if table.kind == "iceberg" or table.place.startswith("/"):
        return table.url
    if table.place.startswith(("~/", "./", "../")):
        # A folder from here, as in the address of a bucket.
        return replace(table, place=str(Path(table.place).expanduser().resolve())).url
    place = table.place if "://" in table.place else root.child(table.place).url
    plain = unescape_file_url(place).removeprefix("file://").removeprefix("localhost")
    return replace(table, place=plain.rstrip("/")).url


def table_of(run: RunSettings, root: StoreAddress) -> TableTarget | None:
    """Return the table that results are written to; ``None`` if the settings name none.

    Raises
    ------
    ConfigError
        If the address names no table, or has options.
    """
    if run.output_table is None:
        return None
    url = table_url(run.output_table, root)
    if url != TableAddress.parse(url).name:
        raise ConfigError(
            f"run.output_table: {url!r} has options, which are for reading",
            hint="leave out what follows the question mark",
        )
    return TableTarget(StoreAddress(url, run.endpoint_url, run.region), run.output_table_mode)
