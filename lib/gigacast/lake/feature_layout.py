"""The keys of the feature store in a bucket; `layout` has all others."""

from collections.abc import Mapping
from urllib.parse import unquote

DEFINITIONS = "feature_store/definitions/"
FEATURE_TABLES = "feature_store/tables/"
FEATURE_TILES = "feature_store/tiles/"
FEATURE_SURVEYS = "feature_store/surveys/"
FEATURE_COVARIATES = "feature_store/covariates/"
FEATURE_UPLOADS = "feature_store/uploads/"
FEATURE_KEPT = "feature_store/kept/"
FEATURE_LOGS = "feature_store/logs/"
FEATURE_SCHEMAS = "feature_store/schemas/"


def definition_key(path: str) -> str:
    """Return the key of a compiled definition, or the prefix of those of a kind and team."""
    return f"{DEFINITIONS}{path}"


def feature_table_prefix(name: str) -> str:
    """Return the folder of a table that the feature store writes, as ``default.training_set``."""
    return f"{FEATURE_TABLES}{source_table_prefix(name)}"


def feature_partition_key(table: str, day: str, more: Mapping[str, str] | None = None) -> str:
    """Return the key of a day of a table that the feature store writes.

    Parameters
    ----------
    table : str
    day : str
    more : mapping of str to str, optional
        Further folders by name.
    """
    folders = "".join(f"{name}={value}/" for name, value in (more or {}).items())
    return f"{feature_table_prefix(table)}ds={day}/{folders}part-00000.parquet"


def kept_prefix(table: str) -> str:
    """Return the folder of the days of a table that were computed again since."""
    return f"{FEATURE_KEPT}{source_table_prefix(table)}"


def kept_key(key: str, sha256: str) -> str | None:
    """Return the key of the copy of a day that is computed again; ``None`` for other files.

    Parameters
    ----------
    key : str
        Key of the day.
    sha256 : str
        SHA-256 of the file that the copy keeps.
    """
    if not key.startswith(FEATURE_TABLES):
        return None
    folder = key.removeprefix(FEATURE_TABLES).rpartition("/")[0]
    return f"{FEATURE_KEPT}{folder}/{sha256}.parquet"


def tile_key(group_by: str, digest: str, input_id: str) -> str:
    """Return the key of the tile of a source partition."""
    return f"{FEATURE_TILES}{group_by}/{digest}/{input_id}.parquet"


def covariate_prefix(join: str, digest: str) -> str:
    """Return the folder of a job's input with the features of a join as columns."""
    return f"{FEATURE_COVARIATES}{join}/{digest}/"


def survey_key(digest: str, input_id: str) -> str:
    """Return the key of the days and times that the files of a left side hold."""
    return f"{FEATURE_SURVEYS}{digest}/{input_id}.json"


def upload_key(group_by: str, day: str) -> str:
    """Return the key of the record of an upload: what is served since when."""
    return f"{FEATURE_UPLOADS}{group_by}/{day}.json"


def log_prefix(log: str) -> str:
    """Return the folder of the logged answers of a join, or of what `group_by_log` returns."""
    return f"{FEATURE_LOGS}{log}/"


def group_by_log(group_by: str) -> str:
    """Return the name of the log of a group-by, which a join may be called like."""
    return f"group_bys/{group_by}"


def log_key(log: str, day: str, hour: str, file: str) -> str:
    """Return the key of a file of logged answers: those of an hour, ``ds=2024-01-31/hr=07/``."""
    return f"{log_prefix(log)}ds={day}/hr={hour}/{file}.parquet"


def schema_key(file: str) -> str:
    """Return the key of a schema of streamed records: ``feature_store/schemas/returns.avsc``."""
    return f"{FEATURE_SCHEMAS}{file}"


def source_table_prefix(name: str) -> str:
    """Return the folder of a table by its name: ``data/purchases/`` for ``data.purchases``."""
    return f"{name.replace('.', '/')}/"


def partition_values(key: str) -> dict[str, str]:
    """Return the values that the folders of a key hold, as those of ``ds=2024-01-31/a.parquet``."""
    pairs = [part.partition("=") for part in key.split("/")[:-1] if "=" in part]
    # Writers of such folders escape what a file system could not hold.
    return {name: unquote(value) for name, _, value in pairs}
