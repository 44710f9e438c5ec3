"""Schedules of a deployment: their clocks in the template, and how long forecasts may take."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from gigacast.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_HOURS = {"minute": 1 / 60, "hour": 1.0, "day": 24.0}
_KEYS = {"name", "schedule", "time_zone", "settings", "arguments"}
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_WEEK_HOURS = 168
"""Longest time of an alarm of CloudWatch: seven days."""
_LATE = 1.25
"""Share of the time between two runs after which forecasts are late."""
_MARK = "  # -- `schedules` of the configuration:"


@dataclass(frozen=True)
class Clock:
    """A schedule of runs with settings of its own.

    Parameters
    ----------
    name : str
    schedule : str
        ``cron(...)`` or ``rate(...)`` of EventBridge Scheduler.
    time_zone : str
    settings : str
        Key below the prefix of an object with settings; empty, that of the stack.
    arguments : mapping
        Values by the names of flags.
    """

    name: str
    schedule: str
    time_zone: str = "UTC"
    settings: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path, entry: Any) -> Self:
        """Read an entry of ``schedules``.

        Raises
        ------
        ConfigError
        """
        if not isinstance(entry, dict):
            raise ConfigError(f"{file}: schedules: {entry!r} has no keys such as 'name:'")
        for key in sorted(set(entry) - _KEYS):
            raise ConfigError(
                f"{file}: schedules: {key}: unknown key", hint=f"one of {', '.join(sorted(_KEYS))}"
            )
        name = str(entry.get("name") or "")
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{file}: schedules: name: {name!r} is no name", hint="lower case, as hourly"
            )
        schedule = str(entry.get("schedule") or "")
        if not re.fullmatch(r"(cron|rate|at)\(.+\)", schedule):
            raise ConfigError(
                f"{file}: schedules: {name}: schedule: {schedule!r} is none",
                hint="as cron(0 4 * * ? *), or rate(1 hour)",
            )
        arguments = entry.get("arguments") or {}
        if not isinstance(arguments, dict):
            raise ConfigError(f"{file}: schedules: {name}: arguments: expected names of flags")
        known = {key: str(entry[key]) for key in ("time_zone", "settings") if entry.get(key)}
        return cls(name, schedule, arguments=arguments, **known)

    @property
    def event(self) -> dict[str, Any]:
        """Event that the planner is called with."""
        event = {"settings": self.settings, "arguments": dict(self.arguments)}
        return {key: value for key, value in event.items() if value}

    def resource(self) -> str:
        """Return the clock as a resource of the template of schedules."""
        identifier = "".join(part.capitalize() for part in self.name.split("-"))
        # The text of the event may contain quotes; JSON is YAML, and doubles none.
        event = json.dumps(json.dumps(self.event, sort_keys=True))
        return f"""
  Clock{identifier}:
    Type: AWS::Scheduler::Schedule
    Properties:
      Name: !Sub "${{Name}}-forecast-{self.name}"
      Description: Forecast what is pending, by the settings of this schedule
      State: ENABLED
      ScheduleExpression: {json.dumps(self.schedule)}
      ScheduleExpressionTimezone: {json.dumps(self.time_zone)}
      FlexibleTimeWindow: {{Mode: FLEXIBLE, MaximumWindowInMinutes: 15}}
      Target:
        Arn: !GetAtt Planner.Arn
        RoleArn: !GetAtt SchedulerRole.Arn
        Input: {event}
        RetryPolicy: {{MaximumRetryAttempts: 3, MaximumEventAgeInSeconds: 3600}}
        DeadLetterConfig: {{Arn: !GetAtt TurnsGivenUp.Arn}}
"""


def with_clocks(template: str, clocks: Sequence[Clock]) -> str:
    """Return the template of schedules with the clocks of the configuration."""
    place = template.index("\n", template.index(_MARK)) + 1
    return template[:place] + "".join(clock.resource() for clock in clocks) + template[place:]


def max_age_hours(schedules: Sequence[str]) -> int | None:
    """Return after how many hours without a forecast the schedules are late.

    The schedule that runs most often decides. ``None`` if each runs less often than once a week,
    or at times that are not known here: no alarm of CloudWatch looks back that far.
    """
    gaps = [gap for gap in map(longest_gap_hours, schedules) if gap is not None]
    # An hour for the run itself, which an hourly schedule needs most.
    late = int(min(gaps) * _LATE + 1.999) if gaps else _WEEK_HOURS + 1
    return late if late <= _WEEK_HOURS else None


def longest_gap_hours(schedule: str) -> float | None:
    """Return the longest time between two runs of a schedule; ``None`` if it is not known."""
    rate = _RATE.fullmatch(schedule.strip())
    if rate is not None:
        return int(rate[1]) * _HOURS[rate[2]]
    words = schedule.strip().removeprefix("cron(").removesuffix(")").split()
    if not schedule.strip().startswith("cron(") or len(words) != 6:
        return None
    try:
        minutes, hours = _numbers(words[0], 0, 59), _numbers(words[1], 0, 23)
        days = _numbers(words[2], 1, 31)
        weekdays = _numbers(words[4], 1, 7, _DAYS)
    except ValueError:  # L, W and #, which name days of single months
        return None
    if words[3] not in {"*", "?"} or words[5] not in {"*", "?"}:
        return None
    # Two months of 31 days: enough for the gaps of days of the month, and of days of the week.
    on = [d for d in range(62) if d % 31 + 1 in days and d % 7 + 1 in weekdays]
    times = [24 * day + hour + minute / 60 for day in on for hour in hours for minute in minutes]
    gaps = [late - early for early, late in pairwise(times)]
    return max(gaps) if gaps else None


def _numbers(text: str, first: int, last: int, names: Sequence[str] = ()) -> list[int]:
    """Return the numbers of a field of cron: stars, lists, ranges and steps."""
    found: set[int] = set()
    for part in text.upper().split(","):
        span, _, step = part.partition("/")
        low, _, high = span.partition("-")
        if low in {"*", "?"}:
            start, end = first, last
        else:
            start = _number(low, first, names)
            end = _number(high, first, names) if high else (last if step else start)
        found.update(range(start, end + 1, int(step or 1)))
    return sorted(found)


def _number(text: str, first: int, names: Sequence[str]) -> int:
    return names.index(text) + first if text in names else int(text)
