"""Contracts of cleaned rows: conversion to their types, and removal of rows that break a rule.

Cleaning itself ensures the order of rows and unique keys, so these rules are not checked again.
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from gigacast.core.array import BoolArray
from gigacast.core.contract.cast import plain_type, target_type
from gigacast.core.contract.check import ContractCheck
from gigacast.core.contract.definition import Column, Contract, Mode
from gigacast.errors import DataTypeValidationError, MissingRequiredColumnError
from gigacast.quality.measures import Compliance
from gigacast.quality.partition import plain_schema


class ContractFilter:
    """Finds the rows that keep a contract, and counts the others.

    Parameters
    ----------
    contract : Contract
    schema : pa.Schema
        Schema of the rows, in the types of the contract.
    keys : set of str
        Key columns, which have a value in every cleaned row. They are checked only if the contract
        has a rule for their values.

    Attributes
    ----------
    dropped : int
        Number of rows that break a rule.
    """

    def __init__(self, contract: Contract, schema: pa.Schema, keys: set[str]) -> None:
        # Unique keys and order are left out of the check: cleaning itself ensures them.
        bare = tuple(
            replace(column, unique=False)
            for column in contract.columns
            if column.name not in keys or _has_value_rule(column, contract)
        )
        self.dropped = 0
        self._contract = replace(contract, columns=bare, unique=(), ordered_by=())
        self._columns = len(contract.columns)
        names = [name for name in schema.names if self._contract.column(name) is not None]
        self._schema = plain_schema(pa.schema([schema.field(name) for name in names]))
        self._check = ContractCheck(self._contract, self._schema, Mode.COERCE)

    @classmethod
    def of(
        cls, contract: Contract | None, schema: pa.Schema, keys: set[str]
    ) -> "ContractFilter | None":
        """Return the filter of a contract; ``None`` without a contract."""
        return None if contract is None else cls(contract, schema, keys)

    def find_good(self, rows: pa.RecordBatch) -> BoolArray:
        """Return which rows keep the contract, bool [R], and count the others."""
        _, good = self._check.add(rows.select(self._schema.names).cast(self._schema))
        self.dropped += int(len(good) - np.count_nonzero(good))
        return good

    def compliance(self) -> Compliance:
        """Return the compliance of the rows before filtering; the remaining rows break no rule."""
        report = self._check.report()
        return Compliance(
            contract=self._contract.name,
            # Rows that broke a rule were dropped and are not in the cleaned file.
            bad_rows=0,
            columns=self._columns,
            bad_columns=0,
            violations=tuple(
                {"column": v.column, "rule": v.rule, "count": v.count, "detail": v.detail}
                for v in report.violations
            ),
        )


def _has_value_rule(column: Column, contract: Contract) -> bool:
    """Return whether a contract has a rule for the values of a column."""
    limits = (column.minimum, column.maximum, column.allowed)
    named = any(column.name in rule.columns for rule in contract.rules)
    return named or any(limit is not None for limit in limits)


def contract_types(
    contract: Contract | None, schema: pa.Schema, timestamp: str, partition: str
) -> dict[str, pa.DataType]:
    """Return the types to convert columns to, for those whose type is not the contract's.

    Raises
    ------
    MissingRequiredColumnError
        If a required column is missing.
    DataTypeValidationError
        If a column cannot be converted to the type of the contract.
    """
    targets: dict[str, pa.DataType] = {}
    for column in contract.columns if contract is not None else ():
        if column.name not in schema.names:
            if column.required:
                raise MissingRequiredColumnError(
                    f"{partition}: the contract requires the column {column.name!r}",
                    hint=f"it has {', '.join(schema.names[:20])}",
                )
            continue
        if column.name == timestamp:
            continue  # the clock of the partition converts times
        kind = schema.field(column.name).type
        target = target_type(column, kind, Mode.COERCE)
        if target is None:
            raise DataTypeValidationError(
                f"{partition}: {column.name} is {kind}, the contract requires {column.type}"
            )
        if target != plain_type(kind):
            targets[column.name] = target
    return targets
