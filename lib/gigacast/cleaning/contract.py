"""Cleaned rows held against a contract: those that break a rule go.

What cleaning has settled itself, the order of rows and that no key comes twice, is not asked again.
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
    """Tells good rows from others, and counts these.

    Parameters
    ----------
    contract : Contract
    schema : pa.Schema
        Of the rows, in the contract's types.
    keys : set of str
        Columns that every row has by now; they are looked at only where values are asked for.

    Attributes
    ----------
    dropped : int
    """

    def __init__(self, contract: Contract, schema: pa.Schema, keys: set[str]) -> None:
        bare = tuple(
            replace(column, unique=False)
            for column in contract.columns
            if column.name not in keys or _is_asked(column, contract)
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
        """Return the filter of a contract, where there is one."""
        return None if contract is None else cls(contract, schema, keys)

    def find_good(self, rows: pa.RecordBatch) -> BoolArray:
        """Return which rows are good; those that are not are counted."""
        _, good = self._check.add(rows.select(self._schema.names).cast(self._schema))
        self.dropped += int(len(good) - np.count_nonzero(good))
        return good

    def compliance(self) -> Compliance:
        """Return what was found: of the rows that came, not of those that are left."""
        report = self._check.report()
        return Compliance(
            contract=self._contract.name,
            bad_rows=0,
            columns=self._columns,
            bad_columns=0,
            violations=tuple(
                {"column": v.column, "rule": v.rule, "count": v.count, "detail": v.detail}
                for v in report.violations
            ),
        )


def _is_asked(column: Column, contract: Contract) -> bool:
    """Whether a contract looks at the values of a column."""
    limits = (column.minimum, column.maximum, column.allowed)
    named = any(column.name in rule.columns for rule in contract.rules)
    return named or any(limit is not None for limit in limits)


def contract_types(
    contract: Contract | None, schema: pa.Schema, timestamp: str, where: str
) -> dict[str, pa.DataType]:
    """Return the types that a contract wants columns to be converted to.

    Raises
    ------
    MissingRequiredColumnError
        When a required column is not there.
    DataTypeValidationError
        When a column cannot be of the contract's type.
    """
    targets: dict[str, pa.DataType] = {}
    for column in contract.columns if contract is not None else ():
        if column.name not in schema.names:
            if column.required:
                raise MissingRequiredColumnError(
                    f"{where}: the contract requires the column {column.name!r}",
                    hint=f"it has {', '.join(schema.names[:20])}",
                )
            continue
        if column.name == timestamp:
            continue  # made of what is there, by the rules for times
        found = schema.field(column.name).type
        target = target_type(column, found, Mode.COERCE)
        if target is None:
            raise DataTypeValidationError(
                f"{where}: {column.name} is {found}, the contract wants {column.type}"
            )
        if target != plain_type(found):
            targets[column.name] = target
    return targets
