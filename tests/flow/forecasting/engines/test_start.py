"""The imports of a run: unused ones would be half the time of a small run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gigacast.storage.folder.store import FolderStore
from tests.support.panels import put_panels
from tests.support.tiny_models import session_folder, tiny_bolt

NEVER = {"pandas", "matplotlib", "scipy", "sklearn", "huggingface_hub", "moto", "rich"}
CLIENTS = {"botocore", "boto3", "obstore", "aiohttp"}
STOCK = {"chronos", "transformers", "accelerate"}
SCRIPT = """
import json, sys
import gigacast
options = {"model": sys.argv[2], "horizon": 3, "device": "cpu"}
run = gigacast.forecast(sys.argv[1], **options, model_engine=sys.argv[3] or None)
tops = {name.partition(".")[0] for name in sys.modules}
print(json.dumps([run.status, run.totals.partitions, sorted(tops)]))
"""


def imports_of_a_run(folder: Path, model: str, engine: str = "") -> set[str]:
    """Forecast a folder in a process of its own and return the libraries it imported."""
    command = [sys.executable, "-c", SCRIPT, f"file://{folder}", model, engine]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    status, partitions, names = json.loads(process.stdout.splitlines()[-1])
    assert (status, partitions) == ("completed", 2)
    return set(names)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    put_panels(FolderStore(tmp_path), months=["2024-01"])
    return tmp_path


def test_the_lean_engine_imports_torch_but_not_the_stock_pipeline(
    data: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = tiny_bolt(session_folder(tmp_path_factory))
    imported = imports_of_a_run(data, str(model), "torch")
    assert "torch" in imported
    assert imported & (NEVER | CLIENTS | STOCK | {"joblib"}) == set()


def test_without_a_model_torch_is_not_imported(data: Path) -> None:
    imported = imports_of_a_run(data, "seasonal-naive")
    assert imported & (NEVER | CLIENTS | STOCK | {"torch", "joblib"}) == set()
