"""Damage is found by name; backups restore versions byte for byte."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gigacast.errors import (
    ModelIntegrityError,
)
from gigacast.lake.model.active import (
    delete_version,
    rollback_version,
    switch_version,
)
from gigacast.lake.model.backup import UNFINISHED, write_archive
from gigacast.lake.model.file import digest_folder
from gigacast.lake.model.registry import Registry
from gigacast.lake.model.resolve import resolve_model
from gigacast.lake.model.restore import read_archive
from gigacast.lake.model.verify import verify_versions
from gigacast.scratch import FolderBeside
from gigacast.storage.store import Store
from tests.contract.registries import active, contents
from tests.contract.store_backends import NewStore
from tests.support.faulty_store import WRITES, Fault, FaultyStore, SimulatedCrash
from tests.support.model_folders import author, publish

# -- verifying -------------------------------------------------------------------------------------


def test_verify_names_each_file_that_is_not_as_published(three: Registry) -> None:
    store = three.store
    weights = bytearray(store.get("models/tiny/v1.0/model.safetensors"))
    weights[-1] ^= 1
    store.put("models/tiny/v1.0/model.safetensors", bytes(weights))
    store.delete(["models/tiny/v1.1/config.json"])
    store.put("models/tiny/v1.1/other.json", b"{}")
    store.put("models/tiny/v2.0/config.json", b"{}")
    report = verify_versions(three, "tiny")
    assert report.verified == []
    assert [line.split(":")[0] for line in report.problems] == [
        "tiny/v1.0",
        "tiny/v1.1",
        "tiny/v1.1",
        "tiny/v2.0",
    ]
    text = "\n".join(report.problems)
    assert "model.safetensors was changed" in text
    assert "config.json is missing" in text
    assert "other.json is not in the manifest" in text
    assert "config.json has 2 bytes" in text


@pytest.mark.parametrize("damage", ["changed", "truncated", "missing"])
def test_damage_under_the_prefix_is_refused_by_name_and_never_loaded(
    store: Store, first_folder: Path, tmp_path: Path, damage: str
) -> None:
    publish(store, first_folder)
    key = "models/tiny/v1.0/model.safetensors"
    content = store.get(key)
    store.delete([key])
    if damage == "changed":
        store.put(key, content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "truncated":
        store.put(key, content[:-7])
    with pytest.raises(ModelIntegrityError, match=r"model\.safetensors.*models verify tiny/v1\.0"):
        resolve_model("tiny", store, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    store.put(key, content)
    assert resolve_model("tiny", store, cache=tmp_path / "cache").digest == digest_folder(
        first_folder
    )


# -- backup and restore ----------------------------------------------------------------------------


def test_a_backup_is_restored_into_another_bucket_byte_for_byte(
    three: Registry, new_store: NewStore, tmp_path: Path
) -> None:
    switch_version(three, "tiny", "v1.1", author())
    written = write_archive(three, [], tmp_path / "models.tar")
    assert sorted(written.versions) == ["tiny/v1.0", "tiny/v1.1", "tiny/v2.0"]
    other_store = new_store()
    report = read_archive(Registry(other_store), tmp_path / "models.tar", author())
    assert report.active == {"tiny": "v1.1"}
    original, restored = contents(three.store), contents(other_store)
    history = json.loads(restored.pop("models/tiny/ACTIVE"))["history"]
    original.pop("models/tiny/ACTIVE")
    assert original == restored
    assert [change["action"] for change in history] == ["switch", "switch", "restore"]
    assert rollback_version(Registry(other_store), "tiny", author()).version == "v1.0"


def test_a_restore_keeps_versions_that_exist(
    three: Registry, new_store: NewStore, tmp_path: Path
) -> None:
    write_archive(three, [], tmp_path / "models.tar")
    switch_version(three, "tiny", "v2.0", author())
    delete_version(three, "tiny", "v1.1", author())
    report = read_archive(three, tmp_path / "models.tar", author())
    assert (report.versions, report.present) == (["tiny/v1.1"], ["tiny/v1.0", "tiny/v2.0"])
    assert report.kept_active == {"tiny": "v2.0"}
    assert active(three.store) == "v2.0"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_restore_can_be_completed(
    new_store: NewStore, first_folder: Path, second_folder: Path, tmp_path: Path, when: str
) -> None:
    source = new_store()
    publish(source, first_folder)
    publish(source, second_folder, version="v1.1")
    archive = tmp_path / "models.tar"
    write_archive(Registry(source), ["tiny"], archive)
    for nth in range(1, 30):
        store = new_store()
        fault = Fault(WRITES, nth=nth, when=when)  # type: ignore[arg-type]
        try:
            read_archive(Registry(FaultyStore(store, [fault])), archive, author())
        except SimulatedCrash:
            pass
        else:
            break
        states = Registry(store).versions("tiny")
        for version in [v for v, state in states.items() if state == "published"]:
            assert verify_versions(Registry(store), "tiny", version).problems == []
        read_archive(Registry(store), archive, author())
        assert set(contents(store)) == set(contents(source))
        assert active(store) == "v1.0"
    assert nth == 12  # five writes a version, and ACTIVE


def test_a_backup_of_damaged_files_is_refused_and_leaves_no_file(
    three: Registry, tmp_path: Path
) -> None:
    three.store.put("models/tiny/v1.1/config.json", b"{}")
    folder = tmp_path / "backups"
    with pytest.raises(ModelIntegrityError, match=r"tiny/v1.1/: config.json has 2 bytes"):
        write_archive(three, ["tiny/v1.1"], folder / "models.tar")
    assert list(folder.iterdir()) == []
    assert write_archive(three, ["tiny/v2.0"], folder / "models.tar").versions == ["tiny/v2.0"]


def test_a_model_is_used_on_a_machine_that_never_saw_it(
    store: Store, first_folder: Path, tmp_path: Path
) -> None:
    publish(store, first_folder)
    expected = digest_folder(first_folder)
    shutil.rmtree(first_folder)
    model = resolve_model("tiny", store, cache=tmp_path / "cache")
    assert (model.name, model.version, model.digest) == ("tiny", "v1.0", expected)
    assert "(active, verified, fetched)" in model.source
    again = resolve_model("tiny", store, cache=tmp_path / "cache")
    assert "(active, verified, in the cache)" in again.source
    assert again.folder == model.folder


def test_what_a_killed_backup_leaves_is_removed_by_the_next(
    three: Registry, tmp_path: Path
) -> None:
    script = """
import os, sys
from pathlib import Path
from gigacast.lake.model.backup import UNFINISHED
from gigacast.scratch import FolderBeside
with FolderBeside(Path(sys.argv[1]), UNFINISHED) as folder:
    (folder / "archive.tar").write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode
    (left,) = tmp_path.glob(f"{UNFINISHED}*")
    # A folder of the same kind of name that is not ours alone stays.
    (tmp_path / ".backup-of-mine").mkdir()
    write_archive(three, [], tmp_path / "models.tar")
    assert not left.exists()
    assert {path.name for path in tmp_path.iterdir()} >= {".backup-of-mine", "models.tar"}
    assert not list(tmp_path.glob(f"{UNFINISHED}*"))


def test_a_backup_that_runs_is_left_alone_by_another(three: Registry, tmp_path: Path) -> None:
    with FolderBeside(tmp_path, UNFINISHED) as running:
        (running / "archive.tar").write_bytes(b"half")
        write_archive(three, [], tmp_path / "models.tar")
        assert (running / "archive.tar").read_bytes() == b"half"
