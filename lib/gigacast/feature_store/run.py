"""Command lines of Chronon's ``run.py`` and ``compile.py``, run as commands of this program.

``python -m gigacast.feature_store.run --mode upload --conf group_bys/team/file.v1 --ds DAY`` is
``gigacast feature-store upload group_bys/team/file.v1 --ds DAY``. `MODES` and `FLAGS` are the
whole translation.
"""

import runpy
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gigacast.core.exit import EXIT_USAGE
from gigacast.core.problem import did_you_mean
from gigacast.errors import ConfigError
from gigacast.report.terminal import say

BACKFILL, COMPILE = "backfill", "compile"
_DAYS = ("start-ds", "ds")


@dataclass(frozen=True)
class Mode:
    """What a mode runs.

    Parameters
    ----------
    words : tuple of str
        Command, and flags that the mode stands for.
    flags : tuple of str
        Flags of `FLAGS` that the mode takes, besides those of all modes.
    """

    words: tuple[str, ...]
    flags: tuple[str, ...] = ()


MODES: Mapping[str, Mode] = {
    COMPILE: Mode(("compile",), ("force-overwrite", "feature-display", "table-display")),
    BACKFILL: Mode((BACKFILL,), (*_DAYS, "parallelism", "engine")),
    "backfill-left": Mode((BACKFILL, "--only", "left"), (*_DAYS, "parallelism", "engine")),
    "backfill-final": Mode((BACKFILL, "--only", "final"), (*_DAYS, "parallelism", "engine")),
    "upload": Mode(("upload",), ("ds", "parallelism", "online-store")),
    "metadata-upload": Mode(("upload-metadata",), ("online-store",)),
    "fetch": Mode(("fetch",), ("type", "key-json", "at-millis", "online-store")),
    "streaming": Mode(("stream",), ("stream-url", "idle", "online-store")),
    "streaming-client": Mode(("stream",), ("stream-url", "idle", "online-store")),
    "local-streaming": Mode(("stream", "--local"), ("idle", "online-store")),
    "consistency-metrics-compute": Mode(("consistency",), (*_DAYS, "parallelism")),
    "log-flattener": Mode(("logs",), (*_DAYS, "parallelism")),
    "stats-summary": Mode(("stats",), (*_DAYS, "parallelism")),
    "log-summary": Mode(("stats", "--logged"), (*_DAYS, "parallelism")),
    "compare": Mode(("compare",), (*_DAYS, "query-conf", "keys")),
    "label-join": Mode(("label",), ("ds", "parallelism")),
    "analyze": Mode(("analyze",)),
    "metadata-export": Mode(("lineage",)),
    "info": Mode(("show",)),
}
"""Our command for each mode of ``run.py``."""

_NAME = ""  # the value is an argument of our command, not a flag
FLAGS: Mapping[str, str] = {
    "conf": _NAME,
    "name": _NAME,
    "query-conf": _NAME,
    "start-ds": "--start_ds",
    "ds": "--ds",
    "parallelism": "--n_jobs",
    "engine": "--engine",
    "type": "--type",
    "key-json": "--keys",
    "at-millis": "--at",
    "keys": "--keys",
    "stream-url": "--stream_url",
    "idle": "--idle",
    "online-store": "--online_store",
    "bucket": "--bucket",
    "prefix": "--prefix",
    "endpoint-url": "--endpoint_url",
    "region": "--region",
    "config": "--config",
}
"""Our flag for each flag with a value."""
SWITCHES: Mapping[str, tuple[str, ...]] = {
    "json": ("--json",),
    "sub-help": ("--help",),
    "help": ("--help",),
    "force-overwrite": ("--force",),
    "feature-display": ("--show",),
    "table-display": ("--show",),
    "y": (),  # nothing is asked here
}
"""Our words for each flag without a value."""
SPELLINGS: Mapping[str, str] = {
    "end-ds": "ds",
    "end-date": "ds",
    "start-partition-override": "start-ds",
    "k": "key-json",
    "n": "name",
    "t": "type",
    "a": "at-millis",
    "h": "help",
    "yes": "y",
}
"""Other spellings of flags."""
_ALWAYS = ("conf", "name", "bucket", "prefix", "endpoint-url", "region", "config")
WITHOUT_MEANING: Mapping[str, str] = {
    **dict.fromkeys(
        ("online-jar", "online-class", "online-args", "online-jar-fetch", "chronon-jar"),
        "no Java runs here; --online_store names the store of served features",
    ),
    **dict.fromkeys(
        ("version", "release-tag", "spark-version", "spark-submit-path", "list-apps"),
        "nothing is downloaded or submitted; --engine spark takes the session that SPARK_REMOTE or "
        "spark-submit gives",
    ),
    "spark-streaming-submit-path": "streams are applied by this process",
    "app-name": "runs are named by their start",
    "env": "variables of the process are the environment",
    "repo": "definitions are found under --bucket, or in the working folder",
    "conf-type": "the kind is found by the name",
    "render-info": "`show` prints the definition itself",
}
"""Flags of ``run.py`` that mean nothing here, and why."""


def translate(arguments: Sequence[str]) -> list[str]:
    """Return the words of our command for a command line of ``run.py``.

    Parameters
    ----------
    arguments : sequence of str
        Words after ``run.py``, as ``--mode upload --conf production/group_bys/team/file.v1``.

    Raises
    ------
    ConfigError
        If a mode or flag is unknown, or means nothing here; it is named.

    Examples
    --------
    >>> translate(["--mode", "fetch", "--name", "quickstart/returns.v1", "-k", "{}"])
    ['feature-store', 'fetch', 'quickstart/returns.v1', '--keys', '{}']
    """
    pairs = list(_pairs(arguments))
    name = next((value for flag, value in pairs if flag == "mode"), BACKFILL)
    mode = MODES.get(name)
    if mode is None:
        raise _unknown_mode(name)
    words: list[str] = []
    flags: list[str] = []
    for flag, value in pairs:
        if flag == "mode":
            continue
        if flag not in (*_ALWAYS, *mode.flags, "json", "sub-help", "help", "y"):
            raise ConfigError(
                f"--{flag}: --mode {name} does not take it",
                hint=f"it takes {', '.join(f'--{own}' for own in (*mode.flags, *_ALWAYS))}",
            )
        if flag in SWITCHES:
            flags += SWITCHES[flag]
        elif FLAGS[flag] == _NAME:
            words.append(value)
        else:
            flags += [FLAGS[flag], value]
    return ["feature-store", *mode.words[:1], *words, *mode.words[1:], *flags]


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each flag by its first spelling, without hyphens, and its value."""
    rest = list(arguments)
    while rest:
        word, equals, value = rest.pop(0).partition("=")
        if not word.startswith("-"):
            raise ConfigError(
                f"{word[:80]!r} is no flag", hint="write --conf before the definition"
            )
        spelt = word.lstrip("-").replace("_", "-")
        flag = SPELLINGS.get(spelt, spelt)
        if flag in SWITCHES and not equals:
            yield flag, ""
            continue
        if flag != "mode" and flag not in FLAGS:
            raise _unknown_flag(word, flag)
        if not equals and not rest:
            raise ConfigError(f"{word}: its value is missing", hint=f"write {word} VALUE")
        yield flag, value if equals else rest.pop(0)


def _unknown_flag(word: str, flag: str) -> ConfigError:
    if flag in WITHOUT_MEANING:
        return ConfigError(
            f"{word}: means nothing here", hint=f"leave it out: {WITHOUT_MEANING[flag]}"
        )
    names = ["mode", *FLAGS, *SWITCHES, *SPELLINGS]
    return ConfigError(
        f"{word[:80]}: no flag of run.py",
        hint=_suggestion(flag, names) or "see docs/guide/feature-store.md",
    )


def _unknown_mode(name: str) -> ConfigError:
    if name == "model-transform-batch":
        return ConfigError(
            f"--mode {name}: is left out",
            hint="gigacast forecast runs models; --features gives them the features of a join",
        )
    return ConfigError(
        f"--mode {name[:80]}: no mode of run.py",
        hint=did_you_mean(name, MODES) or f"the modes are {', '.join(MODES)}",
    )


def _suggestion(flag: str, names: Sequence[str]) -> str:
    long = [name for name in names if len(name) > 1]
    near = did_you_mean(flag, long)
    return near.replace("mean ", "mean --").replace(" or ", " or --")


def main(arguments: Sequence[str]) -> None:
    """Run a command line of ``run.py``, and exit with the code of our command."""
    try:
        words = translate(arguments)
    except ConfigError as error:
        say(f"gigacast: {error.message}", err=True)
        say(f"  hint: {error.hint}", err=True)
        sys.exit(EXIT_USAGE)
    sys.argv = ["gigacast", *words]
    # By its name: the command line is built on this package, which does not know it.
    runpy.run_module("gigacast", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
