"""What was written where settings were read from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Written:
    """What was written where settings were read from.

    Parameters
    ----------
    arguments : mapping
        Arguments by section, see `gigacast.settings.options.nest_arguments`.
    file : Path, optional
        Settings file.
    content : mapping
        Content of the file.
    """

    # Settings with the same values are equal, wherever they were written.
    arguments: Mapping[str, Any] = field(default_factory=dict, compare=False)
    file: Path | None = field(default=None, compare=False)
    content: Mapping[str, Any] = field(default_factory=dict, compare=False)
