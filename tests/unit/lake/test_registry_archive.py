"""Archives are hostile until proven otherwise: nothing is written unless all of it is right."""

import errno
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gigacast.errors import CorruptedFileError, GigacastError, ModelConflictError, StorageError
from gigacast.lake.model.backup import write_archive
from gigacast.lake.model.registry import Registry
from gigacast.lake.model.restore import read_archive
from gigacast.storage.memory import MemoryStore
from tests.support.model_folders import author, make_folder, publish

Members = dict[str, bytes]


@pytest.fixture
def members(tmp_path: Path, request: pytest.FixtureRequest) -> Members:
    """The content of a good archive."""
    store = MemoryStore(f"source-{request.node.name}")
    publish(store, make_folder(tmp_path / "one", 1))
    write_archive(Registry(store), [], tmp_path / "good.tar")
    with tarfile.open(tmp_path / "good.tar") as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]


@pytest.fixture
def target(request: pytest.FixtureRequest) -> MemoryStore:
    return MemoryStore(f"target-{request.node.name}")


def write(path: Path, members: Members, *more: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for entry, content in more:
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def keys(store: MemoryStore) -> list[str]:
    return [meta.key for page in store.list() for meta in page]


WEIGHTS = "models/tiny/v1.0/model.safetensors"
MANIFEST = "models/tiny/v1.0/manifest.json"


def without(name: str) -> Callable[[Members], Members]:
    return lambda members: {n: c for n, c in members.items() if n != name}


def with_(name: str, content: bytes) -> Callable[[Members], Members]:
    return lambda members: {**members, name: content}


BAD: dict[str, tuple[Callable[[Members], Members], str]] = {
    "a path out of it": (with_("../../etc/passwd", b""), "does not belong"),
    "an absolute path": (with_("/etc/passwd", b""), "does not belong"),
    "a path out of its version": (with_("models/tiny/../x/config.json", b""), "does not belong"),
    "a version called ..": (with_("models/tiny/../config.json", b""), "does not belong"),
    "an object of another kind": (with_("forecasts/x", b""), "does not belong"),
    "a file in no manifest": (with_("models/tiny/v1.0/other.json", b""), "is in no manifest"),
    "a file of no version": (with_("models/evil/v1/config.json", b""), "is in no manifest"),
    "a missing file": (without(WEIGHTS), "model.safetensors is missing"),
    "no manifest": (without(MANIFEST), "holds no version"),
    "a manifest that lies": (with_(MANIFEST, b"{}"), "cannot be trusted"),
    "a record that lies": (with_("models/tiny/ACTIVE", b"{}"), "which version is active"),
    "a record of nothing": (
        with_("models/tiny/ACTIVE", b'{"version": "v9", "history": []}'),
        "is active, but not in it",
    ),
    "nothing at all": (lambda _: {}, "holds no version"),
}


@pytest.mark.parametrize("problem", BAD)
def test_an_archive_with_unexpected_members_restores_nothing(
    tmp_path: Path, members: Members, target: MemoryStore, problem: str
) -> None:
    change, says = BAD[problem]
    archive = write(tmp_path / "bad.tar", change(members))
    with pytest.raises(GigacastError, match=says):
        read_archive(Registry(target), archive, author())
    assert keys(target) == []


def test_a_changed_file_restores_nothing(
    tmp_path: Path, members: Members, target: MemoryStore
) -> None:
    changed = members[WEIGHTS][:-1] + b"\x07"
    archive = write(tmp_path / "bad.tar", {**members, WEIGHTS: changed})
    with pytest.raises(GigacastError, match=r"model\.safetensors was changed.*nothing was"):
        read_archive(Registry(target), archive, author())
    assert keys(target) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_links_and_folders_are_refused(
    tmp_path: Path, members: Members, target: MemoryStore, kind: bytes
) -> None:
    entry = tarfile.TarInfo("models/tiny/v1.0/link.json")
    entry.type, entry.linkname = kind, "/etc/passwd"
    archive = write(tmp_path / "bad.tar", members, (entry, b""))
    with pytest.raises(CorruptedFileError, match="does not belong"):
        read_archive(Registry(target), archive, author())
    assert keys(target) == []


def test_a_file_that_comes_twice_is_refused(
    tmp_path: Path, members: Members, target: MemoryStore
) -> None:
    archive = write(tmp_path / "bad.tar", members, (tarfile.TarInfo(WEIGHTS), b"another"))
    with pytest.raises(CorruptedFileError, match="is in it twice"):
        read_archive(Registry(target), archive, author())


@pytest.mark.parametrize("size", [0, 700, 2000, -600])
def test_an_archive_that_is_cut_short_restores_nothing(
    tmp_path: Path, members: Members, target: MemoryStore, size: int
) -> None:
    archive = tmp_path / "cut.tar"
    content = (
        write(tmp_path / "good2.tar", dict(reversed(members.items()))).read_bytes().rstrip(b"\0")
    )
    archive.write_bytes(content[:size])
    with pytest.raises(GigacastError):
        read_archive(Registry(target), archive, author())
    assert keys(target) == []


def test_missing_archives_and_other_files_are_clear_errors(
    tmp_path: Path, target: MemoryStore
) -> None:
    with pytest.raises(GigacastError, match=r"none\.tar"):
        read_archive(Registry(target), tmp_path / "none.tar", author())
    (tmp_path / "text.tar").write_text("not a tar file" * 100)
    with pytest.raises(CorruptedFileError, match="not an archive of models"):
        read_archive(Registry(target), tmp_path / "text.tar", author())


def test_a_version_that_exists_with_other_content_is_kept(
    tmp_path: Path, members: Members, target: MemoryStore
) -> None:
    publish(target, make_folder(tmp_path / "two", 2))
    before = {key: target.get(key) for key in keys(target)}
    with pytest.raises(ModelConflictError, match="with other content"):
        read_archive(Registry(target), write(tmp_path / "good2.tar", members), author())
    assert {key: target.get(key) for key in keys(target)} == before


def test_a_full_disk_leaves_no_archive(
    tmp_path: Path, target: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    publish(target, make_folder(tmp_path / "one", 1))
    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(StorageError, match="no room to write"):
        write_archive(Registry(target), [], tmp_path / "backups" / "models.tar")
    assert list((tmp_path / "backups").iterdir()) == []
