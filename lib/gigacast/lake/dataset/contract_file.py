"""Contracts as YAML: what people edit and keep beside the code. Other files of theirs too."""

from typing import Any

import yaml

from gigacast.core.contract.definition import Contract
from gigacast.errors import ConfigError


def parse_contract(text: str | bytes, where: str) -> Contract:
    """Read a contract from YAML (or JSON, which is YAML); no code in it is ever run.

    Raises
    ------
    ConfigError
        Naming what is wrong, and where.
    """
    values = parse_yaml(text, where)
    try:
        return Contract.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", hint=error.hint) from error


def parse_yaml(text: str | bytes, where: str) -> Any:
    """Read YAML as plain values; no code in it is ever run.

    Raises
    ------
    ConfigError
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{where}: not valid YAML: {reason}") from error


def format_yaml(values: Any) -> str:
    """Return plain values as YAML, in their order."""
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    return text


def format_contract(contract: Contract) -> str:
    """Return a contract as YAML; reading it gives the same contract."""
    return format_yaml(contract.to_dict())
