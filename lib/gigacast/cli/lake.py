"""The lake that the settings of a command name."""

from pathlib import Path

from gigacast.datasets.versions import LakeAddress
from gigacast.settings.assembly import addresses, bucket_of
from gigacast.settings.model import Settings


def lake_address(settings: Settings) -> LakeAddress:
    """Return the address of the lake: bucket and prefix, or the working folder without a bucket.

    Raises
    ------
    ConfigError
    """
    root_dir = settings.parquet_loader.data_paths.root_dir
    if settings.run.bucket is None and root_dir is None:
        root_dir = str(Path.cwd())
    # The input prefix of forecasts names a folder of the lake, not the lake.
    run = settings.run.model_copy(update={"input_prefix": None})
    _, outputs = addresses(run, root_dir)
    return LakeAddress(outputs, bucket_of(run, root_dir))
