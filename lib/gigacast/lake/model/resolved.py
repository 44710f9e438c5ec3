"""A model pinned to its bytes."""

from dataclasses import dataclass
from pathlib import Path

from gigacast.lake.model.file import digest_folder
from gigacast.lake.model.known import UNSAFE


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model pinned to its bytes.

    Parameters
    ----------
    name, version : str
        Segments of the output keys.
    digest : str
        SHA-256 over the names and contents of the files a model is loaded from; a constant for a
        model without files.
    folder : Path, optional
        Folder of the files; ``None`` for a model without files.
    source : str
        Place where it was found, for people.
    members : tuple of ResolvedModel
        Models of a portfolio, none of which is a portfolio; empty for a model.
    """

    name: str
    version: str
    digest: str
    folder: Path | None
    source: str
    members: tuple["ResolvedModel", ...] = ()


def pin_folder(folder: Path, name: str, version: str | None, source: str) -> ResolvedModel:
    """Return the model in a folder, with the start of its digest for its version by default."""
    digest = digest_folder(folder)
    safe_name = UNSAFE.sub("-", name).strip("-.") or "model"
    return ResolvedModel(safe_name, version or digest[:12], digest, folder, source)
