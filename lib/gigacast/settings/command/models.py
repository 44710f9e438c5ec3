"""Flags of the group `models`."""

from dataclasses import dataclass

from gigacast.settings.command.common import (
    AT_LEAST_ONE,
    DeletionOption,
    ReasonOption,
    SampleOptions,
)
from gigacast.settings.flag import flag


@dataclass(frozen=True, kw_only=True)
class DownloadOptions:
    """Options of `gigacast models download`."""

    name: str | None = flag(
        None, "Name of the model; the repository's by default.", group="version"
    )
    model_version: str | None = flag(
        None, "Version to publish as; the commit by default.", group="version"
    )
    revision: str | None = flag(
        None,
        "Branch, tag or commit on the hub; main by default.",
        group="version",
        details="The manifest records the commit.",
    )


@dataclass(frozen=True, kw_only=True)
class PublishModelOptions:
    """Options of `gigacast models publish`."""

    name: str | None = flag(None, "Name of the model; the folder's by default.", group="version")
    model_version: str | None = flag(
        None,
        "Version; by default the folder's (NAME/v1.0), else from the digest.",
        group="version",
    )
    base: str | None = flag(
        None,
        "Base model of a LoRA adapter: folder, NAME/VERSION or hub id.",
        group="version",
        details="By default it is the model that the adapter names.",
    )
    license: str | None = flag(None, "License; the model card's by default.", group="version")
    metrics: str | None = flag(
        None, "Measured figures: JSON, a .json file, or free text.", group="version"
    )
    source: str | None = flag(
        None,
        "Origin: JSON, a .json file, or free text.",
        group="version",
        details="By default it is the folder.",
    )


@dataclass(frozen=True, kw_only=True)
class SwitchOptions(ReasonOption):
    """Options of `gigacast models switch` without those of the condition."""

    expected: str | None = flag(
        None,
        "Switch only if this version is active now.",
        placeholder="VERSION",
        group="version",
    )


@dataclass(frozen=True, kw_only=True)
class BackupOptions:
    """Options of `gigacast models backup`."""

    overwrite: bool = flag(False, "Replace ARCHIVE if it exists.")


@dataclass(frozen=True, kw_only=True)
class DeleteModelOptions(DeletionOption, ReasonOption):
    """Options of `gigacast models delete`."""


@dataclass(frozen=True, kw_only=True)
class DiffModelOptions(SampleOptions):
    """Options of `gigacast models diff`."""

    series: int = flag(
        100, "Number of series to sample per partition.", group="amount", range_=AT_LEAST_ONE
    )
