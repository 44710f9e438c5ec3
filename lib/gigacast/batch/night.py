"""The jobs of a night: commands of gigacast as jobs of Batch, each after those before it.

A command is a text, as ``data quality --latest``; ``{ds}`` in it is the day of the night. The text
``feature-store`` alone stands for the steps of the feature store. Every command skips what was done
before: a night that runs again changes nothing.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from gigacast.errors import ConfigError
from gigacast.feature_store.nightly import NightJob

FEATURES = "feature-store"
DAY = "{ds}"
MAX_AFTER = 20
"""Jobs that a job of Batch may wait for."""


@dataclass(frozen=True)
class Step:
    """A job of a night.

    Parameters
    ----------
    name : str
        Letters, digits, dashes and underscores.
    command : tuple of str
        Words after ``gigacast``.
    after : tuple of int
        Places of the steps that must have ended well.
    """

    name: str
    command: tuple[str, ...]
    after: tuple[int, ...] = ()


def plan_steps(texts: Sequence[str], features: Sequence[NightJob], day: str) -> list[Step]:
    """Return the steps of a night, each after those that it waits for.

    Parameters
    ----------
    texts : sequence of str
        Commands, in their order. Steps of the feature store come first, unless a text
        ``feature-store`` gives them another place.
    features : sequence of NightJob
        Steps of the feature store; among themselves they wait as they say.
    day : str
        Day of the night, as 2024-01-31.

    Raises
    ------
    ConfigError
        If a text is no command, or a step waits for too many others.
    """
    commands = [_words(text, day) for text in texts]
    if features and [FEATURES] not in commands:
        commands = [[FEATURES], *commands]
    steps: list[Step] = []
    last: tuple[int, ...] = ()
    for words in commands:
        group = features if words == [FEATURES] else None
        added = [_step(words, last)] if group is None else _feature_steps(group, len(steps), last)
        first, steps = len(steps), [*steps, *added]
        waited = {place for step in added for place in step.after}
        ends = tuple(p for p in range(first, len(steps)) if p not in waited)
        last = ends or last
    for step in steps:
        if len(step.after) > MAX_AFTER:
            raise ConfigError(
                f"{step.name} waits for {len(step.after)} jobs, Batch allows {MAX_AFTER}",
                hint="name fewer joins and group-bys in NightlyFeatures",
            )
    return steps


def _words(text: str, day: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"nightly: {text!r}: {error}") from error
    if not words or words[0] == "gigacast":
        raise ConfigError(
            f"nightly: {text!r} is no command", hint="the words after gigacast, as data quality"
        )
    return [word.replace(DAY, day) for word in words]


def _step(words: Sequence[str], after: tuple[int, ...]) -> Step:
    title = "-".join(word for word in words[:2] if not word.startswith("-")) or "forecast"
    return Step(re.sub(r"[^A-Za-z0-9_-]", "_", title), tuple(words), after)


def _feature_steps(jobs: Sequence[NightJob], first: int, after: tuple[int, ...]) -> list[Step]:
    return [
        Step(
            f"{job.step}-{job.name}".replace(".", "_"),
            (FEATURES, *job.command),
            tuple(first + place for place in job.after) or after,
        )
        for job in jobs
    ]
