"""Back up published model versions into one tar file, each verified as it is written.

The members of an archive are named by the keys of the registry; `lake.model.restore` reads it.
"""

import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from gigacast.errors import ModelNotFoundError
from gigacast.lake.layout import active_key, model_file_key, model_manifest_key
from gigacast.lake.model.active import read_active
from gigacast.lake.model.manifest import ModelManifest
from gigacast.lake.model.registry import PUBLISHED, Registry
from gigacast.lake.model.transfer import fetch_version, local_errors
from gigacast.scratch import FolderBeside

UNFINISHED = ".gigacast-backup-"
"""Beginning of the names of folders for archives that are being written."""


@dataclass
class BackupReport:
    """The versions in an archive, and those left out because they have no manifest."""

    archive: Path
    versions: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def write_archive(registry: Registry, names: Sequence[str], archive: Path) -> BackupReport:
    """Write versions into a tar file, each verified; a crash leaves no partial file.

    Parameters
    ----------
    registry : Registry
    names : sequence of str
        Models (``NAME``, all versions) and versions (``NAME/VERSION``); everything when empty.
    archive : Path

    Raises
    ------
    ModelNotFoundError
        When a name is unknown, or there is nothing to back up.
    ModelIntegrityError
        When a file is not as published.
    StorageError
        When there is no room.
    """
    report = BackupReport(archive)
    chosen = list(_choose(registry, names, report))
    if not chosen:
        raise ModelNotFoundError(
            f"no published version under {registry.where}", hint="publish or download one first"
        )
    with local_errors(archive):
        archive.parent.mkdir(parents=True, exist_ok=True)
        with FolderBeside(archive.parent, UNFINISHED) as scratch:
            partial = scratch / "archive.tar"
            with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
                for manifest in chosen:
                    _add_version(tar, registry, manifest, scratch)
                    report.versions.append(f"{manifest.model}/{manifest.version}")
                for model in dict.fromkeys(manifest.model for manifest in chosen):
                    versions = {m.version for m in chosen if m.model == model}
                    _add_active(tar, registry, model, versions)
            # Renamed on the same disk: a killed backup leaves no archive that looks complete.
            partial.replace(archive)
    return report


def _choose(
    registry: Registry, names: Sequence[str], report: BackupReport
) -> Iterator[ModelManifest]:
    for name in dict.fromkeys(names or registry.models()):
        model, _, version = name.partition("/")
        if version:
            yield registry.read(model, version)
            continue
        versions = registry.versions(model)
        if not versions and names:
            raise registry.unknown(model)
        for name_of_version, state in versions.items():
            if state == PUBLISHED:
                yield registry.read(model, name_of_version)
            else:
                report.skipped.append(f"{model}/{name_of_version} ({state})")


def _add_version(
    tar: tarfile.TarFile, registry: Registry, manifest: ModelManifest, scratch: Path
) -> None:
    model, version = manifest.model, manifest.version
    _add(tar, model_manifest_key(model, version), manifest.to_bytes())
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        fetch_version(registry.store, manifest, Path(folder))
        for file in manifest.files:
            path = Path(folder) / file.name
            entry = tarfile.TarInfo(model_file_key(model, version, file.name))
            entry.size, entry.mode = file.size_bytes, 0o644
            with path.open("rb") as stream:
                tar.addfile(entry, stream)


def _add_active(tar: tarfile.TarFile, registry: Registry, model: str, versions: set[str]) -> None:
    active, _ = read_active(registry, model)
    # Otherwise the restored ACTIVE would name a version that is not in the archive.
    if active.version in versions:
        _add(tar, active_key(model), active.to_bytes())


def _add(tar: tarfile.TarFile, key: str, content: bytes) -> None:
    entry = tarfile.TarInfo(key)
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, BytesIO(content))
