"""Restore the model versions of an archive into a registry.

An archive may come from anybody: names outside ``models/``, links, devices, files that no manifest
lists and files that differ from their manifest are refused before anything is written.
"""

import hashlib
import re
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gigacast.errors import CorruptedFileError, ModelIntegrityError
from gigacast.lake.layout import (
    MODEL_MANIFEST,
    active_key,
    model_file_key,
    model_manifest_key,
)
from gigacast.lake.model.active import (
    Active,
    parse_active,
    read_active,
    restored,
    write_active,
)
from gigacast.lake.model.file import ModelFile
from gigacast.lake.model.manifest import ModelManifest, compare_file, parse_manifest
from gigacast.lake.model.registry import Registry
from gigacast.lake.model.transfer import local_errors
from gigacast.lake.publication import Author
from gigacast.scratch import ScratchFolder

_MEMBER = re.compile(
    r"models/(?P<model>[^/]+)/(?:ACTIVE|(?P<version>[^/]+)/(?P<file>(?:base/)?[^/]+))"
)
# Manifests are read into memory, and an archive may come from anybody.
_MAX_RECORD_BYTES = 64 * 2**20
_PIECE_BYTES = 2**20


@dataclass
class RestoreReport:
    """The restored versions, those that existed already, and the active version of each model."""

    versions: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    active: dict[str, str] = field(default_factory=dict)
    kept_active: dict[str, str] = field(default_factory=dict)


def read_archive(registry: Registry, archive: Path, author: Author) -> RestoreReport:
    """Restore the versions of an archive into a registry.

    The whole archive is verified first. Versions that exist stay as they are, and so does a model's
    active version; a model without one gets the archive's.

    Raises
    ------
    CorruptedFileError
        When it is not an archive of models, or has members that do not belong into one.
    ModelIntegrityError
        When a file differs from its manifest.
    ModelConflictError
        When a version exists with other content; versions restored before it remain.
    StorageError
    """
    report = RestoreReport()
    with _opened(archive) as tar:
        members = _members(tar, archive)
        manifests = list(_manifests(tar, members, archive))
        records = _records(tar, members, archive)
        _check_members(members, manifests, archive)
        _check_records(records, manifests, archive)
        # All files are hashed before the first version is published, so that a damaged archive
        # restores nothing.
        for manifest in manifests:
            _check_files(tar, members, manifest, archive)
        for manifest in manifests:
            new = _restore_version(registry, tar, members, manifest, author)
            label = f"{manifest.model}/{manifest.version}"
            (report.versions if new else report.present).append(label)
    # After all versions: an active version must exist before it is named.
    for model, active in records.items():
        _restore_active(registry, model, active, author, report)
    return report


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    with local_errors(archive):
        try:
            with tarfile.open(archive, "r:") as tar:
                yield tar
        except tarfile.TarError as error:
            raise CorruptedFileError(
                f"{archive}: not an archive of models, or cut short: {error}",
                hint="write it with `gigacast models backup`",
            ) from error


def _members(tar: tarfile.TarFile, archive: Path) -> dict[str, tarfile.TarInfo]:
    members: dict[str, tarfile.TarInfo] = {}
    for member in tar:
        match = _MEMBER.fullmatch(member.name)
        parts = member.name.split("/")
        # A link could lead out of the scratch folder, and a sparse file could fill the disk.
        plain = member.isreg() and not member.issparse()
        if match is None or not plain or {"", ".", ".."} & set(parts):
            raise _refused(archive, f"{member.name!r} does not belong into an archive of models")
        if member.name in members:
            raise _refused(archive, f"{member.name!r} is in it twice")
        members[member.name] = member
    return members


def _refused(archive: Path, why: str) -> CorruptedFileError:
    return CorruptedFileError(
        f"{archive}: {why}; nothing was restored", hint="use a file that `models backup` wrote"
    )


def _manifests(
    tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], archive: Path
) -> Iterator[ModelManifest]:
    for name, member in members.items():
        if not name.endswith(f"/{MODEL_MANIFEST}"):
            continue
        manifest = parse_manifest(_small(tar, member, archive), f"{archive}: {name}")
        if name != model_manifest_key(manifest.model, manifest.version):
            raise _refused(archive, f"{name} says it is {manifest.model}/{manifest.version}")
        yield manifest


def _records(
    tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], archive: Path
) -> dict[str, Active]:
    return {
        name.split("/")[1]: parse_active(_small(tar, member, archive), f"{archive}: {name}")
        for name, member in members.items()
        if name.count("/") == 2
    }


def _small(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: Path) -> bytes:
    if member.size > _MAX_RECORD_BYTES:
        raise _refused(archive, f"{member.name} is too large")
    return b"".join(_pieces(tar, member))


def _pieces(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    stream = tar.extractfile(member)
    while stream is not None and (piece := stream.read(_PIECE_BYTES)):
        yield piece


def _check_members(
    members: Iterable[str], manifests: Sequence[ModelManifest], archive: Path
) -> None:
    """Refuse an archive without a manifest, or with members that no manifest lists."""
    if not manifests:
        raise _refused(archive, "it holds no version")
    listed = {model_manifest_key(m.model, m.version) for m in manifests}
    listed |= {active_key(m.model) for m in manifests}
    listed |= {model_file_key(m.model, m.version, file.name) for m in manifests for file in m.files}
    unlisted = sorted(set(members) - listed)
    if unlisted:
        raise _refused(archive, f"{unlisted[0]!r} is in no manifest")


def _check_records(
    records: dict[str, Active], manifests: Sequence[ModelManifest], archive: Path
) -> None:
    versions = {(m.model, m.version) for m in manifests}
    for model, active in records.items():
        if active.version is not None and (model, active.version) not in versions:
            raise _refused(archive, f"{model}/{active.version} is active, but not in it")


def _check_files(
    tar: tarfile.TarFile,
    members: dict[str, tarfile.TarInfo],
    manifest: ModelManifest,
    archive: Path,
) -> None:
    for file in manifest.files:
        member = members.get(model_file_key(manifest.model, manifest.version, file.name))
        stored = None
        if member is not None:
            hashed = hashlib.sha256()
            for piece in _pieces(tar, member):
                hashed.update(piece)
            stored = ModelFile(file.name, member.size, hashed.hexdigest())
        if (problem := compare_file(file, stored)) is not None:
            raise ModelIntegrityError(
                f"{archive}: {manifest.model}/{manifest.version}: {problem}; nothing was restored",
                hint="use another backup",
            )


def _restore_version(
    registry: Registry,
    tar: tarfile.TarFile,
    members: dict[str, tarfile.TarInfo],
    manifest: ModelManifest,
    author: Author,
) -> bool:
    with local_errors(Path(tempfile.gettempdir())), ScratchFolder("restore") as scratch:
        for file in manifest.files:
            target = scratch / file.name
            target.parent.mkdir(exist_ok=True)
            member = members[model_file_key(manifest.model, manifest.version, file.name)]
            with target.open("wb") as stream:
                stream.writelines(_pieces(tar, member))
        return registry.publish(scratch, manifest, author)


def _restore_active(
    registry: Registry, model: str, active: Active, author: Author, report: RestoreReport
) -> None:
    now, etag = read_active(registry, model)
    # A registry that is in use keeps the version it has activated.
    if now.version is not None or active.version is None:
        report.kept_active[model] = now.version or ""
        return
    registry.read(model, active.version)
    write_active(registry, model, restored(active, author), etag)
    report.active[model] = active.version
