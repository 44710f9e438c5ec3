"""Contracts as YAML: what people edit and keep beside the code.

Imports ``errors``, ``core`` and yaml.
"""

from typing import Any

import yaml

from gigacast.core.contract import Contract
from gigacast.errors import ConfigError


def parse_contract(text: str | bytes, where: str) -> Contract:
    """Read a contract from YAML (or JSON, which is YAML); no code in it is ever run.

    Raises
    ------
    ConfigError
        Naming what is wrong, and where.
    """
    try:
        values: Any = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{where}: not valid YAML: {reason}") from error
    try:
        return Contract.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", hint=error.hint) from error


def format_contract(contract: Contract) -> str:
    """Return a contract as YAML; reading it gives the same contract."""
    return yaml.safe_dump(contract.to_dict(), sort_keys=False, allow_unicode=True, width=100)
