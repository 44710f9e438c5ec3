"""Options of the search for anomalies: of the command, and of `gigacast.detect_anomalies`."""

from dataclasses import dataclass

from gigacast.settings.command.common import AT_LEAST_ONE
from gigacast.settings.flag import flag
from gigacast.settings.option import Range


@dataclass(frozen=True, kw_only=True)
class AnomalyOptions:
    """Options of `gigacast.detect_anomalies` and of the command."""

    band: float = flag(
        99.0,
        "Share of values that are expected, in percent; those outside are anomalies.",
        group="anomalies",
        range_=Range(50, 100),
        details="The widest interval of the forecast gives the standard deviation on either side, "
        "so that the band may be wider than all of its quantiles.",
    )
    shift_steps: int = flag(
        5,
        "Steps in a row on one side of the band that are a level shift.",
        group="anomalies",
        range_=Range(2),
    )
    stuck_steps: int = flag(
        6,
        "Equal values in a row that are those of a stuck sensor.",
        group="anomalies",
        range_=Range(2),
        details="Series whose history has runs half as long are not stuck.",
    )
    flat_steps: int = flag(
        8,
        "Steps in a row with nearly no change that are those of a flat sensor.",
        group="anomalies",
        range_=Range(3),
        details="It changes by less than a tenth of what is usual for the series.",
    )
    origin: str = flag(
        "latest",
        "Stored forecasts to compare: latest, all that are kept, or those of a day.",
        group="anomalies",
        details="A day as 2024-01-31; for step numbers, a step. A value that several forecasts "
        "reach counts once for each.",
    )
    windows: int = flag(
        1,
        "Horizons at the end of each series to search, where forecasts are made for it.",
        group="anomalies",
        range_=AT_LEAST_ONE,
    )


@dataclass(frozen=True, kw_only=True)
class AnomalyFlags(AnomalyOptions):
    """Flags of `gigacast anomalies` that are no settings."""

    rolling: bool = flag(
        False,
        "Forecast the last steps from before them, although forecasts are stored.",
        group="anomalies",
        details="Without stored forecasts this is done in any case.",
    )
    fail_above: int | None = flag(
        None,
        "Exit code 1 if more values than this are anomalies; they change it not by default.",
        group="anomalies",
        range_=Range(0),
        details="For alerting: a scheduler sees the exit code.",
    )
