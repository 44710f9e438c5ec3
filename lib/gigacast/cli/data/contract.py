"""The commands ``data validate`` and ``data infer``: check rows, infer contracts."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from gigacast.cli.data.command import (
    csv_column_options,
    dataset_argument,
    print_json,
    read_address,
    read_csv_columns,
    verify_option,
)
from gigacast.cli.flags import flags_of, place_options
from gigacast.cli.help import Command
from gigacast.core.contract.definition import Contract
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.exit import EXIT_FAILED
from gigacast.core.plural import counted
from gigacast.core.text import is_unprintable
from gigacast.datasets.check import RowSource, check_rows
from gigacast.datasets.describe import propose_contract
from gigacast.datasets.document import report_document
from gigacast.datasets.importing import local_source
from gigacast.datasets.resolve import find_contract, is_dataset, open_dataset
from gigacast.errors import ConfigError
from gigacast.report.terminal import say, show, show_json, show_source
from gigacast.settings.command.data import ContractOptions, InferOptions
from gigacast.settings.flag import take


@click.command(cls=Command)
@dataset_argument
@flags_of(ContractOptions)
@csv_column_options
@verify_option
@place_options
def validate(dataset: str, as_json: bool, **flags: Any) -> int:
    """Check DATASET, or a local file, against a contract; exit code 1 if it is broken.

    Without --schema the contract is the one the version was published with.
    """
    options = take(ContractOptions, flags)
    requested = find_contract(options.schema) if options.schema else None
    rows, location, published = _open_rows(dataset, flags, requested)
    contract = requested or published
    if contract is None:
        raise ConfigError(f"{dataset} was published without a contract", hint="give --schema")
    report = check_rows(rows, contract, options.mode)
    if as_json:
        print_json({**asdict(report), "ok": report.ok})
    else:
        show(report_document(report, location))
    return 0 if report.ok else EXIT_FAILED


@click.command(cls=Command)
@dataset_argument
@flags_of(InferOptions)
@csv_column_options
@verify_option
@place_options
def infer(dataset: str, as_json: bool, **flags: Any) -> None:
    """Propose a contract in YAML that DATASET, or a local file, satisfies; edit it by hand."""
    options = take(InferOptions, flags)
    rows, _, _ = _open_rows(dataset, flags)
    stem = Path(dataset).name.partition(".")[0]
    contract, text = propose_contract(options.name or stem, rows)
    if as_json:
        text = json.dumps(contract.to_dict(), indent=1)
    if (output := options.output) is None:
        # JSON is YAML as well, and escapes what must not reach a terminal.
        if as_json or is_unprintable(text):
            show_json(contract.to_dict(), is_ascii=as_json)
        else:
            show_source(text.rstrip())
    else:
        output.write_text(text, encoding="utf-8")
        columns = counted(len(contract.columns), "column")
        say(f"wrote {output}: the contract {contract.name!r}, {columns}", err=True)


def _open_rows(
    dataset: str, flags: dict[str, Any], contract: Contract | None = None
) -> tuple[RowSource, str, Contract | None]:
    """Return the rows of a dataset or local file, their location, and the dataset's contract."""
    path = Path(dataset)
    if path.exists() and not is_dataset(dataset):
        return (
            local_source(path, replace(read_csv_columns(flags), contract=contract)),
            str(path),
            None,
        )
    return open_dataset(read_address(flags).open(), DatasetRef.parse(dataset))
