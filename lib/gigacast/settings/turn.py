"""The settings of a run that a schedule or an arrival starts.

Three places, each stronger than the one before: the variables of the function (the parameters of
its stack), an object of the bucket in the form of a settings file, and the event.
"""

import os
from collections.abc import Mapping
from typing import Any

from gigacast.core.problem import Source, did_you_mean
from gigacast.core.record import decode_yaml
from gigacast.errors import ConfigError, ObjectNotFoundError
from gigacast.settings.assembly import addresses
from gigacast.settings.level import with_quantiles
from gigacast.settings.load import load_settings
from gigacast.settings.model import Settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress

VARIABLE = "RUN_SETTINGS"
"""Variable with the key of the settings object of events that name none."""
_KEYS = ("arguments", "settings", "time")
_FIXED = {
    "run": ("bucket", "prefix", "region", "endpoint_url", "executor"),
    "batch": ("stack",),
}
"""Settings of the deployment: an object must not lead its runs elsewhere."""


def load_turn(event: Mapping[str, Any]) -> Settings:
    """Return the settings of an event: variables, the object it names, and its arguments.

    Parameters
    ----------
    event : mapping
        ``arguments``: values by the names of flags. ``settings``: key below the prefix of an object
        in the form of ``config/settings.yaml``; by default the one that the variable
        ``RUN_SETTINGS`` names, if any.

    Raises
    ------
    ConfigError
        If the object is missing, or a key or value is wrong; the message names the object.
    """
    _check(event)
    arguments = nest_arguments(event.get("arguments") or {})
    key = event.get("settings") or os.environ.get(VARIABLE)
    if not key:
        return load_settings(arguments)
    _, root = addresses(load_settings().run.model_copy(update={"input_prefix": None}))
    stored = _read(root, key)
    try:
        return load_settings(_merged(stored, arguments))
    except ConfigError as error:
        raise ConfigError(f"{root.url}/{key}: {error.message}", hint=error.hint) from error


def _check(event: Mapping[str, Any]) -> None:
    for name in event:
        if name not in _KEYS:
            raise ConfigError(
                f"the event has an unknown key {name!r}",
                hint=did_you_mean(str(name), _KEYS) or f"one of {', '.join(_KEYS)}",
            )
    for name, kind in (("arguments", Mapping), ("settings", str)):
        value = event.get(name)
        if value is not None and not isinstance(value, kind):
            raise ConfigError(
                f"the event's {name}: {value!r} is of another type",
                hint='as {"settings": "settings/hourly.yaml", "arguments": {"horizon": 24}}',
            )


def _read(root: StoreAddress, key: str) -> dict[str, Any]:
    where = f"{root.url}/{key}"
    try:
        content = open_store(root).get(key)
    except ObjectNotFoundError as error:
        raise ConfigError(
            f"{where}: there is no such settings object",
            hint=f"aws s3 cp config/settings.yaml {where}",
        ) from error
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: not text in UTF-8") from error
    values = decode_yaml(text, Source(where, ConfigError))
    if values is None:  # only comments
        return {}
    if not isinstance(values, dict) or not all(
        section is None or isinstance(section, dict) for section in values.values()
    ):
        raise ConfigError(f"{where}: expected sections such as 'model:' with keys below them")
    for section, names in _FIXED.items():
        for name in names:
            if name in (values.get(section) or {}):
                raise ConfigError(
                    f"{where}: {section}.{name}: is that of the deployment",
                    hint="leave it out; inputs of another bucket: run.input_prefix",
                )
    model = values.get("model") or {}
    if model.get("model_type") is not None and model.get("model_path") is None:
        # A type alone is the model of the object: that of the stack must not win over it.
        values["model"] = {**model, "model_path": model["model_type"]}
    return with_quantiles(values)


def _merged(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of both, sections of both merged; the second wins."""
    merged = dict(weak)
    for name, value in strong.items():
        own = merged.get(name)
        both = isinstance(own, Mapping) and isinstance(value, Mapping)
        merged[name] = _merged(own, value) if both else value  # type: ignore[arg-type]
    return {name: value for name, value in merged.items() if value is not None}
