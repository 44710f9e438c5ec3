"""Versions of a model are deleted completely or not at all, beside publishers and switches."""

from pathlib import Path

import pytest

from gigacast.errors import (
    ModelConflictError,
    ModelError,
    ModelNotFoundError,
)
from gigacast.lake.model.active import (
    delete_version,
    read_active,
    switch_version,
)
from gigacast.lake.model.registry import UNFINISHED, Registry
from gigacast.lake.model.resolve import resolve_model
from gigacast.lake.model.verify import verify_versions
from gigacast.storage.store import Store
from tests.contract.registries import contents
from tests.contract.store_backends import NewStore
from tests.support.faulty_store import WRITES, Fault, FaultyStore, SimulatedCrash
from tests.support.model_folders import author, publish

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
