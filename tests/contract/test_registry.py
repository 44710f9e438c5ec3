"""What the model registry promises, over every store: whole versions or none, no lost change."""

import json
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gigacast.errors import (
    ModelConflictError,
    ModelError,
    ModelIntegrityError,
    ModelNotFoundError,
    StorageError,
)
from gigacast.lake.model.active import (
    delete_version,
    read_active,
    rollback_version,
    switch_version,
)
from gigacast.lake.model.backup import write_archive
from gigacast.lake.model.file import digest_folder
from gigacast.lake.model.registry import UNFINISHED, Registry
from gigacast.lake.model.resolve import resolve_model
from gigacast.lake.model.restore import read_archive
from gigacast.lake.model.verify import verify_versions
from gigacast.storage.memory import forget_memory
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.faulty_store import WRITES, Fault, FaultyStore, SimulatedCrash
from tests.support.model_folders import author, make_folder, publish
from tests.support.moto_server import MotoServer

NewStore = Callable[[], Store]


@pytest.fixture(params=["memory", "folder", "s3"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewStore]:
    """Make new, empty stores of the backend under test."""
    names: list[str] = []

    def make() -> Store:
        names.append(uuid.uuid4().hex)
        if request.param == "memory":
            return open_store(StoreAddress(f"memory://{names[-1]}/lake"))
        if request.param == "folder":
            (tmp_path / names[-1]).mkdir()
            return open_store(StoreAddress(f"file://{tmp_path / names[-1]}"))
        server: MotoServer = request.getfixturevalue("moto_server")
        return open_store(server.new_address("lake"))

    yield make
    for name in names:
        forget_memory(name)


@pytest.fixture
def store(new_store: NewStore) -> Store:
    return new_store()


@pytest.fixture
def first_folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "one", 1)


@pytest.fixture
def second_folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "two", 2)


def contents(store: Store) -> dict[str, bytes]:
    return {m.key: store.get(m.key) for page in store.list("models/") for m in page}


def active(store: Store, name: str = "tiny") -> str | None:
    return read_active(Registry(store), name)[0].version


# -- publishing ------------------------------------------------------------------------------------


def test_a_version_is_its_files_and_the_manifest_that_lists_them(
    store: Store, first_folder: Path
) -> None:
    result = publish(store, first_folder)
    assert (result.new, result.activated) == (True, True)
    assert [key.removeprefix("models/tiny/") for key in contents(store)] == [
        "ACTIVE",
        "v1.0/config.json",
        "v1.0/manifest.json",
        "v1.0/model.safetensors",
    ]
    version = Registry(store).read("tiny", "v1.0")
    assert version == result.manifest
    assert version.digest == digest_folder(first_folder)
    assert (version.parameters, version.context_length, version.prediction_length) == (17, 512, 64)


def test_publishing_the_same_content_again_changes_nothing(
    store: Store, first_folder: Path
) -> None:
    publish(store, first_folder)
    before = contents(store)
    again = publish(store, first_folder, who="bob@bench")
    assert (again.new, again.activated) == (False, False)
    assert contents(store) == before


def test_other_content_under_a_published_version_is_refused(
    store: Store, first_folder: Path, second_folder: Path
) -> None:
    publish(store, first_folder)
    before = contents(store)
    with pytest.raises(ModelConflictError, match=r"published on 2026-01-01.*choose another"):
        publish(store, second_folder)
    assert contents(store) == before


def test_files_that_no_manifest_lists_are_never_overwritten(
    store: Store, first_folder: Path
) -> None:
    store.put("models/tiny/v1.0/config.json", b"{}")
    before = contents(store)
    with pytest.raises(ModelConflictError, match="by hand"):
        publish(store, first_folder)
    assert contents(store) == before


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_publication_leaves_no_version_and_can_be_completed(
    new_store: NewStore, first_folder: Path, tmp_path: Path, when: str
) -> None:
    undisturbed = new_store()
    publish(undisturbed, first_folder)
    for nth in range(1, 20):
        store = new_store()
        fault = Fault(WRITES, nth=nth, when=when)  # type: ignore[arg-type]
        try:
            publish(FaultyStore(store, [fault]), first_folder)
        except SimulatedCrash:
            pass
        else:
            break
        if Registry(store).find("tiny", "v1.0") is None:
            with pytest.raises(ModelError):
                resolve_model("tiny/v1.0", store, cache=tmp_path / "cache")
        else:
            assert resolve_model("tiny/v1.0", store, cache=tmp_path / "cache").version == "v1.0"
        publish(store, first_folder)
        assert contents(store).keys() == contents(undisturbed).keys()
        assert active(store) == "v1.0"
        assert verify_versions(Registry(store), "tiny").problems == []
    assert nth == 7  # claim, two files, manifest, no claim, ACTIVE


def test_a_full_store_leaves_no_version_and_keeps_the_active_one(
    store: Store, first_folder: Path, second_folder: Path
) -> None:
    def full() -> StorageError:
        return StorageError("no room to write", hint="free space and run again")

    publish(store, first_folder)
    with pytest.raises(StorageError, match="no room"):
        publish(
            FaultyStore(store, [Fault(("put",), nth=2, error=full)]), second_folder, version="v1.1"
        )
    assert active(store) == "v1.0"
    assert Registry(store).find("tiny", "v1.1") is None
    assert publish(store, second_folder, version="v1.1").new


def test_an_unfinished_version_is_listed_and_refuses_other_content(
    store: Store, first_folder: Path, second_folder: Path
) -> None:
    with pytest.raises(SimulatedCrash):
        publish(FaultyStore(store, [Fault(("put",), nth=2)]), first_folder)
    assert Registry(store).versions("tiny") == {"v1.0": "unfinished"}
    with pytest.raises(ModelNotFoundError, match=r"v1.0 \(unfinished\)"):
        resolve_model("tiny/v1.0", store)
    with pytest.raises(ModelConflictError, match="left unfinished"):
        publish(store, second_folder)
    assert delete_version(Registry(store), "tiny", "v1.0", author()) == 1
    assert publish(store, second_folder).activated


def test_concurrent_publishers_of_a_version_leave_the_content_of_one(
    store: Store, first_folder: Path, second_folder: Path
) -> None:
    digests: list[str] = []
    refused: list[str] = []

    def go(folder: Path) -> None:
        try:
            digests.append(publish(store, folder).manifest.digest)
        except ModelConflictError as error:
            refused.append(error.message)

    threads = [
        threading.Thread(target=go, args=(folder,)) for folder in (first_folder, second_folder) * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) + len(refused) == 6
    assert len(set(digests)) == 1
    assert verify_versions(Registry(store), "tiny").verified == ["tiny/v1.0"]
    assert Registry(store).read("tiny", "v1.0").digest == digests[0]


# -- switching -------------------------------------------------------------------------------------


@pytest.fixture
def three(store: Store, first_folder: Path, second_folder: Path, tmp_path: Path) -> Registry:
    """A registry with v1.0 (active), v1.1 and v2.0."""
    publish(store, first_folder)
    publish(store, second_folder, version="v1.1")
    publish(store, make_folder(tmp_path / "three", 3), version="v2.0")
    return Registry(store)


def test_the_first_version_is_active_and_a_later_one_must_be_switched_to(three: Registry) -> None:
    assert active(three.store) == "v1.0"
    then = switch_version(three, "tiny", "v2.0", author("bob@bench"), why="better")
    assert [(c.version, c.who, c.why, c.action) for c in then.history] == [
        ("v1.0", "ann@desk", "the first version", "switch"),
        ("v2.0", "bob@bench", "better", "switch"),
    ]
    assert read_active(three, "tiny")[0] == then


def test_rollbacks_go_back_one_version_at_a_time(three: Registry) -> None:
    switch_version(three, "tiny", "v1.1", author())
    switch_version(three, "tiny", "v2.0", author())
    assert rollback_version(three, "tiny", author()).version == "v1.1"
    assert rollback_version(three, "tiny", author()).version == "v1.0"
    with pytest.raises(ModelConflictError, match="nothing before it"):
        rollback_version(three, "tiny", author())
    assert switch_version(three, "tiny", "v2.0", author()).version == "v2.0"
    assert rollback_version(three, "tiny", author()).version == "v1.0"


def test_a_rollback_skips_deleted_versions(three: Registry) -> None:
    switch_version(three, "tiny", "v1.1", author())
    switch_version(three, "tiny", "v2.0", author())
    delete_version(three, "tiny", "v1.1", author())
    assert rollback_version(three, "tiny", author()).version == "v1.0"


def test_the_slower_of_two_concurrent_switches_fails_and_names_the_active_version(
    three: Registry,
) -> None:
    class Interrupted(FaultyStore):
        """Another operator switches between this one's look and its write."""

        def put_if_match(self, key: str, content: bytes | Path, etag: str) -> str:
            switch_version(three, "tiny", "v1.1", author("bob@bench"), why="faster")
            return super().put_if_match(key, content, etag)

    with pytest.raises(ModelConflictError, match=r"active is v1.1 now \(switch v1.1 by bob@bench"):
        switch_version(Registry(Interrupted(three.store)), "tiny", "v2.0", author())
    assert active(three.store) == "v1.1"


def test_a_switch_can_require_the_version_that_was_last_seen(three: Registry) -> None:
    switch_version(three, "tiny", "v1.1", author(), expected="v1.0")
    with pytest.raises(ModelConflictError, match=r"active is v1\.1 now"):
        switch_version(three, "tiny", "v2.0", author(), expected="v1.0")
    assert active(three.store) == "v1.1"


def test_concurrent_switches_lose_no_change(three: Registry) -> None:
    won: list[str] = []

    def go(number: int) -> None:
        version = ("v1.0", "v1.1", "v2.0")[number % 3]
        try:
            then = switch_version(three, "tiny", version, author(f"op-{number}@desk"))
        except ModelConflictError:
            return
        if then.history[-1].who == f"op-{number}@desk":
            won.append(f"op-{number}@desk")

    threads = [threading.Thread(target=go, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = read_active(three, "tiny")[0].history
    assert sorted(change.who for change in history[1:]) == sorted(won)


def test_a_switch_to_the_active_version_is_no_change(three: Registry) -> None:
    before = contents(three.store)
    switch_version(three, "tiny", "v1.0", author())
    assert contents(three.store) == before


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_switch_has_either_happened_or_not(three: Registry, when: str) -> None:
    fault = Fault(WRITES, when=when)  # type: ignore[arg-type]
    with pytest.raises(SimulatedCrash):
        switch_version(Registry(FaultyStore(three.store, [fault])), "tiny", "v2.0", author())
    assert active(three.store) == {"before": "v1.0", "after": "v2.0"}[when]
    assert switch_version(three, "tiny", "v2.0", author()).version == "v2.0"


@pytest.mark.parametrize("door", ["publish", "restore"])
@pytest.mark.parametrize("damage", ["a byte", "the end", "all"])
def test_publishing_the_same_content_again_repairs_damage(
    store: Store,
    first_folder: Path,
    tmp_path: Path,
    door: str,
    damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publish(store, first_folder)
    registry, archive = Registry(store), tmp_path / "backup.tar"
    write_archive(registry, [], archive)
    before = contents(store)
    key = next(key for key in before if key.endswith("model.safetensors"))
    if damage == "all":
        store.delete([key])
    else:
        flipped = bytes([before[key][0] ^ 1]) + before[key][1:]
        store.put(key, flipped if damage == "a byte" else before[key][:-1])
    assert verify_versions(registry, "tiny").problems
    if door == "publish":
        publish(store, first_folder)
    else:
        assert read_archive(registry, archive, author()).present == ["tiny/v1.0"]
    assert verify_versions(registry, "tiny").problems == []
    assert contents(store) == before
    assert "model.safetensors" in caplog.text
    assert "mended" in caplog.text


# -- deleting --------------------------------------------------------------------------------------


def test_a_version_that_is_not_active_can_be_deleted(three: Registry) -> None:
    assert delete_version(three, "tiny", "v1.1", author(), why="never used") == 3
    assert sorted(three.versions("tiny")) == ["v1.0", "v2.0"]
    assert read_active(three, "tiny")[0].history[-1].why == "never used"


def test_the_active_version_is_never_deleted(three: Registry) -> None:
    before = contents(three.store)
    with pytest.raises(ModelConflictError, match="is active and cannot be deleted"):
        delete_version(three, "tiny", "v1.0", author())
    assert contents(three.store) == before


def test_a_version_that_becomes_active_while_it_is_being_deleted_stays(three: Registry) -> None:
    class Interrupted(FaultyStore):
        """Another operator switches to the version just before the claim is put."""

        def put(self, key: str, content: bytes | Path) -> str:
            switch_version(three, "tiny", "v2.0", author("bob@bench"))
            return super().put(key, content)

    with pytest.raises(ModelConflictError, match=r"active is v2\.0 now"):
        delete_version(Registry(Interrupted(three.store)), "tiny", "v2.0", author())
    assert three.read("tiny", "v2.0").version == "v2.0"
    assert verify_versions(three, "tiny").problems == []
    assert not three.is_being_deleted("tiny", "v2.0")


def test_a_cancelled_deletion_leaves_a_version_that_can_be_completed(
    three: Registry, second_folder: Path
) -> None:
    store = three.store
    crash = Fault(("put_if_absent",), nth=2)
    with pytest.raises(SimulatedCrash):
        publish(FaultyStore(store, [crash]), second_folder, version="v3.0")
    assert three.versions("tiny")["v3.0"] == UNFINISHED

    class Interrupted(FaultyStore):
        """Another operator switches just before the deletion is claimed."""

        def put(self, key: str, content: bytes | Path) -> str:
            switch_version(three, "tiny", "v2.0", author("bob@bench"))
            return super().put(key, content)

    with pytest.raises(ModelConflictError):
        delete_version(Registry(Interrupted(store)), "tiny", "v3.0", author())
    assert three.versions("tiny")["v3.0"] == UNFINISHED
    publish(store, second_folder, version="v3.0")
    assert three.read("tiny", "v3.0").version == "v3.0"


def test_a_late_claim_is_removed(store: Store, first_folder: Path, second_folder: Path) -> None:
    class Overtaken(FaultyStore):
        """Another operator publishes other content just before the claim."""

        def put_if_absent(self, key: str, content: bytes | Path) -> str:
            if key.endswith("PUBLISHING"):
                publish(store, first_folder)
            return super().put_if_absent(key, content)

    with pytest.raises(ModelConflictError, match="with other content"):
        publish(Overtaken(store), second_folder)
    assert not [key for key in contents(store) if key.endswith("PUBLISHING")]
    assert publish(store, first_folder).new is False


def test_a_damaged_claim_still_protects_its_version(store: Store, first_folder: Path) -> None:
    store.put("models/tiny/v1.0/PUBLISHING", b"\xff")
    store.put("models/tiny/v1.0/config.json", b"{}")
    with pytest.raises(ModelConflictError, match=r"left unfinished \(by somebody unknown"):
        publish(store, first_folder)
    assert store.get("models/tiny/v1.0/config.json") == b"{}"


@pytest.mark.parametrize("moment", ["before the manifest", "after the manifest"])
def test_a_version_deleted_during_its_publication_is_complete_or_gone(
    three: Registry, second_folder: Path, moment: str
) -> None:
    class Interrupted(FaultyStore):
        """Another operator deletes the version around the moment that makes it one."""

        def put_if_absent(self, key: str, content: bytes | Path) -> str:
            manifest = key.endswith("v3.0/manifest.json")
            if manifest and moment == "before the manifest":
                delete_version(three, "tiny", "v3.0", author("bob@bench"))
            etag = super().put_if_absent(key, content)
            if manifest and moment == "after the manifest":
                delete_version(three, "tiny", "v3.0", author("bob@bench"))
            return etag

    with pytest.raises(ModelConflictError, match="was deleted by others"):
        publish(Interrupted(three.store), second_folder, version="v3.0")
    assert "v3.0" not in three.versions("tiny")
    assert publish(three.store, second_folder, version="v3.0")
    assert verify_versions(three, "tiny").problems == []


def test_a_publisher_does_not_release_a_claim_to_delete(
    three: Registry, second_folder: Path
) -> None:
    class Interrupted(FaultyStore):
        """Another operator claims the deletion, and no more, when the version is there."""

        def put_if_absent(self, key: str, content: bytes | Path) -> str:
            etag = super().put_if_absent(key, content)
            if key.endswith("v3.0/manifest.json"):
                three.claim_deletion("tiny", "v3.0", author("bob@bench"))
            return etag

    with pytest.raises(ModelConflictError, match="was deleted by others"):
        publish(Interrupted(three.store), second_folder, version="v3.0")
    assert three.is_being_deleted("tiny", "v3.0")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_deletion_leaves_a_version_complete_or_gone_and_can_be_finished(
    new_store: NewStore, first_folder: Path, second_folder: Path, tmp_path: Path, when: str
) -> None:
    for nth in range(1, 20):
        store = new_store()
        publish(store, first_folder)
        publish(store, second_folder, version="v1.1")
        fault = Fault(WRITES, nth=nth, when=when)  # type: ignore[arg-type]
        try:
            delete_version(Registry(FaultyStore(store, [fault])), "tiny", "v1.1", author())
        except SimulatedCrash:
            pass
        else:
            break
        registry = Registry(store)
        if (nth, when) == (1, "before"):
            assert verify_versions(registry, "tiny").problems == []  # nothing happened yet
        elif "v1.1" in registry.versions("tiny"):
            with pytest.raises(ModelError):  # half gone, or going
                switch_version(registry, "tiny", "v1.1", author())
            if registry.find("tiny", "v1.1") is None:
                with pytest.raises(ModelNotFoundError):
                    resolve_model("tiny/v1.1", store, cache=tmp_path / "cache")
        if "v1.1" in registry.versions("tiny"):
            delete_version(registry, "tiny", "v1.1", author())
        assert registry.versions("tiny") == {"v1.0": "published"}
    assert nth == 7  # claim, ACTIVE, manifest, two files, claim


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
