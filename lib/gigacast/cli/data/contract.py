"""The commands ``data validate`` and ``data infer``: check rows, infer contracts."""

import json
from pathlib import Path
from typing import Any

import click

from gigacast.cli.data.command import (
    dataset_argument,
    find_contract,
    is_dataset,
    mode_option,
    open_lake,
    placed,
    print_json,
    schema_option,
)
from gigacast.cli.data.view import report_document, report_json
from gigacast.core.contract.definition import Contract, Mode, format_contract
from gigacast.core.contract.inference import infer_contract
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.exit import EXIT_FAILED
from gigacast.datasets.check import RowSource, check_rows
from gigacast.datasets.importing import local_source
from gigacast.datasets.resolve import contract_in, rows_in
from gigacast.errors import ConfigError
from gigacast.report.terminal import say, show


@click.command()
@dataset_argument
@schema_option
@mode_option
@placed
def validate(dataset: str, schema: str | None, mode: str, as_json: bool, **given: Any) -> int:
    """Check DATASET, or a local file, against a contract; exit code 1 if it is broken.

    Without --schema the contract is the one the version was published with.
    """
    requested = find_contract(schema) if schema else None
    rows, where, promised = _open_rows(dataset, given, requested)
    contract = requested or promised
    if contract is None:
        raise ConfigError(f"{dataset} was published without a contract", hint="give --schema")
    report = check_rows(rows, contract, Mode(mode))
    if as_json:
        print_json(report_json(report))
    else:
        show(report_document(report, where))
    return 0 if report.ok else EXIT_FAILED


@click.command()
@dataset_argument
@click.option("--name", help="Of the contract; the dataset's when absent.")
@click.option("--output", type=click.Path(path_type=Path), help="Write it to this file.")
@placed
def infer(dataset: str, name: str | None, output: Path | None, as_json: bool, **given: Any) -> None:
    """Propose a contract that DATASET, or a local file, keeps: YAML, to be tightened."""
    rows, _, _ = _open_rows(dataset, given)
    stem = Path(dataset).name.partition(".")[0]
    contract = infer_contract(name or stem, rows.schema, rows.open(None))
    text = json.dumps(contract.to_dict(), indent=1) if as_json else format_contract(contract)
    if output is None:
        click.echo(text.rstrip())
    else:
        output.write_text(text, encoding="utf-8")
        columns = len(contract.columns)
        say(f"wrote {output}: the contract {contract.name!r}, {columns} columns", err=True)


def _open_rows(
    dataset: str, given: dict[str, Any], contract: Contract | None = None
) -> tuple[RowSource, str, Contract | None]:
    """Return the rows of a dataset or local file, its name, and the contract of the dataset."""
    path = Path(dataset)
    if path.exists() and not is_dataset(dataset):
        return local_source(path, contract), str(path), None
    lake, ref = open_lake(given), DatasetRef.parse(dataset)
    rows = rows_in(lake, ref)
    source = RowSource(rows.schema, rows.read, rows.read_files)
    return source, rows.where, contract_in(lake, ref)
