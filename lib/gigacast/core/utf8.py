"""UTF-8 for the words of a command line, the environment, paths and streams, in any locale."""

import os
import sys
from collections.abc import Iterable

from gigacast.errors import ConfigError

_MODE = ["-X", "utf8"]


def restart_in_utf8() -> None:
    """Start the program anew in the UTF-8 mode of Python if its locale would misread its texts.

    In a locale of ASCII, as ``LC_ALL=C`` with ``PYTHONUTF8=0``, each byte of `käse` that is not
    ASCII becomes half a surrogate pair, which equals no text of any data. The process stays the
    same, with its streams and its number.
    """
    encoding = sys.getfilesystemencoding()
    if not sys.executable or sys.orig_argv[1:3] == _MODE:
        return
    if not needs_utf8(encoding, map(os.fsencode, sys.orig_argv)):
        return
    # The interpreters that this one starts have the mode from the environment.
    environment = {**os.environ, "PYTHONUTF8": "1"}
    words = [sys.executable, *_MODE, *sys.orig_argv[1:]]
    try:
        os.execve(sys.executable, words, environment)  # noqa: S606 - no shell is needed
    except OSError:
        return  # as in a container that may start no other program


def needs_utf8(encoding: str, words: Iterable[bytes]) -> bool:
    """Check whether texts are misread in an encoding of file names.

    Parameters
    ----------
    encoding : str
    words : iterable of bytes
        Words of the command line. In other encodings than ASCII they show whether they are UTF-8:
        text of Latin-1 hardly ever is.
    """
    plain = encoding.lower().replace("_", "-")
    if plain in {"utf-8", "utf8"}:
        return False
    if plain in {"ascii", "us-ascii", "ansi-x3.4-1968", "646"}:
        return True
    foreign = [word for word in words if not word.isascii()]
    return bool(foreign) and all(map(_is_utf8, foreign))


def was_utf8(word: str) -> bool:
    """Check that a word of the system was UTF-8: others have halves of surrogate pairs."""
    return not any("\ud800" <= letter <= "\udfff" for letter in word)


def check_path(path: str) -> None:
    """Check that a path can be a name of the file system, in the encoding of this process.

    Raises
    ------
    ConfigError
    """
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{ascii(path)[:200]}: file names of this process are {sys.getfilesystemencoding()}",
            hint="start Python with PYTHONUTF8=1, or in a locale of UTF-8",
        ) from error


def _is_utf8(word: bytes) -> bool:
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return True
