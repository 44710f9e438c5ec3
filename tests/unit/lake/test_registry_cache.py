"""The cache on a machine: by digest, whole or not there, hashed before every use."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gigacast.errors import ModelIntegrityError, ModelNotFoundError, StorageError
from gigacast.lake.layout import model_file_key
from gigacast.lake.model import transfer as model_transfer
from gigacast.lake.model.file import digest_folder
from gigacast.lake.model.resolve import resolve_model
from gigacast.storage.memory import MemoryStore
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.faulty_store import Fault, FaultyStore, SimulatedCrash
from tests.support.model_folders import make_folder, publish


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "bucket").mkdir()
    store = open_store(StoreAddress(f"file://{tmp_path}/bucket"))
    publish(store, make_folder(tmp_path / "one", 1))
    return store


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "models-cache"


def folders(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


def test_a_cached_folder_is_named_after_the_digest_of_its_content(
    store: Store, cache: Path
) -> None:
    model = resolve_model("tiny/v1.0", store, cache=cache)
    assert folders(cache) == [f"sha256-{model.digest}"]
    assert model.folder is not None
    assert digest_folder(model.folder) == model.digest


def test_two_names_of_one_content_share_their_files(
    store: Store, cache: Path, tmp_path: Path
) -> None:
    publish(store, tmp_path / "one", "other", "v7")
    first, second = (resolve_model(n, store, cache=cache) for n in ("tiny/v1.0", "other"))
    assert (second.name, second.version) == ("other", "v7")
    assert first.folder == second.folder


def test_a_replaced_model_of_the_same_name_is_fetched_again(
    store: Store, cache: Path, tmp_path: Path
) -> None:
    old = resolve_model("tiny", store, cache=cache)
    other_store = MemoryStore("another-bucket")
    publish(other_store, make_folder(tmp_path / "two", 2))
    new = resolve_model("tiny", other_store, cache=cache)
    assert (new.name, new.version) == (old.name, old.version)
    assert new.digest != old.digest
    assert len(folders(cache)) == 2


@pytest.mark.parametrize("damage", ["changed", "truncated", "missing", "added"])
def test_a_damaged_cache_is_refused_with_a_hint_and_never_loaded(
    store: Store, cache: Path, damage: str
) -> None:
    folder = resolve_model("tiny/v1.0", store, cache=cache).folder
    assert folder is not None
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.unlink()
    if damage == "changed":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "truncated":
        path.write_bytes(content[:-1])
    elif damage == "added":
        path.write_bytes(content)
        (folder / "generation_config.json").write_text("{}")
    for reference in ("tiny/v1.0", "sha256:" + folder.name.removeprefix("sha256-")):
        with pytest.raises(ModelIntegrityError, match=f"delete {folder}: it is fetched again"):
            resolve_model(reference, store, cache=cache)


def test_a_download_that_breaks_off_leaves_nothing_behind(store: Store, cache: Path) -> None:
    broken = FaultyStore(store, [Fault(("get",), matches=lambda key: "safetensors" in key)])
    with pytest.raises(SimulatedCrash):
        resolve_model("tiny/v1.0", broken, cache=cache)
    assert folders(cache) == []


def test_files_of_a_killed_process_are_removed_after_a_day(store: Store, cache: Path) -> None:
    for name, age_s in ((".fetch-old", 2 * 86400), (".fetch-young", 60)):
        (cache / name / "model").mkdir(parents=True)
        os.utime(cache / name, (time.time() - age_s,) * 2)
    model = resolve_model("tiny/v1.0", store, cache=cache)
    assert folders(cache) == [".fetch-young", f"sha256-{model.digest}"]


def test_a_file_replaced_while_it_is_read_is_refused(store: Store, cache: Path) -> None:
    class Replaced(FaultyStore):
        def get(self, key: str, **options: Any) -> bytes:
            if key.endswith(".safetensors"):
                self.store.put(key, b"x" * self.store.head(key).size_bytes)
            return super().get(key, **options)

    with pytest.raises(ModelIntegrityError, match="was replaced while it was read"):
        resolve_model("tiny/v1.0", Replaced(store), cache=cache)


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(
    store: Store, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(model_transfer, "_copy", full)
    with pytest.raises(StorageError, match=r"no room to write .*No space left.*GIGACAST_CACHE"):
        resolve_model("tiny/v1.0", store, cache=cache)
    assert folders(cache) == []


def test_large_files_are_read_in_pieces(
    store: Store, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_transfer, "PIECE_BYTES", 7)
    watched = FaultyStore(store)
    model = resolve_model("tiny/v1.0", watched, cache=cache)
    key = model_file_key("tiny", "v1.0", "model.safetensors")
    size = store.head(key).size_bytes
    assert watched.log.count(("get", key)) == -(-size // 7)
    assert model.folder is not None


RESOLVE = """
import pathlib, sys, time
from gigacast.lake.model.resolve import resolve_model
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
url, cache, go = sys.argv[1:]
while not pathlib.Path(go).exists():
    time.sleep(0.001)
model = resolve_model("tiny", open_store(StoreAddress(url)), cache=pathlib.Path(cache))
print(model.digest, model.folder)
"""


def test_concurrent_processes_fill_one_cache(store: Store, cache: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    command = [sys.executable, "-c", RESOLVE, store.address.url, str(cache), str(go)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    time.sleep(1)
    go.touch()
    ((digest, folder),) = {tuple(p.communicate(timeout=60)[0].split()) for p in processes}
    assert folders(cache) == [f"sha256-{digest}"]
    assert folder == str(cache / f"sha256-{digest}")


# -- by digest, by hand, by what is active ---------------------------------------------------------


def test_a_digest_from_a_receipt_finds_the_weights(store: Store, cache: Path) -> None:
    digest = resolve_model("tiny", store, cache=cache).digest
    nowhere = MemoryStore("empty-bucket")
    cached = resolve_model(f"sha256:{digest[:12]}", nowhere, cache=cache)
    assert (cached.name, cached.version, cached.digest) == ("tiny", "v1.0", digest)
    assert cached.source.startswith("cache ")
    fetched = resolve_model(f"sha256:{digest}", store, cache=cache / "other")
    assert fetched.digest == digest
    with pytest.raises(ModelNotFoundError, match="models restore"):
        resolve_model("sha256:00000000", store, cache=cache)


def test_a_version_without_a_manifest_is_pinned_by_etags_and_reported(cache: Path) -> None:
    store = MemoryStore("by-hand")
    store.put("models/hand/v1/config.json", b"{}")
    store.put("models/hand/v1/model.safetensors", b"weights")
    model = resolve_model("hand/v1", store, cache=cache)
    assert "no manifest: pinned by ETags" in model.source
    assert model.folder is not None
    (model.folder / "model.safetensors").write_bytes(b"changed")
    with pytest.raises(ModelIntegrityError, match="changed after it was fetched"):
        resolve_model("hand/v1", store, cache=cache)


def test_a_model_without_an_active_version_is_not_searched_elsewhere(
    cache: Path,
) -> None:
    store = MemoryStore("none-active")
    store.put("models/chronos-bolt-tiny/v1/config.json", b"{}")
    with pytest.raises(ModelNotFoundError, match=r"there are: v1 \(no manifest\)"):
        resolve_model("chronos-bolt-tiny", store, cache=cache)
    with pytest.raises(ModelNotFoundError, match=r"no published version 'v9'; there are: v1"):
        resolve_model("chronos-bolt-tiny/v9", store, cache=cache)


def test_a_manifest_under_another_name_is_refused(store: Store, cache: Path) -> None:
    for name in ("config.json", "model.safetensors", "manifest.json"):
        store.put(f"models/copy/v1.0/{name}", store.get(f"models/tiny/v1.0/{name}"))
    with pytest.raises(ModelIntegrityError, match=r"it says it is tiny/v1\.0"):
        resolve_model("copy/v1.0", store, cache=cache)


def test_a_published_folder_on_this_machine_is_checked_against_its_manifest(
    store: Store, tmp_path: Path, cache: Path
) -> None:
    folder = tmp_path / "bucket" / "models" / "tiny" / "v1.0"
    model = resolve_model(str(folder), MemoryStore("none"), cache=cache)
    assert (model.name, model.version) == ("tiny", "v1.0")
    assert model.source.endswith("verified by its manifest")
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelIntegrityError, match=r"config\.json has 2 bytes"):
        resolve_model(str(folder), MemoryStore("none"), cache=cache)
