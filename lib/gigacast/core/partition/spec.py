"""The spec: everything besides the input that changes the forecasts or their form."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gigacast.core.digest import digest_value
from gigacast.errors import ConfigError

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SPEC_ID = re.compile(r"h(?P<horizon>[0-9]+)-q[0-9]+-[0-9a-f]{8}")


def check_segment(text: str, role: str) -> str:
    """Return a text if it is safe as a segment of a key.

    Raises
    ------
    ConfigError
        If it contains anything but letters, digits, ``.``, ``_`` and ``-``; the message begins
        with ``role``.
    """
    if _SEGMENT.fullmatch(text) is None:
        raise ConfigError(
            f"{role} {text!r} cannot be part of a key",
            hint="use letters, digits, '.', '_' and '-', and start with a letter or digit",
        )
    return text


def horizon_of_spec(spec_id: str) -> int | None:
    """Return the horizon in the id of a spec; ``None`` if the text is not such an id."""
    match = _SPEC_ID.fullmatch(spec_id)
    return int(match["horizon"]) if match else None


@dataclass(frozen=True)
class Spec:
    """A resolved spec, without ``auto`` or ``ACTIVE``.

    The horizon may differ between partitions (file names can contain it), so it is an argument of
    `id` and not a field.

    Parameters
    ----------
    model, version : str
        Model and version, which are segments of the output keys.
    levels : tuple of float
        Quantile levels.
    fields : mapping
        All other JSON-able values that change the forecasts; see `gigacast.job.spec`.
    long_fields : mapping
        Further ones that change only those of horizons beyond ``trained_steps``; none by default.
    trained_steps : int
        Horizon that the model was trained for.
    """

    model: str
    version: str
    levels: tuple[float, ...]
    fields: Mapping[str, object]
    long_fields: Mapping[str, object] = field(default_factory=dict)
    trained_steps: int = 0

    def __post_init__(self) -> None:
        check_segment(self.model, "model name")
        check_segment(self.version, "model version")

    def id(self, horizon: int) -> str:
        """Return the id of the spec for a horizon, such as ``h15-q9-3fa9c2d1``."""
        # The head is for people who read keys; the digest of eight hex digits makes it unique.
        digest = digest_value(self.describe(horizon), length=8)
        return f"h{horizon}-q{len(self.levels)}-{digest}"

    def describe(self, horizon: int) -> dict[str, object]:
        """Return the complete spec as a JSON-able mapping, from which `id` computes the digest."""
        return {
            "model": self.model,
            "version": self.version,
            "levels": list(self.levels),
            "horizon": horizon,
            **self.fields,
            # Only where they change numbers: shorter forecasts keep their spec, and stay done.
            **(self.long_fields if horizon > self.trained_steps else {}),
        }
