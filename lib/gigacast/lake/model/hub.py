"""Models from the Hugging Face hub.

The environment of the hub's library applies: ``HF_HOME``, ``HF_ENDPOINT`` (mirrors),
``HF_HUB_OFFLINE``, ``HF_TOKEN``.
"""

import errno
import os
import re
from contextlib import suppress
from pathlib import Path

from gigacast.core.address import HTTP_HINT, is_http_address, without_credentials
from gigacast.core.local_file import write_whole
from gigacast.errors import ConfigError, ModelIntegrityError, ModelNotFoundError, StorageError

# Pickles are not even downloaded. The README declares the license.
PATTERNS = ["*.json", "*.safetensors", "README.md"]
PUBLISHED_MODELS = {
    **{f"chronos-bolt-{size}": "amazon" for size in ("tiny", "mini", "small", "base")},
    "chronos-2": "amazon",
    "chronos-2-small": "autogluon",
    "chronos-2-synth": "autogluon",
    **{f"chronos-t5-{size}": "amazon" for size in ("tiny", "mini", "small", "base", "large")},
}
"""Owners of the published models, by the names that may stand without their owner."""

_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w.-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_LICENSE = re.compile(r"\A---\n(?:.*\n)*?license:\s*(?P<license>\S+)\s*\n(?:.*\n)*?---")
_DEFAULT_REVISION = "main"
"""Revision of the hub's library where none is named."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def parse_hub_id(reference: str) -> tuple[str, str | None] | None:
    """Return the repository and revision of a reference; ``None`` when it is no hub id."""
    owner = PUBLISHED_MODELS.get(reference.partition("@")[0])
    match = _HUB_ID.fullmatch(f"{owner}/{reference}" if owner else reference)
    # The names become folders of the hub's cache: none may lead out of it.
    if match and {*match["repo"].split("/"), match["revision"]} & {".", ".."}:
        return None
    return (match["repo"], match["revision"]) if match else None


def download_from_hub(repo: str, revision: str | None) -> tuple[Path, str]:
    """Return a model's files in the hub's cache, downloaded when they are not in it.

    Parameters
    ----------
    repo : str
        ``owner/name``.
    revision : str, optional
        Branch, tag or commit; the default branch by default.

    Returns
    -------
    folder : Path
    commit : str
        Commit of the files, whatever ``revision`` was.

    Raises
    ------
    ConfigError
        When ``HF_ENDPOINT`` is no address.
    ModelIntegrityError
        When what the hub calls a commit is none.
    ModelNotFoundError
        When it does not exist, or the hub can't be reached and nothing is cached.
    StorageError
        When there is no room for it.
    """
    label = f"{repo}@{revision}" if revision else repo
    mirror = os.environ.get("HF_ENDPOINT")
    if mirror and not is_http_address(mirror):
        # The hub's library ends in a fault of its own, already when it is imported.
        shown = without_credentials(mirror)
        raise ConfigError(f"HF_ENDPOINT {shown!r} is not a URL, or names no host", hint=HTTP_HINT)
    try:
        # Only models of the hub need its library. The functions of a deployment have none.
        from huggingface_hub import snapshot_download  # noqa: PLC0415
        from huggingface_hub.errors import (  # noqa: PLC0415
            HfHubHTTPError,
            LocalEntryNotFoundError,
        )
    except ModuleNotFoundError as error:
        raise ModelNotFoundError(
            f"model {label}: nothing on this machine downloads models of the hub",
            hint="publish it first: gigacast models publish FOLDER --name NAME "
            "--model_version VERSION, and name it as NAME/VERSION",
        ) from error

    try:
        pinned = _pinned(repo, revision)
        folder = Path(snapshot_download(repo, revision=pinned, allow_patterns=PATTERNS))
    except LocalEntryNotFoundError as error:
        raise ModelNotFoundError(
            f"model {label}: the hub can't be reached and the model is not in its cache",
            hint="check the network, set HF_ENDPOINT to a mirror, or give a local folder",
        ) from error
    except (HfHubHTTPError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise StorageError(
                f"model {label}: no room to download it: {error}",
                hint="free space, or set HF_HOME to a larger disk",
            ) from error
        first_line = (
            str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        )
        raise ModelNotFoundError(
            f"model {label}: not on the hub, or not readable: {first_line}",
            hint="check the name; for a gated model set HF_TOKEN",
        ) from error
    # The hub's cache names the folder of a snapshot by its commit.
    _check_commit(folder.name, label)
    _remember(folder, revision or _DEFAULT_REVISION)
    return folder, folder.name


def _remember(folder: Path, revision: str) -> None:
    """Note the commit of a branch or tag in the hub's cache, so that it is found offline.

    The library does so itself only if it is asked for the branch, and not for its commit.
    """
    if _COMMIT.fullmatch(revision):
        return
    refs = folder.parents[1] / "refs"
    path = refs / revision
    # Without the note only a run without the hub fails, and says so.
    if path.resolve().is_relative_to(refs.resolve()):
        with suppress(OSError):
            write_whole(path, folder.name.encode())


def _pinned(repo: str, revision: str | None) -> str | None:
    """Return the commit of a revision; the revision itself where the hub can't be reached.

    Raises
    ------
    ModelIntegrityError
        If what the hub calls a commit is none.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415

    try:
        commit = HfApi().model_info(repo, revision=revision).sha
    # The hub's library has many errors, and its client others. Whatever it is, the download either
    # finds the model in its cache or says why it can't.
    except Exception:
        return revision
    _check_commit(commit or "", f"{repo}@{revision}" if revision else repo)
    return str(commit)


def _check_commit(commit: str, label: str) -> None:
    # It becomes a folder of the hub's cache. A mirror (HF_ENDPOINT) may answer with any text.
    if not _COMMIT.fullmatch(commit):
        raise ModelIntegrityError(
            f"model {label}: the hub names {commit[:80]!r} as its commit, which is none",
            hint="check HF_ENDPOINT, or give a local folder",
        )


def read_license(folder: Path) -> str | None:
    """Return the license that the model card beside a model's files declares."""
    try:
        card = (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    match = _LICENSE.match(card)
    return match["license"].strip("\"'") if match else None
