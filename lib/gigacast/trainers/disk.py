"""Errors of the local disk while training writes to it.

A module of its own because the corpus, which uses it, is written without torch.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gigacast.errors import GigacastError, StorageError

_FULL = (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk; the libraries' writers often pass none, and a full disk is the
usual cause."""
_WRITERS = ("PytorchStreamWriter", "inline_container", "os error")
"""Texts by which the writers of torch and safetensors report that they could not write."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise errors of the disk as `StorageError`, including those that libraries wrap.

    Raises
    ------
    StorageError
        If writing to ``path`` fails.
    """
    try:
        yield
    except GigacastError:
        raise
    except Exception as error:
        if not isinstance(error, OSError) and not any(sign in str(error) for sign in _WRITERS):
            raise
        # torch and safetensors raise errors of their own, with the error of the disk as context.
        cause = error if isinstance(error, OSError) else error.__context__
        full = getattr(cause, "errno", None) in _FULL
        reason = getattr(cause, "strerror", None) or str(error).partition("\n")[0]
        raise StorageError(
            f"{'no room to write' if full else 'cannot write'} {path}: {reason}",
            hint="free space, or set --checkpoints or TMPDIR to a larger disk; the last "
            "checkpoint is kept",
        ) from error
