"""The public functions for contracts: register, load, infer, and check or filter data by them."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import pandas as pd

from gigacast.core.contract.definition import (
    Column,
    Contract,
    Mode,
    format_contract,
    parse_contract,
)
from gigacast.core.contract.drift import Drift
from gigacast.core.contract.inference import infer_contract
from gigacast.core.contract.predefined import PREDEFINED
from gigacast.core.contract.report import ContractReport
from gigacast.core.contract.sample import sample_rows
from gigacast.datasets.api.form import Data, Path_, frame_of, table_of
from gigacast.datasets.check import filter_table, validate_table
from gigacast.datasets.describe import drift_of_versions
from gigacast.datasets.resolve import open_manifest, open_rows, plain_location
from gigacast.errors import ConfigError
from gigacast.settings.argument import checked
from gigacast.storage.opening import open_store

Schema: TypeAlias = Contract | str
"""A contract, or the name of a registered one."""

DataSchema: TypeAlias = Contract
ColumnSchema: TypeAlias = Column
_registry: dict[str, Contract] = {contract.name: contract for contract in PREDEFINED}
SCHEMA_REGISTRY: Mapping[str, Contract] = MappingProxyType(_registry)
"""The registered contracts by name; `register_schema` adds to it."""


@checked
def get_schema(name: str) -> Contract:
    """Return a registered contract. ``ohlcv``, ``price_volatility``, ... come with the package.

    Raises
    ------
    ConfigError
        If no contract has this name.
    """
    contract = _registry.get(name.lower().removesuffix("_schema"))
    if contract is None:
        names = ", ".join(sorted(_registry))
        raise ConfigError(f"no schema {name!r} is registered", hint=f"there are: {names}")
    return contract


@checked
def register_schema(schema: Contract, name: str | None = None, *, replace: bool = False) -> None:
    """Register a contract in this process, under its own or another name.

    Raises
    ------
    ConfigError
        If another contract has the name and ``replace`` is False.
    """
    key = (name or schema.name).lower().removesuffix("_schema")
    if not replace and _registry.get(key, schema) != schema:
        raise ConfigError(f"another schema {key!r} is registered", hint="give replace=True")
    _registry[key] = schema


@checked
def load_schema(path: Path_) -> Contract:
    """Read a contract from a YAML file: local, on S3 or in memory.

    Raises
    ------
    ConfigError
        If the file is not a contract.
    """
    location = plain_location(path)
    return parse_contract(open_store(location.address).get(location.key), str(path))


@checked
def save_schema(schema: Schema, path: Path_) -> None:
    """Write a contract as a YAML file: local, on S3 or in memory."""
    location = plain_location(path)
    open_store(location.address).put(location.key, format_contract(contract_of(schema)).encode())


@checked
def infer_schema(path: Path_, name: str | None = None) -> Contract:
    """Return a contract that all rows of a file or dataset keep, as a draft to be tightened.

    Raises
    ------
    DataNotFoundError, CorruptedFileError
    """
    rows = open_rows(path)
    return infer_contract(name or Path(str(path)).stem, rows.schema, rows.read())


@checked
def generate_data(schema: Schema, rows: int, seed: int = 0) -> pd.DataFrame:
    """Return random rows that keep a contract.

    Raises
    ------
    ConfigError
        If no such rows are found.
    """
    return frame_of(sample_rows(contract_of(schema), rows, seed))


@checked
def validate_data(data: Data, schema: Schema, mode: str | Mode = Mode.STRICT) -> pd.DataFrame:
    """Return data in the types of a contract.

    Raises
    ------
    SchemaMismatchError
        If a row breaks the contract. Its ``violations`` have column, rule, count and sample rows.
    """
    return frame_of(
        validate_table(table_of(data), contract_of(schema), mode_of(mode), title="the data")
    )


@checked
def filter_data(
    data: Data, schema: Schema, mode: str | Mode = Mode.STRICT
) -> tuple[pd.DataFrame, ContractReport]:
    """Return the rows that keep a contract, and a report on the others."""
    good, report = filter_table(table_of(data), contract_of(schema), mode_of(mode))
    return frame_of(good), report


@checked
def schema_drift(old: Path_, new: Path_) -> list[Drift]:
    """Return the changes between two versions of a dataset, field by field.

    Raises
    ------
    DataNotFoundError
    """
    return drift_of_versions(open_manifest(old), open_manifest(new))


@checked
def contract_of(schema: Schema) -> Contract:
    """Return a contract from itself or its name."""
    return get_schema(schema) if isinstance(schema, str) else schema


@checked
def mode_of(mode: str | Mode) -> Mode:
    """Return a mode from itself or its name.

    Raises
    ------
    ConfigError
        If no mode has this name.
    """
    try:
        return Mode(str(mode).lower())
    except ValueError as error:
        raise ConfigError(
            f"mode: there is no {mode!r}", hint=f"one of {', '.join(Mode)}"
        ) from error


class SchemaValidator:
    """Checks data against a contract.

    Parameters
    ----------
    schema : Contract or str
    mode : {"strict", "coerce", "ignore"}
    """

    def __init__(self, schema: Schema, mode: str | Mode = Mode.STRICT) -> None:
        self.schema = contract_of(schema)
        self.mode = mode_of(mode)

    def validate(self, data: Data) -> pd.DataFrame:
        """Return data in the types of the contract; see `validate_data`."""
        return validate_data(data, self.schema, self.mode)

    def report(self, data: Data) -> ContractReport:
        """Return what breaks the contract, without raising."""
        return filter_data(data, self.schema, self.mode)[1]
