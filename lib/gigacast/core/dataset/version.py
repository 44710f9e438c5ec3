"""Semantic versions of datasets: their spelling, order and increments.

A version has a single spelling: ``v3``, ``v3.1``, ``v3.1.2``. Zeros at the end are left out, so
that ``v3.0.0`` and ``v3`` cannot be two folders.
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import total_ordering

from gigacast.errors import ConfigError

_VERSION = re.compile(r"v?(0|[1-9]\d{0,5})(?:\.(0|[1-9]\d{0,5}))?(?:\.(0|[1-9]\d{0,5}))?")


class Change(IntEnum):
    """Effect of a new version on the readers of the version before; larger is more disruptive."""

    PATCH = 0
    """Other values in the same columns."""
    MINOR = 1
    """More rows, more columns or wider types: programs that read the old version still work."""
    MAJOR = 2
    """Columns that are removed, narrower, of another kind or no longer filled."""


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A version: major, minor and patch.

    Examples
    --------
    >>> str(Version.parse("v3.1.0")), Version.parse("v3.10") > Version.parse("3.9.4")
    ('v3.1', True)
    """

    major: int
    minor: int = 0
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Return the version ``v3``, ``3.1`` or ``v3.1.2``.

        Raises
        ------
        ConfigError
            If the text is not a version.
        """
        version = cls.find(text)
        if version is None:
            raise ConfigError(f"{text!r} is not a version", hint="versions look like v3 or v3.1.2")
        return version

    @classmethod
    def find(cls, text: str) -> "Version | None":
        """Return the version that a text spells; ``None`` if it is not a version."""
        match = _VERSION.fullmatch(text)
        return cls(*(int(part or 0) for part in match.groups())) if match else None

    @property
    def _parts(self) -> tuple[int, int, int]:
        return (self.major, self.minor, self.patch)

    def __str__(self) -> str:
        parts = list(self._parts)
        while len(parts) > 1 and parts[-1] == 0:
            parts.pop()
        return "v" + ".".join(map(str, parts))

    def __lt__(self, other: "Version") -> bool:
        return self._parts < other._parts

    def next(self, change: Change) -> "Version":
        """Return the next version for a change of this kind."""
        if change is Change.MAJOR:
            return Version(self.major + 1)
        if change is Change.MINOR:
            return Version(self.major, self.minor + 1)
        return Version(self.major, self.minor, self.patch + 1)

    def raised_from(self, older: "Version") -> Change | None:
        """Return the part in which this version is above an older one; ``None`` if it is not."""
        if self <= older:
            return None
        if self.major > older.major:
            return Change.MAJOR
        return Change.MINOR if self.minor > older.minor else Change.PATCH
