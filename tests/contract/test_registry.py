"""What the model registry promises, over every store: whole versions or none, no lost change."""

import threading
from pathlib import Path

import pytest

from gigacast.errors import (
    ModelConflictError,
    ModelError,
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
from gigacast.lake.model.registry import Registry
from gigacast.lake.model.resolve import resolve_model
from gigacast.lake.model.restore import read_archive
from gigacast.lake.model.verify import verify_versions
from gigacast.storage.store import Store
from tests.contract.registries import active, contents
from tests.contract.store_backends import NewStore
from tests.support.faulty_store import WRITES, Fault, FaultyStore, SimulatedCrash
from tests.support.model_folders import author, publish

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
