"""The spec: all besides the input that changes the numbers or their form."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gigacast.core.digest import digest_value
from gigacast.errors import ConfigError

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SPEC_ID = re.compile(r"h(?P<horizon>[0-9]+)-q[0-9]+-[0-9a-f]{8}")


def check_segment(text: str, what: str) -> str:
    """Return ``text`` when it is safe as one segment of a key.

    Raises
    ------
    ConfigError
        When it holds anything but letters, digits, ``.``, ``_`` and ``-``.
    """
    if _SEGMENT.fullmatch(text) is None:
        raise ConfigError(
            f"{what} {text!r} cannot be part of a key",
            hint="use letters, digits, '.', '_' and '-', and start with a letter or digit",
        )
    return text


def horizon_of_spec(spec_id: str) -> int | None:
    """Return the horizon a spec's id names; ``None`` when it is no spec id."""
    match = _SPEC_ID.fullmatch(spec_id)
    return int(match["horizon"]) if match else None


@dataclass(frozen=True)
class Spec:
    """One way of forecasting, resolved: nothing in it is ``auto`` or ``ACTIVE``.

    The horizon may differ by partition (file names can carry it), so it is not a field: `id` takes
    it.

    Parameters
    ----------
    model, version : str
        Segments of the output keys.
    levels : tuple of float
        Quantile levels.
    fields : mapping
        Everything else that counts, JSON-able; see ``pipeline.spec``.
    """

    model: str
    version: str
    levels: tuple[float, ...]
    fields: Mapping[str, object]

    def __post_init__(self) -> None:
        check_segment(self.model, "model name")
        check_segment(self.version, "model version")

    def id(self, horizon: int) -> str:
        """Return the readable head and the digest, as ``h15-q9-3fa9c2d1``."""
        digest = digest_value(self.describe(horizon), length=8)
        return f"h{horizon}-q{len(self.levels)}-{digest}"

    def describe(self, horizon: int) -> dict[str, object]:
        """Return the whole spec as a JSON-able mapping; what `id` is the digest of."""
        return {
            "model": self.model,
            "version": self.version,
            "levels": list(self.levels),
            "horizon": horizon,
            **self.fields,
        }
