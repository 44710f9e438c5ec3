"""What jobs of upkeep begin with: datasets, models, archives, tables and pages of their own."""

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.campaign.before import NANO, ROWS, command, forecast_then_change
from tests.support.features.repository import write_repository
from tests.support.panels import hourly_panel

ARCHIVE, FEATURE_RECIPE, REPOSITORY, SALES = "models.tar", "features.yaml", "repository", "sales"
_RECIPE = "name: mine\nkeep: [target]\nfeatures:\n- {kind: return, column: target}\n"


def put_dataset(url: str, folder: Path) -> None:
    """Publish a dataset, and write a recipe of features."""
    (folder / FEATURE_RECIPE).write_text(_RECIPE)
    command(f"data publish {folder / ROWS} cleaned/v1/quotes", url)


def put_two_datasets(url: str, folder: Path) -> None:
    """Publish two versions of a dataset."""
    put_dataset(url, folder)
    second = folder / "other.parquet"
    hourly_panel("2024-02", ("x", "y")).to_parquet(second, index=False)
    command(f"data publish {second} cleaned/v2/quotes", url)


def put_model(url: str, folder: Path) -> None:
    """Register a model."""
    del folder
    command(f"models publish {NANO} --name mine", url)


def put_two_models(url: str, folder: Path) -> None:
    """Register two versions of a model; the first one is active."""
    put_model(url, folder)
    second = folder / "second"
    shutil.copytree(NANO, second)
    config = json.loads((second / "config.json").read_text())
    (second / "config.json").write_text(json.dumps(config | {"note": "the second"}))
    command(f"models publish {second} --name mine --model_version v2", url)


def put_archive(url: str, folder: Path) -> None:
    """Back a model up, and lose it."""
    put_model(url, folder)
    command(f"models backup {folder / ARCHIVE}", url)
    store = open_store(StoreAddress(url))
    for page in list(store.list("models/")):
        store.delete([entry.key for entry in page])


def put_repository(url: str, folder: Path) -> None:
    """Write definitions of features in Python."""
    del url
    write_repository(folder / REPOSITORY, {})


def backfill(url: str, folder: Path) -> None:
    """Compute the table that is described."""
    del folder
    command("feature-store backfill quickstart.purchases.v1", url)


def forecast_parts(url: str, folder: Path) -> None:
    """Forecast all parts."""
    del folder
    command("forecast --model seasonal-naive --horizon 6", url)


def forecast_twice(url: str, folder: Path) -> None:
    """Forecast, let rows arrive, and forecast again: what the first run left can be pruned."""
    forecast_then_change(url, folder)
    command("forecast --model seasonal-naive --horizon 6", url)


def put_sales(url: str, folder: Path) -> None:
    """Copy a table of Delta Lake, as forecasts name its files, whose names are drawn."""
    del url
    shutil.copytree(_sales(), folder / SALES)


@cache
def _sales() -> Path:
    from deltalake import write_deltalake

    place = Path(tempfile.mkdtemp(prefix="campaign-sales-"))
    rows = hourly_panel("2024-01", ("x", "y")).assign(year=2024, month=1)
    write_deltalake(place, rows, partition_by=["year", "month"])
    return place
