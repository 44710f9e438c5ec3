"""Models downloaded from the hub, with and without a network."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from gigacast.storage.store import Store
from tests.support.hub_server import COMMIT, Hub
from tests.support.tiny_models import (
    tiny_bolt,
)

ROOT = Path(__file__).parents[3]

# -- the hub, as far as its wire goes --------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, models: Path) -> Iterator[str]:
    folder = tiny_bolt(models)
    Hub.files = {path.name: path.read_bytes() for path in folder.iterdir()}
    Hub.files["README.md"] = b"---\nlicense: apache-2.0\ntags: []\n---\n# A model\n"
    Hub.files["pytorch_model.bin"] = b"never asked for"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def in_child(*words: str, home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own: the hub's settings are read once."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", **settings}
    command = [sys.executable, str(ROOT / "main.py"), "models", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_downloaded_model_is_pinned_published_and_then_works_offline(
    hub: str, bucket: Store, tmp_path: Path, models: Path
) -> None:
    flags = ["--bucket", bucket.address.url, "--json"]
    version = ["--model_version", "v1.0"]
    process = in_child(
        "download", "chronos-bolt-tiny", *version, *flags, home=tmp_path, HF_ENDPOINT=hub
    )
    assert process.returncode == 0, process.stderr
    report = json.loads(process.stdout)
    assert (report["model"], report["version"], report["license"]) == (
        "chronos-bolt-tiny",
        "v1.0",
        "apache-2.0",
    )
    assert report["source"] == {
        "kind": "hub",
        "repo": "amazon/chronos-bolt-tiny",
        "revision": COMMIT,
        "requested": "main",
    }
    remaining_files = sorted(
        m.key.rpartition("/")[2] for page in bucket.list("models/") for m in page
    )
    assert remaining_files == sorted(
        ["ACTIVE", "manifest.json", *(path.name for path in tiny_bolt(models).iterdir())]
    )
    again = in_child(
        "download", "chronos-bolt-tiny", *version, *flags, home=tmp_path, HF_HUB_OFFLINE="1"
    )
    assert json.loads(again.stdout)["new"] is False


def test_an_unreachable_hub_changes_nothing(bucket: Store, tmp_path: Path) -> None:
    flags = ["--bucket", bucket.address.url]
    process = in_child(
        "download", "chronos-2", *flags, home=tmp_path, HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert process.returncode == 2
    assert "the hub can't be reached" in process.stderr
    assert "HF_ENDPOINT" in process.stderr
    assert list(bucket.list()) == []
