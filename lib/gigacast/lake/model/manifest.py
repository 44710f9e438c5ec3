"""The manifest of a model version: its content, its source, and every file with its hash.

It is written last and never replaced, so a version with a manifest is complete. A manifest is
trusted only if its digest is that of its files and its key that of its version.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from gigacast.core.mark import Count, Fits
from gigacast.core.plural import counted
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record
from gigacast.errors import ConfigError, ModelIntegrityError
from gigacast.lake.layout import ACTIVE, MODEL_MANIFEST
from gigacast.lake.model.file import ModelFile, digest_files, hash_folder

FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_HINT = "publish the model again from a good copy, under a new version"


def is_name(name: str) -> bool:
    """Check whether a name of a model or version is usable as a folder in every store."""
    return _NAME.fullmatch(name) is not None and name != ACTIVE


Name = Annotated[str, Fits(is_name, "the name of a model or version")]


@dataclass(frozen=True)
class ModelManifest:
    """A published version.

    Parameters
    ----------
    model, version : str
    digest : str
        SHA-256 of all files; see `lake.model.file.digest_files`.
    files : tuple of ModelFile
        Every file with size and SHA-256.
    source : mapping
        ``kind`` is ``hub`` (``repo``, ``revision``), ``folder`` (``path``, ``host``) or
        ``training`` (``parent``: model, version, digest, or none; ``record``: how it was trained).
    created_at, created_by : str
    architecture : str
        Class of the network, such as ``ChronosBoltModelForForecasting``.
    parameters : int
        Count of stored weights.
    context_length, prediction_length : int
    quantile_levels : tuple of float
        Empty for a model that samples.
    license : str or None
    metrics : mapping
        Measures taken when the model was made.
    software : mapping
        Versions of the software that made it.
    """

    model: Name
    version: Name
    digest: str
    files: tuple[ModelFile, ...]
    source: Mapping[str, Any]
    created_at: str
    created_by: str = ""
    architecture: str = ""
    parameters: Count = 0
    context_length: Count = 0
    prediction_length: Count = 0
    quantile_levels: tuple[float, ...] = ()
    license: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size_bytes for file in self.files)

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as plain values."""
        files = [file._asdict() for file in self.files]
        return {"format": FORMAT, **asdict(self), "files": files}

    def to_bytes(self) -> bytes:
        """Return the manifest as it is stored."""
        return (json.dumps(self.to_json(), indent=1) + "\n").encode()


def check_name(kind: str, name: str) -> str:
    """Return the name of a model or version.

    Raises
    ------
    ConfigError
        When it can't be used as the name of a folder in every store.
    """
    if not is_name(name):
        raise ConfigError(
            f"{kind}: {name!r} cannot be used as a name",
            hint="letters, digits, '.', '_' and '-', the first a letter or digit",
        )
    return name


def parse_manifest(content: bytes, label: str) -> ModelManifest:
    """Read a manifest and check that it agrees with itself.

    Parameters
    ----------
    content : bytes
    where : str
        Key or path, for messages.

    Raises
    ------
    ModelIntegrityError
        When it is no manifest, names a file outside its folder, or its digest does not match.
    """
    source = Source(label, ModelIntegrityError, "cannot be trusted", _HINT)
    values = decode_json(content, source)
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise source.refuse(f"not a manifest of format {FORMAT}")
    manifest = read_record(ModelManifest, values, source, required=("quantile_levels",))
    names = [file.name for file in manifest.files]
    if len(set(names)) < len(names) or not names:
        raise source.refuse("listed twice, or none", "files")
    # Specs and receipts identify the model by this digest, so it must be that of the files listed.
    if digest_files(manifest.files) != manifest.digest:
        raise source.refuse("not the digest of its files", "digest")
    return manifest


def read_folder_manifest(folder: Path) -> ModelManifest | None:
    """Return the manifest in a model's folder; ``None`` without one of this package.

    Raises
    ------
    ModelIntegrityError
    """
    path = folder / MODEL_MANIFEST
    if not path.is_file():
        return None
    content = path.read_bytes()
    try:
        values = decode_json(content, Source(str(path), ModelIntegrityError))
    except ModelIntegrityError:
        return None  # other tools write a manifest.json, too
    is_ours = isinstance(values, dict) and "digest" in values
    return parse_manifest(content, str(path)) if is_ours else None


def check_folder(folder: Path, manifest: ModelManifest, hint: str) -> None:
    """Check that a folder holds exactly the files that a manifest lists.

    Raises
    ------
    ModelIntegrityError
        Naming the first file that is missing, changed or unlisted, with ``hint``.
    """
    problem = find_difference(folder, manifest)
    if problem is not None:
        raise ModelIntegrityError(f"{folder}: {problem}; it is not loaded", hint=hint)


def find_difference(folder: Path, manifest: ModelManifest) -> str | None:
    """Return the first difference of a folder from a manifest; ``None`` without one."""
    try:
        present = {file.name: file for file in hash_folder(folder)}
    except (ModelIntegrityError, OSError) as error:
        return f"cannot be read as a model: {error}"
    for file in manifest.files:
        if (problem := compare_file(file, present.pop(file.name, None))) is not None:
            return problem
    return f"{next(iter(present))} is not in the manifest" if present else None


def compare_file(listed: ModelFile, stored: ModelFile | None) -> str | None:
    """Return the difference of a file from its manifest's entry; ``None`` without one."""
    if stored is None:
        return f"{listed.name} is missing"
    if stored.size_bytes != listed.size_bytes:
        size = counted(stored.size_bytes, "byte")
        return f"{listed.name} has {size} instead of {listed.size_bytes:,}"
    if stored.sha256 != listed.sha256:
        return f"{listed.name} was changed: its SHA-256 is not the published one"
    return None
