"""A wall clock that jumps: Python imports this module at the start of each process.

The folder is on the path of the processes of a campaign. With `CAMPAIGN_CLOCK`, a seed, one reading
of the clock in twenty sets it back or forward, from a second to years, for all later ones. Clocks
that only measure time that passes (`time.monotonic`) go on evenly, as an operating system promises.
"""

import datetime
import importlib.machinery
import os
import random
import sys
import time
from typing import Any

VARIABLE = "CAMPAIGN_CLOCK"
JUMPS_S = (1, 60, 3_601, 86_401, 40 * 86_400, 4 * 365 * 86_400)
SHARE = 0.05
_FIRST_NS, _LAST_NS = 946_684_800 * 10**9, 4_102_444_800 * 10**9  # the years 2000 to 2099
_REAL_NS, _REAL = time.time_ns, datetime.datetime


class _Clock:
    """The clock of a process, which two processes never share.

    Parameters
    ----------
    seed : str
    """

    def __init__(self, seed: str) -> None:
        self._draws = random.Random(f"{seed} {os.getpid()}")
        self._shift_ns = 0
        self._jump()

    def time_ns(self) -> int:
        """Return the time, after a jump in some cases."""
        if self._draws.random() < SHARE:
            self._jump()
        now = _REAL_NS() + self._shift_ns
        if _FIRST_NS < now < _LAST_NS:
            return now
        self._shift_ns = 0
        return _REAL_NS()

    def _jump(self) -> None:
        self._shift_ns += self._draws.choice((-1, 1)) * self._draws.choice(JUMPS_S) * 10**9


class _Times(type):
    """Counts all times as instances, whichever class has made them."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _REAL)


class _JumpingTime(_REAL, metaclass=_Times):
    """A class of times whose ``now`` jumps; all that it makes are of the real class."""

    def __new__(cls, *parts: Any, **more: Any) -> datetime.datetime:  # type: ignore[misc]
        return _REAL(*parts, **more)

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
        return _REAL.fromtimestamp(time.time(), tz)


class _Loader(importlib.machinery.SourceFileLoader):
    """Exchanges the class of times in each module of the product that names it."""

    def exec_module(self, module: Any) -> None:
        super().exec_module(module)
        # Not in the module `datetime` itself: compiled libraries compare with its class.
        if vars(module).get("datetime") is _REAL:
            module.datetime = _JumpingTime


class _Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Any:
        if not fullname.startswith("gigacast."):
            return None
        spec = super().find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


if os.environ.get(VARIABLE):
    clock = _Clock(os.environ[VARIABLE])
    sys.meta_path.insert(0, _Finder)
    time.time_ns = clock.time_ns
    time.time = lambda: clock.time_ns() / 1e9
