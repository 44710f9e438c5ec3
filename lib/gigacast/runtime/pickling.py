"""What crosses between processes.

cloudpickle also takes lambdas, closures and what is defined in ``__main__``: a setup written in a
notebook works.
"""

from typing import Any

from joblib.externals.loky.cloudpickle_wrapper import dumps, loads


def pack(value: object) -> bytes:
    """Pickle a value; raises whatever its class raises."""
    packed: bytes = dumps(value)
    return packed


def unpack(packed: bytes) -> Any:
    """Return the twin of a packed value."""
    return loads(packed)


def is_portable(error: BaseException) -> bool:
    """Say whether an exception survives the journey: many pickle and then fail to unpickle."""
    try:
        twin = unpack(pack(error))
    except Exception:
        return False
    return type(twin) is type(error)
