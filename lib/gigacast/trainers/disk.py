"""What the local disk says when training writes to it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gigacast.errors import StorageError

_FULL = (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WRITERS = ("PytorchStreamWriter", "os error")
"""How the writers of torch and safetensors say that they could not write."""


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Raise what the disk says, through the writers of libraries too, as `StorageError`.

    Raises
    ------
    StorageError
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and not any(sign in str(error) for sign in _WRITERS):
            raise
        cause = error if isinstance(error, OSError) else error.__context__
        full = getattr(cause, "errno", None) in _FULL
        told = getattr(cause, "strerror", None) or str(error).partition("\n")[0]
        raise StorageError(
            f"{'no room to write' if full else 'cannot write'} {where}: {told}",
            hint="free space, or set --checkpoints or TMPDIR to a larger disk; the last "
            "checkpoint is kept",
        ) from error
