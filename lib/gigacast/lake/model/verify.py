"""The verification of published versions: every stored file is hashed again."""

from dataclasses import dataclass, field

from gigacast.errors import ModelIntegrityError
from gigacast.lake.layout import MODEL_CLAIM, MODEL_MANIFEST
from gigacast.lake.model.manifest import compare_file
from gigacast.lake.model.registry import PLAIN, PUBLISHED, Registry
from gigacast.lake.model.transfer import hash_object


@dataclass(slots=True)
class Verification:
    """Comparison of versions with their manifests.

    Parameters
    ----------
    verified : list of str
        Versions whose files all are as published.
    problems : list of str
        A line for each file that is not, and for each version that is unfinished.
    skipped : list of str
        Versions without a manifest to compare them with.
    files, size_bytes : int
        Count and size of the files that were hashed.
    """

    verified: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    files: int = 0
    size_bytes: int = 0


def verify_versions(registry: Registry, model: str, version: str | None = None) -> Verification:
    """Hash every file of one version, or of all versions of a model.

    Raises
    ------
    ModelNotFoundError
        When there is none; the message lists those that exist.
    """
    states = registry.versions(model)
    if not states or (version is not None and version not in states):
        raise registry.unknown(model, version)
    report = Verification()
    for name in [version] if version is not None else states:
        label = f"{model}/{name}"
        if states[name] == PLAIN:
            report.skipped.append(f"{label}: no manifest to compare it with")
        elif states[name] != PUBLISHED:
            report.problems.append(f"{label}: a publish or delete was never finished")
        else:
            _verify(registry, model, name, report)
    return report


def _verify(registry: Registry, model: str, version: str, report: Verification) -> None:
    label = f"{model}/{version}"
    try:
        manifest = registry.read(model, version)
    except ModelIntegrityError as error:
        report.problems.append(f"{label}: {MODEL_MANIFEST}: {error.message}")
        return
    problems = []
    files = registry.files(model, version)
    for file in manifest.files:
        meta = files.get(file.name)
        stored = hash_object(registry.store, meta, file.name) if meta is not None else None
        report.files += stored is not None
        report.size_bytes += stored.size_bytes if stored is not None else 0
        if (problem := compare_file(file, stored)) is not None:
            problems.append(f"{label}: {problem}")
    listed = {MODEL_MANIFEST, MODEL_CLAIM, *(file.name for file in manifest.files)}
    problems += [f"{label}: {name} is not in the manifest" for name in sorted({*files} - listed)]
    report.problems += problems
    if not problems:
        report.verified.append(label)
