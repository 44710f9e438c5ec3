"""The models of the package, with the versions that earlier releases shipped."""

from gigacast.errors import ModelNotFoundError
from gigacast.lake.model.known import earlier_versions, packaged, packaged_folders
from gigacast.lake.model.resolved import ResolvedModel, pin_folder

_SOURCE = "ships with the package"


def from_package(reference: str, version: str | None) -> ResolvedModel | None:
    """Return a model that ships with the package; ``None`` if the reference is no such name.

    Raises
    ------
    ModelNotFoundError
        When the package has no such version of it.
    """
    name, _, named_version = reference.partition("/")
    folder = packaged(name)
    if folder is None:
        return None
    asked = named_version or version
    shipped = pin_folder(folder, name, None, _SOURCE)
    if asked in {None, shipped.version}:
        return shipped
    earlier = packaged(name, asked)
    if earlier is not None:
        return pin_folder(earlier, name, None, f"{_SOURCE}, from an earlier release")
    if named_version:
        return None  # a version of that name may lie under models/
    others = "".join(f" and {other}" for other in earlier_versions(name))
    raise ModelNotFoundError(
        f"{name} ships in version {shipped.version}{others}, not {version}",
        hint="leave the version out, or publish the other one under models/",
    )


def of_package(digest: str) -> ResolvedModel | None:
    """Return the model of the package whose digest starts with a text; ``None`` if none does."""
    for name, folder in packaged_folders():
        shipped = pin_folder(folder, name, None, _SOURCE)
        if shipped.digest.startswith(digest):
            return shipped
    return None
