"""Models from the Hugging Face hub. Alone imports ``huggingface_hub``, and only when asked.

The hub's own settings count: ``HF_HOME``, ``HF_ENDPOINT`` (mirrors), ``HF_HUB_OFFLINE``,
``HF_TOKEN``.
"""

from pathlib import Path

from gigacast.errors import ModelNotFoundError

PATTERNS = ["*.json", "*.safetensors"]


def download_from_hub(repo: str, revision: str | None) -> tuple[Path, str]:
    """Fetch a model's files, or take them from the hub's cache.

    Parameters
    ----------
    repo : str
        ``owner/name``.
    revision : str, optional
        Branch, tag or commit; the default branch when absent.

    Returns
    -------
    folder : Path
    commit : str
        The commit the files are of, whatever ``revision`` was.

    Raises
    ------
    ModelNotFoundError
        When it does not exist, or the hub can't be reached and nothing is cached.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - for those who ask the hub
    from huggingface_hub.errors import (  # noqa: PLC0415
        HfHubHTTPError,
        LocalEntryNotFoundError,
    )

    label = f"{repo}@{revision}" if revision else repo
    try:
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=PATTERNS))
    except LocalEntryNotFoundError as error:
        raise ModelNotFoundError(
            f"model {label}: the hub can't be reached and the model is not in its cache",
            hint="check the network, set HF_ENDPOINT to a mirror, or give a local folder",
        ) from error
    except (HfHubHTTPError, ValueError, OSError) as error:
        first_line = (
            str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        )
        raise ModelNotFoundError(
            f"model {label}: not on the hub, or not readable: {first_line}",
            hint="check the name; for a gated model set HF_TOKEN",
        ) from error
    return folder, folder.name
