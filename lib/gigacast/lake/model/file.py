"""The files of a model: their names, hashes and headers, and the ones that are refused.

A safetensors header is a length and JSON (https://github.com/huggingface/safetensors#format): it is
read without torch.
"""

import hashlib
import math
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from gigacast.core.mark import Count, Fits
from gigacast.core.plural import counted
from gigacast.core.problem import Source
from gigacast.core.record import decode_json
from gigacast.errors import ModelIntegrityError
from gigacast.forecasters.portfolio.recipe import CHOICES, PORTFOLIO

BASE = "base/"
"""Folder of a LoRA adapter's base model, below the adapter."""

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
PICKLED = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack"})
_SUFFIXES = frozenset({".json", ".safetensors"})
_NOT_THE_MODEL = "manifest.json"  # describes a published version; not part of the model
_MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors library


_FILE = re.compile(r"(?:base/)?[A-Za-z0-9_][A-Za-z0-9._-]*\.(?:json|safetensors)|choices\.parquet")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_model_file(name: str) -> bool:
    """Check whether a manifest may list a name: that of a file of a model, or of its base model."""
    return _FILE.fullmatch(name) is not None and name.rpartition("/")[2] != _NOT_THE_MODEL


class ModelFile(NamedTuple):
    """One file of a model; ``name`` is relative to the model's folder."""

    name: Annotated[str, Fits(is_model_file, "the name of a model's file")]
    size_bytes: Count
    sha256: Annotated[str, Fits(_SHA256.fullmatch, "a SHA-256")]


def digest_folder(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of the files a model is loaded from.

    Raises
    ------
    ModelIntegrityError
        When there is no ``config.json`` or no safetensors file.
    """
    return digest_files(hash_folder(folder))


def hash_folder(folder: Path) -> tuple[ModelFile, ...]:
    """Return the files a model is loaded from, hashed, in the order of their names.

    Raises
    ------
    ModelIntegrityError
        When there is no ``config.json`` or no safetensors file.
    """
    names = model_names(folder)
    return tuple(
        ModelFile(name, (folder / name).stat().st_size, hash_file(folder / name)) for name in names
    )


def digest_files(files: Iterable[ModelFile]) -> str:
    """Return the digest of a model from the hashes of its files."""
    digest = hashlib.sha256()
    for file in sorted(files):
        # No name holds a zero byte, so no two lists of files give the same bytes.
        digest.update(f"{file.name}\0{file.sha256}\n".encode())
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def model_names(folder: Path) -> list[str]:
    """Return the sorted names of the files a model is loaded from, with those of an adapter's base.

    Raises
    ------
    ModelIntegrityError
        When there is no ``config.json`` or no safetensors file.
    """
    names = _names_in(folder)
    # The models of a portfolio have files of their own: it has no weights.
    if PORTFOLIO in names:
        return sorted([*names, *(CHOICES for _ in folder.glob(CHOICES))])
    if not {CONFIG, ADAPTER_CONFIG} & set(names):
        raise ModelIntegrityError(f"{folder}: no config.json", hint="is this a model folder?")
    if not any(name.endswith(".safetensors") for name in names):
        raise ModelIntegrityError(
            f"{folder}: no safetensors weights; pickled weights are not loaded",
            hint="convert them: AutoModel.from_pretrained(folder).save_pretrained(new_folder)",
        )
    if ADAPTER_CONFIG in names and (folder / BASE).is_dir():
        names += [f"{BASE}{name}" for name in _names_in(folder / BASE)]
    return sorted(names)


def _names_in(folder: Path) -> list[str]:
    return [
        path.name
        for path in folder.iterdir()
        if path.suffix in _SUFFIXES and path.is_file() and path.name != _NOT_THE_MODEL
    ]


def refuse_unsafe(folder: Path) -> None:
    """Refuse a folder with files that could run code when loaded, or with damaged weights.

    Raises
    ------
    ModelIntegrityError
        Naming the file.
    """
    for place in (folder, folder / BASE):
        if not place.is_dir():
            continue
        pickled = sorted(path.name for path in place.iterdir() if path.suffix in PICKLED)
        if pickled:
            raise ModelIntegrityError(
                f"{place}: {', '.join(pickled)}: pickles can run code when loaded",
                hint="keep only *.json and *.safetensors in the folder",
            )
    for name in model_names(folder):
        if name.endswith(".safetensors"):
            read_header(folder / name)
        # transformers would import the module that `auto_map` names.
        elif "auto_map" in read_json(folder / name):
            raise ModelIntegrityError(
                f"{folder / name}: names code to run (auto_map)", hint="code is never loaded"
            )


def count_parameters(folder: Path) -> int:
    """Return the number of weights stored in a folder, from the headers of its files.

    Raises
    ------
    ModelIntegrityError
        When a file is not safetensors, or cut short.
    """
    headers = [read_header(path) for path in sorted(folder.glob("*.safetensors"))]
    return sum(math.prod(tensor["shape"]) for header in headers for tensor in header.values())


def read_header(path: Path) -> dict[str, Any]:
    """Return the tensors that a safetensors file declares; its length must agree with them.

    Raises
    ------
    ModelIntegrityError
    """
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            # The length is what the file says of itself: a wrong one must not reserve memory.
            header = decode_json(stream.read(min(length, _MAX_HEADER_BYTES)), _header_of(path))
        header.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
        # A file that is cut short keeps a valid header and would fail only when its last tensors
        # are read, after the run has started.
        missing = 8 + length + end - path.stat().st_size
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelIntegrityError(f"{path}: not a safetensors file: {error}") from error
    if missing:
        problem = f"{counted(abs(missing), 'byte')} too {'few' if missing > 0 else 'many'}"
        raise ModelIntegrityError(f"{path}: {problem}", hint="copy the file again")
    return dict(header)


def _header_of(path: Path) -> Source:
    return Source(str(path), ModelIntegrityError, "not a safetensors file")


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object of a model folder.

    Raises
    ------
    ModelIntegrityError
        When it cannot be read or is not JSON. JSON that is no object gives an empty one.
    """
    source = Source(str(path), ModelIntegrityError, "cannot be read as JSON")
    try:
        content = decode_json(path.read_bytes(), source)
    except OSError as error:
        raise source.refuse(str(error)) from error
    return content if isinstance(content, dict) else {}
