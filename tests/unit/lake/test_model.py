"""From what the user calls a model to pinned files: in the order promised, by digest."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from gigacast.errors import ModelIntegrityError, ModelNotFoundError
from gigacast.lake.model.hub import parse_hub_id
from gigacast.lake.model.resolve import DEFAULT_MODEL, digest_folder, resolve_model
from gigacast.storage.memory import MemoryStore, forget_memory
from tests.support.hub_server import COMMIT, Hub
from tests.support.model_folders import make_folder as make_model
from tests.support.model_folders import publish

CONFIG = b'{"chronos_config": {}}'
WEIGHTS = b"weights"


@pytest.fixture
def store(request: pytest.FixtureRequest) -> MemoryStore:
    return MemoryStore(request.node.name)


def make_folder(folder: Path, weights: bytes = WEIGHTS) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(CONFIG)
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def put_version(store: MemoryStore, prefix: str, weights: bytes = WEIGHTS) -> None:
    store.put(f"{prefix}/config.json", CONFIG)
    store.put(f"{prefix}/model.safetensors", weights)


def test_the_default_model_ships_with_the_package(store: MemoryStore) -> None:
    model = resolve_model(DEFAULT_MODEL, store)
    assert model.folder is not None
    assert (model.name, model.source) == (DEFAULT_MODEL, "ships with the package")
    assert model.version == model.digest[:12]


EARLIER = "d958e16694eb"
"""Version of the default model that forecasts of earlier releases were made with."""


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        (DEFAULT_MODEL, EARLIER),
        (f"{DEFAULT_MODEL}/{EARLIER}", None),
        (f"sha256:{EARLIER}", None),
    ],
)
def test_the_versions_of_earlier_releases_ship_as_well(
    store: MemoryStore, reference: str, version: str | None
) -> None:
    model = resolve_model(reference, store, version=version)
    assert model.folder is not None
    assert (model.name, model.version) == (DEFAULT_MODEL, EARLIER)
    assert model.digest.startswith(EARLIER), "its bytes are those of that release"


def test_the_present_version_is_found_by_each_of_its_names(store: MemoryStore) -> None:
    present = resolve_model(DEFAULT_MODEL, store)
    assert resolve_model(DEFAULT_MODEL, store, version=present.version) == present
    assert resolve_model(f"{DEFAULT_MODEL}/{present.version}", store) == present
    assert resolve_model(f"sha256:{present.digest}", store) == present


def test_a_version_that_never_shipped_is_refused_with_those_that_did(store: MemoryStore) -> None:
    with pytest.raises(ModelNotFoundError, match=f"ships in version .* and {EARLIER}, not 7"):
        resolve_model(DEFAULT_MODEL, store, version="7")
    put_version(store, f"models/{DEFAULT_MODEL}/v7")
    assert resolve_model(f"{DEFAULT_MODEL}/v7", store).version == "v7", "published by the user"


@pytest.mark.parametrize("version", ["..", "../gigacast-bolt-nano", ".", "a/b"])
def test_a_version_is_no_path(store: MemoryStore, version: str) -> None:
    with pytest.raises(ModelNotFoundError):
        resolve_model(DEFAULT_MODEL, store, version=version)


def test_a_folder_is_named_after_itself_and_its_content(tmp_path: Path, store: MemoryStore) -> None:
    model = resolve_model(str(make_folder(tmp_path / "my-model")), store)
    assert (model.name, model.version) == ("my-model", model.digest[:12])


def test_a_version_folder_is_a_version_of_its_parent(tmp_path: Path, store: MemoryStore) -> None:
    model = resolve_model(str(make_folder(tmp_path / "my-model" / "v1.0")), store)
    assert (model.name, model.version) == ("my-model", "v1.0")


def test_the_digest_follows_the_content_and_nothing_else(tmp_path: Path) -> None:
    first, same = make_folder(tmp_path / "a"), make_folder(tmp_path / "b")
    other_model = make_folder(tmp_path / "c", weights=b"others")
    (same / "README.md").write_text("not part of the model")
    assert digest_folder(first) == digest_folder(same) != digest_folder(other_model)


@pytest.mark.parametrize("reference", ["tiny/v1.0", "models/tiny/v1.0"])
def test_a_version_under_the_prefix_is_fetched_once(
    tmp_path: Path, store: MemoryStore, reference: str
) -> None:
    put_version(store, "models/tiny/v1.0")
    model = resolve_model(reference, store, cache=tmp_path)
    assert (model.name, model.version) == ("tiny", "v1.0")
    assert model.folder is not None
    assert (model.folder / "model.safetensors").read_bytes() == WEIGHTS
    before = model.folder.stat().st_mtime_ns
    assert resolve_model(reference, store, cache=tmp_path) == model
    assert model.folder.stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.iterdir()] == [model.folder.name]


def test_a_version_that_was_replaced_is_fetched_again(tmp_path: Path, store: MemoryStore) -> None:
    put_version(store, "models/tiny/v1.0")
    old = resolve_model("tiny/v1.0", store, cache=tmp_path)
    put_version(store, "models/tiny/v1.0", weights=b"new")
    new = resolve_model("tiny/v1.0", store, cache=tmp_path)
    assert old.digest != new.digest
    assert new.folder is not None
    assert (new.folder / "model.safetensors").read_bytes() == b"new"


def test_a_version_at_a_url_is_that_of_another_bucket(tmp_path: Path, store: MemoryStore) -> None:
    elsewhere = MemoryStore("other-bucket", "lake")
    published = publish(elsewhere, make_model(tmp_path / "own", 1), name="tiny", version="v1.0")
    put_version(elsewhere, "models/by-hand/v2")
    put_version(elsewhere, "exports/my model")
    url, cache = elsewhere.address.url, tmp_path / "cache"
    model = resolve_model(f"{url}/models/tiny/v1.0/", store, cache=cache)
    assert (model.name, model.version) == ("tiny", "v1.0")
    assert model.digest == published.manifest.digest
    assert model.source.endswith("(verified, fetched)")
    by_hand = resolve_model(f"{url}/models/by-hand/v2", store, cache=cache)
    assert (by_hand.name, by_hand.version) == ("by-hand", "v2")
    free = resolve_model(f"{url}/exports/my model", store, cache=cache)
    assert (free.name, free.version) == ("my-model", free.digest[:12])
    assert free.digest == by_hand.digest
    assert resolve_model(f"{url}/exports/my model", store, version="v3").version == "v3"
    forget_memory("other-bucket")


def test_a_url_without_a_model_is_told(tmp_path: Path, store: MemoryStore) -> None:
    with pytest.raises(ModelNotFoundError, match="no model at memory://nothing/models/a/v1"):
        resolve_model("memory://nothing/models/a/v1", store, cache=tmp_path)
    folder = make_folder(tmp_path / "here")
    assert resolve_model(folder.as_uri(), store).digest == digest_folder(folder)


def test_concurrent_fetches_all_get_the_complete_model(tmp_path: Path, store: MemoryStore) -> None:
    put_version(store, "models/tiny/v1.0", weights=bytes(10**6))
    digests: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: digests.append(resolve_model("tiny/v1.0", store, cache=tmp_path).digest)
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 8
    assert len(set(digests)) == 1
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("missing", "says"), [("config.json", "no config.json"), ("model.safetensors", "safetensors")]
)
def test_a_folder_without_the_files_of_a_model_is_refused(
    tmp_path: Path, store: MemoryStore, missing: str, says: str
) -> None:
    folder = make_folder(tmp_path / "broken")
    (folder / missing).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelIntegrityError, match=says):
        resolve_model(str(folder), store)


def test_a_model_that_is_not_found_is_refused_with_the_places_searched(store: MemoryStore) -> None:
    with pytest.raises(ModelNotFoundError, match="no such folder, nothing under memory://"):
        resolve_model("no-such-model", store)


def test_the_second_reference_is_used_when_the_first_is_unavailable(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    model = resolve_model("data/model/x/v1.0", store, otherwise=DEFAULT_MODEL)
    assert model.name == DEFAULT_MODEL
    assert f"there is no model data/model/x/v1.0: {DEFAULT_MODEL} is used" in caplog.text
    with pytest.raises(ModelNotFoundError, match="switched off"):
        resolve_model("data/model/x/v1.0", store, otherwise=DEFAULT_MODEL, detect=False)


# -- the hub, as far as its wire goes ------------------------------------------------------------


@pytest.fixture
def hub() -> Iterator[str]:
    Hub.files = {
        "config.json": CONFIG,
        "model.safetensors": WEIGHTS,
        "pytorch_model.bin": b"never asked for",
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Hub.requested.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


RESOLVE = """
import sys
from gigacast.errors import ModelError
from gigacast.lake.model.resolve import resolve_model
from gigacast.storage.memory import MemoryStore
try:
    model = resolve_model(sys.argv[1], MemoryStore("none"))
    print(model.name, model.version, *sorted(path.name for path in model.folder.iterdir()))
except ModelError as error:
    print(type(error).__name__, error)
"""


def resolve_in_child(reference: str, home: Path, **settings: str) -> str:
    """Resolve in a process of its own: the hub's settings are read from the environment, once."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", **settings}
    command = [sys.executable, "-c", RESOLVE, reference]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return process.stdout.strip()


def test_a_hub_id_is_downloaded_pinned_to_its_commit_and_without_pickles(
    hub: str, tmp_path: Path
) -> None:
    outcome = resolve_in_child("acme/tiny", tmp_path, HF_ENDPOINT=hub)
    assert outcome == f"tiny {COMMIT[:12]} config.json model.safetensors"
    assert not any("pytorch_model.bin" in path for path in Hub.requested)
    offline = resolve_in_child(f"acme/tiny@{COMMIT}", tmp_path, HF_HUB_OFFLINE="1")
    assert offline == outcome


def test_an_unknown_hub_id_is_one_clear_error(hub: str, tmp_path: Path) -> None:
    outcome = resolve_in_child("acme/none", tmp_path, HF_ENDPOINT=hub)
    assert outcome.startswith("ModelNotFoundError model acme/none: not on the hub")


def test_a_hub_that_cannot_be_reached_is_one_clear_error(tmp_path: Path) -> None:
    outcome = resolve_in_child("acme/tiny", tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert outcome.startswith("ModelNotFoundError model acme/tiny: the hub can't be reached")


@pytest.mark.parametrize("reference", ["acme/..", "../tiny", "acme/tiny@..", "./tiny@main", "a/."])
def test_a_hub_id_whose_parts_lead_out_of_the_cache_is_none(reference: str) -> None:
    assert parse_hub_id(reference) is None


@pytest.mark.parametrize("commit", ["..", "../../../escaped", "a" * 3, "main", "", "\x1b[2J" * 9])
def test_a_commit_that_is_none_is_refused_before_anything_is_written(
    hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commit: str
) -> None:
    monkeypatch.setattr(Hub, "commit", commit)
    outcome = resolve_in_child("acme/tiny", tmp_path, HF_ENDPOINT=hub)
    assert outcome.startswith("ModelIntegrityError model acme/tiny: the hub names")
    assert "\x1b" not in outcome
    written = [path for path in tmp_path.rglob("*") if path.suffix == ".safetensors"]
    assert not written
