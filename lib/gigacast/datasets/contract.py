"""Contracts of datasets: found by name or file, written as YAML, checked and inferred from rows."""

from pathlib import Path

from gigacast.core.contract.definition import Contract, format_contract, parse_contract
from gigacast.core.contract.inference import infer_contract
from gigacast.core.contract.predefined import PREDEFINED
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets.check import RowSource
from gigacast.datasets.resolve import contract_in, rows_in
from gigacast.errors import ConfigError
from gigacast.lake.dataset.catalog import Lake


def find_contract(name: str) -> Contract:
    """Return a predefined contract by its name, or a contract from a YAML file by its path.

    Raises
    ------
    ConfigError
        If there is neither, or the file is not a contract.
    """
    for contract in PREDEFINED:
        if contract.name == name.lower():
            return contract
    path = Path(name)
    if not path.is_file():
        names = ", ".join(contract.name for contract in PREDEFINED)
        raise ConfigError(f"--schema: there is no file {name}", hint=f"a YAML file, or {names}")
    return parse_contract(path.read_bytes(), name)


def open_dataset(lake: Lake, ref: DatasetRef) -> tuple[RowSource, str, Contract | None]:
    """Return the rows of a dataset, their location, and the contract it was published with.

    Raises
    ------
    DataNotFoundError, DatasetIntegrityError
    """
    rows = rows_in(lake, ref)
    source = RowSource(rows.schema, rows.read, rows.read_files)
    return source, rows.where, contract_in(lake, ref)


def propose_contract(name: str, rows: RowSource) -> tuple[Contract, str]:
    """Return a contract that rows keep, and its text in YAML."""
    contract = infer_contract(name, rows.schema, rows.open(None))
    return contract, format_contract(contract)
