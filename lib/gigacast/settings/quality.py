"""Settings of the quality of data."""

from gigacast.settings.field import Section, option
from gigacast.settings.loader import Strings


class QualitySettings(Section):
    """Expectations of data, spelled as in `core.quality` and `core.trading_calendar`."""

    warn: Strings = option((), "Limits above which a measure warns, as missing=0.01.")
    fail: Strings = option((), "Limits above which a measure fails, as missing=0.2.")
    calendar: str = option(
        "24/7", "When rows are expected: 24/7, weekdays, or 'mon-fri 09:30-16:00 Asia/Tokyo'."
    )
    holidays: Strings = option((), "Days without rows, as 2024-12-25.")
