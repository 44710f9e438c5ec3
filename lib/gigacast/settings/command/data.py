"""Flags of the group `data`: publication, contracts, features, retention."""

from dataclasses import dataclass
from pathlib import Path

from gigacast.core.contract.definition import Mode
from gigacast.settings.command.common import AT_LEAST_ONE, DeletionOption, ReasonOption
from gigacast.settings.flag import flag
from gigacast.settings.option import Range
from gigacast.storage.parquet.writer import Codec

RECIPES = ("ohlcv", "price_volatility", "momentum_indicators", "volume_profile")
"""Names of the recipes of the package."""


@dataclass(frozen=True, kw_only=True)
class SchemaOption:
    """Contract by which rows are checked."""

    schema: str | None = flag(
        None,
        "Contract: a YAML file, or the name of a predefined one.",
        group="contract",
    )


@dataclass(frozen=True, kw_only=True)
class ContractOptions(SchemaOption):
    """Contract by which rows are checked, and how strictly."""

    mode: Mode = flag(
        Mode.STRICT,
        "Strictness of the check: strict refuses wrong types, coerce converts, ignore only logs.",
        group="contract",
    )


@dataclass(frozen=True, kw_only=True)
class CodecOptions:
    """Codec of a version's files, and the entry for its changelog."""

    compression: Codec = flag("zstd", "Codec of the files.", group="files")
    what: str = flag(
        "", "Entry for the changelog of the version.", group="version", placeholder="TEXT"
    )


@dataclass(frozen=True, kw_only=True)
class FileOptions(CodecOptions):
    """Files of a version, and the entry for its changelog."""

    partition_by: str = flag(
        "",
        "Levels of folders (commas): date, month, year or columns; one folder by default.",
        placeholder="LEVELS",
        group="files",
    )


@dataclass(frozen=True, kw_only=True)
class TimeColumnOption:
    """Column of timestamps of a dataset."""

    time_column: str | None = flag(
        None, "Column of timestamps; recognised by default.", group="columns"
    )


@dataclass(frozen=True, kw_only=True)
class ImportOptions(ContractOptions, FileOptions, TimeColumnOption):
    """Options of `gigacast data import`."""


@dataclass(frozen=True, kw_only=True)
class PublishDataOptions(ImportOptions):
    """Options of `gigacast data publish`."""

    append: bool = flag(
        False, "Add the rows to the version before, and share its files.", group="version"
    )


@dataclass(frozen=True, kw_only=True)
class DiscoverOptions:
    """Options of `gigacast data discover`."""

    files: bool = flag(False, "List every file.")


@dataclass(frozen=True, kw_only=True)
class InferOptions:
    """Options of `gigacast data infer`."""

    name: str | None = flag(
        None, "Name of the contract; the dataset's by default.", group="contract"
    )
    output: Path | None = flag(None, "File to write; stdout by default.")


@dataclass(frozen=True, kw_only=True)
class FeatureSetOptions(TimeColumnOption):
    """Options of a feature set that is computed from Python as well."""

    bars_per_day: int | None = flag(
        None,
        "Rows per day, for windows such as 30d; the recipe's by default.",
        group="features",
        details="Without either it is 1 for daily rows.",
        range_=AT_LEAST_ONE,
    )
    like: str | None = flag(
        None,
        "Published feature set whose recipe, selection and scaler are used.",
        placeholder="FEATURE_SET",
        group="features",
    )


@dataclass(frozen=True, kw_only=True)
class FeaturesOptions(FeatureSetOptions, FileOptions):
    """Options of `gigacast data features`."""

    recipe: str | None = flag(
        None, f"Recipe: a YAML file, or one of {', '.join(RECIPES)}.", group="features"
    )
    memory_limit: str = flag(
        "4GB", "Maximum size of the rows that are in memory at once.", group="with"
    )
    n_jobs: int = flag(
        1,
        "Number of processes that compute features of different items; -1 for all cores.",
        group="with",
    )


@dataclass(frozen=True, kw_only=True)
class DeprecateOptions(ReasonOption):
    """Options of `gigacast data deprecate`."""

    instead: str | None = flag(
        None, "Dataset to use in its place.", placeholder="DATASET", group="version"
    )
    restore: bool = flag(False, "Take the deprecation back.", group="version")


@dataclass(frozen=True, kw_only=True)
class RetireOptions(DeletionOption):
    """Options of `gigacast data retire`."""

    keep_last: int | None = flag(
        None, "Keep the N latest versions.", group="retention", range_=AT_LEAST_ONE
    )
    older_than: float | None = flag(
        None,
        "Only versions older than this.",
        placeholder="DAYS",
        group="retention",
        range_=Range(0),
    )
    deprecated: bool = flag(False, "Only deprecated versions.", group="retention")
    unfinished: bool = flag(
        False, "Only leftovers of publications that were killed.", group="retention"
    )


@dataclass(frozen=True, kw_only=True)
class BucketOptions:
    """Options of `gigacast data bucket`."""

    buckets: int = flag(
        64,
        "Number of buckets, over which the items are divided evenly.",
        group="amount",
        range_=Range(2, 512),
    )
    into: str = flag("bucketed", "Folder of the buckets below the prefix.", placeholder="FOLDER")
