"""The configuration of a deployment, config/aws.yaml, and the parameters of the templates."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gigacast.batch.night import plan_steps
from gigacast.errors import ConfigError
from infra.clock import Clock

ROOT = Path(__file__).parents[1]
TEMPLATES = ("storage", "network", "batch", "schedule", "features", "nightly", "observe")
FLAVOURS = {
    "cpu": "CpuImage",
    "gpu": "GpuImage",
    "planner": "PlannerImage",
    "jobs": "JobsImage",
}
_KEYS = {
    "name": str,
    "region": str,
    "vpc_id": str,
    "subnet_ids": list,
    "route_table_ids": list,
    "endpoints": str,
    "bucket": str,
    "prefix": str,
    "kms_key": str,
    "input_bucket": str,
    "input_prefix": str,
    "input_kms_key": str,
    "cpu_torch_index": str,
    "gpu_torch_index": str,
    "schedules": list,
    "nightly": list,
    "parameters": dict,
}
_OWN = {
    *("Name", "Prefix", "Bucket", "VpcId", "SubnetIds", "RouteTableIds", "Endpoints"),
    *("SecurityGroup", "Repository", *FLAVOURS.values(), "EndpointSubnetIds", "WatchAge"),
    *("KmsKey", "InputBucket", "InputPrefix", "InputKmsKey", "NightlyJobs"),
}
"""Parameters of the templates that the deployment sets itself."""
_TEXTS = {
    "bucket": "Bucket",
    "kms_key": "KmsKey",
    "input_bucket": "InputBucket",
    "input_prefix": "InputPrefix",
    "input_kms_key": "InputKmsKey",
}
"""Parameters of the templates by the keys of the configuration."""
_REQUIRED = {"name", "region", "vpc_id", "subnet_ids"}


@dataclass(frozen=True)
class Deployment:
    """The content of config/aws.yaml.

    Parameters
    ----------
    name, region, prefix : str
        Name of the deployment, its region, and the prefix in its bucket.
    cpu_torch_index, gpu_torch_index : str
        Package index with torch for CPUs, and for the CUDA of the GPU machines; empty for pip's
        usual index.
    parameters : mapping of str
        Parameters of the templates, by name.
    clocks : tuple of Clock
        Schedules in addition to that of the parameters.
    """

    name: str
    region: str
    prefix: str
    cpu_torch_index: str
    gpu_torch_index: str
    parameters: Mapping[str, str]
    clocks: tuple[Clock, ...] = ()

    @classmethod
    def read(cls, file: Path) -> "Deployment":
        """Read a configuration file.

        Raises
        ------
        ConfigError
            If a key is unknown, missing or of another type; the message names it.
        """
        try:
            values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        except FileNotFoundError as error:
            raise ConfigError(f"{file}: no such configuration file") from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: can't be read: {error}") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error
        _check(file, values)
        prefix = str(values.get("prefix") or "")
        if prefix and not prefix.endswith("/"):
            prefix += "/"
        network = {
            "VpcId": values["vpc_id"],
            "SubnetIds": ",".join(values["subnet_ids"]),
            "RouteTableIds": ",".join(values.get("route_table_ids") or []),
            "Endpoints": values.get("endpoints") or "no",
        }
        extra = {k: _as_parameter(v) for k, v in (values.get("parameters") or {}).items()}
        own = {"Name": values["name"], "Prefix": prefix}
        for key, name in _TEXTS.items():
            own[name] = values.get(key) or ""
        own["NightlyJobs"] = json.dumps(values.get("nightly") or [])
        return cls(
            name=values["name"],
            region=values["region"],
            prefix=prefix,
            cpu_torch_index=values.get("cpu_torch_index") or "",
            gpu_torch_index=values.get("gpu_torch_index") or "",
            parameters={**extra, **network, **own},
            clocks=tuple(Clock.read(file, entry) for entry in values.get("schedules") or ()),
        )

    @property
    def flavours(self) -> list[str]:
        """Images of the deployment: that of the nights only if there are any."""
        features = self.parameters.get("NightlyFeatures")
        has_nights = bool(features) or self.parameters.get("NightlyJobs", "[]") != "[]"
        return [name for name in FLAVOURS if name != "jobs" or has_nights]


def _check(file: Path, values: Any) -> None:
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: expected keys such as 'name:', got {type(values).__name__}")
    for key in sorted(set(values) - set(_KEYS)):
        raise ConfigError(f"{file}: {key}: unknown key", hint=f"one of {', '.join(_KEYS)}")
    for key, kind in _KEYS.items():
        value = values.get(key)
        if not value and key in _REQUIRED:
            raise ConfigError(f"{file}: {key}: missing", hint="fill it in, and deploy again")
        if value is not None and not isinstance(value, kind):
            raise ConfigError(f"{file}: {key}: {value!r} is not a {kind.__name__}")
        is_texts = kind is list and key != "schedules"
        if is_texts and any(not isinstance(entry, str) for entry in value or ()):
            raise ConfigError(f"{file}: {key}: {value!r} is not a list of texts")
    # The gateway endpoint of S3 works by entries in route tables.
    if values.get("endpoints") not in {None, "no"} and not values.get("route_table_ids"):
        raise ConfigError(
            f"{file}: route_table_ids: missing",
            hint="the endpoint of S3 needs the route tables of the subnets",
        )
    if (values.get("input_prefix") or values.get("input_kms_key")) and not values.get(
        "input_bucket"
    ):
        raise ConfigError(f"{file}: input_bucket: missing", hint="inputs of which bucket?")
    # What a night would say at two o'clock is said here.
    try:
        plan_steps(values.get("nightly") or [], [], "2024-01-31")
    except ConfigError as error:
        raise ConfigError(f"{file}: {error.message}", hint=error.hint) from error
    _check_parameters(file, values.get("parameters") or {})


def _check_parameters(file: Path, parameters: Mapping[str, Any]) -> None:
    names = set().union(*(parameters_of(name) for name in TEMPLATES))
    for key in sorted(parameters):
        if key in _OWN:
            raise ConfigError(
                f"{file}: parameters.{key}: is set by the deployment itself",
                hint=f"use the keys outside of parameters: {', '.join(_KEYS)}",
            )
        if key not in names:
            raise ConfigError(f"{file}: parameters.{key}: no template has this parameter")


def _as_parameter(value: Any) -> str:
    """Return a value as a CloudFormation parameter."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def template_file(name: str) -> Path:
    """Return the path of a template."""
    return ROOT / "infra" / f"{name}.yaml"


def parameters_of(name: str) -> dict[str, Any]:
    """Return the parameters of a template and their definitions."""

    class Loader(yaml.SafeLoader):
        """Loads a template without its functions (``!Sub`` and others), which become null."""

    Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
    content = yaml.load(template_file(name).read_text(), Loader)  # noqa: S506 - a SafeLoader
    parameters: dict[str, Any] = content["Parameters"]
    return parameters
